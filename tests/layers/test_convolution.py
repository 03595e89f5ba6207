"""Layers of images: that they keep the rules, what they need, and how they refuse; the numbers are the matrix's."""

import copy
import tracemalloc
from typing import Any

import numpy as np
import pytest
from cases import same_bits
from conv_cases import CONV_NET_INPUT, conv_net
from matrix import Place
from small_convolutions import convolution, deep, filters, images, samples
from states import flattened

from xpnet import (
    SGD,
    Affine,
    AveragePooling,
    BatchNormalization,
    Convolution,
    Flatten,
    GlobalAveragePooling,
    Layer,
    MaxPooling,
    Network,
    Relu,
    Residual,
    Trainer,
    network_graph,
    to_numpy,
)
from xpnet._core import tuning
from xpnet._core.arrays import get_array_module, sliding_windows
from xpnet.backend import asarray
from xpnet.engine.tape import python_calls, recording, wrapped
from xpnet.errors import ArgumentError, ShapeError
from xpnet.layers._windows import Pair
from xpnet.testing import check_layer
from xpnet.testing.counting import COUNTING, count_operations

RNG = np.random.default_rng(0)


def trained(layer: Layer) -> Layer:
    layer.train = True
    return layer


LAYERS = {
    "convolution": convolution(2, 3),
    "convolution, stride and pad": convolution(2, 3, stride=(2, 1), pad=(1, 2)),
    "pooling": MaxPooling(2, 2),
    "pooling, overlapping": MaxPooling(3, 2, 1, (1, 0)),
    "pooling, overlapping in rows": MaxPooling(2, 2, (1, 2)),
    "pooling, overlapping in columns": MaxPooling(2, 2, (2, 1)),
    "average pooling": AveragePooling(2, 2),
    "average pooling, overlapping": AveragePooling(3, 2, 1, (1, 0)),
    "global average pooling": GlobalAveragePooling(),
    "flatten": Flatten(),
    "batch normalization": trained(BatchNormalization(filters(2), filters(2))),
    "batch normalization at inference": BatchNormalization(filters(2), filters(2)),
    "residual": Residual([convolution(2, 2, pad=1), Relu()]),
    "residual with a shortcut": Residual([convolution(2, 3, stride=2, pad=1)], [convolution(2, 3, 1, stride=2)]),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_keep_the_rules(name: str) -> None:
    check_layer(LAYERS[name], images(3, 2, 6, 4), tolerance=1e-6)


@pytest.mark.parametrize("name", LAYERS)
def test_output_shape_is_that_of_the_output(name: str) -> None:
    layer = copy.deepcopy(LAYERS[name])
    assert layer.output_shape((2, 7, 5)) == layer.forward(images(3, 2, 7, 5)).shape[1:]


# --- what they need -------------------------------------------------------------------------------------------------


def test_columns_are_never_made_of_a_whole_batch() -> None:
    """The columns of this batch would be 9 times its 12.8 MB."""
    layer, x = Convolution(np.ones((2, 16, 3, 3), "f"), np.ones(2, "f"), pad=1), np.ones((50, 16, 64, 64), "f")
    dout = np.ones((50, 2, 64, 64), "f")
    tracemalloc.start()
    try:
        layer.forward(x)
        forward = tracemalloc.get_traced_memory()[1]
        layer.backward(dout)
        both = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert forward < 1.1 * x.nbytes + dout.nbytes + 2 * 2**22
    assert both < 2.2 * x.nbytes + 2 * dout.nbytes + 3 * 2**22


@pytest.mark.parametrize("stride", [1, 2, (2, 1), (1, 2)])
def test_piece_by_piece_comes_what_comes_at_once(monkeypatch: pytest.MonkeyPatch, stride: int | Pair) -> None:
    x, results = images(3, 2, 9, 6), []
    for _ in range(2):
        layer = convolution(2, 3, stride=stride, pad=1)
        y = layer.forward(x)
        results.append((y, layer.backward(np.cos(y)), layer.dW, layer.db))
        monkeypatch.setattr(tuning, "MAX_CPU_BLOCK_BYTES", 1)  # a row of the output at a time
    for at_once, in_pieces in zip(*results, strict=True):
        np.testing.assert_allclose(in_pieces, at_once, rtol=1e-12, atol=1e-12)


def test_an_empty_array_is_not_made_again() -> None:
    with recording() as tape:
        x = wrapped(np.ones(3))
        get_array_module(x).empty((3,), dtype=x.dtype)[...] = x
    assert len(tape.operations) == 1


def test_the_first_layer_computes_no_input_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    first = convolution(2, 3)
    Network([first, Flatten(), Affine(np.ones((3 * 4 * 3, 2)), np.zeros(2))])
    y = first.forward(images(2, 2, 6, 5))
    assert first.backward(y) is None
    branch, shortcut = convolution(2, 2, pad=1), convolution(2, 2, 1)
    before = Relu()
    called = []
    monkeypatch.setattr(before, "backward", called.append)
    first_residual = Residual([before, branch, convolution(2, 2, pad=1)], [shortcut])
    Network([first_residual, Flatten(), Affine(np.ones((60, 2)), np.zeros(2))])
    y = first_residual.forward(images(2, 2, 6, 5))
    assert first_residual.backward(y) is None
    assert branch.backward(y) is None
    assert shortcut.backward(y) is None
    assert not called
    first_residual.needs_input_gradient = True
    monkeypatch.undo()
    first_residual.forward(images(2, 2, 6, 5))
    assert first_residual.backward(y).shape == y.shape


def test_windows_are_a_view(be: Place) -> None:
    x = be.put(np.arange(2.0 * 5 * 4 * 3).reshape(2, 5, 4, 3))
    windows = sliding_windows(x, (3, 2), (2, 1))
    expected = np.stack(
        [np.stack([to_numpy(x)[:, i : i + 3 : 2, j : j + 3] for j in range(2)], 1) for i in range(3)], 1
    )
    be.check(windows, expected)
    if be.name in ("numpy", "cupy"):
        x[0, 0, 0, 0] = 99.0
        assert float(windows[0, 0, 0, 0, 0, 0]) == 99.0


def test_recorded_windows_follow_their_array_and_keep_its_memory() -> None:
    x = np.arange(16.0).reshape(1, 4, 4, 1)
    with recording() as tape:
        windows = sliding_windows(2 * wrapped(x), (2, 2), (2, 2))  # of a result that nothing else looks at
        other = 3 * wrapped(x)  # of the same size: it must not be given the same memory
        total = windows.sum(axis=(1, 2)) + other[:, ::2, ::2, :]
    for factor in (1.0, -10.0):
        x[...] = factor * np.arange(16.0).reshape(1, 4, 4, 1)
        for call in python_calls(tape.operations):
            call()
        sums = 2 * (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2])
        assert np.array_equal(total.array, sums + 3 * x[:, ::2, ::2])


