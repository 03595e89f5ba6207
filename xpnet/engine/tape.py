"""Recording of array operations on NumPy as data, to be replayed into the same memory.

A tape is what a CUDA graph is on a GPU: a step is run once and each operation recorded with the arrays it reads and the
array it writes. Replayed, they run without the layers and without new memory, and give the same bits. A Python number
in the step is a constant of the tape; what may change must be an array.
"""

import operator
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from xpnet._core import tuning
from xpnet.engine.kernels.operation import FusedOperation
from xpnet.engine.traced_array import TracedArray, Tracer
from xpnet.errors import CaptureError

_METHODS = ("sum", "max", "min", "mean", "prod", "argmax", "argmin", "astype", "clip", "squeeze", "take")
_REDUCTIONS = {np.sum: np.add.reduce, np.prod: np.multiply.reduce, np.max: np.maximum.reduce, np.min: np.minimum.reduce}


class Operation(NamedTuple):
    """``output[...] = function(*inputs, **options)``, for whatever replays a tape.

    Arrays are NumPy's, at fixed addresses. A view has the address, shape and strides of what it shows of its buffer
    (`buffer_of`) and needs no operation of its own.

    Attributes
    ----------
    function
        A ufunc, or its ``reduce`` (also for ``numpy.sum`` and its like); ``numpy.copyto`` to assign the only input, in
        whatever dtype; ``operator.setitem`` for inputs ``(index, value)``; or another function of NumPy.
    inputs, options
        Arrays, numbers, and tuples or lists of them; keyword arguments such as ``axis``.
    output
        The array that is written.
    """

    function: Callable[..., Any]
    inputs: tuple[Any, ...]
    output: np.ndarray
    options: Mapping[str, Any] = MappingProxyType({})

    def simplified(self) -> "Operation":
        """The same with as few different functions as possible."""
        function, inputs, output, options = self
        if function in _REDUCTIONS:
            whole = {"axis": None} if len(inputs) == 1 else {}
            return self._replace(function=_REDUCTIONS[function], options={**whole, **options})
        if function in (np.astype, np.ascontiguousarray):
            return Operation(np.copyto, inputs[:1], output)
        if function is np.reshape and options.get("order", "C") == "C":  # a copy: the input has another order
            return Operation(np.copyto, inputs[:1], output.reshape(inputs[0].shape))
        if function is np.zeros_like:
            return Operation(np.copyto, (output.dtype.type(0),), output)
        if function is operator.setitem:
            index, value = inputs
            part = output[index if any(i is ... for i in index) else (*index, ...)]
            return Operation(np.copyto, (value,), part) if np.shares_memory(part, output) else self
        return self

    def python_calls(self) -> list[Callable[[], Any]]:
        """Functions without arguments that make the operation in Python, the fastest there are."""
        function, inputs, output, options = self
        if function is np.copyto:
            value, fills = inputs[0], isinstance(inputs[0], np.generic)
            return [partial(output.fill, value) if fills else partial(np.copyto, output, value, casting="unsafe")]
        if function is np.where:  # which takes no `out`
            mask, a, b = inputs
            return [partial(np.copyto, output, b), partial(np.copyto, output, a, where=mask)]
        if function is np.take:  # "raise", the default mode, would buffer; the indices were checked before
            return [partial(inputs[0].take, *inputs[1:], out=output, mode="wrap", **options)]
        if function is operator.setitem:
            return [partial(operator.setitem, output, *inputs)]
        if isinstance(function, np.ufunc) or function in _REDUCTIONS.values():
            return [partial(function, *inputs, out=output, **options)]
        return [lambda: np.copyto(output, function(*inputs, **options))]


def python_calls(operations: Iterable[Operation]) -> list[Callable[[], Any]]:
    """The replay in Python: functions without arguments that make the operations one after the other."""
    return [call for operation in operations for call in operation.python_calls()]


