"""Time the first line of every forward and backward: ``xp = get_array_module(x)``, for a NumPy array.

    python benchmarks/array_module.py

Prints nanoseconds per call, the shortest of many repeats, and those of ``bool`` for comparison.
"""

import timeit

import numpy as np

from xpnet import get_array_module

CALLS = 200_000


def nanoseconds(statement: str) -> float:
    """The shortest time of one call in ns, including the loop."""
    names = {"get_array_module": get_array_module, "nothing": bool, "x": np.ones(1)}
    return min(timeit.repeat(statement, globals=names, number=CALLS, repeat=30)) / CALLS * 1e9


if __name__ == "__main__":
    print(f"get_array_module(x)  {nanoseconds('get_array_module(x)'):5.0f} ns")
    print(f"bool(x), for scale   {nanoseconds('nothing(x)'):5.0f} ns")
