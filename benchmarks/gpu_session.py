"""Run all checks and measurements for a GPU, and collect their output in a folder.

    python benchmarks/gpu_session.py --output output/gpu
    python benchmarks/gpu_session.py --output output/gpu tests training

Without names, all parts run in order. Each has a time limit, at which it is interrupted and reports what it has found.
Its output is also written to a file, and the outcome of all parts to session.json after each part. pytest, the
requirements of the tests, CuPy, PyTorch and JAX must be installed.
"""

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark import Verdict
from program import positive
from record import COMMIT
from taking_turns import HERE, BenchmarkError

from xpnet._core.files import check_path, write_whole

__all__ = ["PARTS", "Part", "main", "parts", "run"]

TOP = HERE.parent
SEEDS = (0, 1, 2)
ACCURACY, APART = 0.965, 0.003  # of each training at least; the means on two backends at most
PATIENCE = 20.0  # seconds from the interrupt to the end


@dataclass(frozen=True)
class Part:
    """Programs that run one after the other.

    Attributes
    ----------
    name
        Name on the command line and of its files.
    commands
        Arguments of Python.
    limit
        Seconds for all of them.
    environment
        Environment variables.
    judge
        Evaluates the written files; raises a BenchmarkError if the results are not as required.
    """

    name: str
    commands: Sequence[Sequence[str]]
    limit: float
    environment: Mapping[str, str] = field(default_factory=dict)
    judge: Callable[[], dict[str, Any]] = dict


def parts(output: Path, processes: int, first: Sequence[str] = ()) -> list[Part]:
    """All parts in order; `first` are programs to run before them."""
    # PyTorch and JAX run on the CPU as references, because they would round to TF32 on a GPU.
    oracles = {"JAX_PLATFORMS": "cpu"}
    pytest = ["-m", "pytest", "-v", "-n", str(processes), "-p", "no:cacheprovider"]
    trainings = [
        [
            *("examples/train_mnist.py", "--backend", backend, "--dataset", "mnist", "--seed", str(seed)),
            *("--output-dir", str(output / "trainings" / f"{backend}-{seed}")),
            *("--report", str(output / f"training-{backend}-{seed}.json")),
        ]
        for seed in SEEDS
        for backend in ("cupy", "numpy")
    ]
    bench = ["benchmarks/bench_peers.py", "--peers", "torch", "jax", "--budget", "420"]
    bench += [f"--{kind}={output / f'bench.{ending}'}" for kind, ending in BENCH_FILES.items()]
    results = ["--results", str(output)]
    return [
        Part("first", [[program] for program in first], 150),
        Part("tests", [pytest], 500, {"XPNET_TEST_BACKENDS": "numpy,cupy", **oracles}),
        Part("training", trainings, 180, judge=lambda: trainings_judged(output)),
        Part("parity", [["tests/support/parity_table.py", "--output", str(output / "parity.md")]], 180, oracles),
        Part("gpu", [["benchmarks/gpu.py", "--budget", "480", *results]], 540, judge=lambda: judged(output, "gpu")),
        Part("soak", [["benchmarks/soak.py", "--budget", "300", *results]], 360, judge=lambda: judged(output, "soak")),
        Part("bench", [bench], 500),
    ]


BENCH_FILES = {"json": "json", "csv": "csv", "plot": "png"}
PARTS = tuple(part.name for part in parts(Path(), 1))


def trainings_judged(output: Path) -> dict[str, Any]:
    """Check that each accuracy is high enough, and that the means of the backends agree."""
    reports = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(output.glob("training-*.json"))]
    by_backend = {name: [of["test_accuracy"] for of in reports if of["backend"] == name] for name in ("cupy", "numpy")}
    found = {"accuracies": by_backend, "devices": sorted({of["device"] for of in reports})}
    if any(len(accuracies) != len(SEEDS) for accuracies in by_backend.values()):
        raise BenchmarkError(f"There are not {len(SEEDS)} reports of each backend: {found}")
    if min(by_backend["cupy"]) < ACCURACY:
        raise BenchmarkError(f"An accuracy on CuPy is below {ACCURACY}: {found}")
    apart = abs(statistics.fmean(by_backend["cupy"]) - statistics.fmean(by_backend["numpy"]))
    if apart > APART:
        raise BenchmarkError(f"The means on CuPy and NumPy are {apart:.4f} apart, more than {APART}: {found}")
    return found | {"means_apart": apart}


