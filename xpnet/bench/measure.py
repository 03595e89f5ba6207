"""The comparison of devices, ``python -m xpnet bench``: training and inference over a grid of widths and batches.

All who are compared take turns in one process, after a full pass that is not timed; medians and spreads are told.
What it does on a GPU has not yet been run on one.
"""

import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

import xpnet
from xpnet.backend import Backend, asarray, get_backend
from xpnet.bench.check import DisagreementError, Results, check_agreement, first_results, reference_results
from xpnet.bench.device import forget_peak_memory, measure_peak, peak_memory
from xpnet.bench.peers import load_peer
from xpnet.bench.report import MODES, Peak, Report, Row, Timing
from xpnet.bench.work import NETWORKS, Case, Worker, Workload, XpnetWorker, operations, place_of
from xpnet.checks import check_count, check_positive
from xpnet.cupy_namespace import CupyNamespace
from xpnet.errors import ArgumentError, BackendError

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = ["Deadline", "Options", "OutOfTimeError", "run"]

Clock = Callable[[], float]

_REPEAT_SECONDS = 0.03  # at least; steps are doubled until a repeat takes that long
_MAX_STEPS = 10_000


@dataclass(frozen=True)
class Options:
    """What to compare; an ArgumentError where that cannot be.

    Attributes
    ----------
    backends
        As for `get_backend`; none for numpy, and cupy where a device answers.
    networks, widths, batches
        The grid: names of NETWORKS, units in each hidden layer, samples a step.
    repeats
        How often each is timed.
    against
        Peers: ``"torch"``, ``"jax"``, ``"sklearn"``.
    budget
        Seconds after which no further repeat is begun; None for no limit.
    seed
        Of the images, their order and the first weights.
    """

    backends: tuple[str, ...] = ()
    networks: tuple[str, ...] = tuple(NETWORKS)
    widths: tuple[int, ...] = (50, 200, 1000)
    batches: tuple[int, ...] = (10, 100, 1000)
    repeats: int = 5
    against: tuple[str, ...] = ()
    budget: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in self.networks:
            if name not in NETWORKS:
                raise ArgumentError(f"There is no network {name!r} to time; there are {', '.join(NETWORKS)}.")
        for name in ("networks", "widths", "batches"):
            if not getattr(self, name):
                raise ArgumentError(f"Nothing to time: --{name} is empty. Name at least one.")
        for name, values in (("width", self.widths), ("batch", self.batches), ("repeats", [self.repeats])):
            for value in values:
                check_count(name, value)
        if self.budget is not None:
            check_positive("budget", self.budget)
        if self.seed < 0:
            raise ArgumentError(f"seed must be a whole number of at least 0, got {self.seed}.")

    def cases(self) -> list[Case]:
        """The grid, each place once."""
        grid = product(self.networks, self.widths, self.batches)
        return [Case(*place) for place in dict.fromkeys(grid)]


class OutOfTimeError(Exception):
    """The budget is spent."""


class Deadline:
    """Raises `OutOfTimeError` when `check` is called after so many seconds of the clock; None for never."""

    def __init__(self, seconds: float | None, clock: Clock) -> None:
        self.seconds, self.clock, self.begun = seconds, clock, clock()

    def check(self) -> None:
        """Called before whatever takes time."""
        if self.seconds is not None and self.clock() - self.begun >= self.seconds:
            raise OutOfTimeError


@dataclass(frozen=True)
class Entrant:
    """One who is compared: a backend of xpnet's, or a peer."""

    name: str
    place: str
    device: str
    make: Callable[[Workload], Worker]
    version: tuple[str, str]
    backend: Backend | None = None


def run(
    options: Options, *, clock: Clock = time.perf_counter, announce: Callable[[str], None] = lambda _: None
) -> Report:
    """Measure, until all is measured, the budget is spent, or the user interrupts.

    Parameters
    ----------
    options
        What to compare.
    clock
        Seconds.
    announce
        Called with a line on each device, before anything is timed.

    Returns
    -------
    Report

    Raises
    ------
    BackendError, ArgumentError
        When a backend or a peer that was asked for cannot be had.

    Examples
    --------
    >>> report = run(Options(("numpy",), ("TwoLayerNet",), (5,), (2,), repeats=1))
    >>> [(row.backend, row.case.width, sorted(row.timings)) for row in report.rows]
    [('numpy', 5, ['inference', 'training'])]
    """
    from tqdm.auto import tqdm

    deadline = Deadline(options.budget, clock)
    entrants = _entrants(options)
    versions = {"python": platform.python_version(), "xpnet": xpnet.__version__, "numpy": np.__version__}
    versions |= dict(entrant.version for entrant in entrants)
    report = Report(asdict(options), {entrant.name: entrant.device for entrant in entrants}, versions)
    for line in report.devices.values():
        announce(line)
    cases = options.cases()
    with tqdm(total=len(cases) * len(entrants) * options.repeats, unit="repeat", disable=None) as bar:
        try:
            _measure_peaks(report, entrants, deadline)
            for case in cases:
                bar.set_description(f"{case.network}, width {case.width}, batch {case.batch}")
                _measure_case(report, Workload.of(case, options.seed), entrants, options.repeats, deadline, bar)
        except OutOfTimeError:
            pass
        except KeyboardInterrupt:
            report.interrupted = True
    report.not_run = list(_left_out(report, cases, entrants, options.repeats))
    report.rows = [row for row in report.rows if row.error or any(of.seconds for of in row.timings.values())]
    report.seconds = clock() - deadline.begun
    return report


# --- who takes part -------------------------------------------------------------------------------------------------


