"""Numerical gradients and gradient descent (course row 9)."""

from collections.abc import Callable
from typing import Any

import numpy as np

from xpnet._core.arrays import Array, check_plain, dtype_name, is_array, is_writable, to_numpy, type_name
from xpnet._core.checks import check_count, check_positive
from xpnet.backend import asarray
from xpnet.errors import ArgumentError, DtypeError, ShapeError

_STEP = 1e-4  # the course's; enough where numbers have the size of 1 and are float64


def numerical_gradient(f: Callable[[Array], Any], x: Array, h: float | None = None) -> Array:
    """The gradient of `f` at `x` by central differences, (f(x + h) - f(x - h)) / 2h for each element (course row 9).

    It has the shape, dtype and device of `x`, and is NaN where `x` or `f` is not finite.

    Parameters
    ----------
    f
        A function of `x` that returns one number, or one number for each row of `x` (the book's
        ``numerical_gradient_2d``); then each row of the result is the gradient of that row's number. `x` is changed in
        place between calls, so `f` may ignore its argument and read the array itself, as the course does with
        ``network.W``. `f` must not change `x`.
    x
        Floats of any shape, a number or a list; restored at the end, also after an error.
    h
        The step. By default the course's 1e-4, or the cube root of the dtype's eps times max(1, abs(x)) if that is
        larger, since a smaller step would be lost in rounding. The difference is divided by the rounded step. Use
        float64 for more than two or three digits.

    Raises
    ------
    DtypeError
        If `x` is an array of integers or float16, or cannot be written in place, or if `f` does not return real
        numbers.
    ShapeError
        If `f` returns neither one number nor one for each row.
    ArgumentError
        If h is lost in rounding, if `f` changes `x`, or if the number of one row depends on another row.

    Examples
    --------
    >>> numerical_gradient(lambda x: (x**2).sum(), [3.0, 4.0]).round(6)
    array([6., 8.])

    One number for each row:

    >>> points = np.array([[3.0, 4.0], [0.0, 2.0]])
    >>> numerical_gradient(lambda x: (x**2).sum(axis=1), points).round(6)
    array([[6., 8.],
           [0., 4.]])
    """
    x = _changeable(x)
    from tqdm.auto import tqdm

    kept = np.array(to_numpy(x))
    kept = kept.astype(kept.dtype.newbyteorder("="))
    above, below = _neighbors(kept, h)
    in_rows = _numbers(f(x), x).ndim == 1
    if not np.array_equal(to_numpy(x), kept, equal_nan=True):
        x[...] = asarray(kept, like=x)
        raise ArgumentError(
            "The function given to numerical_gradient changes `x`. Let it work on a copy: "
            "`numerical_gradient(lambda x: f(x.copy()), x)`."
        )
    grad = np.empty(kept.shape)
    # The bar appears after a second, in a terminal or notebook.
    places = tqdm(
        np.ndindex(*kept.shape), total=grad.size, delay=1, disable=None, leave=False, desc="numerical gradient"
    )
    for place in places:
        try:
            x[place] = above[place].item()
            f_above = _numbers(f(x), x)
            x[place] = below[place].item()
            f_below = _numbers(f(x), x)
        finally:
            x[place] = kept[place].item()
        if in_rows:
            _check_other_rows(f_above, f_below, place[0])
            f_above, f_below = f_above[place[0]], f_below[place[0]]
        with np.errstate(all="ignore"):  # the gradient is not finite where f is not
            grad[place] = (f_above - f_below) / (np.float64(above[place]) - np.float64(below[place]))
    with np.errstate(over="ignore"):
        return asarray(grad, like=x, dtype=kept.dtype.name)


def _changeable(x: Any) -> Array:
    """`x` itself if it is a writable array of floats, a new array if it is a number or a list."""
    if not is_array(x) or isinstance(x, np.generic):
        x = np.array(asarray(x, backend="numpy"))
        if x.dtype.kind in "iub":
            x = x.astype(np.float64)
    check_plain(x)
    name = x.dtype.name if isinstance(x, np.ndarray) else dtype_name(x)  # without the byte order
    if name.startswith("complex"):
        raise DtypeError(f"numerical_gradient expects floats, got {name}. Pass `x.real` and `x.imag` separately.")
    if name == "float16":
        raise DtypeError(
            "numerical_gradient expects float32 or float64: in float16 the difference of two values of a function is "
            "mostly rounding. Pass `x.astype('float64')`."
        )
    if not name.startswith("float"):
        raise DtypeError(
            f"numerical_gradient adds h to each element, which an array of {name} cannot hold. "
            "Pass floats: `x = x.astype('float64')`."
        )
    if not is_writable(x):
        raise DtypeError(
            f"numerical_gradient changes x in place, which this {type(x).__module__}.{type(x).__name__} does not "
            "allow. For a network's parameters call `network.numerical_gradient(x, t)`, which works on every backend; "
            "otherwise pass a copy that can be written, such as `numpy.array(x)`."
        )
    return x


