"""A stand-in for a GPU's array library that counts what would cost time there: launches, waits, copies.

Arrays live in NumPy but behave as CuPy's do where it matters: a reduction gives a 0-d array and not a scalar, NumPy
arrays are refused, and whatever needs a value on the host (``float``, ``bool``, a boolean mask, iteration) is counted
as a wait for the device. So the cost of a training step is known, and pinned by a test, with no GPU at hand.
"""

import operator
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xpnet.backend import Backend

__all__ = ["COUNTING", "CountedArray", "Counts", "count_operations"]


@dataclass
class Counts:
    """What a piece of code asked of the device.

    Attributes
    ----------
    launches
        By name, calls that make or write an array: each is at least one kernel. Views are free.
    waits
        By name, calls that need a value on the host.
    copies
        By name, arrays brought from the host.
    """

    launches: Counter[str] = field(default_factory=Counter)
    waits: Counter[str] = field(default_factory=Counter)
    copies: Counter[str] = field(default_factory=Counter)


_counts = Counts()


@contextmanager
def count_operations() -> Iterator[Counts]:
    """Count what happens to arrays of the backend `COUNTING` inside a ``with`` block.

    Examples
    --------
    >>> from xpnet import asarray, relu
    >>> x = asarray([1.0, -1.0], backend=COUNTING)
    >>> with count_operations() as counts:
    ...     y = relu(x)
    >>> dict(counts.launches), sum(counts.waits.values())
    ({'maximum': 1}, 0)
    """
    global _counts  # noqa: PLW0603 - whatever is counted in the block goes to the innermost one
    outer, _counts = _counts, Counts()
    try:
        yield _counts
    finally:
        _counts = outer


class CountedArray:
    """An array on the device that is not there."""

    __array_ufunc__ = None  # NumPy's functions refuse it
    __slots__ = ("_a",)

    def __init__(self, a: np.ndarray) -> None:
        self._a = a

    def __array_namespace__(self, api_version: str | None = None) -> "_CountingNamespace":
        return _namespace

    dtype = property(lambda self: self._a.dtype)
    shape = property(lambda self: self._a.shape)
    ndim = property(lambda self: self._a.ndim)
    size = property(lambda self: self._a.size)
    device = "counted"
    T = property(lambda self: CountedArray(self._a.T))

    def __getitem__(self, key: Any) -> "CountedArray":
        return _wrapped("getitem", self._a[_index(key)], self._a)

    def __setitem__(self, key: Any, value: Any) -> None:
        _counts.launches["setitem"] += 1
        self._a[_index(key)] = _unwrapped(value)

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise TypeError("An array on the device met NumPy; convert it with `xpnet.to_numpy(a)`.")

    def __repr__(self) -> str:
        return f"CountedArray({self._a!r})"

    __hash__ = None  # type: ignore[assignment]


def _index(key: Any) -> Any:
    """The key for NumPy; a boolean mask must be counted on the host, a list or NumPy array brought from it."""
    keys = key if isinstance(key, tuple) else (key,)
    for part in keys:
        if isinstance(part, CountedArray) and part.dtype == bool:
            _counts.waits["boolean mask"] += 1
        elif isinstance(part, list | np.ndarray):
            _counts.copies["index from the host"] += 1
    return tuple(part._a if isinstance(part, CountedArray) else part for part in keys)


def _unwrapped(value: Any) -> Any:
    if isinstance(value, CountedArray):
        return value._a
    if isinstance(value, np.ndarray):
        raise TypeError("A NumPy array met an array on the device; move it with `xpnet.asarray(a, like=b)`.")
    if isinstance(value, list | tuple):
        return type(value)(_unwrapped(item) for item in value)
    return value


def _wrapped(name: str, result: Any, *inputs: Any) -> Any:
    """The result as an array on the device, and a launch counted unless it is a view of an input."""
    if not isinstance(result, np.ndarray | np.generic):
        return result
    array = np.asarray(result)
    if not any(isinstance(a, np.ndarray) and np.shares_memory(a, array) for a in inputs):
        _counts.launches[name] += 1
    return CountedArray(array)