def _entrants(options: Options) -> list[Entrant]:
    backends = [_backend_entrant(name) for name in options.backends or _usable_backends()]
    entrants = list({entrant.name: entrant for entrant in backends}.values())
    places = sorted({entrant.place for entrant in entrants})
    for name in dict.fromkeys(options.against):
        make, library = load_peer(name)
        for place in ["CPU"] if name == "sklearn" else places:
            title = name if place == "CPU" else f"{name} ({place})"
            version = (name, str(library.__version__))
            device = f"{name} {library.__version__} on the {place}"
            entrants.append(Entrant(title, place, device, _peer_maker(make, library, place), version))
    return entrants


def _usable_backends() -> list[str]:
    try:
        get_backend("cupy")
    except BackendError:
        return ["numpy"]
    return ["numpy", "cupy"]


def _backend_entrant(name: str) -> Entrant:
    backend = get_backend(name)
    place = place_of(asarray([0.0], dtype="float32", backend=backend))
    version = (backend.name, str(getattr(backend.xp, "__version__", "unknown")))
    return Entrant(backend.name, place, backend.describe(), lambda work: XpnetWorker(work, backend), version, backend)


def _peer_maker(make: Callable[[Any, Workload, str], Worker], library: Any, place: str) -> Callable[[Workload], Worker]:
    return lambda work: make(library, work, place)


# --- measuring ------------------------------------------------------------------------------------------------------


def _measure_peaks(report: Report, entrants: list[Entrant], deadline: Deadline) -> None:
    """The peak of each place is the best of all backends that run there."""
    for entrant in entrants:
        if entrant.backend is None:
            continue
        peak, best = measure_peak(entrant.backend, deadline.clock, deadline.check), report.peaks.get(entrant.place)
        if best is not None:
            peak = Peak(
                max(peak.flops_per_second, best.flops_per_second), max(peak.bytes_per_second, best.bytes_per_second)
            )
        report.peaks[entrant.place] = peak


def _measure_case(
    report: Report, work: Workload, entrants: list[Entrant], repeats: int, deadline: Deadline, bar: "tqdm[Any]"
) -> None:
    """All entrants in turn: checked and warmed up first, then each repeat of one after the same repeat of another."""
    deadline.check()
    expected = reference_results(work)
    ready: list[tuple[Row, Worker]] = []
    for entrant in entrants:
        deadline.check()
        row = Row(entrant.name, entrant.place, work.case)
        report.rows.append(row)
        try:
            ready.append((row, _prepared(entrant, work, expected, row, deadline)))
        except (OutOfTimeError, KeyboardInterrupt):
            raise
        except DisagreementError as error:
            row.error = f"not timed, because it disagrees with xpnet in float64: {error}"
        except Exception as error:  # of any library, such as too little memory; the others go on
            row.error = f"cannot run: {' '.join(str(error).split()) or type(error).__name__}"
    bar.update((len(entrants) - len(ready)) * repeats)
    for _ in range(repeats):
        for row, worker in ready:
            for mode, timing in row.timings.items():
                deadline.check()
                timing.seconds.append(worker.seconds(_does(worker, mode), timing.steps, deadline.clock))
            bar.update()


def _prepared(entrant: Entrant, work: Workload, expected: Results, row: Row, deadline: Deadline) -> Worker:
    """A worker that agrees and is warm; its row gets its peak memory, and timings with no repeats yet."""
    forget_peak_memory(entrant.backend)
    before = peak_memory(entrant.backend, entrant.place)
    worker = entrant.make(work)
    check_agreement(first_results(worker, work), expected, work)
    timings = {}
    for mode in MODES if work.case.trains else MODES[1:]:
        cost = work.case.training_cost() if mode == "training" else work.case.inference_cost()
        fused = entrant.backend is not None and isinstance(entrant.backend.xp, CupyNamespace)
        counted = operations(work.case.network, fused=fused)[mode] if entrant.backend else None
        timings[mode] = Timing(work.case.batch, cost, counted, _steps_of_a_repeat(worker, mode, deadline))
    after = peak_memory(entrant.backend, entrant.place)
    row.peak_memory = None if before is None or after is None else after - before
    row.timings = timings
    return worker


def _steps_of_a_repeat(worker: Worker, mode: str, deadline: Deadline) -> int:
    """Enough that the clock is fine enough; the passes it takes to find out are the warm-up, the last a full one."""
    steps = 1
    while steps < _MAX_STEPS:
        times = []
        for _ in range(2):  # the faster counts: the first may have compiled something
            deadline.check()
            times.append(worker.seconds(_does(worker, mode), steps, deadline.clock))
        if min(times) >= _REPEAT_SECONDS:
            break
        steps *= 2
    return steps


def _does(worker: Worker, mode: str) -> Callable[[int], Any]:
    return worker.train if mode == "training" else worker.predict


def _left_out(report: Report, cases: list[Case], entrants: list[Entrant], repeats: int) -> Iterator[str]:
    """A line for each place of the grid that was not measured, and for each that was, but not as often as asked."""
    rows = {(row.backend, row.case): row for row in report.rows}
    for case in cases:
        where, missing = f"{case.network}, width {case.width}, batch {case.batch}", []
        for entrant in entrants:
            row = rows.get((entrant.name, case), Row(entrant.name, entrant.place, case))
            if not row.error and not any(timing.seconds for timing in row.timings.values()):
                missing.append(entrant.name)
                continue
            for mode, timing in row.timings.items():
                if len(timing.seconds) < repeats:
                    yield f"{where}: {entrant.name}, {mode}, {len(timing.seconds)} of {repeats} repeats"
        if missing:
            yield f"{where}: {', '.join(missing)}"
