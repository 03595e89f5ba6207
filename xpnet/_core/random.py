"""Random numbers: independent generators from one seed, and random bits for use inside a training step.

The bits are a hash of a counter, the same to the bit on every backend. A generator keeps its state on the host, where
a recorded step does not see it, and each library has generators of its own. A hash needs no state but a key, which is
an array, and only operations on 32-bit integers, which every library has and which wrap around alike.
"""

import math
from typing import NamedTuple

import numpy as np

from xpnet._core.arrays import Array, arange, get_array_module
from xpnet.errors import ArgumentError

__all__ = ["Streams", "next_key", "random_bits", "random_streams"]

_STRIDE = 0x9E3779B9 - 2**32  # 2**32 over the golden ratio, as a signed number: the keys of many steps lie far apart
_FACTORS = (0x7FEB352D, 0x846CA68B - 2**32)


class Streams(NamedTuple):
    """Three independent generators from one seed."""

    weights: "np.random.Generator"
    order: "np.random.Generator"
    noise: "np.random.Generator"


def random_streams(seed: int | None) -> Streams:
    """Generators for the initial weights, for the order of the samples and for noise inside a step.

    They are independent, so that the same seed may be given to a network and to its trainer.

    Parameters
    ----------
    seed
        A whole number, for the same numbers each time; None for other numbers each time.
    """
    try:
        sequence = np.random.SeedSequence(seed)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"seed must be a whole number of at least 0, or None, got {seed!r}.") from error
    return Streams(*(np.random.default_rng(child) for child in sequence.spawn(3)))


def next_key(key: Array) -> Array:
    """The key of the next step, made in place where arrays can be changed."""
    key += _STRIDE
    return key


def random_bits(shape: tuple[int, ...], key: Array) -> Array:
    """Integers all bits of which look random, others for each key.

    Element i is a mix of key + i: shifts, exclusive ors and two products, each of which can be undone, so that no two
    elements of one key are equal (C. Wellons, "Prospecting for Hash Functions", 2018: ``lowbias32``).

    Parameters
    ----------
    shape
        The result's.
    key
        int32, (1,).

    Returns
    -------
    Array
        int32, from -2**31 to 2**31 - 1, beside the key.

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
    """The bits of `h` moved to the right: a signed number brings its sign with it, which is masked away."""
    moved = h >> bits
    moved &= 2 ** (32 - bits) - 1
    return moved
