"""Padding, strided windows and blocks of rows: the array handling of convolution and pooling.

Inside these layers images have the order (C, H, W, N), with the samples innermost: windows are then copied, compared
and added in runs of N numbers, and filters times a matrix of windows give images of the same order. The output of a
layer is a view of that in the course's order, (N, C, H, W); elementwise operations keep the memory order, so that the
next layer of this kind finds its images as it needs them.
"""

from functools import partial
from typing import Any

import numpy as np

from xpnet._core import tuning
from xpnet._core.arrays import Array, accepts_out, creation_device, get_array_module
from xpnet._core.cupy import CupyNamespace
from xpnet.errors import ArgumentError, ShapeError

Pair = tuple[int, int]


def check_pair(name: str, value: Any, least: int) -> Pair:
    """A pair of whole numbers of at least `least`, for rows and columns, from a pair or from one number for both."""
    pair = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(pair) != 2 or any(isinstance(n, bool | np.bool_) or not hasattr(n, "__index__") or n < least for n in pair):
        raise ArgumentError(
            f"{name} must be a whole number of at least {least}, or a pair of them such as `({least}, {least + 1})`, "
            f"got {value!r}."
        )
    return int(pair[0]), int(pair[1])


check_stride = partial(check_pair, least=1)  # also for sizes
check_pad = partial(check_pair, least=0)


def window_counts(owner: str, image: tuple[int, ...], size: Pair, stride: Pair, pad: Pair) -> Pair:
    """The numbers of windows along the height and the width of an image (H, W); a ShapeError if none fits."""
    padded = image[0] + 2 * pad[0], image[1] + 2 * pad[1]
    if padded[0] < size[0] or padded[1] < size[1]:
        raise ShapeError(
            f"{owner} has windows of {size[0]} x {size[1]}, more than the {padded[0]} x {padded[1]} numbers of an "
            f"image of shape {tuple(image)} with pad={pad}. Use a larger pad or less pooling before it."
        )
    return (padded[0] - size[0]) // stride[0] + 1, (padded[1] - size[1]) // stride[1] + 1


def format_window(stride: Pair, pad: Pair, usual: Pair = (1, 1)) -> str:
    """``", stride=2, pad=1"``, without what has its default."""
    text = "" if stride == usual else f", stride={stride[0] if stride[0] == stride[1] else stride}"
    return text if pad == (0, 0) else f"{text}, pad={pad[0] if pad[0] == pad[1] else pad}"


def batch_innermost(x: Array) -> Array:
    """(N, C, H, W) as (C, H, W, N), also in memory if the library has memory orders; a view if it already is."""
    xp = get_array_module(x)
    x = xp.permute_dims(x, (1, 2, 3, 0))
    return xp.ascontiguousarray(x) if accepts_out(xp) else x


def as_batch(x: Array) -> Array:
    """(C, H, W, N) as (N, C, H, W): a view if the library has views."""
    return get_array_module(x).permute_dims(x, (3, 0, 1, 2))


def pad_images(x: Array, pad: Pair, value: float = 0.0) -> Array:
    """(N, C, H, W) as (C, H + 2 pad_h, W + 2 pad_w, N), padded with `value`."""
    if pad == (0, 0):
        return batch_innermost(x)
    xp = get_array_module(x)
    (n, c, h, w), (pad_h, pad_w) = x.shape, pad
    x = xp.permute_dims(x, (1, 2, 3, 0))
    if accepts_out(xp):
        padded = xp.full((c, h + 2 * pad_h, w + 2 * pad_w, n), value, dtype=x.dtype)
        padded[:, pad_h : pad_h + h, pad_w : pad_w + w, :] = x
        return padded
    x = _between(x, 1, pad_h, pad_h, value)
    return _between(x, 2, pad_w, pad_w, value)


def unpad_images(x: Array, pad: Pair) -> Array:
    """(C, H + 2 pad_h, W + 2 pad_w, N) as (N, C, H, W), without the padding."""
    (pad_h, pad_w), (_, h, w, _) = pad, x.shape
    return as_batch(x[:, pad_h : h - pad_h, pad_w : w - pad_w, :])


