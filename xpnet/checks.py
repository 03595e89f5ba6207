"""What is said at the door: inputs and labels are checked before any computation, and before any parameter changes.

The values of an array are looked at only where that is free of a wait for a device: in NumPy arrays.
"""

from typing import Any

import numpy as np

from xpnet.backend import (
    Array,
    check_plain,
    dtype_name,
    get_array_module,
    is_array,
    named_dtype,
    to_numpy,
    type_name,
)
from xpnet.errors import ArgumentError, ArrayMixError, DataError, DtypeError, LabelError, ShapeError

__all__ = [
    "check_between",
    "check_binary",
    "check_callbacks",
    "check_count",
    "check_finite",
    "check_flag",
    "check_form",
    "check_given_shape",
    "check_gradient_form",
    "check_inputs",
    "check_labels",
    "check_network_dtype",
    "check_not_negative",
    "check_parameter",
    "check_positive",
    "check_shape",
    "check_together",
    "index_labels",
]

_NETWORK_DTYPES = "float32", "float64"


def check_count(name: str, value: Any, least: int = 1) -> int:
    """A whole number of at least one, such as a width or a batch size, or of at least so many."""
    if isinstance(value, bool | np.bool_) or not hasattr(value, "__index__") or value < least:
        raise ArgumentError(f"{name} must be a whole number of at least {least}, got {value!r}.")
    return int(value)


def check_shape(name: str, value: Any) -> tuple[int, ...]:
    """The shape of a sample: whole numbers of at least one."""
    sizes = [value] if isinstance(value, str) or not hasattr(value, "__iter__") else list(value)
    if not sizes or any(isinstance(n, bool | np.bool_) or not hasattr(n, "__index__") or n < 1 for n in sizes):
        raise ArgumentError(f"{name} must be the shape of one sample, such as (1, 28, 28), got {value!r:.60}.")
    return tuple(int(n) for n in sizes)


def check_flag(name: str, value: Any) -> bool:
    """True or False; no word, of which each would count as True."""
    if not isinstance(value, bool | np.bool_):
        raise ArgumentError(f"{name} must be True or False, got {value!r}.")
    return bool(value)


def check_callbacks(callbacks: Any) -> list[Any]:
    """A list of functions, or of objects that can be called."""
    if callable(callbacks) or not hasattr(callbacks, "__iter__"):
        raise ArgumentError(f"callbacks must be a list, got {callbacks!r}. Put it into one:  callbacks=[...] .")
    for callback in callbacks:
        if isinstance(callback, type) or not callable(callback):
            mend = f"  Make one:  {callback.__name__}() ." if isinstance(callback, type) else ""
            raise ArgumentError(f"callbacks must be functions of the trainer, got {callback!r}.{mend}")
    return list(callbacks)


def check_positive(name: str, value: Any) -> float:
    """A finite number above zero, such as a learning rate."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not 0 < number < float("inf"):
        raise ArgumentError(f"{name} must be a finite number above 0, got {value!r}.")
    return number


def check_not_negative(name: str, value: Any) -> float:
    """A finite number of at least zero, such as a weight decay."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not 0 <= number < float("inf"):
        raise ArgumentError(f"{name} must be a finite number of at least 0, got {value!r}.")
    return number


