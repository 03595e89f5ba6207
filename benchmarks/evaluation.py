"""Cost of evaluating the main job once per epoch, on both whole sets and on 1,000 samples of each.

python benchmarks/evaluation.py
"""

import sys
from statistics import median

from benchmark import Benchmark, Options, Verdict, measurement
from program import main
from taking_turns import Entrant, Runs

KINDS = {"both sets whole": (None, 45.0), "1,000 samples of each": (1000, 10.0)}


def entrants(options: Options) -> list[Entrant]:
    job = options.job()
    return [
        Entrant(name, measurement("training", job, evaluated=evaluated), group="all")
        for name, (evaluated, _) in KINDS.items()
    ]


def verdicts(runs: Runs) -> list[Verdict]:
    said = []
    for name, (_, at_most) in KINDS.items():
        percent = [100 * run["evaluation_seconds"] / run["seconds"] for run in runs[name]]
        said.append(Verdict(f"{name} once an epoch, of the training time", median(percent), percent, at_most, "%"))
    return said


BENCHMARK = Benchmark("evaluation", "accuracies once an epoch of the main job", entrants, verdicts)

if __name__ == "__main__":
    sys.exit(main([BENCHMARK], __doc__))
