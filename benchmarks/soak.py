"""Whether a GPU is used for long, by several, and beyond its memory without harm. It has not yet been run on one.

    python benchmarks/soak.py

200,000 captured steps of the main job, and what memory the device has in use meanwhile; two trainings in one process,
in turn and one in the midst of the other; a minibatch for which there is too little memory, and training on.
"""

import sys

from benchmark import Options, Verdict, measurement
from on_gpu import GpuBenchmark, main
from taking_turns import Entrant, Runs

SOAK, TURNS, TOO_LARGE = "200,000 captured steps", "two trainings in one process", "a minibatch that is too large"
MISSED = 0.12  # of the test images after 2,000 steps; it is 0.08 or so


def entrants(options: Options, dataset: str = "mnist") -> list[Entrant]:
    job = options.job(dataset=dataset)
    long = options.job(dataset=dataset, iterations=200_000)
    short = options.job(dataset=dataset, iterations=1_000)
    return [
        Entrant(TURNS, measurement("in_turn", short, backend="cupy")),
        Entrant(TOO_LARGE, measurement("too_large", job, backend="cupy")),
        Entrant(SOAK, measurement("soak", long, backend="cupy")),  # the last: it may take all the time that there is
    ]


def verdicts(runs: Runs) -> list[Verdict]:
    asked = (
        (SOAK, "grew_bytes", 1e-6, "memory that came into use after the first 1,000", 0.0, "MB"),
        (TURNS, "differ", 1.0, "weights that differ in any bit from those of each alone", 0.0, ""),
        (TOO_LARGE, "unnamed", 1.0, "what the error does not name, of the minibatch's size and the bytes", 0.0, ""),
        (TOO_LARGE, "missed", 1.0, "test images that are not recognised after 2,000 steps with 100", MISSED, ""),
    )
    said = []
    for name, field, scale, what, at_most, unit in asked:
        if figures := [scale * run[field] for run in runs.get(name, [])]:
            said.append(Verdict(f"{name}: {what}", max(figures), figures, at_most, unit))
    return said


BENCHMARK = GpuBenchmark("soak", "long, several, and too large trainings on a GPU", entrants, verdicts, rounds=1)

if __name__ == "__main__":
    sys.exit(main(BENCHMARK, __doc__, limit=300, peers=()))
