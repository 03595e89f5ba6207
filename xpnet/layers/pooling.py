"""Pooling: one number for each window of an image (course row 20)."""

from collections.abc import Iterable, Iterator
from typing import ClassVar

from xpnet._core.arrays import Array, accepts_out, creation_device, get_array_module, sliding_windows
from xpnet._core.checks import check_floats
from xpnet.errors import ArgumentError, ShapeError
from xpnet.layers._windows import (
    Pair,
    add_at,
    as_batch,
    batch_innermost,
    check_pad,
    check_stride,
    format_window,
    pad_images,
    unpad_images,
    window_counts,
)
from xpnet.layers.base import Layer, checked


class _WindowPooling(Layer):
    """The windows of max pooling and of average pooling."""

    size: Pair = checked(check_stride, fixed=True)
    stride: Pair = checked(check_stride, fixed=True)
    pad: Pair = checked(check_pad, fixed=True)

    def __init__(self, pool_h: int, pool_w: int, stride: int | Pair | None = None, pad: int | Pair = 0) -> None:
        self.size = check_stride("pool_h and pool_w", (pool_h, pool_w))
        self.stride = self.size if stride is None else check_stride("stride", stride)
        self.pad = check_pad("pad", pad)
        if 2 * self.pad[0] > self.size[0] or 2 * self.pad[1] > self.size[1]:
            raise ArgumentError(
                f"pad must be at most half of the window of {self.size[0]} x {self.size[1]}, got {pad!r}: a window "
                "would lie outside the image."
            )

    def places(self) -> list[Pair]:
        """The places in a window, row by row."""
        return [(i, j) for i in range(self.size[0]) for j in range(self.size[1])]

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """(C, OH, OW) for an image (C, H, W)."""
        check_image(self, shape)
        return (shape[0], *window_counts(type(self).__name__, shape[1:], self.size, self.stride, self.pad))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.size[0]}x{self.size[1]}{format_window(self.stride, self.pad, self.size)})"


class MaxPooling(_WindowPooling):
    """Max pooling (``MaxPool2d``, ``MaxPooling2D``): the largest number of each window, channel by channel.

    If several numbers are the largest, the gradient goes to the first of them, row by row, as in PyTorch.

    Note: the course pads with zeros, which would be the maximum of negative numbers; here, as in PyTorch, the padding
    is never the maximum. The default stride of the course is 1.

    Parameters
    ----------
    pool_h, pool_w
        Height and width of a window.
    stride
        The distance between neighboring windows; a pair if it differs for rows and columns; None for the size of a
        window, so that windows do not overlap.
    pad
        How far windows may extend beyond the image; at most half of a window.

    Examples
    --------
    >>> import numpy as np
    >>> layer = MaxPooling(2, 2)
    >>> layer.forward(np.array([[[[1.0, 2.0, 5.0, 5.0], [3.0, 0.0, 4.0, 5.0]]]]))
    array([[[[3., 5.]]]])
    >>> layer.backward(np.array([[[[1.0, 7.0]]]]))
    array([[[[0., 0., 7., 0.],
             [1., 0., 0., 0.]]]])
    """

    fusable: ClassVar[bool] = True

    def forward(self, x: Array) -> Array:
        """(N, C, OH, OW) for images (N, C, H, W), with OH = (H + 2 pad - pool_h) / stride + 1, rounded down."""
        xp = get_array_module(x)
        self.check_batch(x)
        if self.pad != (0, 0):
            check_floats("MaxPooling with a pad", x)
        x = pad_images(x, self.pad, value=-float("inf"))  # (C, H, W, N): see xpnet.layers._windows
        windows = sliding_windows(x, self.size, self.stride)
        y = windows[:, 0, 0, ...]
        for i, j in self.places()[1:]:
            y = xp.maximum(y, windows[:, i, j, ...])
        self.x, self.y = x, y
        return as_batch(y)

    def backward(self, dout: Array) -> Array:
        """`dout` at the first largest number of each window, summed if windows overlap, and 0 elsewhere."""
        xp = get_array_module(dout)
        windows = sliding_windows(self.x, self.size, self.stride)
        fits = self.x.shape[1] % self.size[0] == 0 and self.x.shape[2] % self.size[1] == 0
        tiled = fits and self.stride == self.size  # each number is in exactly one window
        dx = xp.empty_like(self.x) if tiled and accepts_out(xp) else xp.zeros_like(self.x)
        numbers = (windows[:, i, j, ...] for i, j in self.places()[:-1])
        for place, part in zip(self.places(), route_gradient(batch_innermost(dout), numbers, self.y), strict=True):
            dx = add_at(dx, part, place, self.stride, alone=self.apart)
        return unpad_images(dx, self.pad)

    @property
    def apart(self) -> bool:
        """Whether windows do not overlap."""
        return self.stride[0] >= self.size[0] and self.stride[1] >= self.size[1]


