"""The functions of the course: activations, their derivatives, losses. Pure, stateless, one formula for every backend.

Each computes in the dtype of its input. Numbers, lists and integer arrays, which the course passes freely, are computed
in float64. A vector is one sample; in a two-dimensional array each row is one.
"""

from numbers import Number
from typing import Any

from xpnet.backend import Array, arange, asarray, check_plain, dtype_name, get_array_module, is_array
from xpnet.checks import check_labels
from xpnet.errors import ShapeError

__all__ = [
    "cross_entropy_error",
    "identity_function",
    "mean_squared_error",
    "one_hot",
    "relu",
    "relu_grad",
    "sigmoid",
    "sigmoid_grad",
    "softmax",
    "step_function",
]


def as_floating(x: Array) -> tuple[Any, Array]:
    """The array module of `x`, and `x` as a floating array; a number, a list and integers become float64."""
    if not is_array(x):
        x = asarray(x, dtype="float64")
    xp = get_array_module(x)
    return xp, x if dtype_name(x).startswith("float") else xp.astype(x, xp.float64)


def as_inputs(x: Array, dtype: Any, block: Array | None = None) -> Array:
    """A network's inputs in its dtype: uint8 pixels times 1/255, floats converted; in place already, `x` itself.

    `block` is memory to use again for batch after batch: an array of `dtype` that has the samples' shape and as many or
    more of them. New memory is given page by page, which can take as long as the arithmetic.
    """
    if x.dtype == dtype:
        return x
    xp = get_array_module(x)
    if block is None:
        floats = xp.astype(x, dtype)  # converted before it is scaled: uint8 * (1/255) would be float64
    else:
        floats = block[: x.shape[0], ...]
        floats[...] = x
    if x.dtype == xp.uint8:
        floats *= 1 / 255
    return floats


def step_function(x: Array) -> Array:
    """1 where `x` is positive, else 0; the activation of a perceptron (course row 2).

    Note: the course returns integers, we the dtype of the input, so that the result can go on through a network.

    Examples
    --------
    >>> step_function([-1.0, 0.0, 2.0])
    array([0., 0., 1.])
    """
    xp, x = as_floating(x)
    return xp.astype(x > 0, x.dtype)


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), between 0 and 1 (course row 2).

    Computed from exp(-|x|), which cannot overflow, instead of exp(-x), which does for x = -89 in float32.

    Examples
    --------
    >>> sigmoid([0.3, 0.7, 1.1])
    array([0.57444252, 0.66818777, 0.75026011])
    """
    xp, x = as_floating(x)
    z = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, 1.0, z) / (1 + z)


def sigmoid_grad(x: Array) -> Array:
    """The derivative of the sigmoid at `x`: y (1 - y) with y = sigmoid(x) (course row 2).

    Examples
    --------
    >>> float(sigmoid_grad(0.0))
    0.25
    """
    y = sigmoid(x)
    return y * (1 - y)


def relu(x: Array) -> Array:
    """max(x, 0), the rectified linear unit (course row 2).

    Examples
    --------
    >>> relu([-1.0, 0.0, 2.0])
    array([0., 0., 2.])
    """
    xp, x = as_floating(x)
    return xp.maximum(x, 0)


def relu_grad(x: Array) -> Array:
    """The derivative of ReLU at `x`: 1 where x > 0, else 0 (course row 2).

    Note: the book's has 1 at x = 0, its layer has 0. Any slope from 0 to 1 is right there; ours is 0 in both, as in the
    layer and in PyTorch.

    Examples
    --------
    >>> relu_grad([-1.0, 0.0, 2.0])
    array([0., 0., 1.])
    """
    return step_function(x)


def identity_function(x: Array) -> Array:
    """`x` itself: the output activation of a regression (course row 2)."""
    if not isinstance(x, list | tuple | Number):
        check_plain(x)
    return x


def softmax(x: Array) -> Array:
    """exp(x) over the sum of exp(x) along the last axis: scores become probabilities (course row 3).

    The largest score of each row is taken away first, which changes nothing but keeps exp from overflowing.

    Examples
    --------
    >>> softmax([1.0, 2.0])
    array([0.26894142, 0.73105858])
    >>> softmax([[1000.0, 1000.0], [0.0, 0.0]])
    array([[0.5, 0.5],
           [0.5, 0.5]])
    """
    xp, x = as_floating(x)
    exp = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
    return exp / xp.sum(exp, axis=-1, keepdims=True)


def one_hot(t: Array, classes: int, dtype: Any) -> Array:
    """Index labels as rows with a single 1.

    By comparison and not by writing ``y[arange, t] = 1``: that needs no scatter on a GPU, and a label out of range
    gives a row of zeros instead of quietly another class.

    Parameters
    ----------
    t
        Integers, shape (...).
    classes
        The number of classes C.
    dtype
        The result's dtype, as the array module has it (``scores.dtype``).

    Returns
    -------
    Array
        Shape (..., C).
    """
    xp = get_array_module(t)
    return xp.astype(t[..., None] == arange(classes, like=t), dtype)


def mean_squared_error(y: Array, t: Array) -> Array:
    """Half the sum of squared differences, 0.5 * sum((y - t)**2), averaged over the rows of a batch (course row 8).

    Parameters
    ----------
    y, t
        Outputs and targets of one shape, (D,) or (N, D).

    Returns
    -------
    Array
        A scalar of the dtype of `y`.

    Examples
    --------
    >>> float(mean_squared_error([0.0, 1.0], [1.0, 1.0]))
    0.5
    """
    xp, y = as_floating(y)
    t = asarray(t, like=y, dtype=dtype_name(y))
    if t.shape != y.shape:
        raise ShapeError(f"mean_squared_error needs two arrays of one shape, got {y.shape} and {t.shape}.")
    return xp.sum((y - t) ** 2) / (2 * _rows(y))


def cross_entropy_error(y: Array, t: Array) -> Array:
    """-sum(t * log(y + 1e-7)), averaged over the rows of a batch (course row 8).

    The course's own, of probabilities, with its 1e-7 against log(0). A network's loss is computed exactly, from the
    scores: see `SoftmaxWithLoss`.

    Parameters
    ----------
    y
        Probabilities, (C,) or (N, C).
    t
        One-hot labels of the shape of `y`, or class indices with one dimension less. Told apart by the number of
        dimensions. (Note: the course compares sizes, which a single-column output defeats.)

    Returns
    -------
    Array
        A scalar of the dtype of `y`.

    Raises
    ------
    LabelError
        For a class index out of range, where `t` is a NumPy array, a list or a number.

    Examples
    --------
    >>> round(float(cross_entropy_error([0.1, 0.8, 0.1], 1)), 5)
    0.22314
    """
    xp, y = as_floating(y)
    t = check_labels(asarray(t, like=y), y.shape)
    t = one_hot(t, y.shape[-1], y.dtype) if t.ndim < y.ndim else xp.astype(t, y.dtype)
    return -xp.sum(t * xp.log(y + 1e-7)) / _rows(y)


def _rows(y: Array) -> int:
    """How many samples: a vector is one."""
    return y.shape[0] if y.ndim > 1 else 1