class Tape:
    """The operations of a recording, in order."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.wrapped: dict[int, RecordedArray] = {}  # by the id of the array in it
        self.used: set[int] = set()  # the ids of arrays
        self._constants: dict[int, tuple[int, Operation]] = {}  # how they are created and where, by their buffers
        self._free: dict[int, list[np.ndarray]] = {}  # blocks of memory by their size

    def reads(self, array: np.ndarray) -> bool:
        """Whether anything was made of this array, which was `wrapped`."""
        return id(array) in self.wrapped and id(array) in self.used

    def place(self, result: np.ndarray) -> "RecordedArray":
        """The result of an operation, in memory of the tape that is used again once no recorded array looks into it."""
        axes = sorted(range(result.ndim), key=lambda axis: -result.strides[axis])
        if not result.transpose(axes).flags.c_contiguous or not result.nbytes:
            return RecordedArray(result)
        free = self._free.setdefault(result.nbytes, [])
        block = free.pop() if free else _aligned(result.nbytes)
        # Its elements keep their order: in another one its sums could have other last bits.
        array = np.ndarray(result.shape, result.dtype, block, strides=result.strides)
        array[...] = result
        traced = RecordedArray(array)
        weakref.finalize(traced, free.append, block).atexit = False
        return traced

    def add(self, operation: Operation, *, constant: bool) -> "RecordedArray":
        """Add an operation that has been made; its output, a `constant` if it depends on no array."""
        function, result = operation.function, operation.output
        if constant and function is not np.empty:
            first = result.flat[0] if result.size else 0
            value = first if (result == first).all() else result.copy()
            self._constants[id(buffer_of(result))] = len(self.operations), Operation(np.copyto, (value,), result)
            return RecordedArray(result)
        traced = self.place(result)
        if function not in (np.empty, np.empty_like):
            self.operations.append(operation._replace(output=traced.array).simplified())
        return traced

    def write(self, operation: Operation) -> None:
        """Make an operation whose output is an array that was there before, and add it."""
        operation = operation.simplified()
        for call in operation.python_calls():
            call()
        if creation := self._constants.pop(id(buffer_of(operation.output)), None):
            self.operations.insert(*creation)  # each replay begins with the constant
        self.operations.append(operation)


_current: ContextVar[Tape] = ContextVar("xpnet_tape")


@contextmanager
def recording() -> Iterator[Tape]:
    """Record the operations on `wrapped` arrays inside a ``with`` block.

    Examples
    --------
    >>> x = np.array([1.0, 2.0])
    >>> with recording() as tape:
    ...     y = 2 * wrapped(x) + 1
    >>> [operation.function.__name__ for operation in tape.operations]
    ['multiply', 'add']
    >>> x[...] = [10.0, 20.0]
    >>> for call in python_calls(tape.operations):
    ...     _ = call()
    >>> y.array
    array([21., 41.])
    """
    token = _current.set(Tape())
    try:
        yield _current.get()
    finally:
        _current.reset(token)


def wrapped(array: np.ndarray) -> "RecordedArray":
    """The recorded array of `array`: the same each time, so that ``is`` still tells arrays apart."""
    return _current.get().wrapped.setdefault(id(array), RecordedArray(array))


class RecordingTracer(Tracer):
    """Puts each operation on the tape; refuses by name what a replay cannot do."""

    # Their results differ each time, or have a size that depends on the values.
    refused = frozenset(("asarray", "random", "nonzero", "argwhere", "flatnonzero", "extract", "compress")) | {
        name for name in dir(np) if name.startswith("unique")
    }

    def call(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result, recorded; a view of an argument needs no operation."""
        if isinstance(function, FusedOperation):
            return function.plain(*args, **kwargs)  # which is recorded one operation after the other
        found: list[TracedArray] = []
        tape, out = _current.get(), kwargs.pop("out", None)
        inputs, options = self.plain(args, found), self.plain(kwargs, found)
        tape.used.update(id(traced.array) for traced in found)
        if function is operator.setitem:
            return tape.write(Operation(function, inputs[1:], inputs[0]))
        if out is not None:
            tape.write(Operation(function, inputs, out.array, options))
            return out
        result = function(*inputs, **options)
        if function is operator.getitem and isinstance(result, np.generic):
            result = inputs[0][(*inputs[1], ...)]  # one element, as an array that looks into the same memory
        if not isinstance(result, np.ndarray | np.generic):
            return result
        array = np.asarray(result)
        if any(np.may_share_memory(array, traced.array) for traced in found):
            return RecordedArray(array, found)
        return tape.add(Operation(function, inputs, array, options), constant=not found)

    def host_read(self, name: str, read: Callable[[], Any]) -> Any:  # noqa: ARG002
        """Refuse: a replay does not return to the host."""
        if name == "boolean mask":
            raise CaptureError(
                "A boolean mask as an index gives an array whose size depends on values. Multiply by the mask, or use "
                "`xp.where(mask, a, b)`."
            )
        raise CaptureError(f"{name}() of an array needs its values on the host, and a replay does not return there.")

    def refuse(self, array: np.ndarray) -> Exception:
        """The error for an array that was not computed from recorded ones."""
        return CaptureError(
            f"An array that the step makes by itself (shape {array.shape}, {array.dtype}), such as a random one, would "
            "be the same in each replay."
        )


class RecordedArray(TracedArray, tracer=RecordingTracer()):
    """An array whose operations are recorded. A view keeps the arrays that it was made of, and so their memory."""

    __slots__ = ("__weakref__", "keeps")

    def __init__(self, array: np.ndarray, keeps: Any = None) -> None:
        super().__init__(array)
        self.keeps = keeps

    def __len__(self) -> int:
        return len(self.array)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in _METHODS:  # which take what the functions take
            return partial(getattr(self.tracer, name), self)
        raise CaptureError(f"The method {name}() of an array is unknown to the recording.")


def buffer_of(array: np.ndarray) -> Any:
    """What owns the memory of an array; between it and a strided view NumPy puts an object that is no array."""
    owner: Any = array
    while getattr(owner, "base", None) is not None:
        owner = owner.base
    return owner


def _aligned(size: int) -> np.ndarray:
    """`size` bytes from the beginning of a cache line."""
    block = np.empty(size + tuning.CACHE_LINE_BYTES, dtype=np.uint8)
    start = -block.ctypes.data % tuning.CACHE_LINE_BYTES
    return block[start : start + size]
