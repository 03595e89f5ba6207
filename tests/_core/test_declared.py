"""What a class declares holds for itself alone, and a replaced method is always noticed."""

import functools

import numpy as np
import pytest

from xpnet import Affine, Gelu, LeakyRelu, Network, Relu, SoftmaxWithLoss
from xpnet._core.declared import has_replaced_method, is_fusable, is_library_code, is_recordable, methods_of


class AsItIs(Relu):
    """With no method of its own."""


class Own(Relu):
    def forward(self, x):
        return super().forward(x)


class Declared(Own):
    recordable = fusable = True


class Inherited(Declared):
    """What it computes is its own class's matter again."""


@pytest.mark.parametrize(
    ("kind", "recordable", "fusable"),
    [
        (Relu, True, True),
        (SoftmaxWithLoss, True, True),
        (Gelu, True, False),
        (LeakyRelu, True, False),
        (AsItIs, True, False),
        (Own, False, False),
        (Declared, True, True),
        (Inherited, False, False),
    ],
)
def test_what_a_class_declares(kind, recordable, fusable):
    assert (is_recordable(kind()), is_fusable(kind())) == (recordable, fusable)
    assert not has_replaced_method(kind())


@pytest.mark.parametrize("kind", [Relu, Declared])
def test_a_method_that_is_assigned_to_an_object(kind):
    layer, before = kind(), methods_of(kind())
    layer.forward = functools.wraps(layer.forward)(lambda x: x)
    assert has_replaced_method(layer)
    assert not is_recordable(layer)
    assert not is_fusable(layer)
    assert methods_of(layer) != before


@pytest.mark.parametrize("kind", [Relu, Affine])
def test_a_method_that_is_assigned_to_a_class_of_the_library(kind, monkeypatch):
    layer = kind(np.ones((1, 1)), np.zeros(1)) if kind is Affine else kind()
    assert is_fusable(layer)
    monkeypatch.setattr(kind, "backward", functools.wraps(kind.backward)(lambda self, dout: dout))
    assert has_replaced_method(layer)
    assert not is_recordable(layer)
    assert not is_fusable(layer)


def test_networks_declare_as_layers_do():
    layers = [Affine(np.ones((2, 2)), np.zeros(2))]

    class Plain(Network):
        def __init__(self, layers):
            super().__init__(layers)

    class Other(Network):
        def compute_gradients(self, x, t):
            return super().compute_gradients(x, t)

    assert [is_recordable(kind([Affine(np.ones((2, 2)), np.zeros(2))])) for kind in (Network, Plain, Other)] == [
        *(True, True, False)
    ]
    network = Network(layers)
    assert is_library_code(network.compute_gradients)
    network.compute_gradients = lambda x, t: 0.0
    assert not is_library_code(network.compute_gradients)
    assert not is_recordable(network)


@pytest.mark.parametrize("function", [len, np.sum, functools.partial(len), lambda x: x])
def test_code_of_others(function):
    assert not is_library_code(function)
