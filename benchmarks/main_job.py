"""The main job: 10,000 steps of 784-50-10 on MNIST, by xpnet plain and recorded, and by other libraries.

    python benchmarks/main_job.py

Also compares xpnet with its own matrix products alone.
"""

import sys

from benchmark import RIVALS, Benchmark, Options, Verdict, compared, measurement, rivals
from program import main
from taking_turns import Entrant, Runs

KINDS = {"plain": False, "recorded": True}
THREADS = {"": {}, ", 2 threads": {"OPENBLAS_NUM_THREADS": "2"}, ", 1 thread": {"OPENBLAS_NUM_THREADS": "1"}}
TARGETS = {
    "plain": {"torch": 0.55, "jax": 1.00, "sklearn": 0.53},
    "recorded": {"torch": 0.45, "jax": 0.85, "sklearn": 0.45},
}
PRODUCTS, OF_PRODUCTS = "its five matrix products, 1 thread", 1.5


def entrants(options: Options) -> list[Entrant]:
    job = options.job()
    ours = [
        Entrant(f"xpnet {kind}{threads}", measurement("xpnet", job, capture=capture), environment, "all")
        for threads, environment in THREADS.items()
        for kind, capture in KINDS.items()
    ]
    products = Entrant(PRODUCTS, measurement("products", job), THREADS[", 1 thread"])
    return [*ours, *rivals(job, options.peers, "all"), products]


def verdicts(runs: Runs) -> list[Verdict]:
    said = []
    for kind, targets in TARGETS.items():
        for peer, at_most in targets.items():
            theirs = RIVALS[peer]
            what = f"{kind}, of {theirs}'s time"
            said += compared(what, runs, f"xpnet {kind}", theirs, at_most, rival=theirs)
    said += compared("recorded, of plain", runs, "xpnet recorded", "xpnet plain")
    what = "recorded on 1 thread, of its five matrix products alone"
    return said + compared(what, runs, "xpnet recorded, 1 thread", PRODUCTS, OF_PRODUCTS)


BENCHMARK = Benchmark(
    "main_job", "784-50-10, batch 100, SGD with rate 0.1, 10,000 steps on MNIST, loss included", entrants, verdicts
)

if __name__ == "__main__":
    sys.exit(main([BENCHMARK], __doc__))