@pytest.mark.bits
@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_recorded_steps_are_plain_ones_to_the_bit(optimizer: str) -> None:
    weights = {}
    for capture in (True, False):
        network = deep()
        Trainer(
            network, *samples(), None, None, iterations=40, mini_batch_size=16, optimizer=optimizer, capture=capture,
            verbose=False, seed=0,
        ).train()  # fmt: skip
        weights[capture] = network.state.weights()
    assert any(key.startswith("running_var") for key in weights[True])
    assert same_bits(weights[True], weights[False])
    assert not same_bits(weights[True], deep().state.weights())


def test_a_step_neither_waits_for_the_device_nor_copies_to_it() -> None:
    network, optimizer = flattened(deep(backend=COUNTING)), SGD(0.1)
    x, t = (asarray(a, backend=COUNTING) for a in samples(8))
    for _ in range(2):
        with count_operations() as counts:
            network.compute_gradients(x, t)
            optimizer.update(*network.state.optimizer_view())
    assert not counts.waits
    assert not counts.copies


# --- making, refusing, telling --------------------------------------------------------------------------------------


def test_initial_filters_have_the_deviation_of_their_inputs() -> None:
    for how, std in (
        ("he", (2 / 75) ** 0.5),
        ("xavier", (1 / 75) ** 0.5),
        ("glorot", (2 / (75 + 1600)) ** 0.5),
        (0.5, 0.5),
    ):
        layer = Convolution.create(3, 64, 5, how, stride=2, pad=(1, 2), rng=0, backend="numpy")
        assert layer.W.shape == (64, 3, 5, 5)
        assert layer.W.std() == pytest.approx(std, rel=0.05)
        assert not layer.b.any()
        assert (layer.stride, layer.pad) == ((2, 2), (1, 2))


@pytest.mark.parametrize(
    ("layer", "shape", "words"),
    [
        (convolution(2, 3), (3, 6, 6), "of 2 channels (W is (3, 2, 3, 3)), got samples of shape (3, 6, 6)"),
        (convolution(1, 3), (28, 28), "of 1 channel (W is"),
        (convolution(2, 3), (2, 6, 2), "windows of 3 x 3, more than the 6 x 2"),
        (MaxPooling(2, 2), (784,), "images (C, H, W), got samples of shape (784,)"),
        (AveragePooling(3, 2), (1, 2, 2), "windows of 3 x 2, more than the 2 x 2"),
        (GlobalAveragePooling(), (5,), "images (C, H, W)"),
        (BatchNormalization(np.ones(3), np.zeros(3)), (2, 3, 3), "3 numbers"),
        (Residual([convolution(2, 3, pad=1)]), (2, 6, 6), "(3, 6, 6) of its branch to those of its shortcut"),
        (Residual([Relu(), convolution(2, 2)]), (3, 6, 6), "branch of a Residual, Convolution(2 -> 2, 3x3): Conv"),
    ],
)  # fmt: skip
def test_samples_that_do_not_fit(layer: Layer, shape: tuple[int, ...], words: str) -> None:
    with pytest.raises(ShapeError) as caught:
        layer.output_shape(shape)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "mend"),
    [
        (
            (12, 10, 1),
            "(12, 10, 1). Bring the channels to the front with `x.transpose(0, 3, 1, 2)`.",
        ),
        ((12, 10), "(12, 10). Make images of them with `x.reshape(-1, 1, height, width)`."),
        ((120,), "(120,). Make images of them with `x.reshape(-1, 1, height, width)`."),
        ((2, 12, 10), "(2, 12, 10). `x` has one row a sample."),
    ],
)
def test_how_samples_become_images(shape: tuple[int, ...], mend: str) -> None:
    with pytest.raises(ShapeError) as caught:
        deep().predict(np.ones((3, *shape), "f"))
    assert mend in str(caught.value)


