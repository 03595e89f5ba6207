"""Arrays of NumPy's of which everything that is done with them is noted, to be done again: see `xpnet.engine.tape`."""

import functools
import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from xpnet._core.arrays import register_array_type
from xpnet.engine.tape import Memory, current_tape
from xpnet.errors import CaptureError

__all__ = ["RecordedArray", "wrapped"]


def wrapped(array: np.ndarray) -> "RecordedArray":
    """The one recorded array over `array` of this recording; ``is`` goes on telling the same array from another."""
    wrappers = current_tape().wrappers
    if id(array) not in wrappers:
        wrappers[id(array)] = RecordedArray(array, array)  # which keeps the array, so that its id is not given away
    return wrappers[id(array)]


class RecordedArray:
    """An array of which everything that is done with it is noted.

    Whatever cannot be noted is a CaptureError that names it.
    """

    __slots__ = ("array", "memory", "root")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, array: np.ndarray, root: np.ndarray | None = None, memory: Memory | None = None) -> None:
        self.array = array
        self.root = root  # the array that was wrapped, where this is it or a view of it
        self.memory = memory or current_tape().memory_of(array)

    def __array_namespace__(self, api_version: str | None = None) -> "_RecordingNamespace":
        return NAMESPACE

    dtype = property(lambda self: self.array.dtype)
    shape = property(lambda self: self.array.shape)
    ndim = property(lambda self: self.array.ndim)
    size = property(lambda self: self.array.size)
    device = "cpu"
    T = property(lambda self: RecordedArray(self.array.T, self.root))

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, key: Any) -> "RecordedArray":
        index = _index(key)
        result = self.array[index]
        if isinstance(result, np.generic):  # one element, as an array that looks into the same memory
            result = self.array[(*index, ...)]
        if np.may_share_memory(result, self.array):
            return RecordedArray(result, self.root)
        return _result(operator.getitem, (_plain(self), index), {}, result)

    def __setitem__(self, key: Any, value: Any) -> None:
        index, value = _index(key), _plain(value)
        target = self.array[index if Ellipsis in index else (*index, ...)]
        if np.shares_memory(target, self.array):
            call: Callable[[], Any] = functools.partial(np.copyto, target, value, casting="unsafe")
        else:
            call = functools.partial(operator.setitem, self.array, index, value)
        call()
        current_tape().note(call, self.array)

    def __array_ufunc__(self, function: np.ufunc, method: str, *args: Any, **kwargs: Any) -> Any:
        if "out" in kwargs:
            (kwargs["out"],) = kwargs["out"]
        return _noted(function if method == "__call__" else getattr(function, method))(*args, **kwargs)

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        return getattr(NAMESPACE, function.__name__)(*args, **kwargs)

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise CaptureError("NumPy's asarray() of an array, which leaves the recording")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in _METHODS:
            return functools.partial(getattr(NAMESPACE, name), self)
        raise CaptureError(f"the method {name}() of an array")

    def __repr__(self) -> str:
        return f"RecordedArray({self.array!r})"


# Methods that take what the function of the same name takes.
_METHODS = frozenset(("sum", "max", "min", "mean", "prod", "argmax", "argmin", "astype", "clip", "squeeze", "take"))


def _index(key: Any) -> tuple[Any, ...]:
    """The key for NumPy; a boolean mask gives an array whose size only its values tell, so it cannot be replayed."""
    keys = key if isinstance(key, tuple) else (key,)
    index = tuple(_plain(part) for part in keys)
    if any(getattr(part, "dtype", None) == np.bool_ for part in index):
        raise CaptureError("a boolean mask as an index; multiply by the mask, or use `xp.where(mask, a, b)`")
    return index


def _plain(value: Any) -> Any:
    """The NumPy array in a recorded one, also in lists and tuples; one that came from elsewhere is refused."""
    if isinstance(value, RecordedArray):
        if value.root is not None:
            current_tape().note_read(value.root)
        return value.array
    if isinstance(value, np.ndarray):
        raise CaptureError(
            f"an array that the step makes by itself (shape {value.shape}, {value.dtype}), as a random one would be: "
            "replayed, it would be the same each time"
        )
    if isinstance(value, list | tuple):
        return type(value)(_plain(item) for item in value)
    return value


def _arrays(values: Iterable[Any]) -> Iterator[np.ndarray]:
    """The arrays among arguments, those in lists and tuples too."""
    for value in values:
        if isinstance(value, np.ndarray):
            yield value
        elif isinstance(value, list | tuple):
            yield from _arrays(value)


def _result(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
    """Note the call that gave `result`, unless it is a view of an argument: that is there anyway, and follows it."""
    if not isinstance(result, np.ndarray | np.generic):
        return result
    tape, array = current_tape(), np.asarray(result)
    inputs = list(_arrays((*args, *kwargs.values())))
    if any(np.may_share_memory(array, other) for other in inputs):
        return RecordedArray(array)
    empty = function in (np.empty, np.empty_like)
    if not inputs and not empty:
        tape.note_creation(array)
        return RecordedArray(array)
    array, memory = tape.place(array)
    if empty:
        return RecordedArray(array, memory=memory)  # there is nothing to be done again
    tape.note(_replayed(function, args, kwargs, array), array)
    return RecordedArray(array, memory=memory)


def _replayed(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], out: np.ndarray
) -> Callable[[], Any]:
    """The same call once more, the result into `out`: written there at once where the function can, else copied."""
    if function in _REDUCTIONS:
        function, kwargs = _REDUCTIONS[function], {"axis": None, **kwargs}
    if isinstance(function, np.ufunc) or function in _REDUCTIONS.values():
        return functools.partial(function, *args, out=out, **kwargs)
    if function in (np.astype, np.ascontiguousarray):
        return functools.partial(np.copyto, out, args[0], casting="unsafe")
    # Of an array whose elements lie in another order; of others it is a view.
    if function is np.reshape and kwargs.get("order", "C") == "C":
        return functools.partial(np.copyto, out.reshape(args[0].shape), args[0])
    if function is np.zeros_like:
        return functools.partial(out.fill, 0)
    if function is np.take:  # "wrap", since "raise", the default, would buffer; each index was looked at before
        return functools.partial(args[0].take, *args[1:], out=out, mode="wrap", **kwargs)
    return lambda: np.copyto(out, function(*args, **kwargs))


_REDUCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    np.sum: np.add.reduce,
    np.prod: np.multiply.reduce,
    np.max: np.maximum.reduce,
    np.min: np.minimum.reduce,
}


# --- operators ------------------------------------------------------------------------------------------------------


def _binary(function: np.ufunc, *, reflected: bool = False) -> Callable[[RecordedArray, Any], Any]:
    def method(self: RecordedArray, other: Any) -> Any:
        args = (_plain(other), _plain(self)) if reflected else (_plain(self), _plain(other))
        return _result(function, args, {}, function(*args))

    return method


def _in_place(function: np.ufunc) -> Callable[[RecordedArray, Any], RecordedArray]:
    def method(self: RecordedArray, other: Any) -> RecordedArray:
        args = (_plain(self), _plain(other))
        function(*args, out=self.array)
        current_tape().note(functools.partial(function, *args, out=self.array), self.array)
        return self

    return method


def _power(self: RecordedArray, exponent: Any) -> Any:
    if isinstance(exponent, int | float) and exponent == 2:
        return _result(np.square, (_plain(self),), {}, np.square(self.array))  # as NumPy itself does, to the bit
    return _binary(np.power)(self, exponent)


def _unary(function: np.ufunc) -> Callable[[RecordedArray], Any]:
    return lambda self: _result(function, (_plain(self),), {}, function(self.array))


def _host_value(name: str) -> Callable[[RecordedArray], Any]:
    def method(_: RecordedArray) -> Any:
        raise CaptureError(f"{name}() of an array, which a GPU would have to be waited for")

    return method


_BINARY = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "truediv": np.true_divide,
    "floordiv": np.floor_divide,
    "mod": np.remainder,
    "pow": np.power,
    "matmul": np.matmul,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "lshift": np.left_shift,
    "rshift": np.right_shift,
}
for _name, _function in _BINARY.items():
    setattr(RecordedArray, f"__{_name}__", _binary(_function))
    setattr(RecordedArray, f"__r{_name}__", _binary(_function, reflected=True))
    setattr(RecordedArray, f"__i{_name}__", _in_place(_function))
for _name, _function in {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}.items():
    setattr(RecordedArray, f"__{_name}__", _binary(_function))
for _name, _function in {"neg": np.negative, "abs": np.absolute, "invert": np.invert}.items():
    setattr(RecordedArray, f"__{_name}__", _unary(_function))
for _name in ("float", "int", "bool", "index", "iter", "complex"):
    setattr(RecordedArray, f"__{_name}__", _host_value(_name))
setattr(RecordedArray, "__pow__", _power)  # noqa: B010 - the type checker knows of no such method


# --- functions ------------------------------------------------------------------------------------------------------


def _noted(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function for recorded arrays."""

    def noted(*args: Any, out: RecordedArray | None = None, **kwargs: Any) -> Any:
        arguments = tuple(_plain(a) for a in args)
        options = {key: _plain(value) for key, value in kwargs.items()}
        if out is None:
            return _result(function, arguments, options, function(*arguments, **options))
        call = _replayed(function, arguments, options, out.array)
        call()
        current_tape().note(call, out.array)
        return out

    return noted


class _RecordingNamespace:
    """NumPy's functions, noted."""

    accepts_out = True
    # Their results have a size that only the values tell, or are another each time.
    _REFUSED = frozenset(("nonzero", "argwhere", "flatnonzero", "unique", "extract", "compress", "random", "asarray"))

    def __getattr__(self, name: str) -> Any:
        function = getattr(np, name)
        if name in self._REFUSED or name.startswith("unique"):
            raise CaptureError(f"xp.{name}")
        if not callable(function) or isinstance(function, type) or name in ("isdtype", "result_type", "finfo"):
            return function

        noted = self.__dict__[name] = _noted(function)
        return noted

    def sliding_window_view(self, *args: Any) -> RecordedArray:
        """NumPy's, which is not among the functions of ``numpy`` itself."""
        view: RecordedArray = _noted(np.lib.stride_tricks.sliding_window_view)(*args)
        return view

    def where(self, condition: Any, a: Any, b: Any) -> RecordedArray:
        """`a` where the condition holds, else `b`: two copies, since ``numpy.where`` takes no ``out=``."""
        # Under other names, so that the recorded arrays live on: else the result could be given the memory of `a`.
        mask, chosen, other = _plain(condition), _plain(a), _plain(b)
        tape = current_tape()
        out, memory = tape.place(np.where(mask, chosen, other))
        tape.note(functools.partial(np.copyto, out, other), out)
        tape.note(functools.partial(np.copyto, out, chosen, where=mask), out)
        return RecordedArray(out, memory=memory)


NAMESPACE = _RecordingNamespace()
register_array_type(RecordedArray, NAMESPACE)
