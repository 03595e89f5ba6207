"""The main job, recorded, while another process keeps a core busy.

python benchmarks/busy_core.py
"""

import sys

from benchmark import Benchmark, Options, Verdict, compared, measurement
from program import main
from taking_turns import Entrant, Runs

OF_UNDISTURBED = 1.15
ALONE, DISTURBED = "xpnet recorded, undisturbed", "xpnet recorded, another process on the second core"
# On the second available core if the system allows that; the measured process is free to choose.
SPINNER = """
import os
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2][-1:])
while True:
    pass
"""


def entrants(options: Options) -> list[Entrant]:
    command = measurement("xpnet", options.job(), capture=True)
    return [
        Entrant(ALONE, command, group="all"),
        Entrant(DISTURBED, command, group="all", beside=(sys.executable, "-c", SPINNER)),
    ]


def verdicts(runs: Runs) -> list[Verdict]:
    what = "beside a process that keeps a core busy, of undisturbed"
    return compared(what, runs, DISTURBED, ALONE, OF_UNDISTURBED)


BENCHMARK = Benchmark(
    "busy_core", "the main job, recorded, beside a process that keeps a core busy", entrants, verdicts
)

if __name__ == "__main__":
    sys.exit(main([BENCHMARK], __doc__))
