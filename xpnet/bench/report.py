"""What the comparison of devices tells: a table for the terminal, JSON, and CSV."""

import csv
import io
import json
import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from xpnet._core.files import write_whole
from xpnet.backend import get_backend
from xpnet.bench.work import Case, Cost

__all__ = ["CSV_COLUMNS", "MODES", "Peak", "Report", "Row", "Timing"]

MODES = ("training", "inference")
CSV_COLUMNS = (
    "backend", "place", "network", "width", "batch", "mode", "repeats", "steps_per_repeat", "median_us", "min_us",
    "max_us", "processor_share", "disturbed", "samples_per_second", "flops", "bytes", "share_of_matmul_peak",
    "share_of_bandwidth", "operations", "peak_memory_bytes", "error",
)  # fmt: skip

# On a quiet machine repeats of 30 ms differ by less than this, and a process has the processor all the time.
_MAX_SPREAD = 1.2  # the median, of the shortest
_MIN_SHARE = 0.9  # of the time that passes

_DISTURBED = (
    "! Disturbed: it had a processor for less than 90 % of the time, or its median is more than 1.2 times its shortest "
    "repeat.\n  Something else is running here; the shortest repeat (min) is nearest to the truth."
)


@dataclass
class Timing:
    """Repeats of one thing.

    Attributes
    ----------
    batch
        Samples a step.
    cost
        Of a step, counted from the shapes.
    operations
        Array operations a step, by xpnet's own count; None for a peer.
    steps
        How many steps each repeat makes.
    seconds
        How long each repeat took.
    busy_seconds
        For how much of it the process had a processor, all its threads together; None on a GPU.

    Examples
    --------
    >>> timing = Timing(100, Cost(2_000_000, 8000), None, steps=10, seconds=[0.002, 0.001, 0.004])
    >>> timing.median_us, timing.min_us, timing.max_us, timing.samples_per_second
    (200.0, 100.0, 400.0, 500000.0)
    """

    batch: int
    cost: Cost
    operations: int | None
    steps: int = 1
    seconds: list[float] = field(default_factory=list)
    busy_seconds: list[float | None] = field(default_factory=list)

    @property
    def processor_share(self) -> float | None:
        """For how much of the time the process had a processor, 1 for each thread that did; None on a GPU."""
        known = [busy for busy in self.busy_seconds if busy is not None]
        return sum(known) / sum(self.seconds) if known else None

    @property
    def disturbed(self) -> bool:
        """Whether something else on the machine slowed it down: it had to wait, or repeats differ much.

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
        """Microseconds a step."""
        return statistics.median(self.seconds) / self.steps * 1e6

    @property
    def min_us(self) -> float:
        """Of the fastest repeat."""
        return min(self.seconds) / self.steps * 1e6

    @property
    def max_us(self) -> float:
        """Of the slowest repeat."""
        return max(self.seconds) / self.steps * 1e6

    @property
    def samples_per_second(self) -> float:
        """By the median."""
        return self.batch / self.median_us * 1e6


@dataclass
class Peak:
    """The most a device was measured to do: operations a second in a matrix product, bytes a second in a copy."""

    flops_per_second: float
    bytes_per_second: float


@dataclass
class Row:
    """A backend or peer in a place of the grid; `timings` by mode, `peak_memory` in bytes, or why there is nothing."""

    backend: str
    place: str
    case: Case
    timings: dict[str, Timing] = field(default_factory=dict)
    peak_memory: int | None = None
    error: str = ""


@dataclass
class Report:
    """All that was measured, and on what.

    Attributes
    ----------
    options
        As they were asked for.
    devices
        What each backend and peer runs on, in a line.
    peaks
        By place, ``"CPU"`` or ``"GPU"``.
    rows
        In the order in which they were measured.
    not_run
        What a budget or an interrupt left out, a line each.
    seconds
        How long all took.
    """

    options: dict[str, Any]
    devices: dict[str, str]
    versions: dict[str, str]
    peaks: dict[str, Peak] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    not_run: list[str] = field(default_factory=list)
    interrupted: bool = False
    seconds: float = 0.0

    def shares(self, row: Row, timing: Timing) -> tuple[float | None, float | None]:
        """Of the device's measured matmul peak and bandwidth, by the median; None where they were not measured."""
        peak = self.peaks.get(row.place)
        if peak is None:
            return None, None
        a_second = 1e6 / timing.median_us
        return (
            timing.cost.flops * a_second / peak.flops_per_second,
            timing.cost.bytes * a_second / peak.bytes_per_second,
        )

    def records(self) -> list[dict[str, Any]]:
        """One for each row and mode, with `CSV_COLUMNS` for keys; None for what there is not."""
        records = []
        for row in self.rows:
            case = row.case
            same = {"backend": row.backend, "place": row.place} | asdict(case)
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
        """For the terminal: a line for each row; shares and operations are those of training where there is any."""
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
        """The peaks that the shares are shares of, what to beware of, and how long all took."""
        peaks = [
            f"{place}: {peak.flops_per_second / 1e9:,.1f} GFLOP/s in a matrix product, "
            f"{peak.bytes_per_second / 1e9:,.1f} GB/s in a copy (float32)"
            for place, peak in self.peaks.items()
        ]
        ended = "interrupted after" if self.interrupted else "measured in"
        memory = "Peak MB: how far the peak of the process rose, or on a GPU the pool; memory used again is not seen."
        threads = self.options.get("threads", 1)
        alone = (
            f"Each had a process of its own, with {threads} thread{'s' * (threads > 1)} on the processor (--threads)."
        )
        disturbed = any(of.seconds and of.disturbed for row in self.rows for of in row.timings.values())
        marks = [_DISTURBED] if disturbed else []
        return "\n".join([*peaks, memory, alone, *marks, f"{ended.capitalize()} {self.seconds:.1f} s"])

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write everything, each repeat too, as one JSON object."""
        repeats = [s for row in self.rows for s in ([timing.seconds for timing in row.timings.values()] or [[]])]
        rows = [{**record, "seconds": s} for record, s in zip(self.records(), repeats, strict=True)]
        content: dict[str, Any] = {
            "what": "python -m xpnet bench",
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        content |= {"commit": commit(), "machine": machine(), **asdict(self), "rows": rows}
        write_whole(path, json.dumps(content, indent=1, allow_nan=False) + "\n")

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write one line for each row and mode, under `CSV_COLUMNS`."""
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


