"""Convolution: filters slid over images (course row 20)."""

import math
from typing import ClassVar

from xpnet.backend import Array, accepts_out, get_array_module, sliding_windows
from xpnet.errors import ShapeError
from xpnet.layers.base import Layer
from xpnet.windows import (
    Pair,
    add_at,
    as_batch,
    batch_innermost,
    check_pair,
    described,
    framed,
    long_product,
    pieces,
    unframed,
    window_counts,
)

__all__ = ["Convolution"]


class Convolution(Layer):
    """The images' windows times each filter, plus a bias for each filter.

    Parameters
    ----------
    W
        Filters, shape (FN, C, FH, FW): so many, for so many channels, so high and so wide.
    b
        Biases, shape (FN,).
    stride
        By how much one window lies below and right of another; a pair for different ones.
    pad
        How many zeros are put on each side of an image; a pair for (above and below, left and right).

    Attributes
    ----------
    dW, db
        The gradients of the loss by W and b, set by ``backward``.

    Notes
    -----
    The columns of which each is a window (the course's ``im2col``) are FH * FW times as large as the images. So they
    are made for some rows of the output at a time, which stay in the processor's cache, and ``backward`` makes them
    again.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.arange(9.0).reshape(1, 1, 3, 3)
    >>> layer = Convolution(np.ones((1, 1, 2, 2)), np.zeros(1))
    >>> layer.forward(image)
    array([[[[ 8., 12.],
             [20., 24.]]]])
    >>> layer.backward(np.ones((1, 1, 2, 2)))
    array([[[[1., 2., 1.],
             [2., 4., 2.],
             [1., 2., 1.]]]])
    >>> layer.dW
    array([[[[ 8., 12.],
             [20., 24.]]]])
    """

    parameter_names: ClassVar[tuple[str, ...]] = ("W", "b")

    W: Array
    b: Array
    dW: Array
    db: Array

    def __init__(self, W: Array, b: Array, stride: int | Pair = 1, pad: int | Pair = 0) -> None:
        if W.ndim != 4 or tuple(b.shape) != (W.shape[0],):
            raise ShapeError(
                f"Convolution expects filters W of shape (FN, C, FH, FW) and biases b of shape (FN,), got W "
                f"{tuple(W.shape)} and b {tuple(b.shape)}."
            )
        self.W = W
        self.b = b
        self.stride = check_pair("stride", stride, 1)
        self.pad = check_pair("pad", pad, 0)

    def forward(self, x: Array) -> Array:
        """(N, FN, OH, OW) for images (N, C, H, W), with OH = (H + 2 pad - FH) / stride + 1, rounded down."""
        xp = get_array_module(x)
        self.x = framed(x, self.pad)  # (C, H, W, N): see xpnet.windows
        windows, filters, bias = self._windows(), self._filters(), self.b[:, None]
        (oh, ow, n), count = windows.shape[3:], self.W.shape[0]
        y = xp.empty((count, oh * ow * n), dtype=x.dtype) if accepts_out(xp) else None
        for first, last in self._pieces(windows):
            out = {} if y is None else {"out": y[:, first * ow * n : last * ow * n]}
            piece = xp.matmul(filters, _columns(windows[:, :, :, first:last, ...]), **out)
            piece += bias
        return as_batch(xp.reshape(piece if y is None else y, (count, oh, ow, n)))

    def backward(self, dout: Array) -> Array:
        """The gradient by x; sets dW, the sum over all windows of `dout` times the window, and db, that of `dout`."""
        xp = get_array_module(dout)
        windows, filters = self._windows(), self._filters()
        count, row = self.W.shape[0], dout.shape[3] * dout.shape[0]
        dout = xp.reshape(batch_innermost(dout), (count, -1))
        self.db = xp.sum(dout, axis=1, **self.out("db"))
        dW, dx = None, xp.zeros_like(self.x) if self.needs_input_gradient else None
        for first, last in self._pieces(windows):
            part, shown = dout[:, first * row : last * row], windows[:, :, :, first:last, ...]
            columns = _columns(shown)
            part_of_dW = long_product(part, columns)
            dW = part_of_dW if dW is None else dW + part_of_dW
            if dx is not None:
                dcolumns = xp.reshape(xp.matmul(filters.T, part), shown.shape)
                for i in range(shown.shape[1]):
                    for j in range(shown.shape[2]):
                        at = (first * self.stride[0] + i, j)
                        dx = add_at(dx, dcolumns[:, i, j, ...], at, self.stride)
        self.dW = xp.reshape(dW, self.W.shape)
        return None if dx is None else unframed(dx, self.pad)

    def _windows(self) -> Array:
        return sliding_windows(self.x, self.W.shape[2:], self.stride)

    def _filters(self) -> Array:
        return get_array_module(self.W).reshape(self.W, (self.W.shape[0], -1))

    def _pieces(self, windows: Array) -> list[Pair]:
        """The rows of the output to compute at a time."""
        c, fh, fw, oh, ow, n = windows.shape
        return pieces(windows, oh, c * fh * fw * ow * n)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """(FN, OH, OW) for an image (C, H, W)."""
        count, channels, fh, fw = self.W.shape
        if len(shape) != 3 or shape[0] != channels:
            raise ShapeError(
                f"expects images (C, H, W) of {channels} channel{'s' * (channels > 1)} (W is {tuple(self.W.shape)}), "
                f"got samples of shape {tuple(shape)}"
            )
        return (count, *window_counts(shape[1:], (fh, fw), self.stride, self.pad))

    def multiplications(self, shape: tuple[int, ...]) -> int:
        """Each filter's numbers, as often as there are windows."""
        _, oh, ow = self.output_shape(shape)
        return math.prod(self.W.shape) * oh * ow

    def __repr__(self) -> str:
        count, channels, fh, fw = self.W.shape
        return f"Convolution({channels} -> {count}, {fh}x{fw}{described(self.stride, self.pad)})"


def _columns(windows: Array) -> Array:
    """Windows (C, FH, FW, rows, OW, N) as a matrix, one window a column."""
    xp = get_array_module(windows)
    c, fh, fw = windows.shape[:3]
    return xp.reshape(windows, (c * fh * fw, -1))
