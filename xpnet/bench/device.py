"""Peak throughput and peak memory of a device."""

import contextlib
import ctypes
import gc
import sys
from collections.abc import Callable

import numpy as np

from xpnet._core.arrays import Array, get_array_module, is_writable
from xpnet._core.cupy import CupyNamespace
from xpnet.backend import Backend, asarray
from xpnet.bench.report import Peak
from xpnet.bench.work import WaitingClock

_PRODUCT_SIZES = (256, 512, 1024, 2048, 4096, 8192)
_MAX_PRODUCT_SECONDS = 0.02  # a matrix product that takes longer shows the peak; no larger one is tried
_COPIED_FLOATS = 2**24  # 64 MiB: more than the caches of most processors
_REPEATS = 3


def measure_peak(
    backend: Backend,
    clock: Callable[[], float],
    *,
    sizes: tuple[int, ...] = _PRODUCT_SIZES,
    copied: int = _COPIED_FLOATS,
) -> Peak:
    """Measure the peak throughput of a backend's device in float32, the best of three.

    A product of two n x n matrices makes 2*n**3 operations; a copy reads and writes each byte once.
    """
    xp, flops_per_second = backend.xp, 0.0
    for n in sizes:
        a = asarray(np.full((n, n), 0.5, dtype=np.float32), backend=backend)
        seconds = _best_seconds(lambda a=a: xp.matmul(a, a), a, clock)  # type: ignore[misc]
        flops_per_second = max(flops_per_second, 2 * n**3 / seconds)
        if seconds > _MAX_PRODUCT_SECONDS:
            break
    source = asarray(np.ones(copied, dtype=np.float32), backend=backend)
    seconds = _best_seconds(_copier(source), source, clock)
    return Peak(flops_per_second, 2 * 4 * copied / seconds)


def _copier(source: Array) -> Callable[[], Array]:
    """A copy into existing memory if arrays are writable, since new memory is allocated page by page."""
    xp = get_array_module(source)
    if not is_writable(source):
        return lambda: xp.asarray(source, copy=True)
    target = xp.zeros_like(source)

    def copy() -> Array:
        target[...] = source
        return target

    return copy


def _best_seconds(work: Callable[[], Array], like: Array, clock: Callable[[], float]) -> float:
    waiting = WaitingClock(like, clock)
    times = [waiting.seconds(work) for _ in range(1 + _REPEATS)]
    return max(min(times[1:]), 1e-9)  # without the first; 1e-9 for a clock too coarse for a small product


def reset_peak_memory(backend: Backend | None) -> None:
    """Reset the peak if possible: CuPy frees its cached memory; so does the process, on Linux."""
    if backend is not None and isinstance(backend.xp, CupyNamespace):
        backend.xp.get_default_memory_pool().free_all_blocks()
        return
    gc.collect()
    with contextlib.suppress(OSError, AttributeError, TypeError):  # only glibc has it
        ctypes.CDLL(None).malloc_trim(0)  # else reused memory would not be seen
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


def peak_memory(backend: Backend | None, device_kind: str) -> int | None:
    """The most bytes so far, of CuPy's memory pool or of the whole process; None if unknown.

    The difference of two results is a lower bound of the memory needed in between: a process reuses freed memory, and
    without a reset only memory beyond the previous peak is seen.
    """
    if backend is not None and isinstance(backend.xp, CupyNamespace):
        return int(backend.xp.get_default_memory_pool().total_bytes())
    if device_kind == "GPU":
        return None
    try:
        import resource
    except ImportError:  # on Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
