"""The device under CuPy: a GPU, or `tests/gpu/cupy_on_cpu`, on which a test can look at what CUDA does not tell."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from matrix import ABSENT

needs_cupy = pytest.mark.skipif("cupy" in ABSENT, reason=f"CuPy does not take part: {ABSENT.get('cupy')}")


def _stand_in() -> Any:
    """The library that stands in for CUDA; None on a GPU, and where CuPy does not take part."""
    if "cupy" in ABSENT:
        return None
    library = ctypes.CDLL("libcuda.so.1")
    if not hasattr(library, "cupy_on_cpu_set_lazy"):
        return None
    library.cupy_on_cpu_set_bytes.argtypes = [ctypes.c_size_t]
    for name in ("streams", "graphs", "waiting"):
        getattr(library, f"cupy_on_cpu_{name}").restype = ctypes.c_size_t
    return library


STAND_IN = _stand_in()

needs_stand_in = pytest.mark.skipif(STAND_IN is None, reason="needs CuPy on a CPU: nox -s cupy_on_cpu")


@contextmanager
def late_work() -> Iterator[None]:
    """Inside a ``with`` block let work wait in its stream until somebody waits for it, as on a GPU it may."""
    if STAND_IN is None:
        yield
        return
    STAND_IN.cupy_on_cpu_set_lazy(1)
    try:
        yield
    finally:
        STAND_IN.cupy_on_cpu_set_lazy(0)


@contextmanager
def memory_left(size: int) -> Iterator[None]:
    """Inside a ``with`` block let the device of the stand-in have no more than `size` bytes left."""
    import cupy

    free, total = cupy.cuda.runtime.memGetInfo()
    STAND_IN.cupy_on_cpu_set_bytes(total - free + size)
    try:
        yield
    finally:
        STAND_IN.cupy_on_cpu_set_bytes(total)


def living() -> dict[str, int]:
    """How many streams and graphs there are; nothing on a GPU, which does not tell."""
    return {name: getattr(STAND_IN, f"cupy_on_cpu_{name}")() for name in ("streams", "graphs") if STAND_IN}


def waiting() -> int:
    """How much work waits in the streams of the stand-in."""
    return int(STAND_IN.cupy_on_cpu_waiting())
