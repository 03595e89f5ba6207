"""Convolution: filters slid over images (course row 20)."""

import math
from typing import ClassVar, Self

from xpnet._core.arrays import Array, accepts_out, get_array_module, sliding_windows
from xpnet._core.checks import check_count, check_floats
from xpnet.backend import Backend
from xpnet.errors import ShapeError
from xpnet.layers._windows import (
    Pair,
    add_at,
    as_batch,
    batch_innermost,
    check_pair,
    described,
    framed,
    long_product,
    pads,
    pieces,
    strides,
    unframed,
    window_counts,
)
from xpnet.layers.base import Layer, checked
from xpnet.layers.initializers import Random, constant, initial_weights, parameter

__all__ = ["Convolution", "filter_gradient", "filtered"]


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
    fusable: ClassVar[bool] = True

    W: Array
    b: Array
    dW: Array
    db: Array
    stride: Pair = checked(strides, fixed=True)
    pad: Pair = checked(pads, fixed=True)

    def __init__(self, W: Array, b: Array, stride: int | Pair = 1, pad: int | Pair = 0) -> None:
        self.W = W
        self.b = b
        if self.W.ndim != 4 or tuple(self.b.shape) != (self.W.shape[0],):
            raise ShapeError(
                f"Convolution expects filters W of shape (FN, C, FH, FW) and biases b of shape (FN,), got W "
                f"{tuple(self.W.shape)} and b {tuple(self.b.shape)}."
            )
        self.stride = check_pair("stride", stride, 1)
        self.pad = check_pair("pad", pad, 0)

    @classmethod
    def create(
        cls,
        channels: int,
        filters: int,
        size: int | Pair,
        init: float | str = 0.01,
        *,
        stride: int | Pair = 1,
        pad: int | Pair = 0,
        rng: Random = None,
        dtype: str = "float32",
        backend: str | Backend | None = None,
    ) -> Self:
        """A layer of `filters` filters for images of `channels` channels; its weights are random, its biases 0.

        Parameters
        ----------
        size
            The height and width of a filter; a pair if they differ.
        init
            The standard deviation of the weights, or a name such as ``"he"``: see `initial_weights`. The inputs of a
            filter are the numbers of a window, channels * height * width; the outputs, filters * height * width.
        stride, pad
            As for `Convolution`.
        rng, dtype, backend
            As for `Affine.create`.

        Examples
        --------
        >>> Convolution.create(1, 30, 5, "he", rng=0)
        Convolution(1 -> 30, 5x5)
        """
        channels, filters = (
            check_count("the number of channels", channels),
            check_count("the number of filters", filters),
        )
        fh, fw = check_pair("a filter's size", size, 1)
        W = initial_weights(rng, channels * fh * fw, filters, init, fan_out=filters * fh * fw)
        W = parameter(W.T.reshape(filters, channels, fh, fw), dtype, backend)
        return cls(W, constant(0.0, filters, dtype, backend), stride, pad)

    def forward(self, x: Array) -> Array:
        """(N, FN, OH, OW) for images (N, C, H, W), with OH = (H + 2 pad - FH) / stride + 1, rounded down."""
        self.check_batch(x)
        x = framed(x, self.pad)  # (C, H, W, N): see xpnet.layers._windows
        y = as_batch(filtered(self.windows(x), self.W, self.b))
        self.x = x
        return y

    def backward(self, dout: Array) -> Array:
        """The gradient by x; sets dW, the sum over all windows of `dout` times the window, and db, that of `dout`."""
        xp = get_array_module(dout)
        dout = batch_innermost(dout)
        self.db = xp.sum(xp.reshape(dout, (self.W.shape[0], -1)), axis=1, **self.out("db"))
        self.dW = filter_gradient(dout, self.windows(self.x))
        return self._input_gradient(dout) if self.needs_input_gradient else None

    def windows(self, x: Array) -> Array:
        """The windows (C, FH, FW, OH, OW, N) of images (C, H, W, N)."""
        return sliding_windows(x, self.W.shape[2:], self.stride)

    def _input_gradient(self, dout: Array) -> Array:
        """`dout` times the filters, at each window's place, summed where windows overlap."""
        xp, row = get_array_module(dout), dout.shape[2] * dout.shape[3]
        windows, count = self.windows(self.x), self.W.shape[0]
        filters, dout, dx = xp.reshape(self.W, (count, -1)), xp.reshape(dout, (count, -1)), xp.zeros_like(self.x)
        for first, last in _pieces(windows):
            dcolumns = xp.matmul(filters.T, dout[:, first * row : last * row])
            dwindows = xp.reshape(dcolumns, windows[:, :, :, first:last, ...].shape)
            for i in range(self.W.shape[2]):
                for j in range(self.W.shape[3]):
                    at = (first * self.stride[0] + i, j)
                    dx = add_at(dx, dwindows[:, i, j, ...], at, self.stride)
        return unframed(dx, self.pad)

    def check_batch(self, x: Array) -> None:
        """That a batch is of images that fit, and of floats; pixels would have to be scaled."""
        super().check_batch(x)
        check_floats("Convolution", x)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """(FN, OH, OW) for an image (C, H, W)."""
        count, channels, fh, fw = self.W.shape
        if len(shape) != 3 or shape[0] != channels:
            raise ShapeError(
                f"expects images (C, H, W) of {channels} channel{'s' * (channels > 1)} (W is {tuple(self.W.shape)}), "
                f"got samples of shape {tuple(shape)}{_mend(shape, channels)}"
            )
        return (count, *window_counts(shape[1:], (fh, fw), self.stride, self.pad))

    def multiplications(self, shape: tuple[int, ...]) -> int:
        """Each filter's numbers, as often as there are windows."""
        _, oh, ow = self.output_shape(shape)
        return math.prod(self.W.shape) * oh * ow

    def largest_product(self, shape: tuple[int, ...], samples: int) -> float:
        """That of a piece: see the notes."""
        _, oh, ow = self.output_shape(shape)
        count, *window = self.W.shape
        row = math.prod(window) * ow * samples
        first, last = pieces(self.W, oh, row)[0]
        return 2.0 * count * row * (last - first)

    def __repr__(self) -> str:
        count, channels, fh, fw = self.W.shape
        return f"Convolution({channels} -> {count}, {fh}x{fw}{described(self.stride, self.pad)})"


