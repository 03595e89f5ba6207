"""All that is to be seen on a GPU, in order, where one can be had for a while: what it prints and finds, in a folder.

    python benchmarks/gpu_session.py --output output/gpu
    python benchmarks/gpu_session.py --output output/gpu tests training

Without names all parts, one after the other; each has a limit of time of its own, so that it can be begun where little
time is left, and is interrupted at that, so that it still says what it has found. What is printed goes to a file of
the part's as well, and how each ended to session.json, anew after each. Nothing is installed: pytest and whatever the
tests need must be there, as must CuPy, PyTorch and JAX. It has not yet been run on a GPU.
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
    """Some programs, one after the other.

    Attributes
    ----------
    name
        As it is asked for, and of its files.
    commands
        Arguments of Python's.
    limit
        Seconds for all of them.
    environment
        What is set for them.
    judge
        Looks at the files that they wrote: what was found, and a BenchmarkError where it is not as it must be.
    """

    name: str
    commands: Sequence[Sequence[str]]
    limit: float
    environment: Mapping[str, str] = field(default_factory=dict)
    judge: Callable[[], dict[str, Any]] = dict


def parts(output: Path, processes: int, first: Sequence[str] = ()) -> list[Part]:
    """All of them, in order; `first` are programs to be run before all else."""
    # The oracles, PyTorch and JAX, are asked on the processor: on a GPU they would round as TF32 does.
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
    """The accuracies of the trainings, whether each is high enough, and whether the backends agree in the mean."""
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
    """The figures of a benchmark that are not as they shall be; it must have measured everything."""
    (path,) = output.glob(f"{name}-*.json")
    record = json.loads(path.read_text(encoding="utf-8"))
    if record["errors"] or record["unmeasured"]:
        raise BenchmarkError(f"Not measured: {record['errors']}, and {record['unmeasured']} for want of time")
    verdicts = [Verdict(**of) for of in record["verdicts"]]
    return {"not met": {verdict.what: verdict.figure for verdict in verdicts if verdict.met is False}}


def run(part: Part, output: Path) -> dict[str, Any]:
    """Run its programs, showing what they print and writing it to a file; says how that ended."""
    begun, ended = time.monotonic(), []
    # What is started in the background ignores interrupts, and so would all that it starts.
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
    """How it ended: ``well``, with a status, or interrupted at its limit."""
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
    """To all that it began, too."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def main() -> int:
    """The program; gives the exit status, 1 where something did not end well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("parts", nargs="*", metavar="PART", help=f"of {' '.join(PARTS)} (default: all)")
    add(
        "--output",
        type=lambda text: check_path("--output", text),
        default=TOP / "output" / "gpu",
        help="folder for all files (default: %(default)s)",
    )
    add("--processes", type=positive, default=8, help="that the tests are shared out to (default: %(default)s)")
    add("--first", action="append", default=[], metavar="PROGRAM", help="a program of one's own to run before all else")
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
