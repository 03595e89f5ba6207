"""Convolution: filters slid over images (course row 20)."""

import math
from typing import ClassVar, Self

from xpnet._core.arrays import Array, accepts_out, get_array_module, sliding_windows
from xpnet._core.checks import check_count, check_floats
from xpnet.backend import Backend
from xpnet.errors import ShapeError
from xpnet.layers._windows import (
    Pair,
    add_windows,
    as_batch,
    batch_innermost,
    check_pad,
    check_pair,
    check_stride,
    format_window,
    pad_images,
    row_blocks,
    unpad_images,
    wide_matmul,
    window_counts,
)
from xpnet.layers.base import Layer, checked
from xpnet.layers.initializers import Random, constant, initial_weights, parameter


class Convolution(Layer):
    """Convolution of images (``Conv2d``, ``Conv2D``): the product of each window with each filter, plus a bias.

    The matrix of all windows (the course's `im2col`) is FH * FW times as large as the images. It is therefore made for
    a block of output rows at a time, which fits in the processor's cache, and made again by ``backward``.

    Parameters
    ----------
    W
        Filters, shape (FN, C, FH, FW): number of filters, channels, height, width.
    b
        Biases, shape (FN,).
    stride
        The distance between neighboring windows; a pair if it differs for rows and columns.
    pad
        The number of zeros added on each side of an image; a pair for (top and bottom, left and right).

    Attributes
    ----------
    dW, db
        The gradients of the loss by W and b, set by ``backward``.

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

    stride: Pair = checked(check_stride, fixed=True)
    pad: Pair = checked(check_pad, fixed=True)

    def __init__(self, W: Array, b: Array, stride: int | Pair = 1, pad: int | Pair = 0) -> None:
        self.W = W
        self.b = b
        if self.W.ndim != 4 or tuple(self.b.shape) != (self.W.shape[0],):
            raise ShapeError(
                f"Convolution expects filters W of shape (FN, C, FH, FW) and biases b of shape (FN,), got W "
                f"{tuple(self.W.shape)} and b {tuple(self.b.shape)}."
            )
        self.stride = check_stride("stride", stride)
        self.pad = check_pad("pad", pad)

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
            The standard deviation of the weights, or a name such as ``"he"``: see `initial_weights`. A filter has
            channels * height * width inputs, and filters * height * width outputs for ``"glorot"``.
        stride, pad, rng, dtype, backend
            As for `Convolution` and for `Affine.create`.

        Examples
        --------
        >>> Convolution.create(1, 30, 5, "he", rng=0)
        Convolution(1 -> 30, 5x5)
        """
        channels = check_count("the number of channels", channels)
        filters = check_count("the number of filters", filters)
        fh, fw = check_pair("a filter's size", size, 1)
        W = initial_weights(rng, channels * fh * fw, filters, init, fan_out=filters * fh * fw)
        W = parameter(W.T.reshape(filters, channels, fh, fw), dtype, backend)
        return cls(W, constant(0.0, filters, dtype, backend), stride, pad)

    def forward(self, x: Array) -> Array:
        """(N, FN, OH, OW) for images (N, C, H, W), with OH = (H + 2 pad - FH) / stride + 1, rounded down."""
        self.check_batch(x)
        x = pad_images(x, self.pad)  # (C, H, W, N): see xpnet.layers._windows
        y = as_batch(convolve_windows(self.windows(x), self.W, self.b))
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
        """`dout` (FN, OH, OW, N) times the filters, added at each window's place."""
        xp, windows, count = get_array_module(dout), self.windows(self.x), self.W.shape[0]
        filters, dout, dx = xp.reshape(self.W, (count, -1)), xp.reshape(dout, (count, -1)), xp.zeros_like(self.x)
        for rows, columns in _blocks(windows):
            dcolumns = xp.matmul(filters.T, dout[:, columns])
            dwindows = xp.reshape(dcolumns, windows[:, :, :, rows, ...].shape)
            dx = add_windows(dx, dwindows, rows.start, self.stride)
        return unpad_images(dx, self.pad)

    def check_batch(self, x: Array) -> None:
        """Raise unless `x` is a batch of images that fit, of floats; pixels would have to be scaled."""
        super().check_batch(x)
        check_floats("Convolution", x)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """(FN, OH, OW) for an image (C, H, W)."""
        count, channels, fh, fw = self.W.shape
        if len(shape) != 3 or shape[0] != channels:
            raise ShapeError(
                f"{type(self).__name__} expects images (C, H, W) of {channels} channel{'s' * (channels > 1)} (W is "
                f"{tuple(self.W.shape)}), got samples of shape {tuple(shape)}.{_advice(shape, channels)}"
            )
        return (count, *window_counts(type(self).__name__, shape[1:], (fh, fw), self.stride, self.pad))

    def multiplications(self, shape: tuple[int, ...]) -> int:
        """The numbers of all filters times the number of windows."""
        _, oh, ow = self.output_shape(shape)
        return math.prod(self.W.shape) * oh * ow

    def largest_product(self, shape: tuple[int, ...], samples: int) -> float:
        """That of a block of output rows: see `Convolution`."""
        _, oh, ow = self.output_shape(shape)
        count, *window = self.W.shape
        row = math.prod(window) * ow * samples
        first, last = row_blocks(self.W, oh, row)[0]
        return 2.0 * count * row * (last - first)

    def __repr__(self) -> str:
        count, channels, fh, fw = self.W.shape
        return f"Convolution({channels} -> {count}, {fh}x{fw}{format_window(self.stride, self.pad)})"


