"""Pooling: the gradient of every window, also of windows that overlap or leave numbers out."""

import numpy as np
import pytest
from small_convolutions import images

from xpnet import AveragePooling, GlobalAveragePooling, MaxPooling
from xpnet.layers._windows import Pair


@pytest.mark.parametrize("stride", [2, (2, 3), (3, 2), (2, 1), (1, 2)])
@pytest.mark.parametrize("size", [(4, 6), (5, 6), (4, 7), (5, 7)])
@pytest.mark.parametrize("window", [(2, 2), (3, 2), (2, 3)])
def test_pooling_gives_a_gradient_to_each_number(
    monkeypatch: pytest.MonkeyPatch, window: Pair, size: Pair, stride: int | Pair
) -> None:
    """Also to those in no window, whatever the memory held before."""
    monkeypatch.setattr(np, "empty_like", lambda like: np.full_like(like, np.nan))
    layer, x = MaxPooling(*window, stride), images(2, 3, *size)
    y = layer.forward(x)
    expected = np.zeros_like(x)
    for n, c, row, column in np.ndindex(*y.shape):
        top, left = row * layer.stride[0], column * layer.stride[1]
        numbers = x[n, c, top : top + window[0], left : left + window[1]]
        i, j = np.unravel_index(numbers.argmax(), window)
        expected[n, c, top + i, left + j] += y[n, c, row, column]
    np.testing.assert_allclose(layer.backward(y), expected, rtol=1e-14)


@pytest.mark.parametrize("stride", [1, 2, (2, 3)])
@pytest.mark.parametrize("pad", [0, 1, (1, 0)])
def test_average_pooling_is_the_mean_of_each_window_padded_with_zeros(stride: int | Pair, pad: int | Pair) -> None:
    layer, x = AveragePooling(2, 3, stride, pad), images(2, 3, 5, 6)
    padded = np.pad(x, [(0, 0), (0, 0), *((n, n) for n in layer.pad)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2, 3), axis=(2, 3))
    expected = windows[:, :, :: layer.stride[0], :: layer.stride[1]].mean(axis=(4, 5))
    np.testing.assert_allclose(layer.forward(x), expected, rtol=1e-13)
    assert layer.output_shape((3, 5, 6)) == expected.shape[1:]


def test_global_average_pooling_spreads_a_gradient_evenly() -> None:
    layer, x = GlobalAveragePooling(), images(2, 3, 4, 5)
    np.testing.assert_allclose(layer.forward(x), x.mean(axis=(2, 3)), rtol=1e-13)
    dout = np.arange(6.0).reshape(2, 3)
    np.testing.assert_allclose(layer.backward(dout), np.broadcast_to(dout[..., None, None] / 20, x.shape), rtol=1e-14)
