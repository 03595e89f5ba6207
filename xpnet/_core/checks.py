"""Validation of arguments, inputs and labels, before anything is computed or changed.

The values of an array are looked at only where that does not wait for a device: in NumPy arrays.
"""

import inspect
import math
import operator
from typing import Any

import numpy as np

from xpnet._core.arrays import (
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

_ON_HOST = np.ndarray, np.generic
_NETWORK_DTYPES = "float32", "float64"


def check_count(name: str, value: Any, least: int = 1) -> int:
    """A whole number of at least `least`, such as a width or a batch size."""
    try:
        count = least - 1 if isinstance(value, bool | np.bool_) else operator.index(value)
    except TypeError:
        count = least - 1
    if count < least:
        raise ArgumentError(f"{name} must be a whole number of at least {least}, got {value!r}.")
    return count


def check_shape(name: str, value: Any) -> tuple[int, ...]:
    """The shape of a sample: whole numbers of at least one."""
    sizes = [value] if isinstance(value, str) or not hasattr(value, "__iter__") else list(value)
    if not sizes or any(isinstance(n, bool | np.bool_) or not hasattr(n, "__index__") or n < 1 for n in sizes):
        raise ArgumentError(f"{name} must be the shape of one sample, such as `(1, 28, 28)`, got {value!r:.60}.")
    return tuple(int(n) for n in sizes)


def check_flag(name: str, value: Any) -> bool:
    """A bool; strings are refused, since they are truthy."""
    if not isinstance(value, bool | np.bool_):
        raise ArgumentError(f"{name} must be True or False, got {value!r}.")
    return bool(value)


def call_of(kind: type) -> str:
    """The call that makes an object of a class, with the arguments it needs: ``Affine(W, b)``; for messages."""
    try:
        parameters = inspect.signature(kind).parameters.values()
    except ValueError:  # of some classes that are not written in Python
        return f"{kind.__name__}()"
    needed = [p for p in parameters if p.default is p.empty]
    by_place = [p.name for p in needed if p.kind is p.POSITIONAL_OR_KEYWORD]
    by_name = [f"{p.name}={p.name}" for p in needed if p.kind is p.KEYWORD_ONLY]
    return f"{kind.__name__}({', '.join(by_place + by_name)})"


def check_positive(name: str, value: Any) -> float:
    """A finite number above zero, such as a learning rate."""
    if not 0 < (number := _number(value)) < math.inf:
        raise ArgumentError(f"{name} must be a finite number above 0, got {value!r}.")
    return number


def check_not_negative(name: str, value: Any) -> float:
    """A finite number of at least zero, such as a weight decay."""
    if not 0 <= (number := _number(value)) < math.inf:
        raise ArgumentError(f"{name} must be a finite number of at least 0, got {value!r}.")
    return number


def check_between(name: str, value: Any, low: float, high: float, *, below: bool = False) -> float:
    """A number from `low` to `high`, such as a ratio; with `below`, less than `high`."""
    number = _number(value)
    if not (low <= number < high or (number == high and not below)):
        up_to = "up to, but not," if below else "to"
        raise ArgumentError(f"{name} must be a number from {low:g} {up_to} {high:g}, got {value!r}.")
    return number


def _number(value: Any) -> float:
    """As a float; NaN if it is not a number."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def check_network_dtype(dtype: Any) -> str:
    """The name of a network's dtype, float32 or float64, from any spelling."""
    try:
        name = named_dtype(dtype)
    except ArgumentError:
        name = ""
    if name not in _NETWORK_DTYPES:
        raise ArgumentError(f"dtype must be 'float32' or 'float64', got {dtype!r:.60}.")
    return name


def check_parameter(name: str, value: Any) -> Array:
    """A parameter or statistic as a plain writable array of float32 or float64.

    Big-endian numbers are converted; memory maps and read-only arrays are copied.
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
    """Check that `a` is a plain array of the library and on the device of `like`, a parameter."""
    xp, fix = get_array_module(like), f"Use `{name} = network.asarray({name})`"
    try:
        together = get_array_module(a) is xp
    except ArrayMixError:
        if isinstance(a, list | tuple | int | float):
            raise ArrayMixError(f"{name} must be an array, got {type(a).__name__}. {fix}.") from None
        check_plain(a, name)
        raise
    if not together:
        backend = type(a).__module__.partition(".")[0]
        other = f", or move the network with `network.to({backend!r})`" if backend in ("numpy", "cupy") else ""
        raise ArrayMixError(
            f"{name} is a {type_name(a)}, but the network's parameters are {type_name(like)}. {fix}{other}."
        )
    if xp is not np and a.device != like.device:
        raise ArrayMixError(f"{name} is on device {a.device}, the network's parameters on {like.device}. {fix}.")


def check_inputs(x: Array) -> None:
    """Check that inputs are uint8 pixels or floats in a plain array, which is not empty."""
    check_plain(x)
    name = dtype_name(x)
    if name == "bool":
        raise DtypeError("Inputs must be floats or uint8 pixels, got bool. Use `x.astype('float32')`.")
    if name != "uint8" and not name.startswith("float"):
        raise DtypeError(
            f"Inputs must be uint8 pixels (which are scaled by 1/255) or floats, got {name}. "
            "Say which you mean with `x.astype('uint8')` or `x.astype('float32')`."
        )
    if x.ndim == 0 or 0 in x.shape:
        raise ShapeError(f"The batch is empty: x has shape {tuple(x.shape)}. At least one sample is needed.")


def check_floats(who: str, x: Array) -> None:
    """Check that a layer called by hand is given floats; `who` is the layer."""
    name = dtype_name(x)
    if not name.startswith("float"):
        scaled = " / 255" if name == "uint8" else ""
        raise DtypeError(f"{who} expects floats, got {name}. Use `x.astype('float32'){scaled}`.")


def check_finite(name: str, x: Array) -> None:
    """Check that no number is NaN or infinite; waits for the device."""
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
        others = (
            f" Leave such samples out: `known = numpy.isfinite({name}).reshape(len({name}), -1).all(axis=1)`, then "
            f"`x{name[1:]}[known]` and `t{name[1:]}[known]`."
        )
        raise DataError(
            f"{name} holds numbers that are not finite, in {samples} of {bad.shape[0]} samples; the first is at index "
            f"{where}.{others if samples < bad.shape[0] else ''}"
        )


def check_range(name: str, x: Array, dtype: str) -> None:
    """Check that finite numbers stay finite in `dtype`; waits for the device where float64 becomes float32."""
    if dtype_name(x) != "float64" or dtype != "float32":
        return
    xp, most = get_array_module(x), float(np.finfo(np.float32).max)
    largest = max(float(xp.max(x)), -float(xp.min(x)))
    if largest > most:
        raise DataError(
            f"{name} has a value of {largest:.3g}, but the network's float32 ends at {most:.3g}. Scale the values, or "
            "use `network.to(dtype='float64')`."
        )


def check_labels(t: Array, scores_shape: tuple[int, ...]) -> Array:
    """Labels that fit scores of shape (N, C), or (C,) for one sample, in the machine's byte order.

    `t` are class indices (N,), or a row for each sample (N, C): one-hot, or the probability of each class. An index out
    of range and a row that does not sum to 1 are a LabelError only in NumPy arrays.
    """
    if len(scores_shape) not in (1, 2):
        raise ShapeError(
            f"Expected scores of shape (N, C), one row for each sample, got {tuple(scores_shape)}. "
            "An `Affine` at the end of a network gives such."
        )
    rows, classes = tuple(scores_shape[:-1]), scores_shape[-1]
    if tuple(t.shape) not in (rows, (*rows, classes)):
        raise ShapeError(
            f"Expected labels of shape {rows} (class indices) or {(*rows, classes)} (one row for each sample), got "
            f"{tuple(t.shape)}."
        )
    t = _numbers(t, "labels", "Number the classes with `classes, t = numpy.unique(t, return_inverse=True)`.")
    if t.ndim > len(rows):
        _check_rows(t)
    elif "int" not in dtype_name(t):
        raise DtypeError(
            f"Expected class indices as integers, got {dtype_name(t)}. Convert them with `t = t.astype('int64')`."
        )
    else:
        _check_indices(t, classes)
    return t


def _check_indices(t: Array, classes: int) -> None:
    """Check that class indices are in range, where they are NumPy's."""
    if not isinstance(t, _ON_HOST) or (fits := valid_labels(t, (*t.shape, classes))).all():
        return
    first = int(np.argmin(fits))
    if t.min() == 1 and t.max() == classes:
        remedy = "Use `t - 1` if your labels start at 1."
    else:
        remedy = (
            "Number the classes from 0 with `classes, t = numpy.unique(t, return_inverse=True)`, or give the network "
            "an output for each class."
        )
    raise LabelError(
        f"Expected labels from 0 to {classes - 1}, got {t.flat[first]} at index {first} "
        f"({np.count_nonzero(~fits)} of {t.size} labels are wrong). {remedy}"
    )


def _check_rows(t: Array) -> None:
    """Check that rows of labels are probabilities, where they are NumPy's."""
    if not isinstance(t, np.ndarray):
        return
    with np.errstate(all="ignore"):  # the sum of infinities
        fits = np.atleast_1d(valid_labels(t, t.shape))
    if fits.all():
        return
    first = int(np.argmin(fits))
    bad = np.atleast_2d(t)[first]
    if not np.isfinite(bad).all():
        remedy = "Leave such samples out: `known = numpy.isfinite(t).all(axis=-1)`, then `x[known]` and `t[known]`."
    elif not bad.any():
        remedy = "Leave out samples of no class: `known = t.any(axis=-1)`, then `x[known]` and `t[known]`."
    elif bad.min() < 0:
        remedy = "For targets of any size use `IdentityWithLoss()`."
    else:
        remedy = (
            "A row cannot be the weight of its sample: `t = t / t.sum(axis=-1, keepdims=True)` makes probabilities of "
            "the rows. Where several classes are right at once, use `SigmoidWithLoss()`."
        )
    raise LabelError(
        f"Expected rows of labels that are probabilities and sum to 1, got the sum {bad.sum():g} in row "
        f"{first}, {np.array2string(bad, threshold=8, edgeitems=3)} ({np.count_nonzero(~fits)} of {fits.size} rows are "
        f"wrong). {remedy}"
    )


def valid_labels(t: Array, scores_shape: tuple[int, ...]) -> Array:
    """Whether each label is an index in range, or a row of probabilities that sum to 1: truth values (N,).

    They are computed on the device of the labels, to within the square root of the eps of their dtype.

    Examples
    --------
    >>> valid_labels(np.array([0, 2, 3]), (3, 3))
    array([ True,  True, False])
    >>> valid_labels(np.array([[0.25, 0.75], [0.0, 5.0]]), (2, 2))
    array([ True, False])
    """
    xp = get_array_module(t)
    if t.ndim < len(scores_shape):
        return xp.logical_and(t >= 0, t < scores_shape[-1])
    if not dtype_name(t).startswith("float"):
        t = xp.astype(t, xp.float32)
    tolerance = math.sqrt(xp.finfo(t.dtype).eps)
    return xp.logical_and(xp.abs(xp.sum(t, axis=-1) - 1) <= tolerance, xp.min(t, axis=-1) >= -tolerance)


def check_binary(t: Array) -> Array:
    """Binary targets, truth values or numbers from 0 to 1, in the machine's byte order; see `check_labels`."""
    t = _numbers(t, "targets of yes or no", "Make truth values of them with `t = t == {word}`.")
    if not isinstance(t, np.ndarray):
        return t
    wrong = np.logical_not((t >= 0) & (t <= 1))
    if wrong.any():
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise LabelError(
            f"Expected targets of yes or no, from 0 to 1, got {t[where]!s} at index {where} "
            f"({int(wrong.sum())} wrong in all). For classes that exclude each other use `SoftmaxWithLoss()`."
        )
    return t


def check_amounts(t: Array) -> Array:
    """Targets of a regression, finite floats, in the machine's byte order; see `check_labels`."""
    t = _numbers(t, "targets of a regression", "A regression needs an amount for each output.")
    if not dtype_name(t).startswith("float"):
        raise DtypeError(
            f"Expected targets of a regression as floats, got {dtype_name(t)}. Convert them with "
            "`t = t.astype('float32')`."
        )
    if isinstance(t, np.ndarray) and not (good := np.isfinite(t)).all():
        where = tuple(int(i) for i in np.argwhere(~good)[0])
        raise DataError(
            f"Expected finite targets, got {t[where]!s} at index {where}. Leave such samples out: "
            "`known = numpy.isfinite(t).reshape(len(t), -1).all(axis=1)`, then `x[known]` and `t[known]`."
        )
    return t


def _numbers(t: Array, what: str, remedy: str) -> Array:
    """The array in the machine's byte order; a DtypeError with the remedy for a ``{word}`` if it holds words."""
    if not isinstance(t, _ON_HOST):
        return t
    if t.dtype.kind in "biuf":
        return t if t.dtype.isnative else t.astype(t.dtype.newbyteorder("="))
    word = max(np.asarray(t).ravel().tolist(), key=str, default="")
    for dtype in ("int64", "float64"):
        if _reads_as(np.asarray(t), dtype):
            remedy = f"Convert them with `t = t.astype('{dtype}')`."
            break
    raise DtypeError(f"Expected {what} as numbers, got {t.dtype} such as {word!r}. {remedy.format(word=repr(word))}")


def _reads_as(words: np.ndarray, dtype: str) -> bool:
    """Whether words, or objects, are all numbers of that dtype."""
    try:
        return words.dtype.kind in "OSU" and bool(np.all(words.astype(dtype) == words.astype("float64")))
    except (TypeError, ValueError):
        return False


def index_labels(t: np.ndarray) -> np.ndarray:
    """Class indices (int64) from class indices, or the most probable class of each row."""
    return t.astype(np.int64) if t.ndim < 2 else t.argmax(axis=1)


def is_one_hot(t: np.ndarray) -> bool:
    """Whether all rows (N, C) have a single 1 and else zeros; not where C is 1, which is no choice between classes.

    Examples
    --------
    >>> [is_one_hot(np.array(t)) for t in ([[1, 0], [0, 1]], [[1, 1], [0, 1]], [[0, 5], [1, 0]], [[1], [1]])]
    [True, False, False, False]
    """
    return t.shape[1] > 1 and bool(((t.max(axis=1) == 1) & (np.count_nonzero(t, axis=1) == 1)).all())


def check_form(name: str, value: Any, current: Array) -> None:
    """Check that a new value has the library, shape and dtype of the current one; it would be broadcast silently."""
    if is_array(value):
        check_plain(value, name)
    if not is_array(value) or get_array_module(value) is not get_array_module(current):
        raise ArrayMixError(
            f"{name} is a {type_name(current)}, got {type(value).__name__}. Convert it with `network.asarray(value)`."
        )
    if tuple(value.shape) != tuple(current.shape):
        raise ShapeError(f"{name} has shape {tuple(current.shape)}, got a value of shape {tuple(value.shape)}.")
    if (given := dtype_name(value)) != dtype_name(current):
        other = f", or the network with `network.to(dtype={given!r})`" if given in _NETWORK_DTYPES else ""
        raise DtypeError(
            f"{name} is {dtype_name(current)}, got {given}. Convert the value with "
            f"`xpnet.asarray(value, dtype={dtype_name(current)!r})`{other}."
        )


def check_gradient_form(layer: Any, name: str, grad: Any) -> None:
    """Check that the gradient `name` of a layer has the shape of its parameter and holds floats."""
    shape, expected = getattr(grad, "shape", ()), getattr(layer, name[1:]).shape
    if tuple(shape) != tuple(expected):
        raise ShapeError(
            f"{layer!r} has a parameter {name[1:]} of shape {tuple(expected)}, but its backward sets `self.{name}` of "
            f"shape {tuple(shape)}."
        )
    if not dtype_name(grad).startswith("float"):
        raise DtypeError(f"The backward of {layer!r} sets `self.{name}` to numbers of {dtype_name(grad)}.")


def check_given_shape(must: str, array: Any, expected: tuple[int, ...]) -> None:
    """Check that a layer's result has the expected shape; `must` begins the message."""
    shape = getattr(array, "shape", None)
    if shape is None or tuple(shape) != expected:
        got = type(array).__name__ if shape is None else str(tuple(shape))
        raise ShapeError(f"{must} of shape {expected}, got {got}.")
