"""The comparison of devices, ``python -m xpnet bench``: `measure` runs it, with one subject a file beside it."""

from xpnet.bench.measure import Options, run

__all__ = ["Options", "run"]
