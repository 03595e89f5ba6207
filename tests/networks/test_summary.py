"""The summary of a network: a line for each layer, with shapes and numbers of parameters that are counted by hand."""

from xpnet import SoftmaxWithLoss, TwoLayerNet
from xpnet.networks.summary import batch_shape, summary_table


def test_a_line_for_each_layer():
    network = TwoLayerNet(784, 50, 10, backend="numpy")
    table = summary_table(network.layers, network.last_layer, (784,))
    assert [line.split() for line in table.splitlines()] == [
        ["name", "layer", "output", "parameters"],
        ["-" * 10, "-" * 17, "-" * 8, "-" * 12],
        ["Affine1", "Affine(784", "->", "50)", "(N,", "50)", "39,250"],  # 784 * 50 + 50
        ["Relu1", "Relu()", "(N,", "50)", "0"],
        ["Affine2", "Affine(50", "->", "10)", "(N,", "10)", "510"],
        ["last", "layer", "SoftmaxWithLoss()", "scalar", "0"],
    ]


def test_frozen_parameters_and_unknown_shapes():
    network = TwoLayerNet(4, 3, 2, backend="numpy").freeze("Affine1")
    first, _, second, _ = summary_table(network.layers, SoftmaxWithLoss(), None).splitlines()[2:]
    assert first.endswith("15 frozen")
    assert second.split()[-1] == "8"
    assert "(N" not in first


def test_batch_shapes():
    assert [batch_shape(shape) for shape in ((784,), (1, 28, 28), (), None)] == [
        "(N, 784)",
        "(N, 1, 28, 28)",
        "(N)",
        "",
    ]
