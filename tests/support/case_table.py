"""The table of the matrix, into which `cases` and `deep_cases` enter theirs, and the numbers that they are given."""

from collections.abc import Callable
from typing import Any

import numpy as np

Put = Callable[[Any], Any]
Results = dict[str, Any]

CASES: dict[str, Callable[[Put], Results]] = {}

SHAPES = {"vector": (7,), "batch": (5, 7), "tensor": (4, 2, 3)}


def numbers(seed: int, *shape: int) -> np.ndarray:
    """Normal numbers that float32 holds exactly, so that every dtype begins with the same ones."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32).astype(np.float64)


def case(name: str) -> Callable[[Callable[[Put], Results]], Callable[[Put], Results]]:
    """Enter a function in the matrix."""

    def enter(run: Callable[[Put], Results]) -> Callable[[Put], Results]:
        assert name not in CASES
        CASES[name] = run
        return run

    return enter


LABELS = np.array([2, 0, 6, 3, 3])
LABEL_FORMS = {"index": LABELS, "one-hot": np.eye(7)[LABELS]}