def check_between(name: str, value: Any, low: float, high: float, *, below: bool = False) -> float:
    """A number from `low` to `high`, or below `high` where that is said, such as a ratio."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not (low <= number < high or (number == high and not below)):
        raise ArgumentError(
            f"{name} must be a number from {low:g} {'up to, but not,' if below else 'to'} {high:g}, got {value!r}."
        )
    return number


def check_network_dtype(dtype: Any) -> str:
    """The name of a dtype that a network may have, in any spelling: float32 or float64."""
    try:
        name = named_dtype(dtype)
    except ArgumentError:
        name = ""
    if name not in _NETWORK_DTYPES:
        raise ArgumentError(f"dtype must be 'float32' or 'float64', got {dtype!r:.60}.")
    return name


def check_parameter(name: str, value: Any) -> Array:
    """A parameter or a statistic of a layer as a plain array of float32 or float64 that can be written.

    Big-endian numbers are converted, memory maps and read-only arrays copied.
    """
    check_plain(value, name)
    if dtype_name(value) not in _NETWORK_DTYPES:
        short = name.rpartition(".")[2]
        raise DtypeError(
            f"{name} must be float32 or float64, got {dtype_name(value)}. Use `{short}.astype('float32')`."
        )
    if isinstance(value, np.memmap):  # also one that can be written: training must not change the file
        return np.array(value, dtype=dtype_name(value))
    if isinstance(value, np.ndarray | np.generic):
        return np.require(value, dtype_name(value), "W")
    return value


def check_together(name: str, a: Any, like: Array) -> None:
    """That `a` is a plain array of the library, and on the device, of the network's parameters."""
    xp, mend = get_array_module(like), f"Use `{name} = xpnet.asarray({name}, like=network.anchor)`"
    try:
        together = get_array_module(a) is xp
    except ArrayMixError:
        if isinstance(a, list | tuple | int | float):
            raise ArrayMixError(f"{name} must be an array, got {type(a).__name__}. {mend}.") from None
        check_plain(a, name)
        raise
    if not together:
        raise ArrayMixError(
            f"{name} is a {type_name(a)}, but the network's parameters are {type_name(like)}. {mend}, or move the "
            "network with `network.to(...)`."
        )
    if xp is not np and a.device != like.device:
        raise ArrayMixError(f"{name} is on device {a.device}, the network's parameters on {like.device}. {mend}.")


def check_inputs(x: Array) -> None:
    """That inputs are pixels (uint8) or floats, in a plain array, and that there are some."""
    check_plain(x)
    name = dtype_name(x)
    if name != "uint8" and not name.startswith("float"):
        raise DtypeError(
            f"Inputs must be uint8 pixels (which are scaled by 1/255) or floats, got {name}. "
            "Say which you mean with  x.astype('uint8')  or  x.astype('float32') ."
        )
    if x.ndim == 0 or 0 in x.shape:
        raise ShapeError(f"The batch is empty: x has shape {tuple(x.shape)}. At least one sample is needed.")


def check_finite(name: str, x: Array) -> None:
    """That no number is NaN or infinite; waits for the device."""
    xp = get_array_module(x)
    if not dtype_name(x).startswith("float"):
        return
    with np.errstate(all="ignore"):
        # A sum is finite only if all its terms are, and needs no second array.
        if bool(xp.isfinite(xp.sum(x))):
            return
    bad = ~np.isfinite(to_numpy(x))
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        samples = int(bad.reshape(bad.shape[0], -1).any(axis=1).sum())
        raise DataError(
            f"{name} holds numbers that are not finite, in {samples} of {bad.shape[0]} samples; the first is at index "
            f"{where}. Keep the good ones with  {name}[numpy.isfinite({name}).reshape(len({name}), -1).all(axis=1)] ."
        )


def check_labels(t: Array, scores_shape: tuple[int, ...]) -> Array:
    """Labels that fit scores: class indices with one dimension less, or one-hot rows of the same shape.

    Returns
    -------
    Array
        `t` itself.

    Raises
    ------
    ShapeError, DtypeError, LabelError
        LabelError, for an index out of range, only where `t` is a NumPy array.
    """
    shape, classes = tuple(t.shape), scores_shape[-1]
    if t.ndim == len(scores_shape):
        if shape != tuple(scores_shape):
            raise ShapeError(
                f"One-hot labels must have the shape of the scores, {tuple(scores_shape)}, got {shape}. "
                "Class indices have one dimension less."
            )
        return t
    if shape != tuple(scores_shape[:-1]):
        raise ShapeError(
            f"Labels must have shape {tuple(scores_shape[:-1])} (class indices) or {tuple(scores_shape)} (one-hot), "
            f"got {shape}."
        )
    if "int" not in dtype_name(t):
        raise DtypeError(
            f"Class indices must be integers, got {dtype_name(t)}. Convert them with  t = t.astype('int64') ."
        )
    if isinstance(t, np.ndarray | np.generic) and t.size:
        indices = np.atleast_1d(t)
        wrong = (indices < 0) | (indices >= classes)
        if wrong.any():
            first = int(np.argmax(wrong))
            raise LabelError(
                f"Labels must lie in 0..{classes - 1}, found {int(indices[first])} at index {first} "
                f"({int(wrong.sum())} wrong in all). The network has {classes} outputs, one a class."
            )
    return t


