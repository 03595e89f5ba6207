"""How weights begin: drawn on the host from one seed, then moved; every backend begins with the same numbers."""

from typing import NamedTuple

import numpy as np

from xpnet.errors import ArgumentError

__all__ = ["Streams", "normal", "random_streams"]


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


def normal(rng: "np.random.Generator", shape: tuple[int, ...], std: float) -> np.ndarray:
    """Normal numbers of mean 0 and the given standard deviation: the course's ``0.01 * randn`` (course row 15)."""
    return std * rng.standard_normal(shape)
