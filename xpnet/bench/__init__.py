"""The comparison of backends, ``python -m xpnet bench``.

Read `measure` first; it times a `candidate` for each backend, in a `process` of its own, on the `work` of each case.
"""

from xpnet.bench.measure import Options, run

__all__ = ["Options", "run"]
