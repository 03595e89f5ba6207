"""The record of a benchmark's runs: its file of results, and its table for the terminal."""

import json
import os
import platform
import re
import shlex
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmark import Benchmark, Options, Verdict
from taking_turns import HERE, Entrant, Run, Runs, figures

from xpnet._core.files import write_whole
from xpnet.bench.report import commit
from xpnet.bench.report import machine as this_machine

__all__ = ["COMMIT", "record_of", "summary_of", "table_of", "write_record"]

COMMIT = "XPNET_COMMIT"
"""Environment variable with the commit, for copies without git."""

_SAME = ("job", "batch", "steps", "device")  # of all runs of an entrant


def record_of(benchmark: Benchmark, options: Options, entrants: Sequence[Entrant], runs: Runs) -> dict[str, Any]:
    """The content of the file of results."""
    of_machine = this_machine()
    versions = {"python": platform.python_version()}
    for run in (run for taken in runs.values() for run in taken):
        versions |= run.get("versions", {})
    return {
        "benchmark": benchmark.name,
        "what": benchmark.what,
        "quick": options.quick,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "commit": commit(HERE.parent, ("xpnet", "benchmarks/*.py")) or _commit_said(),
        "machine": {name: of_machine[name] for name in ("processor", "cores", "system")},
        "versions": versions,
        "runs": {entrant.name: summary_of(entrant, runs[entrant.name]) for entrant in entrants if runs[entrant.name]},
        "verdicts": [asdict(verdict) for verdict in benchmark.verdicts(runs)],
    }


def _commit_said() -> dict[str, Any] | None:
    return {"id": os.environ[COMMIT], "dirty": None} if COMMIT in os.environ else None


def summary_of(entrant: Entrant, taken: Sequence[Run]) -> dict[str, Any]:
    """Summarize the runs of an entrant: times, steps and samples per second by the median, and all other values."""
    first, summary = taken[0], {"environment": dict(entrant.environment)}
    summary |= {name: first[name] for name in _SAME if name in first}
    if "seconds" in first:
        summary |= figures([run["seconds"] for run in taken])
    if "seconds" in first and "steps" in first:
        a_step = summary["median_seconds"] / first["steps"]
        summary |= {"us_per_step": a_step * 1e6, "samples_per_second": first["batch"] / a_step}
    of_each = first.keys() - {*_SAME, "seconds", "losses", "versions"}
    return summary | {name: [run[name] for run in taken] for name in sorted(of_each)}


def write_record(record: Mapping[str, Any], folder: Path) -> Path:
    """Write the file of a benchmark on a processor or GPU, replacing an earlier one."""
    machine = record["machine"]
    processor, cores = machine.get("gpu", machine["processor"]), machine["cores"]
    slug = re.sub(r"[^a-z0-9]+", "-", re.sub(r"\((r|tm)\)", "", processor.lower())).strip("-")
    return write_whole(
        folder / f"{record['benchmark']}-{slug}-{cores}cores.json", json.dumps(record, indent=1) + "\n"
    )  # fmt: skip


# --- printing -------------------------------------------------------------------------------------------------------


def table_of(record: Mapping[str, Any]) -> str:
    """The table of times and the verdicts, for the terminal."""
    from tabulate import tabulate

    columns = ("min_seconds", "median_seconds", "max_seconds", "us_per_step", "samples_per_second", "test_accuracy")
    headers = ("", "min s", "median s", "max s", "us a step", "samples a second", "test accuracy")
    rows = []
    for name, of in record["runs"].items():
        accuracy = of.get("test_accuracy")
        rows.append([name, *(of.get(column) for column in columns[:-1]), accuracy and statistics.median(accuracy)])
    lines = [
        f"{record['benchmark']}: {record['what']}",
        f"{record['machine']['processor']}, {record['machine']['cores']} cores"
        + (" - quick, so the times say nothing" if record["quick"] else ""),
        "",
        tabulate(rows, headers, floatfmt=("", ".3f", ".3f", ".3f", ".1f", ",.0f", ".4f")),
        "",
        *_verdict_lines(Verdict(**verdict) for verdict in record["verdicts"]),
    ]
    return "\n".join(lines)


def _verdict_lines(verdicts: Iterator[Verdict]) -> Iterator[str]:
    for verdict in verdicts:
        target = (
            "" if verdict.at_most is None else f" (at most {verdict.at_most:g}: {'met' if verdict.met else 'NOT MET'})"
        )
        by_round = " ".join(f"{figure:.2f}" for figure in verdict.by_round)
        yield f"{verdict.what}: {verdict.figure:.2f}{verdict.unit and ' ' + verdict.unit}{target}; by round {by_round}"
