"""A training step of the book's SimpleConvNet on MNIST: xpnet, PyTorch eager, and the book's im2col.

    python benchmarks/convolution.py

Measures the time and the memory of the whole process. All have the same images as float32, the same first weights and
minibatches, SGD, and two threads.
"""

import atexit
import functools
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

from benchmark import RIVALS, Benchmark, Options, Verdict, compared
from convolution_peers import ConvolutionJob, command
from program import options_of, parser_of, positive, reported, run_all
from taking_turns import Entrant, Runs, ratio

OF_TORCH = 1.0
OF_BOOK_PERCENT = 12.5  # of its time
OF_BOOK_MEMORY = 0.75
KINDS = {"as it comes": "auto", "plain": False}  # the default of the Trainer; never captured
OURS = {kind: f"xpnet {kind}" for kind in KINDS}
TORCH, BOOK = RIVALS["torch"], "the book's im2col"
TWO_THREADS = {"OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}


def entrants(options: Options, steps: int | None = None) -> list[Entrant]:
    job = job_of(options, steps)
    commands = {OURS[kind]: command("xpnet", job, capture=capture) for kind, capture in KINDS.items()}
    if "torch" in options.peers:
        commands[TORCH] = command("torch", job)
    commands[BOOK] = command("book", job)
    return [Entrant(name, doing, TWO_THREADS, group="all") for name, doing in commands.items()]


def job_of(options: Options, steps: int | None = None) -> ConvolutionJob:
    """The job; on the digits of the package if quick."""
    job = ConvolutionJob("", seed=options.seed)
    if options.quick:
        job = replace(job, dataset="digits", images=400, batch=20, steps=30)
    job = replace(job, steps=steps or job.steps)
    return replace(job, file=str(_folder() / f"{job.dataset}-{job.steps}-{job.seed}.npz"))


@functools.cache
def _folder() -> Path:
    """A folder that is removed when the program ends."""
    folder = tempfile.TemporaryDirectory(prefix="xpnet-benchmark-")
    atexit.register(folder.cleanup)
    return Path(folder.name)


def verdicts(runs: Runs) -> list[Verdict]:
    said = []
    for kind, name in OURS.items():
        at_most = OF_TORCH if kind == "as it comes" else None
        said += compared(f"{kind}, of {TORCH}'s time", runs, name, TORCH, at_most, rival=TORCH)
    for kind, name in OURS.items():
        figure, by_round = _of_book(runs, name, "seconds")
        at_most = OF_BOOK_PERCENT if kind == "as it comes" else None
        percent = [100 * of for of in by_round]
        said.append(Verdict(f"{kind}, of the time of {BOOK}", 100 * figure, percent, at_most, "%"))
    for kind, name in OURS.items():
        at_most = OF_BOOK_MEMORY if kind == "as it comes" else None
        said.append(Verdict(f"{kind}, of the peak memory of {BOOK}", *_of_book(runs, name, "peak_bytes"), at_most))
    peaks = [run["peak_bytes"] / 1e6 for run in runs[OURS["as it comes"]]]
    return [*said, Verdict("peak memory of the whole process, as it comes", median(peaks), peaks, unit="MB")]


def _of_book(runs: Runs, name: str, what: str) -> tuple[float, list[float]]:
    ours, theirs = ([run[what] for run in runs[who]] for who in (name, BOOK))
    return ratio(ours, theirs)


BENCHMARK = Benchmark(
    "convolution",
    "the book's SimpleConvNet (30 filters of 5 x 5 over 28 x 28 pixels, pooling of 2 x 2, 4320-100-10), batch 100, SGD "
    "with rate 0.1, 600 steps on 6,000 of MNIST's images as float32, two threads, loss included",
    entrants,
    verdicts,
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = parser_of(__doc__, ("torch",))
    parser.add_argument("--steps", type=positive, help="steps of each (default: 600, as many as an epoch of MNIST has)")
    given = parser.parse_args(arguments)
    benchmark = BENCHMARK
    if given.steps:
        what = BENCHMARK.what.replace("600 steps", f"{given.steps:,} steps")
        benchmark = replace(BENCHMARK, what=what, entrants=partial(entrants, steps=given.steps))
    return reported(lambda: run_all([benchmark], options_of(given)))


if __name__ == "__main__":
    sys.exit(main())
