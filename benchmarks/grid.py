"""Larger networks and batches: samples a second of xpnet, PyTorch and JAX over a grid of widths and batches.

python benchmarks/grid.py
"""

import sys
from statistics import median

from benchmark import RIVALS, Benchmark, Options, Verdict, compared, faster, measurement, rivals
from program import main
from taking_turns import Entrant, Runs

# (hidden units, batch): steps for two to four seconds, and the largest allowed ratio to a rival.
CELLS = {
    (500, 100): (3000, 1.30),
    (500, 1000): (400, 1.15),
    (500, 10000): (40, 1.15),
    (2000, 100): (900, 1.40),
    (2000, 1000): (110, 1.15),
    (2000, 10000): (12, 1.15),
}
COMPARED = ("torch", "jax")


def cell_name(hidden: int, batch: int) -> str:
    return f"hidden {hidden}, batch {batch}"


def entrants(options: Options) -> list[Entrant]:
    taking_part = []
    for (hidden, batch), (steps, _) in list(CELLS.items())[: 2 if options.quick else None]:
        cell = cell_name(hidden, batch)
        job = options.job(sizes=(784, hidden, 10), batch=batch, iterations=steps)
        taking_part.append(Entrant(f"{cell}: xpnet", measurement("xpnet", job, capture="auto"), group=cell))
        taking_part += rivals(job, [peer for peer in options.peers if peer in COMPARED], cell, f"{cell}: ")
    return taking_part


def verdicts(runs: Runs) -> list[Verdict]:
    """For each cell, our time / that of the fastest rival."""
    said = []
    for (hidden, batch), (_, at_most) in CELLS.items():
        cell = cell_name(hidden, batch)
        names = [name for peer in COMPARED if (name := faster(runs, f"{cell}: {RIVALS[peer]}")) in runs]
        if names:
            fastest = min(names, key=lambda name: median(run["seconds"] for run in runs[name]))
            rival = fastest.removeprefix(f"{cell}: ")
            what = f"{cell}, of the fastest rival's time ({rival})"
            said += compared(what, runs, f"{cell}: xpnet", fastest, at_most, rival=rival)
    return said


BENCHMARK = Benchmark("grid", "784-hidden-10 on MNIST, samples a second", entrants, verdicts)

if __name__ == "__main__":
    sys.exit(main([BENCHMARK], __doc__))
