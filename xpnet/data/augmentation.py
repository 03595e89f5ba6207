"""Data augmentation: random shifts, rotations, mirroring and noise, different in each step.

All of it is array code: positions are computed, pixels gathered by `take`, and random numbers come from the hash of
`xpnet._core.random`, whose key is the only state. So it runs on the network's device, can be captured with a step, and
gives the same images on every backend for the same seed, up to rounding.

Images have shape (N, H*W), (N, H, W) or (N, C, H, W), and are uint8 or floats; the result has the same shape and dtype.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from xpnet._core.arrays import Array, arange, creation_device, dtype_name, get_array_module, is_array
from xpnet._core.checks import check_count, check_flag, check_inputs, check_not_negative
from xpnet._core.random import next_key, random_bits, random_streams
from xpnet.backend import asarray
from xpnet.errors import ArgumentError, DtypeError, ShapeError

_MAX_CHANNELS = 4  # red, green, blue and opacity; larger first axes are taken for heights


class Augmentation:
    """Shift, rotate and mirror each image of a batch at random, and add noise; differently at each call.

    Parameters
    ----------
    shift
        Maximum shift in pixels, vertically and horizontally; fractions are interpolated.
    rotate
        Maximum rotation in degrees, in either direction.
    noise
        Standard deviation of normal noise, for pixels from 0 to 1.
    flip
        Mirror half of the images, left to right. Not for digits.
    image_shape
        Height and width, or channels, height and width, of flattened images; None for squares. Also confirms that
        images such as (N, 8, 100, 1) do not have their channels last.
    seed
        Seed of the changes, the same on every backend; None for different ones each time. A second training with the
        same object continues its random numbers.

    Attributes
    ----------
    key
        int32, (1,): the state of the random numbers. It moves to the images' device, and advances at each call.
    recordable
        Whether each call makes the same array operations, so that it can be captured with a training step. A subclass
        with its own ``__call__`` must set it to True.

    Examples
    --------
    >>> augmentation = Augmentation(shift=2, rotate=10, seed=0)
    >>> images = np.ones((100, 1, 28, 28), dtype="float32")
    >>> augmentation(images).shape
    (100, 1, 28, 28)
    >>> bool(np.array_equal(augmentation(images), augmentation(images)))
    False
    """

    recordable: bool = True

    def __init__(
        self,
        shift: float = 2,
        rotate: float = 10,
        noise: float = 0.0,
        *,
        flip: bool = False,
        image_shape: tuple[int, ...] | None = None,
        seed: int | None = None,
    ) -> None:
        self.shift = check_not_negative("shift", shift)
        self.rotate = check_not_negative("rotate", rotate)
        self.noise = check_not_negative("noise", noise)
        self.flip = check_flag("flip", flip)
        self.image_shape = _check_image_shape(image_shape)
        self.key: Array = random_streams(seed).noise.integers(-(2**31), 2**31, 1).astype(np.int32)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__call__" in vars(cls) and "recordable" not in vars(cls):
            cls.recordable = False

    def __call__(self, x: Array) -> Array:
        """The changed images; `x` is not modified."""
        n = _batch_shape(x, self.image_shape)[0]
        if self.shift or self.rotate or self.flip:
            u = _uniform((4, n), self._next_key(x), _precision(x))
            # All four are always drawn, so that using one more does not change the others.
            dy, dx, degrees = 2 * self.shift * u[0, :], 2 * self.shift * u[1, :], 2 * self.rotate * u[2, :]
            xp = get_array_module(x)
            side = 1 - 2 * xp.astype(u[3, :] < 0, u.dtype) if self.flip else 1.0
            x = _moved(x, dy, dx, degrees, side, self.image_shape)
        return add_noise(x, self.noise, self._next_key(x)) if self.noise else x

    def _next_key(self, x: Array) -> Array:
        self.key = next_key(asarray(self.key, like=x))
        return self.key

    def __repr__(self) -> str:
        return f"Augmentation(shift={self.shift:g}, rotate={self.rotate:g}, noise={self.noise:g}, flip={self.flip})"


def shift(x: Array, dy: Any, dx: Any, *, image_shape: tuple[int, ...] | None = None) -> Array:
    """Move images `dy` pixels down and `dx` to the right, filling with 0.

    Parameters
    ----------
    x
        Images: (N, C, H, W), (N, H, W) or (N, H*W), uint8 or floats.
    dy, dx
        One number, or one per image, (N,). Fractions are interpolated (bilinear).
    image_shape
        Height and width, or channels, height and width, of flattened images; None for squares.

    Examples
    --------
    >>> shift(np.array([[[1, 2], [3, 4]]], dtype="uint8"), 1, 0)
    array([[[0, 0],
            [1, 2]]], dtype=uint8)
    """
    return _moved(x, dy, dx, 0.0, 1.0, _check_image_shape(image_shape))


def rotate(x: Array, degrees: Any, *, image_shape: tuple[int, ...] | None = None) -> Array:
    """Rotate images counterclockwise about their center, filling with 0.

    Parameters
    ----------
    degrees
        One number, or one per image, (N,). Quarter turns are exact, others are interpolated (bilinear).
    x, image_shape
        See `shift`.

    Examples
    --------
    >>> rotate(np.array([[[1, 2], [3, 4]]], dtype="uint8"), 90)
    array([[[2, 4],
            [1, 3]]], dtype=uint8)
    """
    return _moved(x, 0.0, 0.0, degrees, 1.0, _check_image_shape(image_shape))


def add_noise(x: Array, std: float, key: Array) -> Array:
    """Add normal noise of standard deviation `std`, for pixels from 0 to 1.

    The noise of uint8 pixels is 255 times as large; they are rounded and clipped to 0 to 255.

    Parameters
    ----------
    x
        uint8 or floats, of any shape.
    std
        Standard deviation.
    key
        int32, (1,): the same noise for the same key (see `xpnet._core.random`).

    Examples
    --------
    >>> add_noise(np.array([0, 100, 200], dtype="uint8"), 0.1, np.array([1], dtype="int32"))
    array([ 33,  86, 173], dtype=uint8)
    """
    check_inputs(x)
    if not is_array(key) or dtype_name(key) != "int32" or tuple(key.shape) != (1,):
        got = f"{dtype_name(key)}, {tuple(key.shape)}" if is_array(key) else repr(key)
        raise DtypeError(
            f"key must be an int32 array of shape (1,), got {got}. Make one with `numpy.array([1], 'int32')`."
        )
    noise = check_not_negative("std", std) * _normal(tuple(x.shape), asarray(key, like=x), _precision(x))
    xp = get_array_module(x)
    if dtype_name(x) != "uint8":
        return x + xp.astype(noise, x.dtype)
    noise *= 255
    noise += xp.astype(x, noise.dtype)
    return xp.astype(xp.round(xp.clip(noise, 0, 255)), x.dtype)


# --- moving pixels --------------------------------------------------------------------------------------------------


def _moved(x: Array, dy: Any, dx: Any, degrees: Any, side: Any, image_shape: tuple[int, ...] | None) -> Array:
    """Mirror images where `side` is -1, then rotate, then move; interpolated once."""
    xp, (n, c, h, w), dtype = get_array_module(x), _batch_shape(x, image_shape), _precision(x)
    options = {"dtype": getattr(xp, dtype), **creation_device(x)}
    dy, dx, degrees, side = (
        _for_each_image(name, value, n, x, dtype)
        for name, value in {"dy": dy, "dx": dx, "degrees": degrees, "side": side}.items()
    )
    # The origin of each pixel relative to the center: the inverse of a counterclockwise rotation, y pointing down.
    cos, sin = _cos_sin(degrees)
    rows = xp.reshape(xp.arange(h, **options), (1, h, 1)) - (h - 1) / 2 - dy
    columns = xp.reshape(xp.arange(w, **options), (1, 1, w)) - (w - 1) / 2 - dx
    between_rows = _between(cos * rows + sin * columns, h)
    between_columns = _between(side * (cos * columns - sin * rows), w)

    pixels = xp.reshape(xp.astype(x, options["dtype"]), (-1,))
    planes = xp.reshape(arange(n * c, like=x) * (h * w), (n, c, 1, 1))
    moved = xp.zeros((n, c, h, w), **options)
    for row, row_share in between_rows:
        for column, column_share in between_columns:
            inside = xp.astype(row, planes.dtype) * w + xp.astype(column, planes.dtype)
            found = xp.take(pixels, xp.reshape(planes + inside[:, None, :, :], (-1,)), axis=0)
            moved += xp.reshape(found, moved.shape) * (row_share * column_share)[:, None, :, :]
    if dtype_name(x) == "uint8":
        moved = xp.round(moved)
    return xp.reshape(xp.astype(moved, x.dtype), x.shape)


def _between(position: Array, length: int) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """The two neighboring pixels, 0 to length - 1, of positions relative to the center of a line, and their weights.

    Pixels outside have weight 0.
    """
    xp = get_array_module(position)
    position = position + (length - 1) / 2
    before = xp.floor(position)
    rest, after = position - before, before + 1
    first, second = xp.clip(before, 0, length - 1), xp.clip(after, 0, length - 1)
    first_share = (1 - rest) * xp.astype(first == before, rest.dtype)
    return (first, first_share), (second, rest * xp.astype(second == after, rest.dtype))


def _cos_sin(degrees: Array) -> tuple[Array, Array]:
    """Cosine and sine, exact for quarter turns."""
    xp = get_array_module(degrees)
    quarters = xp.round(degrees / 90)
    rest = (degrees - 90 * quarters) * (math.pi / 180)
    quarters = quarters - 4 * xp.floor(quarters / 4)
    cos, sin = xp.abs(quarters - 2) - 1, 1 - xp.abs(quarters - 1)
    return cos * xp.cos(rest) - sin * xp.sin(rest), sin * xp.cos(rest) + cos * xp.sin(rest)


def _for_each_image(name: str, value: Any, n: int, x: Array, dtype: str) -> Array:
    """One number for all images or one for each, to be broadcast to (N, H, W)."""
    xp = get_array_module(x)
    if not is_array(value):
        return xp.full((1, 1, 1), float(value), dtype=getattr(xp, dtype), **creation_device(x))
    if tuple(value.shape) not in ((), (n,)):
        raise ShapeError(f"{name} must be a number, or one for each of the {n} images; got shape {tuple(value.shape)}.")
    # In one call, because the device of `x` may not support the dtype of `value`.
    return xp.reshape(asarray(value, like=x, dtype=dtype), (-1, 1, 1))


def _check_image_shape(image_shape: Any) -> tuple[int, ...] | None:
    if image_shape is None:
        return None
    if not isinstance(image_shape, tuple | list) or len(image_shape) not in (2, 3):
        raise ArgumentError(
            "image_shape must be (height, width) or (channels, height, width), such as `(28, 28)`, got "
            f"{image_shape!r}."
        )
    shape = tuple(check_count("a length in image_shape", length) for length in image_shape)
    if _surely_has_channels_last(shape):
        raise ArgumentError(
            f"Expected image_shape to be (channels, height, width), got {shape}, which has the channels last. Leave it "
            f"out and move the channels of the images with `x = x.reshape({(-1, *shape)}).transpose(0, 3, 1, 2)`."
        )
    return shape


def _has_channels_last(shape: Sequence[int]) -> bool:
    """Whether the shape of a sample is probably (H, W, C)."""
    return len(shape) == 3 and shape[2] <= _MAX_CHANNELS < min(shape[0], shape[1])


def _surely_has_channels_last(shape: Sequence[int]) -> bool:
    """Not (8, 100, 1), which may be the signals of eight sensors."""
    return _has_channels_last(shape) and (shape[2] in (3, 4) or shape[0] == shape[1])


def _batch_shape(x: Array, image_shape: tuple[int, ...] | None) -> tuple[int, int, int, int]:
    check_inputs(x)
    n, *shape = (int(length) for length in x.shape)
    width = math.prod(shape)
    if _has_channels_last(shape) and image_shape != tuple(shape):
        meant = f" If it has {shape[0]} channels of {shape[1]} x {shape[2]} pixels, set `image_shape={tuple(shape)}`."
        raise ShapeError(
            f"Expected images of shape (N, C, H, W), got {tuple(x.shape)}, which has the channels last. Use "
            f"`x.transpose(0, 3, 1, 2)`.{'' if _surely_has_channels_last(shape) else meant}"
        )
    if image_shape is not None and len(shape) > 1 and (1, *shape)[-3:] != (1, *image_shape)[-3:]:
        raise ShapeError(
            f"image_shape={image_shape} is for flattened images; x of shape {tuple(x.shape)} has its own height "
            "and width. Leave `image_shape` out."
        )
    if image_shape is not None:
        shape = list(image_shape)
    elif len(shape) == 1:
        shape = [math.isqrt(width)] * 2
    if len(shape) not in (2, 3) or math.prod(shape) != width:
        said = "" if image_shape is None else f" with image_shape={image_shape}"
        raise ShapeError(
            f"Images have shape (N, C, H, W), (N, H, W) or (N, H*W), got {tuple(x.shape)}{said}. Give the height and "
            "width of flattened images with `image_shape=(height, width)` or `image_shape=(channels, height, width)`."
        )
    c, h, w = shape if len(shape) == 3 else (1, *shape)
    return n, c, h, w


# --- random numbers -------------------------------------------------------------------------------------------------


def _precision(x: Array) -> str:
    """The dtype to compute in: float64 for float64, else float32."""
    return "float64" if dtype_name(x) == "float64" else "float32"


def _uniform(shape: tuple[int, ...], key: Array, dtype: str) -> Array:
    """Uniform numbers between -1/2 and 1/2, both excluded, of 24 bits each, which float32 represents exactly."""
    xp = get_array_module(key)
    u = xp.astype(random_bits(shape, key) >> 8, getattr(xp, dtype))
    u += 0.5
    u *= 2.0**-24
    return u


def _normal(shape: tuple[int, ...], key: Array, dtype: str) -> Array:
    """Standard normal numbers, each from two uniform ones (G. Box and M. Muller, 1958)."""
    xp = get_array_module(key)
    u = _uniform((2, *shape), key, dtype)
    return xp.sqrt(-2 * xp.log(0.5 - u[0, ...])) * xp.cos(2 * math.pi * u[1, ...])
