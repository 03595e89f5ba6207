"""Measurements in processes of their own that take turns; their statistics; whether all trained the same."""

import contextlib
import importlib.util
import json
import os
import signal
import statistics
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

__all__ = [
    "PEERS",
    "BenchmarkError",
    "Entrant",
    "Run",
    "Runs",
    "check_agreement",
    "check_installed",
    "figures",
    "in_a_process",
    "ratio",
    "take_turns",
]

HERE = Path(__file__).resolve().parent
Run = dict[str, Any]
Runs = dict[str, list[Run]]


class Peer(NamedTuple):
    """A library to compare with: its title, its package, and what pip installs it from."""

    title: str
    package: str
    install: str


PEERS = {
    "torch": Peer("PyTorch", "torch", "torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"),
    "jax": Peer("JAX", "jax", "jax"),
    "sklearn": Peer("scikit-learn", "scikit-learn", "scikit-learn"),
}
"""By the name to import."""

# Variables that a user may have set for other programs; each entrant sets its own.
_CLEARED = (
    *(f"{name}_NUM_THREADS" for name in ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMEXPR")),
    "VECLIB_MAXIMUM_THREADS", "XPNET_BACKEND", "JAX_ENABLE_X64", "CUPY_TF32",
)  # fmt: skip


class BenchmarkError(Exception):
    """A benchmark without a valid result."""


@dataclass(frozen=True)
class Entrant:
    """A participant of a benchmark.

    Attributes
    ----------
    name
        Name in tables.
    command
        A program that prints its `Run` as JSON, in its last line.
    environment
        Additional environment variables; thread settings of the user are not passed on.
    group
        All of a group must train to the same results as its first; ``""`` if it does not train.
    loss_tolerance
        Relative tolerance of the first losses.
    beside
        A program to run at the same time, as a disturbance.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    group: str = ""
    loss_tolerance: float = 1e-4
    beside: tuple[str, ...] | None = None


def check_installed(peers: Sequence[str]) -> None:
    """Raise a BenchmarkError that names the first missing peer and its installation."""
    for name in peers:
        if importlib.util.find_spec(name) is None:
            others = " ".join(["--peers", *(other for other in peers if other != name)])
            raise BenchmarkError(
                f"{PEERS[name].title} is not installed. Install it with `python -m pip install {PEERS[name].install}`, "
                f"or leave it out with `{others}`."
            )


# --- processes ------------------------------------------------------------------------------------------------------


def in_a_process(entrant: Entrant, limit: float | None = None) -> Run:
    """Run one measurement.

    Raises
    ------
    BenchmarkError
        With the end of its standard error, or if it took longer than `limit` seconds.
    """
    kept = {name: value for name, value in os.environ.items() if name not in _CLEARED}
    paths = [str(HERE.parent), *filter(None, [kept.get("PYTHONPATH")])]  # xpnet of this checkout
    environment = kept | {"PYTHONPATH": os.pathsep.join(paths)} | dict(entrant.environment)
    with contextlib.ExitStack() as processes:
        disturbance = processes.enter_context(_started(entrant.beside, environment)) if entrant.beside else None
        process = processes.enter_context(_started(entrant.command, environment))
        try:
            output, errors = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired as error:
            raise BenchmarkError(f"{entrant.name} took longer than {limit:.3g} s") from error
        if disturbance and disturbance.poll() is not None:
            raise BenchmarkError(f"the disturbance of {entrant.name} ended early")
    if process.returncode:
        raise BenchmarkError(f"the measurement of {entrant.name} failed:\n{errors.strip()[-2000:]}")
    run: Run = json.loads(output.strip().rpartition("\n")[2])
    return run


@contextlib.contextmanager
def _started(command: Sequence[str], environment: Mapping[str, str]) -> "Iterator[subprocess.Popen[str]]":
    """A process in its own group, which is killed at the end with its children, such as compilers."""
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):  # all have ended
                os.killpg(process.pid, signal.SIGKILL)


def take_turns(entrants: Sequence[Entrant], rounds: int, done: Callable[[Entrant], None] = lambda _: None) -> Runs:
    """Measure each entrant once per round, so that a machine that slows down affects all; each round is checked.

    Returns the runs by name of the entrant; `done` is called after each measurement.
    """
    runs: Runs = {entrant.name: [] for entrant in entrants}
    for _ in range(rounds):
        for entrant in entrants:
            runs[entrant.name].append(in_a_process(entrant))
            done(entrant)
        check_agreement(entrants, {name: taken[-1] for name, taken in runs.items()})
    return runs


# --- statistics -----------------------------------------------------------------------------------------------------

ACCURACY, LOOSE_ACCURACY = 0.005, 0.01  # tolerances of test accuracies after the same steps, after other steps
LEARNED = 1000  # steps, after which a network with other first weights must have the same accuracy


def check_agreement(entrants: Sequence[Entrant], round_: Mapping[str, Run]) -> None:
    """Raise a BenchmarkError unless all of a group trained to the same results.

    First losses must agree, and test accuracies to 0.005. A run without ``losses`` has other first weights; only its
    accuracy is compared, to 0.01, after at least 1,000 ``steps``.
    """
    references: dict[str, tuple[str, Run]] = {}
    for entrant in entrants:
        if not entrant.group or entrant.name not in round_:
            continue
        run = round_[entrant.name]
        name, expected = references.setdefault(entrant.group, (entrant.name, run))
        who = f"{entrant.name} does not learn what {name} learns"
        if run["losses"] is None:
            if run["steps"] < LEARNED:
                continue
            allowed = LOOSE_ACCURACY
        else:
            allowed = ACCURACY
            _check_losses(who, run["losses"], expected["losses"], entrant.loss_tolerance)
        if not abs(run["test_accuracy"] - expected["test_accuracy"]) <= allowed:  # so that a NaN is a disagreement, too
            accuracies = f"{run['test_accuracy']:.4f} and {expected['test_accuracy']:.4f}"
            raise BenchmarkError(f"{who}: the test accuracies {accuracies} differ by more than {allowed:g}.")


def _check_losses(who: str, losses: Sequence[float], expected: Sequence[float], tolerance: float) -> None:
    if len(losses) != len(expected):
        raise BenchmarkError(f"{who}: there are {len(losses)} first losses, and not {len(expected)}.")
    for i, (loss, other) in enumerate(zip(losses, expected, strict=True)):
        if not abs(loss - other) <= tolerance * abs(other):
            raise BenchmarkError(f"{who}: loss {i} is {loss:.6f}, and not {other:.6f} within {tolerance:g} of it.")


def figures(seconds: Sequence[float]) -> dict[str, Any]:
    """All times, and their minimum, median and maximum."""
    return {
        "seconds": list(seconds),
        "min_seconds": min(seconds),
        "median_seconds": statistics.median(seconds),
        "max_seconds": max(seconds),
    }


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, list[float]]:
    """The ratio of the medians, and the ratios of each round."""
    of_medians = statistics.median(ours) / statistics.median(theirs)
    return of_medians, [a / b for a, b in zip(ours, theirs, strict=True)]
