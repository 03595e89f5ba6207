"""An array backend that counts kernel launches, waits for the device and copies from the host.

Its arrays live in NumPy but behave as CuPy's do where it matters: a reduction gives a 0-d array, and NumPy's arrays and
functions are refused. So the cost of a training step is known, and pinned by a test, without a GPU.
"""

import operator
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xpnet.backend import Backend
from xpnet.engine.kernels.operation import FusedOperation
from xpnet.engine.traced_array import TracedArray, Tracer


@dataclass
class Counts:
    """What a piece of code asked of the device, by the name of the call."""

    launches: Counter[str] = field(default_factory=Counter)
    """Calls that create or write an array: at least one kernel each. Views are free."""
    waits: Counter[str] = field(default_factory=Counter)
    """Calls that need a value on the host."""
    copies: Counter[str] = field(default_factory=Counter)
    """Arrays copied from the host."""


_counts = Counts()


@contextmanager
def count_operations() -> Iterator[Counts]:
    """Count what happens to arrays of the backend `COUNTING` inside a ``with`` block; of several, the innermost counts.

    Examples
    --------
    >>> from xpnet import asarray, relu
    >>> x = asarray([1.0, -1.0], backend=COUNTING)
    >>> with count_operations() as counts:
    ...     y = relu(x)
    >>> dict(counts.launches), sum(counts.waits.values())
    ({'maximum': 1}, 0)
    """
    global _counts  # noqa: PLW0603 - of all threads
    outer, _counts = _counts, Counts()
    try:
        yield _counts
    finally:
        _counts = outer


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray | np.generic)


class CountingTracer(Tracer):
    """Counts in the innermost `count_operations`."""

    def call(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result. A launch, unless it is a view of an argument."""
        if function is np.asarray:
            return self._asarray(*args, **kwargs)
        if function in (operator.getitem, operator.setitem):
            args = (args[0], tuple(map(self._index, args[1])), *args[2:])
        found: list[TracedArray] = []
        inputs, options = self.plain(args, found), self.plain(kwargs, found)
        fused = isinstance(function, FusedOperation)
        result = (function.plain if fused else function)(*inputs, **options)
        is_new = _is_array(result) and not any(np.shares_memory(result, traced.array) for traced in found)
        if is_new or fused or function is operator.setitem or options.get("out") is not None:
            _counts.launches[function.__name__] += 1
        given = {id(traced.array): traced for traced in found}  # perhaps changed in place

        def wrap(value: Any) -> Any:
            return given.get(id(value), CountedArray(np.asarray(value))) if _is_array(value) else value

        return tuple(map(wrap, result)) if isinstance(result, tuple) else wrap(result)

    def host_read(self, name: str, read: Callable[[], Any]) -> Any:
        """What `read` returns. A wait."""
        _counts.waits[name] += 1
        return read()

    def refuse(self, array: np.ndarray) -> Exception:  # noqa: ARG002
        """The error for an array on the host."""
        return TypeError("A NumPy array met an array on the device; move it with `xpnet.asarray(a, like=b)`.")

    @staticmethod
    def _index(part: Any) -> Any:
        if isinstance(part, list | np.ndarray):
            _counts.copies["index from the host"] += 1
            return np.asarray(part).tolist()
        return part

    @staticmethod
    def _asarray(a: Any, *, copy: bool | None = None) -> "CountedArray":
        if isinstance(a, CountedArray) and not copy:
            return a
        on_device = isinstance(a, CountedArray)
        (_counts.launches if on_device else _counts.copies)["asarray"] += 1
        return CountedArray(np.array(a.array if on_device else a))


class CountedArray(TracedArray, tracer=CountingTracer()):
    """An array of the counting backend."""

    __slots__ = ()
    device = "counted"

    def __array_ufunc__(self, function: np.ufunc, method: str, *args: Any, **kwargs: Any) -> Any:
        # NumPy's functions are refused; operators call them from the mixin, or with a NumPy number on the left.
        is_operator = sys._getframe(1).f_globals is TracedArray.__add__.__globals__
        if is_operator or isinstance(args[0], np.ndarray | np.generic):
            return super().__array_ufunc__(function, method, *args, **kwargs)
        return NotImplemented

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        return NotImplemented

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise TypeError("An array on the device met NumPy; convert it with `xpnet.to_numpy(a)`.")


COUNTING = Backend("counting", CountedArray.tracer)
"""The backend of a network whose operations are to be counted."""
