"""The report of the comparison: a table for the terminal, JSON, and CSV."""

import csv
import io
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from xpnet._core.files import write_whole
from xpnet.backend import get_backend
from xpnet.bench.work import Case, Cost

MODES = ("training", "inference")
CSV_COLUMNS = (
    "backend", "device_kind", "network", "width", "batch", "mode", "repeats", "steps_per_repeat", "median_us", "min_us",
    "max_us", "processor_share", "disturbed", "samples_per_second", "flops", "bytes", "share_of_matmul_peak",
    "share_of_bandwidth", "operations", "peak_memory_bytes", "error",
)  # fmt: skip

# On a quiet machine repeats of 30 ms differ by less than this, and a process has the processor all the time.
_MAX_SPREAD = 1.2  # median / shortest
_MIN_SHARE = 0.9  # of the elapsed time

_DISTURBED = (
    "! Disturbed: it had a processor for less than 90 % of the time, or its median is more than 1.2 times its shortest "
    "repeat.\n  Another program is running; the shortest repeat (min) is the best estimate."
)


@dataclass
class Timing:
    """The repeats of one measurement.

    Examples
    --------
    >>> timing = Timing(100, Cost(2_000_000, 8000), None, steps=10, seconds=[0.002, 0.001, 0.004])
    >>> timing.median_us, timing.min_us, timing.max_us, timing.samples_per_second
    (200.0, 100.0, 400.0, 500000.0)
    """

    batch: int  # samples per step
    cost: Cost  # of a step, computed from the shapes
    operations: int | None  # array operations per step; None for other libraries
    steps: int = 1  # per repeat
    seconds: list[float] = field(default_factory=list)  # of each repeat
    busy_seconds: list[float | None] = field(default_factory=list)  # processor time of all threads; None on a GPU

    @property
    def processor_share(self) -> float | None:
        """Processor time / elapsed time, up to 1 per thread; None on a GPU."""
        known = [busy for busy in self.busy_seconds if busy is not None]
        return sum(known) / sum(self.seconds) if known else None

    @property
    def disturbed(self) -> bool:
        """Whether another program slowed it down: it waited for a processor, or its repeats differ.

        Examples
        --------
        >>> Timing(1, Cost(1, 1), None, seconds=[1.0, 1.1, 1.9], busy_seconds=[1.0, 1.1, 1.8]).disturbed
        False
        >>> Timing(1, Cost(1, 1), None, seconds=[1.0, 1.1, 1.9], busy_seconds=[0.5, 0.6, 0.9]).disturbed
        True
        >>> Timing(1, Cost(1, 1), None, seconds=[1.0, 1.5, 1.6], busy_seconds=[1.0, 1.5, 1.6]).disturbed
        True
        """
        share = self.processor_share
        return self.median_us > _MAX_SPREAD * self.min_us or (share is not None and share < _MIN_SHARE)

    @property
    def median_us(self) -> float:
        """Microseconds per step."""
        return statistics.median(self.seconds) / self.steps * 1e6

    @property
    def min_us(self) -> float:
        """Microseconds per step of the fastest repeat."""
        return min(self.seconds) / self.steps * 1e6

    @property
    def max_us(self) -> float:
        """Microseconds per step of the slowest repeat."""
        return max(self.seconds) / self.steps * 1e6

    @property
    def samples_per_second(self) -> float:
        """Throughput of the median repeat."""
        return self.batch / self.median_us * 1e6


@dataclass
class Peak:
    """Measured peak of a device: operations per second in a matrix product, bytes per second in a copy."""

    flops_per_second: float
    bytes_per_second: float


@dataclass
class Row:
    """A candidate in a case: `timings` by mode and `peak_memory` in bytes, or an `error`."""

    backend: str
    device_kind: str
    case: Case
    timings: dict[str, Timing] = field(default_factory=dict)
    peak_memory: int | None = None
    error: str = ""


