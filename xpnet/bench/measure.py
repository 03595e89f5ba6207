"""The comparison of devices, ``python -m xpnet bench``: training and inference over a grid of widths and batches.

Each one who is compared has a process of its own, and as many threads as the others. They take turns, after a full pass
that is not timed; medians and spreads are told. What it does on a GPU has not yet been run on one.
"""

import contextlib
import importlib.metadata
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

import xpnet
from xpnet._core.checks import check_count, check_positive
from xpnet.backend import asarray, get_backend
from xpnet.bench.check import DisagreementError
from xpnet.bench.contestant import Entrant
from xpnet.bench.peers import check_peer
from xpnet.bench.process import FailedError, Process
from xpnet.bench.report import Peak, Report, Row
from xpnet.bench.work import NETWORKS, Case, place_of
from xpnet.errors import ArgumentError, BackendError, XpnetError

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = ["Deadline", "Options", "OutOfTimeError", "run"]

Clock = Callable[[], float]


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
    threads
        How many each may have on the processor.
    """

    backends: tuple[str, ...] = ()
    networks: tuple[str, ...] = tuple(NETWORKS)
    widths: tuple[int, ...] = (50, 200, 1000)
    batches: tuple[int, ...] = (10, 100, 1000)
    repeats: int = 5
    against: tuple[str, ...] = ()
    budget: float | None = None
    seed: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        for name in self.networks:
            if name not in NETWORKS:
                raise ArgumentError(f"There is no network {name!r} to time; there are {', '.join(NETWORKS)}.")
        for name in ("networks", "widths", "batches"):
            if not getattr(self, name):
                raise ArgumentError(f"Nothing to time: --{name} is empty. Name at least one.")
        for name, values in (
            ("width", self.widths),
            ("batch", self.batches),
            ("repeats", [self.repeats]),
            ("threads", [self.threads]),
        ):
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


class Calls(Protocol):
    """Makes calls of a `Contestant`, wherever that is."""

    def call(self, method: str, *arguments: Any) -> Any:
        """What the method gives."""

    def close(self) -> None:
        """End it."""


Competitors = list[tuple[Entrant, Calls]]


def run(
    options: Options,
    *,
    clock: Clock = time.perf_counter,
    announce: Callable[[str], None] = lambda _: None,
    start: Callable[[Entrant, int], Calls] = Process,
) -> Report:
    """Measure, until all is measured, the budget is spent, or the user interrupts.

    Parameters
    ----------
    options
        What to compare.
    clock
        Seconds, for the budget.
    announce
        Called with a line on each device, before anything is timed; and with one on each place of the grid when it is
        done, unless a bar shows that.
    start
        Makes a contestant of an entrant and the number of its threads.

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
    versions = {"python": platform.python_version(), "xpnet": xpnet.__version__, "numpy": np.__version__}
    entrants = _entrants(options, versions)
    report = Report(asdict(options), {entrant.name: entrant.device for entrant in entrants}, versions)
    for line in report.devices.values():
        announce(line)
    cases = options.cases()
    bar = tqdm(total=len(cases) * len(entrants) * options.repeats, unit="repeat", disable=None)
    with contextlib.ExitStack() as ends:
        ends.enter_context(bar)
        try:
            competitors = [(entrant, start(entrant, options.threads)) for entrant in entrants]
            for _, calls in competitors:
                ends.callback(calls.close)
            _measure_peaks(report, competitors, deadline, bar)
            for number, case in enumerate(cases, start=1):
                _measure_case(report, case, competitors, deadline, bar)
                if bar.disable:
                    announce(f"{case}: done, {number} of {len(cases)}")
        except OutOfTimeError:
            pass
        except KeyboardInterrupt:
            report.interrupted = True
    report.not_run = list(_left_out(report, cases, entrants, options.repeats))
    report.rows = [row for row in report.rows if row.error or any(of.seconds for of in row.timings.values())]
    report.seconds = clock() - deadline.begun
    return report


# --- who takes part -------------------------------------------------------------------------------------------------