def _mend(shape: tuple[int, ...], channels: int) -> str:
    """What makes images (C, H, W) of samples of another shape, where one can say."""
    if len(shape) < 3:
        return f"; make images of them with `x.reshape(-1, {channels}, height, width)`"
    return "; bring the channels to the front with `x.transpose(0, 3, 1, 2)`" if shape[-1] == channels else ""


def filtered(windows: Array, W: Array, b: Array) -> Array:
    """Windows (C, FH, FW, OH, OW, N) times each filter, plus its bias: (FN, OH, OW, N)."""
    xp, (oh, ow, n), count = get_array_module(windows), windows.shape[3:], W.shape[0]
    filters = xp.reshape(W, (count, -1))
    y = xp.empty((count, oh * ow * n), dtype=windows.dtype) if accepts_out(xp) else None
    for first, last in _pieces(windows):
        out = {} if y is None else {"out": y[:, first * ow * n : last * ow * n]}
        piece = xp.matmul(filters, _columns(windows[:, :, :, first:last, ...]), **out)
        piece += b[:, None]
    return xp.reshape(piece if y is None else y, (count, oh, ow, n))


def filter_gradient(dout: Array, windows: Array) -> Array:
    """The sum over all windows (C, FH, FW, OH, OW, N) of `dout` (FN, OH, OW, N) times the window: (FN, C, FH, FW)."""
    xp, (count, _, ow, n), dW = get_array_module(dout), dout.shape, None
    dout = xp.reshape(dout, (count, -1))
    for first, last in _pieces(windows):
        columns = _columns(windows[:, :, :, first:last, ...])
        part = long_product(dout[:, first * ow * n : last * ow * n], columns)
        dW = part if dW is None else dW + part
    return xp.reshape(dW, (count, *windows.shape[:3]))


def _pieces(windows: Array) -> list[Pair]:
    """The rows of the output to compute at a time."""
    c, fh, fw, oh, ow, n = windows.shape
    return pieces(windows, oh, c * fh * fw * ow * n)


def _columns(windows: Array) -> Array:
    """Windows (C, FH, FW, rows, OW, N) as a matrix, one window a column."""
    xp = get_array_module(windows)
    c, fh, fw = windows.shape[:3]
    return xp.reshape(windows, (c * fh * fw, -1))
