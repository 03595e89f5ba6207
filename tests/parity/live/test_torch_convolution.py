"""PyTorch itself, asked now, of what is computed with images: convolution, pooling, normalization of channels."""

from typing import Any, NamedTuple

import numpy as np
from comparing import assert_close, search, seeds, tensor, torch
from hypothesis import example, given
from hypothesis import strategies as st

from xpnet import (
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
)

F = torch.nn.functional

Pair = tuple[int, int]


class Form(NamedTuple):
    """Images, and the windows that slide over them."""

    n: int
    channels: int
    image: Pair
    window: Pair
    stride: Pair
    pad: Pair


@st.composite
def forms(draw: st.DrawFn, *, pooling: bool = False) -> Form:
    """Not square, a batch of one among them, windows that leave out what is at the border or between them."""
    window = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    most = [size // 2 if pooling else 3 for size in window]
    pad = (draw(st.integers(0, most[0])), draw(st.integers(0, most[1])))
    least = [max(1, size - 2 * p) for size, p in zip(window, pad, strict=True)]
    image = (draw(st.integers(least[0], 9)), draw(st.integers(least[1], 9)))
    stride = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    return Form(draw(st.integers(1, 4)), draw(st.integers(1, 3)), image, window, stride, pad)


def compared(layer: Layer, x: np.ndarray, expected: Any, rng: np.random.Generator) -> np.ndarray:
    """Compare forward and backward with a function of PyTorch's; returns the gradient that went back."""
    x_torch = tensor(x)
    y = expected(x_torch)
    assert layer.output_shape(x.shape[1:]) == tuple(y.shape[1:])
    assert_close(layer.forward(x), y)
    dout = rng.standard_normal(y.shape)
    y.backward(torch.tensor(dout))
    assert_close(layer.backward(dout), x_torch.grad)
    return dout


@search
@given(forms(), st.integers(1, 4), seeds)
@example(Form(1, 1, (1, 1), (1, 1), (1, 1), (0, 0)), 1, 0)
@example(Form(100, 1, (12, 10), (5, 5), (1, 1), (0, 0)), 30, 1)  # dW as a sum of small products
@example(Form(3, 60, (50, 40), (3, 3), (2, 1), (1, 2)), 2, 2)  # in several pieces
def test_convolution(form: Form, filters: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    W, b = rng.standard_normal((filters, form.channels, *form.window)), rng.standard_normal(filters)
    layer, W_torch, b_torch = Convolution(W, b, form.stride, form.pad), tensor(W), tensor(b)
    x = rng.standard_normal((form.n, form.channels, *form.image))
    compared(layer, x, lambda x: F.conv2d(x, W_torch, b_torch, form.stride, form.pad), rng)
    assert_close(layer.dW, W_torch.grad)
    assert_close(layer.db, b_torch.grad)


@search
@given(forms(pooling=True), seeds, st.booleans())
def test_max_pooling(form: Form, seed: int, ties: bool) -> None:
    """With ties the gradient goes where PyTorch's does."""
    rng = np.random.default_rng(seed)
    shape = (form.n, form.channels, *form.image)
    x = rng.integers(-2, 2, shape).astype(np.float64) if ties else rng.standard_normal(shape) - 2
    layer = MaxPooling(*form.window, form.stride, form.pad)
    compared(layer, x, lambda x: F.max_pool2d(x, form.window, form.stride, form.pad), rng)


@search
@given(forms(pooling=True), seeds)
def test_average_pooling(form: Form, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((form.n, form.channels, *form.image))
    layer = AveragePooling(*form.window, form.stride, form.pad)
    compared(layer, x, lambda x: F.avg_pool2d(x, form.window, form.stride, form.pad), rng)


@search
@given(st.tuples(*[st.integers(1, 6)] * 4), seeds)
def test_global_average_pooling_and_flatten(shape: tuple[int, ...], seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    compared(GlobalAveragePooling(), x, lambda x: F.adaptive_avg_pool2d(x, 1).flatten(start_dim=1), rng)
    compared(Flatten(), x, lambda x: torch.flatten(x, start_dim=1), rng)


@search
@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.tuples(*[st.integers(1, 5)] * 3), seeds, st.floats(0, 1))
def test_batch_normalization_of_images(batches: list[int], sample: tuple[int, ...], seed: int, momentum: float) -> None:
    rng = np.random.default_rng(seed)
    if sample[1] * sample[2] == 1:
        batches = [n + 1 for n in batches]  # PyTorch refuses a channel of a single number
    gamma, beta = rng.standard_normal(sample[0]), rng.standard_normal(sample[0])
    layer = BatchNormalization(gamma, beta, momentum)
    module = torch.nn.BatchNorm2d(sample[0], momentum=1 - momentum).double()
    parameters = {"weight": tensor(gamma), "bias": tensor(beta)}
    for layer.train in (*[True] * len(batches), False):
        module.train(layer.train)
        n = batches.pop() if batches else 2
        x, dout = rng.standard_normal((2, n, *sample))
        x_torch = tensor(x)
        y = torch.func.functional_call(module, parameters, (x_torch,))
        for parameter in parameters.values():
            parameter.grad = None
        y.backward(torch.tensor(dout))
        # Of two numbers alone nearly everything cancels: what comes out is as exact as what cancels is.
        scale = max(1.0, float(np.max(np.abs(gamma))))
        assert_close(layer.forward(x), y, scale=scale)
        assert_close(layer.backward(dout), x_torch.grad, scale=scale * float(np.max(layer.scale)))
        assert_close(layer.dgamma, parameters["weight"].grad, scale=1.0)
        assert_close(layer.dbeta, parameters["bias"].grad, scale=1.0)
        assert_close(layer.running_mean, module.running_mean, scale=1.0)
        assert_close(layer.running_var, module.running_var)


@search
@given(seeds, st.integers(1, 3), st.booleans(), st.integers(1, 2))
def test_residual_network(seed: int, n: int, with_shortcut: bool, stride: int) -> None:
    rng = np.random.default_rng(seed)
    shapes = {"W1": (3, 2, 3, 3), "W2": (3, 3, 3, 3), "W3": (3, 3, 1, 1), "W4": (3, 2)}
    p = {key: rng.standard_normal(shape) for key, shape in shapes.items()}
    b = {key: rng.standard_normal(3) for key in ("W1", "W2", "W3")}
    if not with_shortcut:
        stride = 1
    residual = Residual(
        [Convolution(p["W2"], b["W2"], stride, 1)],
        [Convolution(p["W3"], b["W3"], stride)] if with_shortcut else (),
    )
    first = Convolution(p["W1"], b["W1"], pad=1)
    network = Network([first, Relu(), residual, GlobalAveragePooling(), Affine(p["W4"], np.zeros(2))])
    x, t = rng.standard_normal((n, 2, 5, 4)), rng.integers(0, 2, n)
    followed = {key: tensor(value) for key, value in p.items()}
    y = F.relu(F.conv2d(torch.tensor(x), followed["W1"], torch.tensor(b["W1"]), padding=1))
    short = F.conv2d(y, followed["W3"], torch.tensor(b["W3"]), stride=stride) if with_shortcut else y
    y = F.conv2d(y, followed["W2"], torch.tensor(b["W2"]), stride=stride, padding=1) + short
    F.cross_entropy(y.mean(dim=(2, 3)) @ followed["W4"], torch.tensor(t)).backward()
    found = network.gradient(x, t)
    names = ["W1", "W2", *(["W3"] if with_shortcut else []), "W4"]
    for key, name in zip([key for key in found if key.startswith("W")], names, strict=True):
        assert_close(found[key], followed[name].grad, scale=1e-3)