def _neighbors(x: np.ndarray, h: float | None) -> tuple[np.ndarray, np.ndarray]:
    """x + h and x - h in the dtype of `x`; an ArgumentError if they equal `x` or are infinite."""
    exact = x.astype(np.float64)
    with np.errstate(all="ignore"):  # an infinite number has no neighbors, and its gradient is NaN
        fitting = np.cbrt(float(np.finfo(x.dtype).eps)) * np.maximum(1, np.abs(exact))
        step = np.maximum(_STEP, fitting) if h is None else np.float64(check_positive("h", h))
        above, below = (exact + step).astype(x.dtype), (exact - step).astype(x.dtype)
        lost = np.isfinite(x) & ((above == x) | (below == x))
        too_far = np.isfinite(x) & ~(np.isfinite(above) & np.isfinite(below))
    if lost.any():
        raise ArgumentError(
            f"h={h:g} is lost in rounding: {_element(x, lost)} plus or minus h is the same number in {x.dtype.name}. "
            "Leave `h` out for a suitable step."
        )
    if too_far.any():
        raise ArgumentError(
            f"{_element(x, too_far)} is too large for a step in {x.dtype.name}: adding or subtracting it gives "
            "infinity. Scale the numbers down."
        )
    return above, below


def _element(x: np.ndarray, mask: np.ndarray) -> str:
    """``x[0, 2] = 3.5`` for the first element where `mask` is True, or ``x = 3.5`` for a 0-d array."""
    place = tuple(map(int, np.argwhere(mask)[0]))
    return f"x{list(place) or ''} = {x[place].item():g}"


def _numbers(value: Any, x: Array) -> np.ndarray:
    """The result of the function at `x` as float64: one number, or one for each row of `x`."""
    numbers = to_numpy(value) if is_array(value) else np.asarray(value)
    if numbers.dtype.kind not in "fiu":
        hint = " Does it lack a `return`?" if value is None else ""
        raise DtypeError(
            f"numerical_gradient expects a function that returns a real number, and this one returned {value!r:.60} "
            f"({type_name(value)}).{hint}"
        )
    if numbers.size == 1:
        return numbers.reshape(()).astype(np.float64)
    if x.ndim > 1 and numbers.shape == tuple(x.shape[:1]):
        return numbers.astype(np.float64)
    rows = f", or one for each of the {x.shape[0]} rows of x" if x.ndim > 1 else ""
    raise ShapeError(
        f"numerical_gradient expects a function that returns one number{rows}, and this one returned "
        f"{type_name(value)} of shape {numbers.shape}. Sum its result: `numerical_gradient(lambda x: f(x).sum(), x)`."
    )


def _check_other_rows(above: np.ndarray, below: np.ndarray, row: int) -> None:
    """Raise an ArgumentError if the number of another row changed with `row`."""
    others = np.flatnonzero(~((above == below) | (np.isnan(above) & np.isnan(below))))
    others = others[others != row]
    if others.size:
        raise ArgumentError(
            f"The function returns a number for each row of x, but that of row {others[0]} changes with row {row}. For "
            "the gradient of their sum: `numerical_gradient(lambda x: f(x).sum(), x)`."
        )


def gradient_descent(f: Callable[[Array], Any], init_x: Array, lr: float = 0.01, step_num: int = 100) -> Array:
    """The point reached from `init_x` by `step_num` steps of -lr times the numerical gradient of `f` (course row 9).

    If `f` returns a number for each row, each row is a separate point.

    Note: one of the notes returns the last gradient instead of the point and calls the argument ``step_sum``; the book
    changes `init_x` in place, which is left unchanged here. At too high a rate, such as 10, the book stops at -2.6e13,
    where its step of 1e-4 is lost in rounding; here the descent continues.

    Examples
    --------
    >>> gradient_descent(lambda x: (x**2).sum(), [-3.0, 4.0], lr=0.1, step_num=100).round(6) + 0.0
    array([0., 0.])
    """
    try:
        lr = float(lr)
    except (TypeError, ValueError):
        raise ArgumentError(f"lr must be a number, got {lr!r}.") from None
    x = _changeable(init_x)
    x = asarray(np.array(to_numpy(x)), like=x)
    for _ in range(check_count("step_num", step_num, 0)):
        x -= lr * numerical_gradient(f, x)
    return x
