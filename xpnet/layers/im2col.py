"""The book's way to compute convolution: the windows of images as the rows of a matrix (chapter 7)."""

import math

from xpnet._core.arrays import Array, creation_device, sliding_windows
from xpnet.errors import ShapeError
from xpnet.functions import as_floating
from xpnet.layers._windows import Pair, add_windows, check_pad, check_stride, pad_images, unpad_images, window_counts


def im2col(input_data: Array, filter_h: int, filter_w: int, stride: int | Pair = 1, pad: int | Pair = 0) -> Array:
    """The windows of images as the rows of a matrix: convolution is then one product of matrices (the book, chapter 7).

    The matrix has the shape (N * OH * OW, C * filter_h * filter_w), with OH = (H + 2 pad - filter_h) / stride + 1,
    rounded down.

    Note: the book returns float64; here the result has the dtype of floating images.

    Parameters
    ----------
    input_data
        Images, shape (N, C, H, W).
    filter_h, filter_w
        The height and width of a window.
    stride, pad
        As for `Convolution`.

    Examples
    --------
    >>> import numpy as np
    >>> im2col(np.arange(9.0).reshape(1, 1, 3, 3), 2, 2)
    array([[0., 1., 3., 4.],
           [1., 2., 4., 5.],
           [3., 4., 6., 7.],
           [4., 5., 7., 8.]])
    """
    xp, x = as_floating(input_data)
    size, stride, pad, _ = _book_windows("im2col", tuple(x.shape), filter_h, filter_w, stride, pad)
    windows = xp.permute_dims(sliding_windows(pad_images(x, pad), size, stride), (5, 3, 4, 0, 1, 2))
    return xp.reshape(windows, (math.prod(windows.shape[:3]), -1))


def col2im(
    col: Array, input_shape: tuple[int, ...], filter_h: int, filter_w: int, stride: int | Pair = 1, pad: int | Pair = 0
) -> Array:
    """Images in which each number is the sum of the window elements taken from it: the transpose of `im2col`.

    Parameters
    ----------
    col
        A matrix of windows, one a row, as `im2col` returns it.
    input_shape
        The shape of the images, (N, C, H, W).
    filter_h, filter_w, stride, pad
        As for `im2col`.

    Examples
    --------
    >>> import numpy as np
    >>> col2im(np.ones((4, 4)), (1, 1, 3, 3), 2, 2)
    array([[[[1., 2., 1.],
             [2., 4., 2.],
             [1., 2., 1.]]]])
    """
    xp, col = as_floating(col)
    size, stride, pad, counts = _book_windows("col2im", input_shape, filter_h, filter_w, stride, pad)
    n, c, h, w = input_shape
    if tuple(col.shape) != (expected := (n * math.prod(counts), c * math.prod(size))):
        raise ShapeError(f"col2im expects a matrix of shape {expected}, one window a row, got {tuple(col.shape)}.")
    windows = xp.permute_dims(xp.reshape(col, (n, *counts, c, *size)), (3, 4, 5, 1, 2, 0))
    padded = xp.zeros((c, h + 2 * pad[0], w + 2 * pad[1], n), dtype=col.dtype, **creation_device(col))
    return unpad_images(add_windows(padded, windows, 0, stride), pad)


def _book_windows(
    name: str, shape: tuple[int, ...], filter_h: int, filter_w: int, stride: int | Pair, pad: int | Pair
) -> tuple[Pair, Pair, Pair, Pair]:
    """Size, stride and padding of windows, and their numbers along the height and the width of images; checked."""
    size, stride = check_stride("filter_h and filter_w", (filter_h, filter_w)), check_stride("stride", stride)
    pad = check_pad("pad", pad)
    if len(shape) != 4:
        raise ShapeError(f"{name} expects images of shape (N, C, H, W), got {tuple(shape)}.")
    return size, stride, pad, window_counts(name, shape[2:], size, stride, pad)
