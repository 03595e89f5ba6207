"""How many threads the linear algebra library (BLAS) may use: one for all but large products, if the user sets none."""

import functools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["SMALL_PRODUCT", "blas_threads"]

SMALL_PRODUCT = 2**18  # floating-point operations
"""OpenBLAS itself takes one thread for a product of so few."""

# What a second thread gains is lost many times over when another process wants its core: OpenBLAS waits, busily, for as
# long as the scheduler lets that process run. Two threads against one, on two cores with eight busy processes, mean
# times of float32 products: 2**22 operations 4.9 times as long, 2**25 1.8, 2**28 7.4, 2**31 0.93, 2**33 0.86; of a
# vector times a matrix, 1.6 million operations, 25 ms for 0.06.
_LARGE_PRODUCT = 2**31  # floating-point operations, 25 ms of one core of 90 Gflop/s

_USERS_OWN = (
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "OMP_NUM_THREADS",
)
_MOST_THREADS = 64  # of OpenBLAS as NumPy comes with it, on a machine with more cores


@contextmanager
def blas_threads(product: float) -> Iterator[None]:
    """Inside a ``with`` block use one thread, unless there is a large product; afterwards as many as before.

    Only the size of the work decides, never how busy the machine is: one thread and two round differently, and a seed
    gives the same numbers on a busy day. Where the user has set a number of threads, by an environment variable such as
    ``OPENBLAS_NUM_THREADS`` or by ``threadpoolctl.threadpool_limits``, nothing is changed.

    The number is the process's. Blocks in several threads may overlap: the first to begin sets it, and the last to end
    puts it back.

    Parameters
    ----------
    product
        How many floating-point operations the largest single product has.
    """
    if product >= _LARGE_PRODUCT or _set_in_environment():
        yield
        return
    _one_thread.begin()
    try:
        yield
    finally:
        _one_thread.end()


class _OneThread:
    """The limit of one thread, which holds until all who asked for it have ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._before: list[tuple[Any, int]] = []

    def begin(self) -> None:
        """Set the limit, unless it is set."""
        with self._lock:
            if not self._users:
                counts = [(library, library.get_num_threads(), least) for library, least in _libraries()]
                self._before = [(library, count) for library, count, least in counts if count >= least]
                for library, _ in self._before:
                    _set(library, 1)
            self._users += 1

    def end(self) -> None:
        """Put the numbers back, unless others need the limit."""
        with self._lock:
            self._users -= 1
            if not self._users:
                for library, count in self._before:
                    _set(library, count)


def _set(library: Any, count: int) -> None:
    """Set a number of threads, in whichever thread this is."""
    # threadpoolctl 3.8 heeds one thread alone, the first to set a number, until that gives its control back.
    give_back = getattr(library, "clear_controlling_thread", lambda **_: None)
    give_back(force=True)
    library.set_num_threads(count)
    give_back(force=True)


_one_thread = _OneThread()


@functools.cache
def _set_in_environment() -> bool:
    """Whether the user has set a number; the libraries look only once as well, when they are loaded."""
    return any(os.environ.get(name) for name in _USERS_OWN)


@functools.cache
def _libraries() -> list[tuple[Any, int]]:
    """The libraries that are loaded, and the fewest threads of each that are not a number that the user has set.

    Looking for them takes a quarter of a millisecond, setting a number a microsecond.
    """
    from threadpoolctl import ThreadpoolController

    # OpenBLAS begins with a thread a core. Of others that is not known; they are limited in any case.
    cores = min(_cores(), _MOST_THREADS)
    found = ThreadpoolController().select(user_api="blas").lib_controllers
    return [(library, max(2, cores if library.internal_api == "openblas" else 2)) for library in found]


def _cores() -> int:
    """How many this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
