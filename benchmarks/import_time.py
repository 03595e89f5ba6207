"""The time of imports in fresh processes, without the start of Python.

    python benchmarks/import_time.py

Names of xpnet are loaded on use, so a line that uses some is measured as well as ``import xpnet``.
"""

import sys

from benchmark import Benchmark, Options, Verdict, compared
from program import main
from taking_turns import Entrant, Runs

OURS, THEIRS, USING = "import xpnet", "import numpy", "from xpnet import Trainer, TwoLayerNet"
OF_NUMPY = 1.3
PROGRAM = """
import time
begun = time.perf_counter()
{statement}
seconds = time.perf_counter() - begun
import json
print(json.dumps({{"seconds": seconds}}))
"""


def entrants(_: Options) -> list[Entrant]:
    return [
        Entrant(statement, (sys.executable, "-c", PROGRAM.format(statement=statement)))
        for statement in (OURS, THEIRS, USING)
    ]


def verdicts(runs: Runs) -> list[Verdict]:
    return [
        *compared(f"{OURS}, of {THEIRS}", runs, OURS, THEIRS, OF_NUMPY),
        *compared(f"{USING}, of {THEIRS}", runs, USING, THEIRS),
    ]


BENCHMARK = Benchmark("import_time", "importing, in fresh processes", entrants, verdicts, rounds=20)

if __name__ == "__main__":
    sys.exit(main([BENCHMARK], __doc__))
