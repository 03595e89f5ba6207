"""The graph of a network: layer by layer, with shapes and numbers of parameters, and nothing computed."""

import re

import numpy as np
import pytest

from xpnet import Affine, Layer, Network, Relu, Sigmoid, SoftmaxWithLoss, TwoLayerNet
from xpnet.graph.network_graph import network_graph

TWO_LAYERS = """\
TwoLayerNet(784-50-10, 39,760 parameters, float32 on numpy)

x
│  (N, 784)
Affine1     Affine(784 -> 50)  39,250 parameters
│  (N, 50)
Relu1       Relu()
│  (N, 50)
Affine2     Affine(50 -> 10)      510 parameters
│  (N, 10)
last layer  SoftmaxWithLoss()  ←── t
│
loss"""


def test_a_network_is_drawn_layer_by_layer():
    assert str(network_graph(TwoLayerNet(784, 50, 10, backend="numpy"))) == TWO_LAYERS


def test_a_network_is_drawn_on_every_backend_and_nothing_is_computed(be, monkeypatch):
    network = TwoLayerNet(12, 6, 7, dtype=be.dtype, backend=be.backend)
    for kind in (Affine, Relu, SoftmaxWithLoss):
        for name in ("forward", "backward"):
            monkeypatch.setattr(kind, name, None)
    drawing = network_graph(network)
    assert drawing.title == repr(network)
    assert [edge.forward for edge in drawing.edges] == ["(N, 12)", "(N, 6)", "(N, 6)", "(N, 7)", "", ""]


class Scale(Layer):
    parameter_names = ("s",)

    def __init__(self, s):
        self.s = s


def test_a_network_of_ones_own_whose_input_shape_is_unknown_is_drawn_without_shapes():
    drawing = network_graph(Network({"<scale>": Scale(np.ones(1)), "사과": Sigmoid()}))
    assert str(drawing).splitlines()[2:] == [
        "x",
        "│",
        "<scale>     Scale()            1 parameter",
        "│",
        "사과        Sigmoid()",
        "│",
        "last layer  SoftmaxWithLoss()  ←── t",
        "│",
        "loss",
    ]
    assert {edge.forward for edge in drawing.edges} == {""}


@pytest.fixture
def needs_package():
    pytest.importorskip("graphviz", reason="needs the Python package graphviz")


@pytest.mark.usefixtures("needs_package")
def test_a_network_goes_from_top_to_bottom_and_its_edges_have_the_shapes():
    source = network_graph(TwoLayerNet(784, 50, 10, backend="numpy")).dot()
    assert "rankdir=TB" in source
    edges = re.findall(r'(\w+) -> (\w+) \[label="?(.*?)"? fontcolor', source)
    assert [label.strip() for *_, label in edges] == ["(N, 784)", "(N, 50)", "(N, 50)", "(N, 10)", ""]
    assert [tail for tail, *_ in edges] == ["x", "layer0", "layer1", "layer2", "last"]
    assert "last -> t [dir=back]" in source
    for text in ("Affine1", "Affine(784 -&gt; 50)", "39,250 parameters", "SoftmaxWithLoss()"):
        assert f">{text}</font>" in source
