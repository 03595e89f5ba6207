"""Defer Ctrl-C during a training until the current step is complete."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Interrupts:
    """A Ctrl-C that is `pending`, or not."""

    def __init__(self) -> None:
        self.pending = False
        self._immediate = False
        self._shielded = False

    def check(self) -> None:
        """Raise a pending Ctrl-C as a KeyboardInterrupt."""
        if self.pending:
            self.pending = False
            raise KeyboardInterrupt

    @contextmanager
    def immediate(self) -> Iterator[None]:
        """Raise each Ctrl-C at once inside a ``with`` block, for work without side effects, such as an evaluation."""
        self.check()
        self._immediate = True
        try:
            yield
        finally:
            self._immediate = False

    @contextmanager
    def shielded(self) -> Iterator[None]:
        """Defer every Ctrl-C inside a ``with`` block, not only the first, for short work that must be complete."""
        self._shielded = True
        try:
            yield
        finally:
            self._shielded = False

    def handle(self, *_: Any) -> None:
        """Store a Ctrl-C, or raise it if it is the second, so that a user can always end a step that hangs."""
        # Python drops exceptions raised inside a finalizer, so a Ctrl-C stays pending until it arrives.
        second, self.pending = self.pending, True
        if not self._shielded and (second or self._immediate):
            raise KeyboardInterrupt


@contextmanager
def deferred_interrupts() -> Iterator[Interrupts]:
    """Defer Ctrl-C inside a ``with`` block until `Interrupts.check` or the end of the block.

    Does nothing outside the main thread, which receives all signals, or if the program has its own handler. Nested
    blocks share one `Interrupts`.

    Examples
    --------
    >>> try:
    ...     with deferred_interrupts():
    ...         signal.raise_signal(signal.SIGINT)
    ...         print("the step is complete")
    ... except KeyboardInterrupt:
    ...     print("interrupted")
    the step is complete
    interrupted
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if in_main_thread else None
    outer = getattr(handler, "__self__", None)
    interrupts = outer if isinstance(outer, Interrupts) else Interrupts()
    deferred = handler is signal.default_int_handler
    if deferred:
        signal.signal(signal.SIGINT, interrupts.handle)
    try:
        yield interrupts
    except (KeyboardInterrupt, Exception) as error:
        pending, interrupts.pending = interrupts.pending, False
        if pending and not isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise
    finally:
        if deferred:
            signal.signal(signal.SIGINT, handler)
    interrupts.check()
