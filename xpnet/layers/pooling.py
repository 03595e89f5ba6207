"""Pooling: the windows of an image, each as one number (course row 20)."""

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
    check_pair,
    described,
    framed,
    pads,
    strides,
    unframed,
    window_counts,
)
from xpnet.layers.base import Layer, checked

__all__ = ["AveragePooling", "GlobalAveragePooling", "MaxPooling", "shares"]


class _WindowPooling(Layer):
    """What poolings of windows have in common."""

    size: Pair = checked(strides, fixed=True)
    stride: Pair = checked(strides, fixed=True)
    pad: Pair = checked(pads, fixed=True)

    def __init__(self, pool_h: int, pool_w: int, stride: int | Pair | None = None, pad: int | Pair = 0) -> None:
        self.size = check_pair("pool_h and pool_w", (pool_h, pool_w), 1)
        self.stride = self.size if stride is None else check_pair("stride", stride, 1)
        self.pad = check_pair("pad", pad, 0)
        if 2 * self.pad[0] > self.size[0] or 2 * self.pad[1] > self.size[1]:
            raise ArgumentError(
                f"pad must be at most half of the window of {self.size[0]} x {self.size[1]}, got {pad!r}: a window "
                "would lie beside the image."
            )

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """(C, OH, OW) for an image (C, H, W)."""
        check_image(shape)
        return (shape[0], *window_counts(shape[1:], self.size, self.stride, self.pad))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.size[0]}x{self.size[1]}{described(self.stride, self.pad, self.size)})"


class MaxPooling(_WindowPooling):
    """The largest number of each window, channel by channel: max pooling.

    Where several are the largest the gradient goes to the first of them, as in PyTorch, row by row.

    Note: the course fills up what lies around the image with zeros, which would be the largest of negative numbers;
    here, as in PyTorch, it is never the largest. The course's stride is 1 unless it is given.

    Parameters
    ----------
    pool_h, pool_w
        Height and width of a window.
    stride
        By how much one window lies below and right of another; a pair for different ones; None for the window's own
        size, so that they lie side by side.
    pad
        By how much windows may reach beyond the image; at most half of a window.

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
        x = framed(x, self.pad, value=-float("inf"))  # (C, H, W, N): see xpnet.layers._windows
        windows = sliding_windows(x, self.size, self.stride)
        y = windows[:, 0, 0, ...]
        for i, j in self.places()[1:]:
            y = xp.maximum(y, windows[:, i, j, ...])
        self.x, self.y = x, y
        return as_batch(y)

    def backward(self, dout: Array) -> Array:
        """`dout` at the first largest number of each window, summed where windows overlap, and 0 elsewhere."""
        xp = get_array_module(dout)
        windows = sliding_windows(self.x, self.size, self.stride)
        dx = xp.empty_like(self.x) if self._tiles() and accepts_out(xp) else xp.zeros_like(self.x)
        numbers = (windows[:, i, j, ...] for i, j in self.places()[:-1])
        for place, part in zip(self.places(), shares(batch_innermost(dout), numbers, self.y), strict=True):
            dx = add_at(dx, part, place, self.stride, alone=self.apart)
        return unframed(dx, self.pad)

    def _tiles(self) -> bool:
        """Whether each number lies in one window."""
        fits = self.x.shape[1] % self.size[0] == 0 and self.x.shape[2] % self.size[1] == 0
        return fits and self.stride == self.size

    @property
    def apart(self) -> bool:
        """Whether no number lies in two windows."""
        return self.stride[0] >= self.size[0] and self.stride[1] >= self.size[1]

    def places(self) -> list[Pair]:
        """The places in a window, row by row."""
        return [(i, j) for i in range(self.size[0]) for j in range(self.size[1])]


Pooling = MaxPooling  # the book's name


class AveragePooling(_WindowPooling):
    """The mean of each window, channel by channel.

    What lies around the image counts as zeros, as in PyTorch.

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
        x = framed(x, self.pad)  # (C, H, W, N): see xpnet.layers._windows
        windows = sliding_windows(x, self.size, self.stride)
        total = get_array_module(x).sum(windows, axis=(1, 2))
        self.x_shape = x.shape
        return as_batch(total / (self.size[0] * self.size[1]))

    def backward(self, dout: Array) -> Array:
        """`dout` divided by the numbers in a window, at each of them, summed where windows overlap."""
        xp = get_array_module(dout)
        part = batch_innermost(dout) / (self.size[0] * self.size[1])
        dx = xp.zeros(self.x_shape, dtype=dout.dtype, **creation_device(dout))
        for i in range(self.size[0]):
            for j in range(self.size[1]):
                dx = add_at(dx, part, (i, j), self.stride)
        return unframed(dx, self.pad)


class GlobalAveragePooling(Layer):
    """The mean of each channel's image: a vector of C numbers, whatever the images' size.

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
        """`dout` divided by the numbers in an image, at each of them."""
        xp = get_array_module(dout)
        n, c, h, w = self.x_shape
        part = xp.permute_dims(dout / (h * w), (1, 0))[:, None, None, :]
        return as_batch(part + xp.zeros((c, h, w, n), dtype=dout.dtype, **creation_device(dout)))

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """(C,) for an image (C, H, W)."""
        check_image(shape)
        return (shape[0],)


def shares(dout: Array, numbers: Iterable[Array], y: Array) -> Iterator[Array]:
    """`dout` for each place in the windows, whose largest number is `y`: all of it at the first place that has that.

    `numbers` are those at each place but the last one, to which goes what is left.
    """
    xp = get_array_module(dout)
    for number in numbers:
        share = dout * xp.astype(number == y, dout.dtype)
        yield share
        dout = dout - share  # no later one, as large, gets it again
    yield dout


def check_image(shape: tuple[int, ...]) -> None:
    """That samples are images, (C, H, W)."""
    if len(shape) != 3:
        raise ShapeError(f"expects images (C, H, W), got samples of shape {tuple(shape)}")
