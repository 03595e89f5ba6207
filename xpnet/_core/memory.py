"""Where memory runs out: what it was for, and what to do about it."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from xpnet.errors import OutOfMemoryError

__all__ = ["memory_for", "raise_out_of_memory"]


@contextmanager
def memory_for(what: str, remedy: str) -> Iterator[None]:
    """Say, where memory runs out inside a ``with`` block, what it was for; and let go of what was made for it.

    Parameters
    ----------
    what
        As in "Out of memory for ...".
    remedy
        A sentence with the line that mends it.

    Raises
    ------
    OutOfMemoryError
        In the place of NumPy's and CuPy's own errors, whose message, with the number of bytes, it repeats.

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
    """The same where an error has come: for what is called so often that a ``with`` block would be felt."""
    if isinstance(error, OutOfMemoryError):
        raise error
    # Whoever keeps the error, as notebooks do, would keep the arrays of the functions that it came through.
    traceback.clear_frames(error.__traceback__)
    bytes_ = str(error).rstrip(".") or "the system gives no more"
    raise OutOfMemoryError(f"Out of memory for {what}: {bytes_}. {remedy}") from error
