"""Random numbers: independent generators from one seed, and random bits for use inside a training step.

The bits are a hash of a counter, the same to the bit on every backend. A generator would keep its state on the host,
invisible to a captured step, and differ between libraries. A hash only needs a key, which is an array, and operations
on 32-bit integers, which every library has and which overflow in the same way.
"""

import math
from typing import NamedTuple

import numpy as np

from xpnet._core.arrays import Array, arange, get_array_module
from xpnet.errors import ArgumentError

_STRIDE = 0x9E3779B9 - 2**32  # 2**32 / golden ratio, signed: keeps the keys of many steps apart
_FACTORS = (0x7FEB352D, 0x846CA68B - 2**32)


class Streams(NamedTuple):
    """Three independent generators from one seed."""

    weights: "np.random.Generator"
    order: "np.random.Generator"
    noise: "np.random.Generator"


def random_streams(seed: int | None) -> Streams:
    """Generators for the initial weights, for the order of the samples and for noise inside a step.

    They are independent, so a network and its trainer may have the same seed. None gives other numbers each time.
    """
    try:
        sequence = np.random.SeedSequence(seed)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"seed must be a whole number of at least 0, or None, got {seed!r}.") from error
    return Streams(*(np.random.default_rng(child) for child in sequence.spawn(3)))


def next_key(key: Array) -> Array:
    """Advance the key to the next step, in place if arrays are writable."""
    key += _STRIDE
    return key


def random_bits(shape: tuple[int, ...], key: Array) -> Array:
    """Random int32 numbers of this shape, from -2**31 to 2**31 - 1, on the device of the key, int32 (1,).

    Element i is a hash of key + i: invertible shifts, exclusive ors and two products, so that no two elements of a key
    are equal (C. Wellons, "Prospecting for Hash Functions", 2018: ``lowbias32``).

    Examples
    --------
    >>> import numpy as np
    >>> random_bits((2, 2), np.array([0], dtype="int32"))
    array([[         0, 1753845952],
           [-787275391, 1408362973]], dtype=int32)
    """
    h = arange(math.prod(shape), like=key, dtype="int32") + key
    h ^= _shifted(h, 16)
    h *= _FACTORS[0]
    h ^= _shifted(h, 15)
    h *= _FACTORS[1]
    h ^= _shifted(h, 16)
    return get_array_module(h).reshape(h, shape)


def _shifted(h: Array, bits: int) -> Array:
    """Logical shift to the right: an arithmetic shift whose sign bits are masked."""
    moved = h >> bits
    moved &= 2 ** (32 - bits) - 1
    return moved