# --- where it was measured ------------------------------------------------------------------------------------------


def machine() -> dict[str, Any]:
    """The processor, its cores, the system, and the libraries of threads that are loaded, with how many each uses."""
    from threadpoolctl import threadpool_info

    libraries = [f"{of['internal_api']} {of['version']}, threads: {of['num_threads']}" for of in threadpool_info()]
    processor = get_backend("numpy").describe_device().rpartition(", ")[0]  # its last part counts the cores
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "system": _operating_system(),
        "thread_libraries": libraries,
    }


def commit(folder: Path = Path(__file__).parent, paths: Sequence[str] = (".",)) -> dict[str, Any] | None:
    """Which version was measured, and whether it had been changed since; None where git does not have it.

    Parameters
    ----------
    folder
        Of a repository.
    paths
        What was measured, in that folder.
    """

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "--", *paths)  # else the repository is someone else's
        return {"id": git("rev-parse", "--short", "HEAD"), "dirty": bool(git("status", "--porcelain", "--", *paths))}
    except (OSError, subprocess.CalledProcessError):
        return None


def _operating_system() -> str:
    """As its users call it, where it says so (``Debian GNU/Linux 12 (bookworm), x86_64``)."""
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        name = f"{platform.system()} {platform.release()}"
    return f"{name}, {platform.machine()}"