def judged(output: Path, name: str) -> dict[str, Any]:
    """The missed targets of a benchmark, which must have measured everything."""
    (path,) = output.glob(f"{name}-*.json")
    record = json.loads(path.read_text(encoding="utf-8"))
    if record["errors"] or record["unmeasured"]:
        raise BenchmarkError(f"Not measured: {record['errors']}, and {record['unmeasured']} for lack of time")
    verdicts = [Verdict(**of) for of in record["verdicts"]]
    return {"not met": {verdict.what: verdict.figure for verdict in verdicts if verdict.met is False}}


def run(part: Part, output: Path) -> dict[str, Any]:
    """Run the programs of a part, print their output and write it to a file; returns the outcome."""
    begun, ended = time.monotonic(), []
    # A program started in the background ignores interrupts, and so would its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    environment = os.environ | dict(part.environment)
    environment |= {"PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join((str(TOP), *_python_path()))}
    with open(output / f"{part.name}.txt", "w", encoding="utf-8") as log:
        for command in part.commands:
            left = part.limit - (time.monotonic() - begun)
            ended.append(_run([sys.executable, *command], left, environment, log))
    said: dict[str, Any] = {"seconds": round(time.monotonic() - begun, 1), "ended": ended}
    try:
        said["found"] = part.judge()
    except (BenchmarkError, OSError, ValueError) as error:
        said["found"] = f"{type(error).__name__}: {error}"
    said["well"] = ended == ["well"] * len(part.commands) and not isinstance(said["found"], str)
    return said


def _python_path() -> list[str]:
    return [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]


def _run(command: Sequence[str], limit: float, environment: Mapping[str, str], log: Any) -> str:
    """Run a command; returns ``well``, its status, or that it was interrupted."""
    print(f"\n$ {' '.join(command)}", file=log, flush=True)
    if limit <= 0:
        return "not begun: no time was left"
    with subprocess.Popen(
        command, cwd=TOP, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", start_new_session=True,
    ) as process:  # fmt: skip
        interrupt = threading.Timer(limit, _signal, (process, signal.SIGINT))
        kill = threading.Timer(limit + PATIENCE, _signal, (process, signal.SIGKILL))
        for timer in (interrupt, kill):
            timer.start()
        try:
            for line in process.stdout or ():
                for file in (sys.stdout, log):
                    file.write(line)
                    file.flush()
            status = process.wait()
        finally:
            late = interrupt.finished.is_set()
            for timer in (interrupt, kill):
                timer.cancel()
            _signal(process, signal.SIGKILL)
    if late:
        return f"interrupted after {limit:.0f} s"
    return "well" if status == 0 else f"with status {status}"


def _signal(process: "subprocess.Popen[str]", number: int) -> None:
    """Send a signal to the process and all its children."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def main() -> int:
    """Run the program and return its exit status, 1 if a part failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("parts", nargs="*", metavar="PART", help=f"of {' '.join(PARTS)} (default: all)")
    add(
        "--output",
        type=lambda text: check_path("--output", text),
        default=TOP / "output" / "gpu",
        help="folder for all files (default: %(default)s)",
    )
    add("--processes", type=positive, default=8, help="processes for the tests (default: %(default)s)")
    add("--first", action="append", default=[], metavar="PROGRAM", help="a program to run before all parts")
    add("--commit", help="which commit this is, for a copy without git's records (default: what git says)")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"there are no parts {sorted(unknown)}; there are {', '.join(PARTS)}")
    if given.commit:
        os.environ[COMMIT] = given.commit
    output = given.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    ended: dict[str, Any] = {}
    for part in parts(output, given.processes, [str(Path(program).resolve()) for program in given.first]):
        if part.name in (given.parts or PARTS) and part.commands:
            print(f"=== {part.name}, at most {part.limit:.0f} s", flush=True)
            ended[part.name] = run(part, output)
            write_whole(output / "session.json", json.dumps(ended, indent=1) + "\n")
    for name, said in ended.items():
        print(f"{name}: {'well' if said['well'] else said['ended']}, {said['seconds']} s; {said['found'] or ''}")
    return 0 if all(said["well"] for said in ended.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
