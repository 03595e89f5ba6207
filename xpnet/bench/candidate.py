"""A candidate of the comparison: checked against xpnet in float64, warmed up, and timed one repeat at a time."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from xpnet._core.cupy import CupyNamespace
from xpnet.backend import get_backend
from xpnet.bench.device import measure_peak, peak_memory, reset_peak_memory
from xpnet.bench.report import MODES, Peak, Timing
from xpnet.bench.work import Case, Worker, Workload, XpnetWorker, operations

_MIN_REPEAT_SECONDS = 0.03  # steps are doubled until a repeat takes that long
_MAX_STEPS = 10_000
_EPS = float(np.finfo(np.float32).eps)
_TOLERANCE = 1024 * _EPS  # of the largest number: sums of thousands of terms, in any order
_COMPARED_FRACTION = 0.95


@dataclass(frozen=True)
class Candidate:
    """A backend of xpnet or another library, on one device."""

    name: str  # in tables
    device_kind: str  # "CPU" or "GPU"
    device: str  # a description of the device
    library: str  # the array module of a backend, or the other library
    version: str
    make: Callable[[Workload], Worker]  # is pickled, because the candidate runs in another process
    is_backend: bool = True  # False for another library, whose operations cannot be counted


class CandidateRunner:
    """A candidate at work; lives in the candidate's process."""

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate
        self.backend = get_backend(candidate.library) if candidate.is_backend else None
        self.worker: Worker | None = None
        self.timings: dict[str, Timing] = {}

    def peak(self) -> Peak | None:
        """Measure the peak throughput of a backend's device; None for another library."""
        return None if self.backend is None else measure_peak(self.backend, time.perf_counter)

    def prepare(self, case: Case, seed: int) -> tuple[dict[str, Timing], int | None]:
        """Compare the first results with xpnet's in float64 (else a DisagreementError), and warm up.

        Returns timings by mode, without repeats, and the bytes that this took, or None if unknown.
        """
        self.worker = None  # frees the memory of the previous case
        work = Workload.of(case, seed)
        expected = first_results(XpnetWorker(work, "numpy", "float64"), work)
        reset_peak_memory(self.backend)
        before = peak_memory(self.backend, self.candidate.device_kind)
        self.worker = self.candidate.make(work)
        check_agreement(first_results(self.worker, work), expected, work)
        fused = self.backend is not None and isinstance(self.backend.xp, CupyNamespace)
        self.timings = {}
        for mode in MODES if case.trains else MODES[1:]:
            cost = case.training_cost() if mode == "training" else case.inference_cost()
            counted = operations(case.network, fused=fused)[mode] if self.backend else None
            self.timings[mode] = Timing(case.batch, cost, counted, self._steps_per_repeat(mode))
        after = peak_memory(self.backend, self.candidate.device_kind)
        return self.timings, None if before is None or after is None else after - before

    def repeat(self, mode: str) -> tuple[float, float | None]:
        """Time one repeat: its seconds, and the processor seconds of this process (None on a GPU)."""
        before = time.process_time()
        seconds = self._seconds(mode, self.timings[mode].steps)
        return seconds, time.process_time() - before if self.candidate.device_kind == "CPU" else None

    def _steps_per_repeat(self, mode: str) -> int:
        """Double the steps until a repeat is long enough for the clock; this is also the warm-up."""
        steps = 1
        # The faster of two, since the first may have compiled something.
        while steps < _MAX_STEPS and min(self._seconds(mode, steps) for _ in range(2)) < _MIN_REPEAT_SECONDS:
            steps *= 2
        return steps

    def _seconds(self, mode: str, steps: int) -> float:
        assert self.worker is not None
        does = self.worker.train if mode == "training" else self.worker.predict
        return self.worker.seconds(does, steps, time.perf_counter)


# --- agreement ------------------------------------------------------------------------------------------------------


class DisagreementError(Exception):
    """A candidate computed other results than xpnet in float64."""


@dataclass(frozen=True)
class Results:
    """The first results of a worker."""

    probabilities: np.ndarray  # (N, C), of the first `batch` images
    gradients: dict[str, np.ndarray]  # on the first minibatch; empty without backpropagation
    changes: dict[str, np.ndarray]  # of the parameters, by a step on that minibatch


def first_results(worker: Worker, work: Workload) -> Results:
    """The results of a new worker, which makes one step."""
    probabilities = worker.probabilities()
    if not work.case.trains:
        return Results(probabilities, {}, {})
    gradients = worker.gradients()
    worker.train(1)
    weights = worker.weights()
    return Results(probabilities, gradients, {name: weights[name] - start for name, start in work.start.items()})


def check_agreement(actual: Results, expected: Results, work: Workload) -> None:
    """Raise unless both agree to 1024 eps of float32, relative to the largest number of each array.

    The change of a parameter may also differ by the rounding of the parameter itself. 95 % of the numbers of each array
    must agree: where the input of a ReLU is within rounding of 0, two correct libraries may take different sides, and
    the gradients of that unit differ. The DisagreementError states what differs, and by how much.
    """
    _compare("the probabilities", actual.probabilities, expected.probabilities)
    for name, gradient in expected.gradients.items():
        _compare(f"the gradient of {name}", actual.gradients[name], gradient)
    for name, change in expected.changes.items():
        rounding = 2 * _EPS * float(np.abs(work.start[name] + change).max())
        _compare(f"the change of {name} by a step", actual.changes[name], change, rounding)


def _compare(name: str, actual: np.ndarray, expected: np.ndarray, rounding: float = 0.0) -> None:
    if actual.shape != expected.shape:
        raise DisagreementError(f"{name} has shape {actual.shape}, expected {expected.shape}")
    largest = float(np.abs(expected).max())
    off = float(np.quantile(np.abs(actual.astype(np.float64) - expected), _COMPARED_FRACTION))
    if not off <= _TOLERANCE * largest + rounding:  # true for NaN, too
        raise DisagreementError(f"{name} is off by {off / (largest or 1.0):.1e} of its largest number")