@dataclass
class Report:
    """Everything that was measured, and on what."""

    options: dict[str, Any]
    devices: dict[str, str]  # a description of the device of each candidate
    versions: dict[str, str]
    peaks: dict[str, Peak] = field(default_factory=dict)  # by device kind
    rows: list[Row] = field(default_factory=list)
    not_run: list[str] = field(default_factory=list)  # a line for each case that a budget or an interrupt left out
    interrupted: bool = False
    seconds: float = 0.0  # in total

    def shares(self, row: Row, timing: Timing) -> tuple[float | None, float | None]:
        """Fractions of the device's measured matmul peak and bandwidth; None if not measured."""
        peak = self.peaks.get(row.device_kind)
        if peak is None:
            return None, None
        a_second = 1e6 / timing.median_us
        return (
            timing.cost.flops * a_second / peak.flops_per_second,
            timing.cost.bytes * a_second / peak.bytes_per_second,
        )

    def records(self) -> list[dict[str, Any]]:
        """A record for each row and mode, with the keys `CSV_COLUMNS`; None for missing values."""
        records = []
        for row in self.rows:
            case = row.case
            same = {"backend": row.backend, "device_kind": row.device_kind} | asdict(case)
            same |= {"peak_memory_bytes": row.peak_memory, "error": row.error or None}
            for mode, timing in row.timings.items():
                measured: dict[str, Any] = {"mode": mode, "repeats": len(timing.seconds), **asdict(timing.cost)}
                measured |= {"steps_per_repeat": timing.steps, "operations": timing.operations}
                if timing.seconds:
                    shares = self.shares(row, timing)
                    measured |= dict(zip(("share_of_matmul_peak", "share_of_bandwidth"), shares, strict=True))
                    of_times = ("median_us", "min_us", "max_us", "samples_per_second", "processor_share", "disturbed")
                    measured |= {name: getattr(timing, name) for name in of_times}
                records.append(dict.fromkeys(CSV_COLUMNS) | same | measured)
            if not row.timings:
                records.append(dict.fromkeys(CSV_COLUMNS) | same)
        return records

    def table(self) -> str:
        """The table for the terminal; shares and operations are those of training if there is any."""
        from tabulate import tabulate

        headers = (
            "backend", "network", "width", "batch", "training\nus a step (min-max)", "\nsamples/s",
            "inference\nus a batch (min-max)", "\nsamples/s", "% matmul\npeak", "% band-\nwidth",
            "operations\na step", "peak\nMB",
        )  # fmt: skip
        lines, errors = [], []
        for row in self.rows:
            case = row.case
            if row.error:
                errors.append(f"{row.backend}, {case}: {row.error}")
            measured = {mode: timing for mode, timing in row.timings.items() if timing.seconds}
            times = [cell for mode in MODES for cell in _cells(measured.get(mode))]
            first = next(iter(measured.values()), None)
            shares = self.shares(row, first) if first else (None, None)
            percent = [_or_dash(share and 100 * share, ".1f") for share in shares]
            ends = (_or_dash(first and first.operations), _or_dash(row.peak_memory and row.peak_memory / 1e6, ".1f"))
            cells = (["error", *["-"] * 3] if row.error else times) + percent + [*ends]
            lines.append((row.backend, case.network, case.width, case.batch, *cells))
        align = ("left", "left", *["right"] * 10)
        parts = [tabulate(lines, headers, colalign=align, disable_numparse=True)] if lines else []
        for title, notes in (("Errors:", errors), ("Not run:", self.not_run)):
            if notes:
                parts.append("\n  ".join((title, *notes)))
        return "\n\n".join(parts)

    def closing_lines(self) -> str:
        """The peaks that the shares refer to, notes on reading the table, and the duration."""
        peaks = [
            f"{kind}: {peak.flops_per_second / 1e9:,.1f} GFLOP/s in a matrix product, "
            f"{peak.bytes_per_second / 1e9:,.1f} GB/s in a copy (float32)"
            for kind, peak in self.peaks.items()
        ]
        ended = "interrupted after" if self.interrupted else "measured in"
        memory = (
            "Peak MB: increase of the peak memory of the process, or of the pool on a GPU; reused memory is not seen."
        )
        threads = self.options.get("threads", 1)
        alone = (
            f"Each had a process of its own, with {threads} thread{'s' * (threads > 1)} on the processor (--threads)."
        )
        disturbed = any(of.seconds and of.disturbed for row in self.rows for of in row.timings.values())
        marks = [_DISTURBED] if disturbed else []
        return "\n".join([*peaks, memory, alone, *marks, f"{ended.capitalize()} {self.seconds:.1f} s"])

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write everything, including each repeat, as one JSON object."""
        repeats = [s for row in self.rows for s in ([timing.seconds for timing in row.timings.values()] or [[]])]
        rows = [{**record, "seconds": s} for record, s in zip(self.records(), repeats, strict=True)]
        content: dict[str, Any] = {
            "command": shlex.join(["python", *sys.argv]),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        content |= {"commit": commit(), "machine": machine(), **asdict(self), "rows": rows}
        write_whole(path, json.dumps(content, indent=1, allow_nan=False) + "\n")

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write a line for each row and mode, with the columns `CSV_COLUMNS`."""
        text = io.StringIO()
        table = csv.DictWriter(text, CSV_COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(self.records())
        write_whole(path, text.getvalue())


def _or_dash(value: Any, form: str = "") -> str:
    return "-" if value is None else format(value, form)


def _cells(timing: Timing | None) -> tuple[str, str]:
    if timing is None:
        return "-", "-"
    median, low, high = (
        f"{us:,.0f}" if us >= 100 else f"{us:.1f}" for us in (timing.median_us, timing.min_us, timing.max_us)
    )
    mark = " !" if timing.disturbed else ""
    return f"{median} ({low}-{high}){mark}", f"{timing.samples_per_second:,.0f}"


# --- the machine ---------------------------------------------------------------------------------------------------


def machine() -> dict[str, Any]:
    """Describe the processor, its cores, the system, and the loaded thread libraries with their numbers of threads."""
    from threadpoolctl import threadpool_info

    libraries = [f"{of['internal_api']} {of['version']}, threads: {of['num_threads']}" for of in threadpool_info()]
    processor = get_backend("numpy").describe_device().rpartition(", ")[0]  # without the number of cores
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "system": _operating_system(),
        "thread_libraries": libraries,
    }


def commit(folder: Path = Path(__file__).parent, paths: Sequence[str] = (".",)) -> dict[str, Any] | None:
    """The commit of a repository, and whether `paths` in it were changed since; None if git does not know them."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "--", *paths)  # else it is another repository
        return {"id": git("rev-parse", "--short", "HEAD"), "dirty": bool(git("status", "--porcelain", "--", *paths))}
    except (OSError, subprocess.CalledProcessError):
        return None


def _operating_system() -> str:
    """Its full name if known (``Debian GNU/Linux 12 (bookworm), x86_64``)."""
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        name = f"{platform.system()} {platform.release()}"
    return f"{name}, {platform.machine()}"
