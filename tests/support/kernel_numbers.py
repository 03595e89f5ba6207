"""Numbers for the fused operations, and the places of the matrix that compute with NumPy's own functions."""

import numpy as np
import pytest
from matrix import PLACES, Place

from xpnet import to_numpy

EXACT = [place for place in PLACES if place.name == "numpy" or place.name.startswith("strict")]
"""Where nothing but our code could make a bit differ."""


SHAPES = [(1, 1), (1, 10), (5, 1), (5, 10), (3, 77)]


@pytest.fixture(params=EXACT, ids=lambda place: f"{place.name}-{place.dtype}")
def exact(request: pytest.FixtureRequest) -> Place:
    return request.param


def numbers(seed: int, *shape: int) -> np.ndarray:
    """Numbers that float32 holds exactly, large enough to make a softmax one-sided here and there."""
    return (4 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32).astype(np.float64)


def check_equal(place: Place, actual, expected) -> None:
    """Same library, dtype, shape and bits."""
    place.check(actual, to_numpy(expected), eps=0)