def add_at(total: Array, part: Array, at: Pair, stride: Pair, *, alone: bool = False) -> Array:
    """`total` (C, H, W, N) with `part` (C, OH, OW, N) added to every `stride`-th element, from row and column `at` on.

    `total` is changed in place if the library allows it. `alone`: whether it is still 0 there.
    """
    if accepts_out(get_array_module(total)):
        (row, column), (down, right), (_, h, w, _) = at, stride, part.shape
        place = total[:, row : row + down * h : down, column : column + right * w : right, :]
        if alone:
            place[...] = part
        else:
            place += part
        return total
    for axis, first, step in zip((1, 2), at, stride, strict=True):
        part = _between(_spread(part, axis, step), axis, first, total.shape[axis] - first, 0.0)
        part = part[:, : total.shape[1], ...] if axis == 1 else part[:, :, : total.shape[2], :]
    return total + part


def add_windows(total: Array, windows: Array, first: int, stride: Pair) -> Array:
    """`total` (C, H, W, N) plus windows (C, FH, FW, rows, OW, N) at their places; `first` is their first output row."""
    for i in range(windows.shape[1]):
        for j in range(windows.shape[2]):
            total = add_at(total, windows[:, i, j, ...], (first * stride[0] + i, j), stride)
    return total


def wide_matmul(a: Array, b: Array) -> Array:
    """a b^T for two matrices, (n, m) and (k, m), with far more columns than rows.

    OpenBLAS is up to twice as fast if the matrix with more rows comes first. Up to a million multiplications it uses a
    kernel for small matrices, which takes half of the time if both have few rows: hence the sum of small products. The
    last bits depend on both orders, so all array modules that compute on a CPU use the same ones.
    """
    xp, (n, m), k = get_array_module(a), a.shape, b.shape[0]
    if isinstance(xp, CupyNamespace):
        return xp.matmul(a, b.T)
    if n < k:
        return wide_matmul(b, a).T
    parts = next((p for p in range(-(-n * m * k // 10**6), m // 512 + 1) if m % p == 0), 1)
    if parts == 1 or n > tuning.MAX_WIDE_MATMUL_ROWS:
        return xp.matmul(a, b.T)
    a, b = xp.reshape(a, (n, parts, -1)), xp.reshape(b, (k, parts, -1))
    return xp.sum(xp.matmul(xp.permute_dims(a, (1, 0, 2)), xp.permute_dims(b, (1, 2, 0))), axis=0)


def row_blocks(x: Array, rows: int, row_numbers: int) -> list[Pair]:
    """Blocks (first, last) of `rows` rows, each row of `row_numbers` numbers of the dtype of `x`, that fit in a cache.

    One block on libraries other than NumPy and CuPy.
    """
    xp = get_array_module(x)
    if not accepts_out(xp):
        return [(0, rows)]
    most = tuning.MAX_GPU_BLOCK_BYTES if isinstance(xp, CupyNamespace) else tuning.MAX_CPU_BLOCK_BYTES
    at_once = min(rows, max(1, most // (row_numbers * x.dtype.itemsize)))
    return [(first, min(first + at_once, rows)) for first in range(0, rows, at_once)]


def _spread(x: Array, axis: int, step: int) -> Array:
    """`x` with step - 1 zeros after each element along an axis."""
    if step == 1:
        return x
    xp = get_array_module(x)
    apart = xp.stack([x, *[xp.zeros_like(x)] * (step - 1)], axis=axis + 1)
    return xp.reshape(apart, (*x.shape[:axis], x.shape[axis] * step, *x.shape[axis + 1 :]))


def _between(x: Array, axis: int, before: int, after: int, value: float) -> Array:
    """`x` with `before` and `after` elements of `value` added along an axis."""
    xp = get_array_module(x)

    def block(length: int) -> Any:
        shape = (*x.shape[:axis], length, *x.shape[axis + 1 :])
        return xp.full(shape, value, dtype=x.dtype, **creation_device(x))

    parts = [*([block(before)] if before else []), x, *([block(after)] if after else [])]
    return parts[0] if len(parts) == 1 else xp.concat(parts, axis=axis)
