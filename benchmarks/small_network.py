"""A network so small that a step is nearly all overhead: 2-16-2, batch 32, on points in a square.

python benchmarks/small_network.py
"""

import sys

from benchmark import RIVALS, Benchmark, Options, Verdict, compared, measurement, rivals
from program import main
from taking_turns import Entrant, Runs

OF_PLAIN = 0.75


def entrants(options: Options) -> list[Entrant]:
    job = options.job(sizes=(2, 16, 2), batch=32, iterations=50_000, dataset="xor", weight_std=1.0)
    ours = {"xpnet plain": False, "xpnet recorded": True}
    return [
        *(Entrant(name, measurement("xpnet", job, capture=capture), group="all") for name, capture in ours.items()),
        *rivals(job, [peer for peer in options.peers if peer == "jax"], "all"),
    ]


def verdicts(runs: Runs) -> list[Verdict]:
    said = compared("recorded, of plain", runs, "xpnet recorded", "xpnet plain", OF_PLAIN)
    theirs = RIVALS["jax"]
    return said + compared(f"recorded, of {theirs}'s time", runs, "xpnet recorded", theirs, rival=theirs)


BENCHMARK = Benchmark("small_network", "2-16-2, batch 32, 50,000 steps on float32 points", entrants, verdicts)

if __name__ == "__main__":
    sys.exit(main([BENCHMARK], __doc__))