def _advice(shape: tuple[int, ...], channels: int) -> str:
    """How to make images (C, H, W) of samples of another shape, if that is clear."""
    if len(shape) < 3:
        return f" Make images of them with `x.reshape(-1, {channels}, height, width)`."
    return " Bring the channels to the front with `x.transpose(0, 3, 1, 2)`." if shape[-1] == channels else ""


def convolve_windows(windows: Array, W: Array, b: Array) -> Array:
    """Windows (C, FH, FW, OH, OW, N) times each filter, plus its bias: (FN, OH, OW, N)."""
    xp, (oh, ow, n), count = get_array_module(windows), windows.shape[3:], W.shape[0]
    filters = xp.reshape(W, (count, -1))
    y = xp.empty((count, oh * ow * n), dtype=windows.dtype) if accepts_out(xp) else None
    for rows, columns in _blocks(windows):
        out = {} if y is None else {"out": y[:, columns]}
        block = xp.matmul(filters, _columns(windows[:, :, :, rows, ...]), **out)
        block += b[:, None]
    return xp.reshape(block if y is None else y, (count, oh, ow, n))


def filter_gradient(dout: Array, windows: Array) -> Array:
    """The sum over all windows (C, FH, FW, OH, OW, N) of `dout` (FN, OH, OW, N) times the window: (FN, C, FH, FW)."""
    xp, count, dW = get_array_module(dout), dout.shape[0], None
    dout = xp.reshape(dout, (count, -1))
    for rows, columns in _blocks(windows):
        part = wide_matmul(dout[:, columns], _columns(windows[:, :, :, rows, ...]))
        dW = part if dW is None else dW + part
    return xp.reshape(dW, (count, *windows.shape[:3]))


def _blocks(windows: Array) -> list[tuple[slice, slice]]:
    """Blocks of output rows, and their columns in a matrix (FN, OH * OW * N)."""
    c, fh, fw, oh, ow, n = windows.shape
    blocks = row_blocks(windows, oh, c * fh * fw * ow * n)
    return [(slice(first, last), slice(first * ow * n, last * ow * n)) for first, last in blocks]


def _columns(windows: Array) -> Array:
    """Windows (C, FH, FW, rows, OW, N) as a matrix, one window a column."""
    return get_array_module(windows).reshape(windows, (math.prod(windows.shape[:3]), -1))