def _operator(name: str, *, reflected: bool = False, in_place: bool = False) -> Callable[..., Any]:
    function = getattr(operator, f"i{name}" if in_place else {"and": "and_", "or": "or_"}.get(name, name))

    def method(self: CountedArray, *others: Any) -> Any:
        if in_place:
            _counts.launches[name] += 1
            function(self._a, _unwrapped(others[0]))
            return self
        arguments = [self._a, *map(_unwrapped, others)]
        return _wrapped(name, function(*reversed(arguments) if reflected else arguments))

    return method


_ARITHMETIC = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul")
for _name in (*_ARITHMETIC, "and", "or", "xor", "lshift", "rshift"):
    setattr(CountedArray, f"__{_name}__", _operator(_name))
    setattr(CountedArray, f"__r{_name}__", _operator(_name, reflected=True))
    setattr(CountedArray, f"__i{_name}__", _operator(_name, in_place=True))
for _name in ("eq", "ne", "lt", "le", "gt", "ge", "neg", "abs", "invert"):
    setattr(CountedArray, f"__{_name}__", _operator(_name))


def _wait(name: str, convert: Callable[[np.ndarray], Any]) -> Callable[[CountedArray], Any]:
    def method(self: CountedArray) -> Any:
        _counts.waits[name] += 1
        return convert(self._a)

    return method


_CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "float": float,
    "int": int,
    "bool": bool,
    "index": operator.index,
    "iter": iter,
}
for _name, _convert in _CONVERSIONS.items():
    setattr(CountedArray, f"__{_name}__", _wait(_name, _convert))
CountedArray.item = _wait("item", np.ndarray.item)  # type: ignore[attr-defined]
CountedArray.tolist = _wait("tolist", np.ndarray.tolist)  # type: ignore[attr-defined]


class _CountingNamespace:
    """NumPy's functions, counted."""

    accepts_out = True

    def __getattr__(self, name: str) -> Any:
        function = getattr(np, name)
        if not callable(function) or isinstance(function, type) or name in ("isdtype", "result_type", "finfo"):
            return function

        def counted(*args: Any, **kwargs: Any) -> Any:
            out = kwargs.get("out")
            arguments = _unwrapped(args)
            result = function(*arguments, **{key: _unwrapped(value) for key, value in kwargs.items()})
            if out is not None:
                _counts.launches[name] += 1
                return out
            return _wrapped(name, result, *arguments)

        return counted

    def asarray(self, a: Any, *, copy: bool | None = None) -> CountedArray:
        """An array on the device: brought from the host, or copied there."""
        if isinstance(a, CountedArray):
            if not copy:
                return a
            _counts.launches["asarray"] += 1
            return CountedArray(a._a.copy())
        _counts.copies["asarray"] += 1
        return CountedArray(np.array(a))

    def as_one_launch(self, name: str, formula: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What the formula gives, counted as the one kernel that it is on a GPU: see `xpnet.engine.kernels`."""
        _counts.launches[name] += 1
        result = formula(*map(_unwrapped, args), **{key: _unwrapped(value) for key, value in kwargs.items()})
        given = {id(_unwrapped(value)): value for value in (*args, *kwargs.values()) if isinstance(value, CountedArray)}

        def wrapped(array: np.ndarray) -> CountedArray:
            """What was changed in its place is the array that was given."""
            return given[id(array)] if id(array) in given else CountedArray(np.asarray(array))

        return tuple(map(wrapped, result)) if isinstance(result, tuple) else wrapped(result)

    def sliding_window_view(self, x: CountedArray, window_shape: Any, axis: Any = None) -> CountedArray:
        """NumPy's: a view, which is free."""
        return CountedArray(np.lib.stride_tricks.sliding_window_view(x._a, window_shape, axis))

    def asnumpy(self, a: CountedArray) -> np.ndarray:
        """The array on the host."""
        _counts.waits["asnumpy"] += 1
        return a._a.copy()


_namespace = _CountingNamespace()

COUNTING = Backend("counting", _namespace)
"""The backend to give to a network whose operations shall be counted."""
