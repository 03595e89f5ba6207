"""Long training, two trainings at once, and too little memory, on a GPU.

    python benchmarks/soak.py

Makes 200,000 captured steps of the main job and watches the device's memory; trains two networks in one process, in
turn and one during the other; asks for a minibatch that is too large for the memory, and continues training.
"""

import sys

from benchmark import Options, Verdict, measurement
from on_gpu import GpuBenchmark, main
from taking_turns import Entrant, Runs

SOAK, TURNS, TOO_LARGE = "200,000 captured steps", "two trainings in one process", "a minibatch that is too large"
MISSED = 0.12  # of the test images after 2,000 steps; typically 0.08


def entrants(options: Options, dataset: str = "mnist") -> list[Entrant]:
    job = options.job(dataset=dataset)
    long = options.job(dataset=dataset, iterations=200_000)
    short = options.job(dataset=dataset, iterations=1_000)
    return [
        Entrant(TURNS, measurement("in_turn", short, backend="cupy")),
        Entrant(TOO_LARGE, measurement("too_large", job, backend="cupy")),
        Entrant(SOAK, measurement("soak", long, backend="cupy")),  # last, because it may take all remaining time
    ]


def verdicts(runs: Runs) -> list[Verdict]:
    asked = (
        (SOAK, "grew_bytes", 1e-6, "memory that came into use after the first 1,000", 0.0, "MB"),
        (TURNS, "differ", 1.0, "weights that differ in any bit from those of each alone", 0.0, ""),
        (TOO_LARGE, "unnamed", 1.0, "what the error does not name, of the minibatch's size and the bytes", 0.0, ""),
        (TOO_LARGE, "missed", 1.0, "test images that are not recognized after 2,000 steps with 100", MISSED, ""),
    )
    said = []
    for name, field, scale, what, at_most, unit in asked:
        if figures := [scale * run[field] for run in runs.get(name, [])]:
            said.append(Verdict(f"{name}: {what}", max(figures), figures, at_most, unit))
    return said


BENCHMARK = GpuBenchmark("soak", "long, several, and too large trainings on a GPU", entrants, verdicts, rounds=1)

if __name__ == "__main__":
    sys.exit(main(BENCHMARK, __doc__, limit=300, peers=()))