def _entrants(options: Options, versions: dict[str, str]) -> list[Entrant]:
    """Those who were asked for; the versions of their libraries are added to `versions`."""
    entrants = list(
        {name: _backend_entrant(name, versions) for name in options.backends or _usable_backends()}.values()
    )
    places = sorted({entrant.place for entrant in entrants})
    for name in dict.fromkeys(options.against):
        package = check_peer(name)
        versions[name] = importlib.metadata.version(package)
        for place in ["CPU"] if name == "sklearn" else places:
            title = name if place == "CPU" else f"{name} ({place})"
            entrants.append(Entrant(title, place, f"{name} {versions[name]} on the {place}", name, is_peer=True))
    return entrants


def _usable_backends() -> list[str]:
    try:
        get_backend("cupy")
    except BackendError:
        return ["numpy"]
    return ["numpy", "cupy"]


def _backend_entrant(name: str, versions: dict[str, str]) -> Entrant:
    backend = get_backend(name)
    versions[backend.name] = str(getattr(backend.xp, "__version__", "unknown"))
    place = place_of(asarray([0.0], dtype="float32", backend=backend))
    return Entrant(backend.name, place, backend.describe(), backend.name)


# --- measuring ------------------------------------------------------------------------------------------------------


def _measure_peaks(report: Report, competitors: Competitors, deadline: Deadline, bar: "tqdm[Any]") -> None:
    """The peak of each place is the best of all backends that run there."""
    for entrant, calls in competitors:
        if entrant.is_peer:
            continue
        deadline.check()
        bar.set_description(f"{entrant.name}: peaks of its device")
        try:
            peak, best = calls.call("peak"), report.peaks.get(entrant.place)
        except FailedError:
            continue  # whatever it was, the rows will tell
        if best is not None:
            peak = Peak(
                max(peak.flops_per_second, best.flops_per_second), max(peak.bytes_per_second, best.bytes_per_second)
            )
        report.peaks[entrant.place] = peak


def _measure_case(report: Report, case: Case, competitors: Competitors, deadline: Deadline, bar: "tqdm[Any]") -> None:
    """All in turn: checked and warmed up first, then each repeat of one after the same repeat of another."""
    repeats, seed = report.options["repeats"], report.options["seed"]
    ready: list[tuple[Row, Calls]] = []
    for entrant, calls in competitors:
        deadline.check()
        bar.set_description(f"{case}: {entrant.name}")
        row = Row(entrant.name, entrant.place, case)
        report.rows.append(row)
        with _failures_told_in(row):
            row.timings, row.peak_memory = calls.call("prepare", case, seed)
            ready.append((row, calls))
    bar.update((len(competitors) - len(ready)) * repeats)
    for _ in range(repeats):
        for row, calls in ready:
            for mode, timing in row.timings.items():
                deadline.check()
                with _failures_told_in(row):
                    seconds, busy = calls.call("repeat", mode)
                    timing.seconds.append(seconds)
                    timing.busy_seconds.append(busy)
                if row.error:
                    break
            bar.update()
        ready = [(row, calls) for row, calls in ready if not row.error]


@contextlib.contextmanager
def _failures_told_in(row: Row) -> Iterator[None]:
    """What one cannot do is told in its row, and the others go on."""
    try:
        yield
    except DisagreementError as error:
        row.error = f"not timed, because it disagrees with xpnet in float64: {error}"
    except (FailedError, XpnetError) as error:
        row.error = f"cannot run: {error}"


def _left_out(report: Report, cases: list[Case], entrants: list[Entrant], repeats: int) -> Iterator[str]:
    """A line for each place of the grid that was not measured, and for each that was, but not as often as asked."""
    rows = {(row.backend, row.case): row for row in report.rows}
    for case in cases:
        missing = []
        for entrant in entrants:
            row = rows.get((entrant.name, case), Row(entrant.name, entrant.place, case))
            if not row.error and not any(timing.seconds for timing in row.timings.values()):
                missing.append(entrant.name)
                continue
            for mode, timing in row.timings.items():
                if len(timing.seconds) < repeats:
                    yield f"{case}: {entrant.name}, {mode}, {len(timing.seconds)} of {repeats} repeats"
        if missing:
            yield f"{case}: {', '.join(missing)}"
