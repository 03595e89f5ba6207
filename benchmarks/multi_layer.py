"""A deeper network on MNIST: 784-256-256-10, batch normalization, dropout, Adam, batch 128.

    python benchmarks/multi_layer.py

Compared with PyTorch eager, which draws its own dropout masks. Also times the mask of a dropout.
"""

import sys
from statistics import median

from benchmark import RIVALS, Benchmark, Options, Verdict, compared, measurement, rivals
from job import Job
from program import main
from taking_turns import Entrant, Runs

OF_TORCH = 0.8
MASK, MASK_MILLISECONDS, MASKS = "dropout of 1000 x 500 numbers", 9.0, 100
KINDS = {"plain": False, "recorded": True}


def entrants(options: Options) -> list[Entrant]:
    job = options.job(
        sizes=(784, 256, 256, 10), batch=128, iterations=2000, lr=0.001, weight_std=0.05,
        optimizer="Adam", batch_norm=True, dropout=0.5,
    )  # fmt: skip
    mask = Job(sizes=(500, 10), batch=1000, iterations=MASKS, dropout=0.5)
    return [
        *(Entrant(f"xpnet {kind}", measurement("xpnet", job, capture=how), group="all") for kind, how in KINDS.items()),
        *rivals(job, [peer for peer in options.peers if peer == "torch"], "all"),
        Entrant(MASK, measurement("dropout_mask", mask)),
    ]


def verdicts(runs: Runs) -> list[Verdict]:
    said, theirs = [], RIVALS["torch"]
    for kind, at_most in (("recorded", OF_TORCH), ("plain", None)):
        said += compared(f"{kind}, of {theirs}'s time", runs, f"xpnet {kind}", theirs, at_most, rival=theirs)
    milliseconds = [run["seconds"] / MASKS * 1e3 for run in runs[MASK]]
    return [*said, Verdict(f"{MASK}, a mask", median(milliseconds), milliseconds, MASK_MILLISECONDS, "ms")]


BENCHMARK = Benchmark(
    "multi_layer",
    "784-256-256-10, batch 128, batch normalization, dropout 0.5, Adam, 2,000 steps on MNIST, loss included",
    entrants,
    verdicts,
)

if __name__ == "__main__":
    sys.exit(main([BENCHMARK], __doc__))
