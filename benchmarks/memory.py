"""Peak memory of the main job: the whole process, with images as bytes and all evaluations, without plots.

python benchmarks/memory.py
"""

import sys
from statistics import median

from benchmark import Benchmark, Options, Verdict, measurement
from program import main
from taking_turns import Entrant, Runs

MEGABYTES = 150.0
NAME = "xpnet"


def entrants(options: Options) -> list[Entrant]:
    return [Entrant(NAME, measurement("training", options.job()), group="all")]


def verdicts(runs: Runs) -> list[Verdict]:
    peaks = [run["peak_bytes"] / 1e6 for run in runs[NAME]]
    return [Verdict("peak memory of the whole process", median(peaks), peaks, MEGABYTES, "MB")]


BENCHMARK = Benchmark("memory", "peak memory of the main job, evaluations included", entrants, verdicts)

if __name__ == "__main__":
    sys.exit(main([BENCHMARK], __doc__))
