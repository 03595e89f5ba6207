"""Arrays whose every use a tracer sees. It has two users: `xpnet.engine.tape` records, `xpnet.testing` counts."""

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from xpnet._core.arrays import register_array_type
from xpnet.errors import CaptureError


class Tracer(ABC):
    """The array module of traced arrays: NumPy's functions, each of which becomes a `call`."""

    accepts_out = True
    refused: frozenset[str] = frozenset()
    """Names of functions that raise a CaptureError."""

    @abstractmethod
    def call(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a function of NumPy, ``operator.getitem`` or ``setitem``, or a fused operation."""

    @abstractmethod
    def host_read(self, name: str, read: Callable[[], Any]) -> Any:
        """What `read` returns: a value on the host that depends on an array's elements."""

    @abstractmethod
    def refuse(self, array: np.ndarray) -> Exception:
        """The error for a NumPy array among traced ones."""

    def plain(self, value: Any, found: list["TracedArray"]) -> Any:
        """The NumPy arrays in traced ones, also in lists, tuples and dictionaries; these are added to `found`."""
        if isinstance(value, TracedArray):
            found.append(value)
            return value.array
        if isinstance(value, np.ndarray):
            raise self.refuse(value)
        if isinstance(value, list | tuple):
            return type(value)(self.plain(item, found) for item in value)
        return {key: self.plain(item, found) for key, item in value.items()} if isinstance(value, dict) else value

    def __getattr__(self, name: str) -> Any:
        if name in self.refused:
            raise CaptureError(f"xp.{name} gives something else each time, or an array whose size depends on values.")
        function = getattr(np.lib.stride_tricks if name == "sliding_window_view" else np, name)
        if not callable(function) or isinstance(function, type) or name in ("isdtype", "result_type", "finfo"):
            return function

        def traced(*args: Any, **kwargs: Any) -> Any:
            return self.call(function, args, kwargs)

        self.__dict__[name] = traced
        return traced

    def asnumpy(self, a: "TracedArray") -> np.ndarray:
        """A copy on the host."""
        return self.host_read("asnumpy", a.array.copy)


def _host_value(name: str, read: Callable[[Any], Any]) -> Callable[["TracedArray"], Any]:
    return lambda self: self.tracer.host_read(name, lambda: read(self.array))


class TracedArray(NDArrayOperatorsMixin):
    """A NumPy array with a tracer, of which there is one for each subclass."""

    __slots__ = ("array",)
    __hash__ = None  # type: ignore[assignment]
    tracer: ClassVar[Tracer]
    device = "cpu"

    def __init_subclass__(cls, *, tracer: Tracer) -> None:
        cls.tracer = tracer
        register_array_type(cls, tracer)

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    dtype = property(lambda self: self.array.dtype)
    shape = property(lambda self: self.array.shape)
    ndim = property(lambda self: self.array.ndim)
    size = property(lambda self: self.array.size)
    T = property(lambda self: self.tracer.call(np.transpose, (self,), {}))

    def __array_namespace__(self, api_version: str | None = None) -> Tracer:
        return self.tracer

    def __array_ufunc__(self, function: np.ufunc, method: str, *args: Any, **kwargs: Any) -> Any:
        if "out" in kwargs:
            (kwargs["out"],) = kwargs["out"]
        return self.tracer.call(function if method == "__call__" else getattr(function, method), args, kwargs)

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        return getattr(self.tracer, function.__name__)(*args, **kwargs)

    def __pow__(self, exponent: Any) -> Any:
        if isinstance(exponent, int if self.dtype.kind in "iu" else int | float) and exponent == 2:
            return self.tracer.call(np.square, (self,), {})  # as NumPy's own arrays do, to the bit
        return super().__pow__(exponent)

    def __getitem__(self, key: Any) -> Any:
        return self.tracer.call(operator.getitem, (self, self._index(key)), {})

    def __setitem__(self, key: Any, value: Any) -> None:
        self.tracer.call(operator.setitem, (self, self._index(key), value), {})

    def _index(self, key: Any) -> tuple[Any, ...]:
        index = key if isinstance(key, tuple) else (key,)
        if any(getattr(part, "dtype", None) == np.bool_ for part in index):  # the result's size depends on the values
            self.tracer.host_read("boolean mask", lambda: None)
        return index

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        return self.tracer.host_read("asarray", lambda: self.array)

    __float__ = _host_value("float", float)
    __int__ = _host_value("int", int)
    __complex__ = _host_value("complex", complex)
    __bool__ = _host_value("bool", bool)
    __index__ = _host_value("index", operator.index)
    __iter__ = _host_value("iter", iter)
    item = _host_value("item", np.ndarray.item)
    tolist = _host_value("tolist", np.ndarray.tolist)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.array!r})"
