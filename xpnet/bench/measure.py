"""Time training and inference of each backend over a grid of networks, widths and batches.

Each candidate has a process of its own and the same number of threads. After an untimed pass they take turns.
"""

import contextlib
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

import xpnet
from xpnet._core.checks import check_count, check_positive
from xpnet.backend import asarray, get_backend
from xpnet.bench.candidate import Candidate, DisagreementError
from xpnet.bench.process import FailedError, Process
from xpnet.bench.report import Peak, Report, Row
from xpnet.bench.work import NETWORKS, Case, XpnetWorker, device_kind
from xpnet.errors import ArgumentError, XpnetError

if TYPE_CHECKING:
    from tqdm import tqdm

Clock = Callable[[], float]


@dataclass(frozen=True)
class Options:
    """What to compare. Invalid options raise an ArgumentError."""

    backends: tuple[str, ...] = ()  # for `get_backend`; by default numpy, and cupy if a device answers
    networks: tuple[str, ...] = tuple(NETWORKS)
    widths: tuple[int, ...] = (50, 200, 1000)  # units in each hidden layer
    batches: tuple[int, ...] = (10, 100, 1000)  # samples per step
    repeats: int = 5  # timings of each
    budget: float | None = None  # seconds after which no further repeat starts
    seed: int = 0  # of the images, their order and the first weights
    threads: int = 1  # processor threads of each candidate

    def __post_init__(self) -> None:
        for name in self.networks:
            if name not in NETWORKS:
                raise ArgumentError(f"There is no network {name!r} to time; there are {', '.join(NETWORKS)}.")
        for name in ("networks", "widths", "batches"):
            if not getattr(self, name):
                raise ArgumentError(f"Nothing to time: --{name} is empty. Name at least one.")
        counts = {"width": self.widths, "batch": self.batches, "repeats": [self.repeats], "threads": [self.threads]}
        for name, values in counts.items():
            for value in values:
                check_count(name, value)
        if self.budget is not None:
            check_positive("budget", self.budget)
        if self.seed < 0:
            raise ArgumentError(f"seed must be a whole number of at least 0, got {self.seed}.")

    def cases(self) -> list[Case]:
        """The grid, without duplicates."""
        return [Case(*of) for of in dict.fromkeys(product(self.networks, self.widths, self.batches))]


class OutOfTimeError(Exception):
    """The budget is spent."""


Started = list[tuple[Candidate, Any]]  # candidates and their processes


def run(
    options: Options,
    *,
    rivals: Callable[[str], Iterable[Candidate]] = lambda _: (),
    clock: Clock = time.perf_counter,
    announce: Callable[[str], None] = lambda _: None,
    start: Callable[[Candidate, int], Any] = Process,
) -> Report:
    """Measure until everything is measured, the budget is spent, or the user interrupts.

    Raises a BackendError if a backend is not available. `rivals` returns more candidates to time on a device kind of
    the backends (``"CPU"``, ``"GPU"``), `clock` the seconds for the budget. `announce` is called with a line for each
    device, and for each finished case unless a progress bar is shown. `start` starts a candidate with a number of
    threads.

    Examples
    --------
    >>> report = run(Options(("numpy",), ("TwoLayerNet",), (5,), (2,), repeats=1))
    >>> [(row.backend, row.case.width, sorted(row.timings)) for row in report.rows]
    [('numpy', 5, ['inference', 'training'])]
    """
    from tqdm.auto import tqdm

    begun = clock()

    def check_time() -> None:
        if options.budget is not None and clock() - begun >= options.budget:
            raise OutOfTimeError

    names = dict.fromkeys(options.backends or ("numpy", get_backend("auto").name))
    candidates = list({of.name: of for of in map(_backend_candidate, names)}.values())
    candidates += [rival for kind in sorted({of.device_kind for of in candidates}) for rival in rivals(kind)]
    versions = {"python": platform.python_version(), "xpnet": xpnet.__version__, "numpy": np.__version__}
    versions |= {candidate.library: candidate.version for candidate in candidates}
    report = Report(asdict(options), {candidate.name: candidate.device for candidate in candidates}, versions)
    for line in report.devices.values():
        announce(line)
    cases = options.cases()
    bar = tqdm(total=len(cases) * len(candidates) * options.repeats, unit="repeat", disable=None)
    with contextlib.ExitStack() as ends:
        ends.enter_context(bar)
        try:
            started = [(candidate, start(candidate, options.threads)) for candidate in candidates]
            for _, calls in started:
                ends.callback(calls.close)
            _measure_peaks(report, started, check_time, bar)
            for number, case in enumerate(cases, start=1):
                _measure_case(report, case, started, check_time, bar)
                if bar.disable:
                    announce(f"{case}: done, {number} of {len(cases)}")
        except OutOfTimeError:
            pass
        except KeyboardInterrupt:
            report.interrupted = True
    report.not_run = list(_left_out(report, cases, candidates, options.repeats))
    report.rows = [row for row in report.rows if row.error or any(of.seconds for of in row.timings.values())]
    report.seconds = clock() - begun
    return report


