"""A tape of array operations on NumPy: each with its arrays, to be replayed into the same memory.

What a CUDA graph is on a GPU: a step is run once, and each operation in it noted together with the arrays that it read
and the array that it wrote. Replayed, the operations run without the layers, without looking anything up and without
new memory, and give the same results to the bit. What was a Python number in the step is a constant of the recording;
what may change must be an array, and so must whatever it is computed from.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

__all__ = ["Memory", "Tape", "current_tape", "recording"]

_CACHE_LINE = 64

_current: ContextVar["Tape"] = ContextVar("xpnet_tape")


class Memory:
    """A piece of memory that results lie in, one after the other: it is free when no recorded array looks into it.

    So a step of many operations touches less memory, which stays in the caches near the processor.
    """

    def __init__(self, block: np.ndarray, free: list[np.ndarray]) -> None:
        self._block = block
        self._free = free

    def __del__(self) -> None:
        self._free.append(self._block)


class Tape:
    """The operations of a recording, in order.

    Attributes
    ----------
    calls
        What to call, one after the other, to run the recorded operations again.
    wrappers
        The recorded arrays by the ``id`` of the arrays in them.
    """

    def __init__(self) -> None:
        self.calls: list[Callable[[], Any]] = []
        self.wrappers: dict[int, Any] = {}
        self._created: list[tuple[np.ndarray, Callable[[], Any]]] = []
        self._written: set[int] = set()  # the memory that operations write to
        self._read: dict[int, np.ndarray] = {}
        self._free: dict[int, list[np.ndarray]] = {}  # blocks of memory by their size
        self._memories: WeakValueDictionary[int, Memory] = WeakValueDictionary()

    def place(self, result: np.ndarray) -> tuple[np.ndarray, Memory | None]:
        """The result of an operation in memory of the recording's own, and what keeps that from being given away."""
        # Its elements lie in the same order as before: in another its sums could have other last bits.
        order = sorted(range(result.ndim), key=lambda axis: -result.strides[axis])
        in_order = result.transpose(order)
        if not in_order.flags.c_contiguous or not result.nbytes:
            return result, None
        free = self._free.setdefault(result.nbytes, [])
        block = free.pop() if free else _aligned(result.nbytes)
        array = block.view(result.dtype).reshape(in_order.shape).transpose(np.argsort(order))
        array[...] = result
        memory = self._memories[id(_memory(array))] = Memory(block, free)
        return array, memory

    def memory_of(self, array: np.ndarray) -> Memory | None:
        """What keeps the memory that this array looks into; None for memory that is not the recording's."""
        return self._memories.get(id(_memory(array)))

    def note(self, call: Callable[[], Any], writes: np.ndarray) -> None:
        """Add an operation that has just been run."""
        self.calls.append(call)
        self._written.add(id(_memory(writes)))

    def note_creation(self, array: np.ndarray) -> None:
        """Add the making of a constant array."""
        first = array.flat[0] if array.size else 0
        alike = bool((array == first).all())
        call = functools.partial(array.fill, first) if alike else functools.partial(np.copyto, array, array.copy())
        self.calls.append(call)
        self._created.append((array, call))

    def note_read(self, array: np.ndarray) -> None:
        """Say that something was computed from this array, or from a view of it."""
        self._read[id(array)] = array  # which keeps the array, so that its id is not given away

    def was_read(self, array: np.ndarray) -> bool:
        """Whether something was computed from this array itself, be it through a view made of it."""
        return id(array) in self._read

    def finish(self) -> None:
        """Drop what need not be done again: the making of constants into which nothing is written later."""
        constants = {id(call) for array, call in self._created if id(_memory(array)) not in self._written}
        self.calls = [call for call in self.calls if id(call) not in constants]


@contextmanager
def recording() -> Iterator[Tape]:
    """Note what is done with recorded arrays (`xpnet.engine.traced_array.wrapped`) inside a ``with`` block.

    Examples
    --------
    >>> from xpnet.engine.traced_array import wrapped
    >>> x = np.array([1.0, 2.0])
    >>> with recording() as tape:
    ...     y = 2 * wrapped(x) + 1
    >>> x[...] = [10.0, 20.0]
    >>> for call in tape.calls:
    ...     _ = call()
    >>> y.array
    array([21., 41.])
    """
    tape = Tape()
    token = _current.set(tape)
    try:
        yield tape
        tape.finish()
    finally:
        _current.reset(token)


def current_tape() -> Tape:
    """The innermost recording's."""
    return _current.get()


def _aligned(size: int) -> np.ndarray:
    """So many bytes that begin where a line of the processor's cache does."""
    block = np.empty(size + _CACHE_LINE, dtype=np.uint8)
    start = -block.ctypes.data % _CACHE_LINE
    return block[start : start + size]


def _memory(array: np.ndarray) -> Any:
    """The array whose memory a view looks into; between it and a strided view NumPy puts an object that is no array."""
    owner: Any = array
    while getattr(owner, "base", None) is not None:
        owner = owner.base
    return owner
