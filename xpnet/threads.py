"""How many threads the linear algebra library (BLAS) may use: few for little work, and what the user says above all."""

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["blas_threads"]

# What a second thread gains in a product that takes a tenth of a millisecond it loses many times over when another
# process wants its core: the first then waits, busily, for as long as the scheduler lets the other run.
_ENOUGH_WORK = 2**26  # floating-point operations

_USERS_OWN = (
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "OMP_NUM_THREADS",
)


@contextmanager
def blas_threads(operations: float) -> Iterator[None]:
    """Inside a ``with`` block use one thread where the work is small; afterwards as many as before.

    Only the size of the work decides, never how busy the machine is: one thread and two round differently, and a seed
    shall give the same numbers on a busy day. Where the user has said how many threads there shall be, by an
    environment variable such as ``OPENBLAS_NUM_THREADS`` or by ``threadpoolctl.threadpool_limits``, nothing is changed.

    Parameters
    ----------
    operations
        How many floating-point operations a piece of the work has: in a training step, the largest layer's.
    """
    if operations >= _ENOUGH_WORK or any(os.environ.get(name) for name in _USERS_OWN):
        yield
        return
    # A limit only ever lowers: a user's own, which may be lower, is left as it is.
    with _controller().limit(limits=1, user_api="blas"):
        yield


@functools.cache
def _controller() -> Any:
    """The libraries that are loaded; looking for them takes a quarter of a millisecond."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