def _backend_candidate(name: str) -> Candidate:
    backend = get_backend(name)
    version = str(getattr(backend.xp, "__version__", "unknown"))
    kind = device_kind(asarray([0.0], dtype="float32", backend=backend))
    make = partial(XpnetWorker, backend=backend.name)
    return Candidate(backend.name, kind, backend.describe(), backend.name, version, make)


# --- measuring ------------------------------------------------------------------------------------------------------


def _measure_peaks(report: Report, started: Started, check_time: Callable[[], None], bar: "tqdm[Any]") -> None:
    """Measure the peak of each device kind: the best of all backends that run there."""
    for candidate, calls in started:
        if not candidate.is_backend:
            continue
        check_time()
        bar.set_description(f"{candidate.name}: peak of its device")
        try:
            peak, best = calls.call("peak"), report.peaks.get(candidate.device_kind)
        except FailedError:
            continue  # its rows will say why
        if best is not None:
            peak = Peak(
                max(peak.flops_per_second, best.flops_per_second), max(peak.bytes_per_second, best.bytes_per_second)
            )
        report.peaks[candidate.device_kind] = peak


def _measure_case(
    report: Report, case: Case, started: Started, check_time: Callable[[], None], bar: "tqdm[Any]"
) -> None:
    """Check and warm up every candidate, then time repeat by repeat, in turn."""
    repeats, seed = report.options["repeats"], report.options["seed"]
    ready: list[tuple[Row, Any]] = []
    for candidate, calls in started:
        check_time()
        bar.set_description(f"{case}: {candidate.name}")
        row = Row(candidate.name, candidate.device_kind, case)
        report.rows.append(row)
        with _errors_kept_in(row):
            row.timings, row.peak_memory = calls.call("prepare", case, seed)
            ready.append((row, calls))
    bar.update((len(started) - len(ready)) * repeats)
    for _ in range(repeats):
        for row, calls in ready:
            for mode, timing in row.timings.items():
                check_time()
                with _errors_kept_in(row):
                    seconds, busy = calls.call("repeat", mode)
                    timing.seconds.append(seconds)
                    timing.busy_seconds.append(busy)
                if row.error:
                    break
            bar.update()
        ready = [(row, calls) for row, calls in ready if not row.error]


@contextlib.contextmanager
def _errors_kept_in(row: Row) -> Iterator[None]:
    """Store an error of one candidate in its row, so that the others continue."""
    try:
        yield
    except DisagreementError as error:
        row.error = f"not timed, because it disagrees with xpnet in float64: {error}"
    except (FailedError, XpnetError) as error:
        row.error = f"cannot run: {error}"


def _left_out(report: Report, cases: list[Case], candidates: list[Candidate], repeats: int) -> Iterator[str]:
    """A line for each case that was not measured, and for each measured fewer times than asked."""
    rows = {(row.backend, row.case): row for row in report.rows}
    for case in cases:
        missing = []
        for candidate in candidates:
            row = rows.get((candidate.name, case), Row(candidate.name, candidate.device_kind, case))
            if not row.error and not any(timing.seconds for timing in row.timings.values()):
                missing.append(candidate.name)
                continue
            for mode, timing in row.timings.items():
                if len(timing.seconds) < repeats:
                    yield f"{case}: {candidate.name}, {mode}, {len(timing.seconds)} of {repeats} repeats"
        if missing:
            yield f"{case}: {', '.join(missing)}"