Pooling = MaxPooling  # the book's name


class AveragePooling(_WindowPooling):
    """Average pooling (``AvgPool2d``): the mean of each window, channel by channel; the padding is zeros.

    Parameters
    ----------
    pool_h, pool_w, stride, pad
        As for `MaxPooling`.

    Examples
    --------
    >>> import numpy as np
    >>> layer = AveragePooling(2, 2)
    >>> layer.forward(np.array([[[[1.0, 2.0], [3.0, 6.0]]]]))
    array([[[[3.]]]])
    >>> layer.backward(np.array([[[[4.0]]]]))
    array([[[[1., 1.],
             [1., 1.]]]])
    """

    def forward(self, x: Array) -> Array:
        """(N, C, OH, OW) for images (N, C, H, W), with OH = (H + 2 pad - pool_h) / stride + 1, rounded down."""
        self.check_batch(x)
        x = pad_images(x, self.pad)  # (C, H, W, N): see xpnet.layers._windows
        windows = sliding_windows(x, self.size, self.stride)
        total = get_array_module(x).sum(windows, axis=(1, 2))
        self.x_shape = x.shape
        return as_batch(total / (self.size[0] * self.size[1]))

    def backward(self, dout: Array) -> Array:
        """`dout` divided by the size of a window, for each number in it, summed if windows overlap."""
        xp = get_array_module(dout)
        part = batch_innermost(dout) / (self.size[0] * self.size[1])
        dx = xp.zeros(self.x_shape, dtype=dout.dtype, **creation_device(dout))
        for place in self.places():
            dx = add_at(dx, part, place, self.stride)
        return unpad_images(dx, self.pad)


class GlobalAveragePooling(Layer):
    """Global average pooling: the mean of each channel, a vector of C numbers for images of any size.

    Lin, Chen and Yan, "Network In Network" (2013), section 3.2.

    Examples
    --------
    >>> import numpy as np
    >>> layer = GlobalAveragePooling()
    >>> layer.forward(np.array([[[[1.0, 2.0], [3.0, 6.0]]]]))
    array([[3.]])
    >>> layer.backward(np.array([[4.0]]))
    array([[[[1., 1.],
             [1., 1.]]]])
    """

    def forward(self, x: Array) -> Array:
        """(N, C) for images (N, C, H, W)."""
        self.check_batch(x)
        self.x_shape = x.shape
        return get_array_module(x).sum(x, axis=(2, 3)) / (x.shape[2] * x.shape[3])

    def backward(self, dout: Array) -> Array:
        """`dout` divided by the size of an image, for each number in it."""
        xp = get_array_module(dout)
        n, c, h, w = self.x_shape
        part = xp.permute_dims(dout / (h * w), (1, 0))[:, None, None, :]
        return as_batch(part + xp.zeros((c, h, w, n), dtype=dout.dtype, **creation_device(dout)))

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """(C,) for an image (C, H, W)."""
        check_image(self, shape)
        return (shape[0],)


def route_gradient(dout: Array, numbers: Iterable[Array], y: Array) -> Iterator[Array]:
    """The part of `dout` for each place in the windows: all of it for the first place whose number is the maximum `y`.

    `numbers` are those at every place but the last, which gets the rest.
    """
    xp = get_array_module(dout)
    for number in numbers:
        share = dout * xp.astype(number == y, dout.dtype)
        yield share
        dout = dout - share  # a later place with the same number gets nothing
    yield dout


def check_image(layer: Layer, shape: tuple[int, ...]) -> None:
    """Raise a ShapeError unless samples are images, (C, H, W)."""
    if len(shape) != 3:
        raise ShapeError(f"{type(layer).__name__} expects images (C, H, W), got samples of shape {tuple(shape)}.")