def test_the_door_names_the_layer() -> None:
    network = deep()
    with pytest.raises(ShapeError, match=r"Convolution1: Convolution expects images \(C, H, W\) of 1 channel"):
        network.predict(np.ones((3, 12, 10), "f"))
    with pytest.raises(ShapeError, match=r"Affine1: Affine expects 24 numbers a sample"):
        network.predict(np.ones((3, 1, 14, 10), "f"))
    with pytest.raises(ShapeError, match=r"Affine1: Affine expects 3 numbers"):
        Network([convolution(1, 3), Affine(np.ones((3, 2)), np.zeros(2))], input_shape=(1, 4, 4))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Convolution(np.ones((3, 3)), np.ones(3)), "(FN, C, FH, FW)"),
        (lambda: Convolution(np.ones((2, 1, 3, 3)), np.ones(3)), "b (3,)"),
        (lambda: convolution(1, 1, stride=0), "stride must be a whole number of at least 1"),
        (lambda: convolution(1, 1, pad=-1), "pad must be a whole number of at least 0"),
        (lambda: convolution(1, 1, stride=(1, 2, 3)), "or a pair of them"),
        (lambda: convolution(1, 1, pad=0.5), "got 0.5"),
        (lambda: MaxPooling(0, 2), "pool_h and pool_w must be"),
        (lambda: MaxPooling(2, 2, pad=2), "at most half of the window of 2 x 2"),
        (lambda: MaxPooling(2, 4, pad=(2, 1)), "at most half of the window of 2 x 4"),
        (lambda: AveragePooling(4, 2, pad=(1, 2)), "at most half of the window of 4 x 2"),
        (lambda: Residual([np.ones(3)]), "Layer 0 of the branch must be a layer such as `Relu()`"),
        (lambda: Residual(Relu()), "must be a list of layers, as in `Residual([Relu()])`, got Relu"),
        (lambda: Residual([], None), "shortcut of a Residual must be a list of layers"),
        (lambda: Convolution.create(0, 2, 3), "the number of channels"),
    ],
)  # fmt: skip
def test_arguments_that_cannot_be(make: Any, words: str) -> None:
    with pytest.raises((ArgumentError, ShapeError)) as caught:
        make()
    assert words in str(caught.value)


def test_a_network_of_images_tells_its_shapes() -> None:
    network = conv_net(np.asarray)
    assert repr(network) == "Network(2x6x5-3-4-4-4-7, 404 parameters, float64 on numpy)"
    summary, graph = network.summary(), str(network_graph(network))
    for text in ("(N, 3, 6, 5)", "(N, 4, 1, 2)", "(N, 8)"):
        assert text in summary
        assert text in graph
    assert "Convolution(2 -> 3, 3x3, pad=1)" in summary
    assert "Residual([Convolution(3 -> 4, 3x3, stride=(2, 1), pad=1)" in summary
    assert repr(MaxPooling(2, 2)) == "MaxPooling(2x2)"
    assert repr(MaxPooling(3, 2, 2, 1)) == "MaxPooling(3x2, stride=2, pad=1)"
    assert Network([convolution(1, 3), Flatten(), Affine(np.ones((12, 2)), np.zeros(2))]).input_shape is None


def test_one_image_goes_in_as_it_is() -> None:
    network = conv_net(np.asarray)
    x = images(5, *CONV_NET_INPUT)
    np.testing.assert_allclose(network.predict(x)[2], network.predict(x[2]), rtol=1e-12, atol=1e-12)
    assert network.loss(x[2], np.array(3)).shape == ()


def test_pixels_of_images_count_as_256ths() -> None:
    network = deep()
    pixels = np.random.default_rng(3).integers(0, 256, (6, 1, 12, 10)).astype(np.uint8)
    np.testing.assert_allclose(
        network.predict(pixels), network.predict(pixels.astype("float32") / 255), rtol=1e-5, atol=1e-6
    )
