"""Limits BLAS to one thread except for large products, unless the user has set a number of threads."""

import functools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from xpnet._core import tuning

_VARIABLES = "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "OMP_NUM_THREADS"
_MAX_THREADS = 64  # of NumPy's OpenBLAS


@contextmanager
def blas_threads(product: float) -> Iterator[None]:
    """Use one thread inside a ``with`` block, unless the largest product has many floating-point operations.

    The load of the machine is not considered: one and two threads round differently, and a seed must give the same
    numbers. Nothing changes if the user has set a number of threads, by an environment variable such as
    ``OPENBLAS_NUM_THREADS`` or by ``threadpoolctl.threadpool_limits``.

    The limit applies to the process. Blocks in several threads may overlap: the first sets it, the last restores it.
    """
    if product >= tuning.MIN_THREADED_FLOPS or _set_in_environment():
        yield
        return
    _one_thread.begin()
    try:
        yield
    finally:
        _one_thread.end()


class _OneThread:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._before: list[tuple[Any, int]] = []

    def begin(self) -> None:
        with self._lock:
            if not self._users:
                self._before = [(lib, n) for lib, least in _libraries() if (n := lib.get_num_threads()) >= least]
                for library, _ in self._before:
                    _set(library, 1)
            self._users += 1

    def end(self) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                for library, count in self._before:
                    _set(library, count)


def _set(library: Any, count: int) -> None:
    # In threadpoolctl 3.8 only one thread may set the number, until it releases the control.
    release = getattr(library, "clear_controlling_thread", lambda **_: None)
    release(force=True)
    library.set_num_threads(count)
    release(force=True)


_one_thread = _OneThread()


@functools.cache
def _set_in_environment() -> bool:
    """Whether the user has set a number; the libraries read it once, too."""
    return any(os.environ.get(name) for name in _VARIABLES)


@functools.cache
def _libraries() -> list[tuple[Any, int]]:
    """The loaded libraries, and the number of threads from which each is not limited by the user.

    Finding them takes 250 us, setting a number 1 us.
    """
    from threadpoolctl import ThreadpoolController

    # OpenBLAS starts with one thread per core; other libraries are always limited.
    cores = min(_cores(), _MAX_THREADS)
    found = ThreadpoolController().select(user_api="blas").lib_controllers
    return [(library, max(2, cores if library.internal_api == "openblas" else 2)) for library in found]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
