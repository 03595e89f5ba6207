"""Read pickles of NumPy arrays without running anything in them: the book's files of weights (course row 7).

Loading a pickle may run any program. So all operations of a file are checked before it is loaded: only those that NumPy
writes for a dictionary of arrays are allowed. Not even NumPy's own functions are called: the names in the file stand
for the small classes below, which check their arguments and make arrays of the file's bytes.

Everything that `pickle` and NumPy would write differently is refused, even if harmless, as another or a damaged file.
In the book's sample_weight.pkl no byte outside the numbers can change without an error. Errors are predicates ("holds a
list ..."), to which `xpnet.data.weights` adds the file.
"""

import io
import itertools
import math
import pickle
import pickletools
from typing import Any

import numpy as np

from xpnet.errors import DamagedFileError, DataError

_MAX_OPERATIONS = 20_000  # an array takes about thirty; bounds the memory

_ALLOWED = {
    *("PROTO", "FRAME", "STOP", "MARK", "MEMOIZE", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET"),
    *("EMPTY_DICT", "SETITEM", "SETITEMS", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_TUPLE"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINBYTES", "SHORT_BINBYTES", "BYTEARRAY8"),
    *("BININT", "BININT1", "BININT2", "NONE", "NEWTRUE", "NEWFALSE", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"),
}
# What common operations that are not allowed would make.
_MADE = {
    **dict.fromkeys(("EMPTY_LIST", "LIST", "APPEND", "APPENDS"), "a list"),
    **dict.fromkeys(("EMPTY_SET", "ADDITEMS", "FROZENSET"), "a set"),
    **dict.fromkeys(("BINFLOAT", "FLOAT"), "a Python float"),
    **dict.fromkeys(("LONG", "LONG1", "LONG4"), "a large whole number"),
}
_BYTES_BEFORE_PROTOCOL_3 = ("_codecs encode", "__builtin__ bytes")  # those protocols have no operation for bytes
_PUTS, _GETS = ("BINPUT", "LONG_BINPUT", "MEMOIZE"), ("BINGET", "LONG_BINGET")


class _StandIn:
    """Base class of what a name in the file stands for.

    Without a ``__setstate__``, `pickle` would let the file set attributes of the class.
    """

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        raise DataError("is no pickle of arrays: it changes something that NumPy does not")


class _Dtype(_StandIn):
    """A dtype: floats, or the int64 of PyTorch's counters; and its byte order."""

    __slots__ = ("dtype",)

    def __init__(self, *arguments: Any) -> None:
        code, *rest = arguments
        # Newer NumPy writes False, True for 0, 1.
        if type(code) is not str or code not in ("f2", "f4", "f8", "i8") or rest != [0, 1]:
            found = code[:20] if type(code) is str else "?"
            raise DataError(f"holds an array of dtype {found}, expected were floats: f2, f4 or f8")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        order = state[1]
        if order not in ("<", ">") or state != (3, order, None, None, None, -1, -1, 0):
            raise DataError("holds a dtype in a form that NumPy does not write")
        self.dtype = self.dtype.newbyteorder(order)


class _ArrayType(_StandIn):
    """NumPy's class of arrays, which is an argument and never called."""

    __slots__ = ()

    def __init__(self, *_: Any) -> None:
        raise DataError("is no pickle of arrays: it calls numpy.ndarray, which NumPy does not")


class _Array(_StandIn):
    """An array: a view of the file's bytes."""

    __slots__ = ("array",)

    array: np.ndarray | None

    def __init__(self, *arguments: Any) -> None:
        if arguments != (_ArrayType, (0,), b"b"):
            raise DataError("begins an array in a form that NumPy does not write")
        self.array = None

    def __setstate__(self, state: Any) -> None:
        version, shape, dtype, fortran, data = state
        if type(version) is not int or version != 1 or type(fortran) is not bool or self.array is not None:
            raise DataError("holds an array in a form that NumPy does not write")
        self.array = _array(data, dtype, shape, "F" if fortran else "C")


class _FromBuffer(_Array):
    """An array, as NumPy writes it in protocol 5."""

    __slots__ = ()

    def __init__(self, *arguments: Any) -> None:
        self.array = _array(*arguments)

    __setstate__ = _StandIn.__setstate__


_NAMES: dict[tuple[str, str], type] = {
    ("numpy", "ndarray"): _ArrayType,
    ("numpy", "dtype"): _Dtype,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _Array for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _FromBuffer for core in ("core", "_core")},
}


def read_pickled_arrays(content: bytes) -> dict[str, np.ndarray]:
    """Read a pickle (protocol 3, 4 or 5) of a dictionary of names to floating NumPy arrays.

    Needs a few times the memory of `content`, whatever is in it. Returns new arrays, float16, float32, float64 or
    int64, in this machine's byte order; anything else raises a DataError.
    """
    _check_operations(content)
    try:
        loaded = _Unpickler(io.BytesIO(content)).load()
    except DataError:
        raise
    except Exception as error:  # the documentation of pickle has no complete list
        raise DamagedFileError(
            f"is damaged: it cannot be unpickled ({type(error).__name__}: {str(error)[:100]})"
        ) from error
    if type(loaded) is not dict or not loaded:
        raise DataError(f"holds a {type(loaded).__name__}, expected was a dictionary of arrays")
    for name, value in loaded.items():
        if type(name) is not str:
            raise DataError(f"holds something by a {type(name).__name__}, expected were arrays by name")
        if not isinstance(value, _Array) or value.array is None:
            raise DataError(
                f"holds something at {name[:40]!r} that is no array of floats, expected were arrays by name"
            )
    arrays = {name: value.array for name, value in loaded.items()}
    if sum(array.nbytes for array in arrays.values()) > len(content):
        raise DataError("holds one array under many names, and would fill the memory with copies of it")
    return {name: array.astype(array.dtype.newbyteorder("="), order="C") for name, array in arrays.items()}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type:
        return _find(module, name)


def _find(module: str, name: str) -> type:
    try:
        return _NAMES[module, name]
    except KeyError:
        raise DataError(
            f"holds more than NumPy arrays: it wants to use {module[:60]}.{name[:60]}. Nothing of it has been run"
        ) from None


def _check_operations(content: bytes) -> None:
    """Raise unless all operations are those that pickle writes for a dictionary of arrays."""
    operations = _operations(content)
    first, _, version, _ = operations[0]
    old = first != "PROTO" or version < 3
    for name, _, argument, _ in operations:
        if name in ("GLOBAL", "INST") and not (old and argument in _BYTES_BEFORE_PROTOCOL_3):
            _find(*argument.split(" ", 1))
    if old:
        raise DataError(
            f"is a pickle of protocol {version if first == 'PROTO' else '0 or 1'}, expected was 3, 4 or 5. Write it "
            "once more, in the program that has the arrays: `pickle.dump(params, file, protocol=4)`"
        )
    _check_frames(operations, len(content))
    protocol, before = 0, ""
    kept: list[str] = []  # the operations before each memoized object
    for count, (name, since, argument, position) in enumerate(operations):
        if name not in _ALLOWED:
            what = f"{_MADE[name]}, by " if name in _MADE else ""
            raise DataError(f"is no pickle of arrays: it has {what}the operation {name} at byte {position:,}")
        if count == 0:
            protocol = argument
        elif name == "PROTO" or since > protocol:
            raise DamagedFileError(
                f"is damaged: {name} at byte {position:,} has no place in a pickle of protocol {protocol}"
            )
        if name in _PUTS:
            # Pickle numbers them 0, 1, 2, ...; another number might make the unpickler allocate gigabytes.
            if name != "MEMOIZE" and (argument != len(kept) or protocol >= 4):
                raise DamagedFileError(
                    f"is damaged: {name} at byte {position:,} keeps number {argument}, not {len(kept)}"
                )
            kept.append(before)
        if name in _GETS and (argument >= len(kept) or "TUPLE" in kept[argument]):
            # Tuples of twice the same tuple, nested two hundred times, would take forever to compare.
            raise DataError(f"is no pickle of arrays: {name} at byte {position:,} takes what NumPy takes once at most")
        before = name
    if position + 1 != len(content):
        raise DamagedFileError(f"is damaged: {len(content) - position - 1:,} bytes follow its end")


def _check_frames(operations: list[tuple[str, int, Any, int]], size: int) -> None:
    """Raise unless, from protocol 4 on, each operation lies in one frame, or is too large for any.

    The unpickler reads frame by frame, so with other frames it would read other operations than were checked.
    """
    if operations[0][0] != "PROTO" or operations[0][2] < 4:
        return  # earlier protocols have no frames
    ends = [place for *_, place in operations[1:]] + [size]
    frame_end = 0
    for (name, _, argument, start), end in list(zip(operations, ends, strict=True))[1:]:
        if name == "FRAME":
            fits = start >= frame_end and end + argument <= size
            frame_end = end + argument
        else:
            fits = end <= frame_end if start < frame_end else end - start > 2**16
        if not fits:
            raise DamagedFileError(f"is damaged: {name} at byte {start:,} is not in a frame as pickle cuts them")


def _operations(content: bytes) -> list[tuple[str, int, Any, int]]:
    """The operations of a pickle: name, first protocol that has it, argument, position. None is executed."""
    found = itertools.islice(pickletools.genops(content), _MAX_OPERATIONS + 1)
    try:
        operations = [(operation.name, operation.proto, argument, int(at or 0)) for operation, argument, at in found]
    except Exception as error:  # genops raises ValueError, and errors of decoding
        raise DamagedFileError(f"is damaged, or no pickle: {str(error)[:100]}") from error
    if len(operations) > _MAX_OPERATIONS:
        raise DataError(f"is no pickle of arrays: it has more than {_MAX_OPERATIONS:,} operations")
    return operations


def _array(data: Any, dtype: Any, shape: Any, order: str) -> np.ndarray:
    if not isinstance(dtype, _Dtype) or type(data) not in (bytes, bytearray) or order not in ("C", "F"):
        raise DataError("holds an array that is not made of bytes and a floating dtype")
    if type(shape) is not tuple or len(shape) > 8 or not all(type(n) is int and 0 <= n < 2**31 for n in shape):
        raise DataError("holds an array whose shape is not a tuple of whole numbers")
    if math.prod(shape) * dtype.dtype.itemsize != len(data):
        raise DataError(f"holds an array of shape {shape} of {dtype.dtype} in {len(data):,} bytes, which do not fit")
    array = np.frombuffer(data, dtype.dtype).reshape(shape, order="F" if order == "F" else "C")
    if array.flags.fnc != (order == "F"):  # NumPy writes F only if the array is not C-contiguous as well
        raise DataError(f"holds an array of shape {shape} in an order that NumPy does not write")
    return array
