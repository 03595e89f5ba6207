"""Out-of-memory errors that state what the memory was for, and a fix."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from xpnet.errors import OutOfMemoryError


@contextmanager
def memory_for(what: str, remedy: str) -> Iterator[None]:
    """Raise an OutOfMemoryError if memory runs out inside a ``with`` block, and free what the block has allocated.

    It replaces the errors of NumPy and CuPy, and repeats their message, which has the number of bytes. `what` completes
    "Out of memory for ..."; `remedy` is a sentence with a fix.

    Examples
    --------
    >>> with memory_for("a batch of 5 samples", "Use `batch_size=2`."):
    ...     raise MemoryError("3 bytes are left")
    Traceback (most recent call last):
        ...
    xpnet.errors.OutOfMemoryError: Out of memory for a batch of 5 samples: 3 bytes are left. Use `batch_size=2`.
    """
    try:
        yield
    except MemoryError as error:
        raise_out_of_memory(error, what, remedy)


def raise_out_of_memory(error: MemoryError, what: str, remedy: str) -> NoReturn:
    """Raise an OutOfMemoryError from `error`; use instead of `memory_for` on hot paths."""
    if isinstance(error, OutOfMemoryError):
        raise error
    # Notebooks keep errors, and with them the arrays of all functions in the traceback.
    traceback.clear_frames(error.__traceback__)
    bytes_ = str(error).rstrip(".") or "the system gives no more"
    raise OutOfMemoryError(f"Out of memory for {what}: {bytes_}. {remedy}") from error
