"""Whether all who are compared come to the same results; times of different work would say nothing."""

from dataclasses import dataclass

import numpy as np

from xpnet.bench.work import Worker, Workload, XpnetWorker

__all__ = ["DisagreementError", "Results", "check_agreement", "first_results", "reference_results"]

_EPS = float(np.finfo(np.float32).eps)
_TOLERANCE = 1024 * _EPS  # of the largest number: sums of thousands of terms, in any order
_SHARE_COMPARED = 0.95


class DisagreementError(Exception):
    """A worker came to other results than it should have."""


@dataclass(frozen=True)
class Results:
    """What a worker comes to at first.

    Attributes
    ----------
    probabilities
        (N, C), of the first `batch` images.
    gradients
        By the parameters' names, on the first minibatch; none where the network has no backpropagation.
    changes
        Of the parameters by a step on that minibatch.
    """

    probabilities: np.ndarray
    gradients: dict[str, np.ndarray]
    changes: dict[str, np.ndarray]


def first_results(worker: Worker, work: Workload) -> Results:
    """The results of a worker that has done nothing yet; it makes a step."""
    probabilities = worker.probabilities()
    if not work.case.trains:
        return Results(probabilities, {}, {})
    gradients = worker.gradients()
    worker.train(1)
    weights = worker.weights()
    return Results(probabilities, gradients, {name: weights[name] - start for name, start in work.start.items()})


def reference_results(work: Workload) -> Results:
    """xpnet's own on NumPy in float64, from the same first parameters."""
    return first_results(XpnetWorker(work, "numpy", "float64"), work)


def check_agreement(actual: Results, expected: Results, work: Workload) -> None:
    """Raise unless both agree, to 1024 eps of float32 of the largest number of each array.

    The change of a parameter may be off by the rounding of the parameter itself, too. Of each array nineteen numbers
    in twenty must agree: where the input of a ReLU lies within rounding of 0, two libraries that are both right may
    take different sides, and the gradients of that one unit differ.

    Raises
    ------
    DisagreementError
        Saying what differs, and by how much.
    """
    _compare("the probabilities", actual.probabilities, expected.probabilities)
    for name, gradient in expected.gradients.items():
        _compare(f"the gradient of {name}", actual.gradients[name], gradient)
    for name, change in expected.changes.items():
        rounding = 2 * _EPS * float(np.abs(work.start[name] + change).max())
        _compare(f"the change of {name} by a step", actual.changes[name], change, rounding)


def _compare(name: str, actual: np.ndarray, expected: np.ndarray, rounding: float = 0.0) -> None:
    if actual.shape != expected.shape:
        raise DisagreementError(f"{name} has shape {actual.shape} and not {expected.shape}")
    largest = float(np.abs(expected).max())
    off = float(np.quantile(np.abs(actual.astype(np.float64) - expected), _SHARE_COMPARED))
    if not off <= _TOLERANCE * largest + rounding:  # so that a NaN is a disagreement, too
        raise DisagreementError(f"{name} is off by {off / (largest or 1.0):.1e} of its largest number")