def check_binary(t: Array) -> None:
    """That targets are truth values or numbers, where `t` is a NumPy array from 0 to 1; else a LabelError."""
    if not isinstance(t, np.ndarray):
        return
    wrong = np.logical_not((t >= 0) & (t <= 1))
    if wrong.any():
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise LabelError(
            f"Targets of yes or no must lie from 0 to 1, found {t[where]!s} at index {where} ({int(wrong.sum())} wrong "
            "in all). For classes that exclude each other use  SoftmaxWithLoss() ."
        )


def index_labels(t: np.ndarray) -> np.ndarray:
    """Class indices (int64) from class indices or from one-hot rows; a row that is not one-hot is a LabelError."""
    if t.ndim < 2:
        return t.astype(np.int64)
    fits = (t.max(axis=1) == 1) & (np.count_nonzero(t, axis=1) == 1)
    if not fits.all():
        row = int(np.argmin(fits))
        raise LabelError(f"Row {row} of the one-hot labels is not one-hot: {t[row]!r:.80}. One entry is 1, the rest 0.")
    return t.argmax(axis=1)


def check_form(name: str, value: Any, current: Array) -> None:
    """That a parameter's new value has its present one's library, shape and dtype; broadcasting would be silent."""
    if is_array(value):
        check_plain(value, name)
    if not is_array(value) or get_array_module(value) is not get_array_module(current):
        raise ArrayMixError(
            f"{name} is a {type_name(current)}, got {type(value).__name__}. "
            f"Convert it with `xpnet.asarray(value, like=network.anchor)`."
        )
    if tuple(value.shape) != tuple(current.shape):
        raise ShapeError(f"{name} has shape {tuple(current.shape)}, got a value of shape {tuple(value.shape)}.")
    if dtype_name(value) != dtype_name(current):
        raise DtypeError(
            f"{name} is {dtype_name(current)}, got {dtype_name(value)}. Convert the value with "
            f"`xpnet.asarray(value, dtype={dtype_name(current)!r})`, or the network with `network.to(dtype=...)`."
        )


def check_gradient_form(layer: Any, name: str, grad: Any) -> None:
    """That the gradient `name` of a layer has the shape of its parameter, and is of real numbers."""
    shape, expected = getattr(grad, "shape", ()), getattr(layer, name[1:]).shape
    if tuple(shape) != tuple(expected):
        raise ShapeError(
            f"{layer!r} has a parameter {name[1:]} of shape {tuple(expected)}, but its backward sets `self.{name}` of "
            f"shape {tuple(shape)}."
        )
    if not dtype_name(grad).startswith("float"):
        raise DtypeError(f"The backward of {layer!r} sets `self.{name}` to numbers of {dtype_name(grad)}.")


def check_given_shape(must: str, array: Any, expected: tuple[int, ...]) -> None:
    """That what a layer gives has the expected shape; `must` begins the message."""
    shape = getattr(array, "shape", None)
    if shape is None or tuple(shape) != expected:
        got = type(array).__name__ if shape is None else str(tuple(shape))
        raise ShapeError(f"{must} of shape {expected}, got {got}.")
