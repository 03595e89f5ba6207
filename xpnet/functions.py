"""Functions of the course: activations, their derivatives, losses, and the logic gates of the perceptron.

Each computes in the dtype of its input, and in float64 for numbers, lists and integer arrays. A vector is one sample;
each row of a two-dimensional array is one.
"""

from numbers import Number
from typing import Any

import numpy as np

from xpnet._core.arrays import Array, arange, check_plain, dtype_name, get_array_module, is_array
from xpnet._core.checks import check_labels, valid_labels
from xpnet.backend import asarray
from xpnet.errors import ShapeError


def as_floating(x: Array) -> tuple[Any, Array]:
    """The array module of `x`, and `x` as a floating array; numbers, lists and integers become float64."""
    if not is_array(x):
        x = asarray(x, dtype="float64")
    xp = get_array_module(x)
    return xp, x if dtype_name(x).startswith("float") else xp.astype(x, xp.float64)


def as_targets(t: Array) -> Array:
    """Targets as a plain array; numbers and lists become NumPy arrays, whose values are checked."""
    if not is_array(t):
        return asarray(t, backend="numpy")
    check_plain(t, "t")
    return t


def step_function(x: Array) -> Array:
    """1 where `x` is positive, else 0: the activation of a perceptron (course row 2).

    Note: the course returns integers; here the result has the dtype of the input, as a network needs it.

    Examples
    --------
    >>> step_function([-1.0, 0.0, 2.0])
    array([0., 0., 1.])
    """
    xp, x = as_floating(x)
    return xp.astype(x > 0, x.dtype)


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), between 0 and 1 (course row 2).

    Computed from exp(-|x|), which cannot overflow; exp(-x) does for x = -89 in float32.

    Examples
    --------
    >>> sigmoid([0.3, 0.7, 1.1])
    array([0.57444252, 0.66818777, 0.75026011])
    """
    xp, x = as_floating(x)
    with np.errstate(under="ignore"):  # exp of a large negative number is 0
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

    Note: at x = 0 the book's function gives 1 and its layer 0; here both give 0, as in PyTorch.

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
    """Softmax: exp(x) / sum(exp(x)) along the last axis, probabilities from scores (course row 3).

    The largest score of each row is subtracted first, against overflow.

    Examples
    --------
    >>> softmax([1.0, 2.0])
    array([0.26894142, 0.73105858])
    >>> softmax([[1000.0, 1000.0], [0.0, 0.0]])
    array([[0.5, 0.5],
           [0.5, 0.5]])
    """
    xp, x = as_floating(x)
    with np.errstate(under="ignore"):  # exp of a large negative number is 0
        exp = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
        return exp / xp.sum(exp, axis=-1, keepdims=True)


def one_hot(t: Array, classes: int, dtype: Any = "float32") -> Array:
    """One-hot rows (..., C) of class indices: a single 1 at each index.

    Computed by comparison, which needs no scatter on a GPU; a label out of range gives a row of zeros.

    Parameters
    ----------
    t
        Class indices: an integer array or a list, shape (...).
    classes
        The number of classes C.
    dtype
        The dtype of the result, by name or as the array module has it (``scores.dtype``).

    Examples
    --------
    >>> one_hot([2, 0], 3)
    array([[0., 0., 1.],
           [1., 0., 0.]], dtype=float32)
    """
    if not is_array(t):
        t = asarray(t, backend="numpy")
    xp = get_array_module(t)
    return xp.astype(t[..., None] == arange(classes, like=t), getattr(xp, dtype) if isinstance(dtype, str) else dtype)


def label_rows(t: Array, scores_shape: tuple[int, ...], dtype: Any) -> Array:
    """Labels, class indices or rows as for `check_labels`, as rows of the shape of the scores, (N, C) or (C,).

    A row is NaN if its index is out of range or it does not sum to 1: this needs no synchronization with a device.

    Examples
    --------
    >>> import numpy as np
    >>> label_rows(np.array([1, 2]), (2, 2), np.dtype("float64"))
    array([[ 0.,  1.],
           [nan, nan]])
    """
    xp = get_array_module(t)
    rows = one_hot(t, scores_shape[-1], dtype) if t.ndim < len(scores_shape) else xp.astype(t, dtype)
    return xp.where(valid_labels(t, scores_shape)[..., None], rows, xp.nan)


def mean_squared_error(y: Array, t: Array) -> Array:
    """0.5 * sum((y - t)**2), averaged over the rows of a batch: a scalar of the dtype of `y` (course row 8).

    Parameters
    ----------
    y, t
        Outputs and targets of one shape, (D,) or (N, D).

    Examples
    --------
    >>> float(mean_squared_error([0.0, 1.0], [1.0, 1.0]))
    0.5
    """
    xp, y = as_floating(y)
    t = asarray(t, like=y, dtype=dtype_name(y))
    if t.shape != y.shape:
        raise ShapeError(
            f"Expected outputs and targets of one shape, got {tuple(y.shape)} and {tuple(t.shape)}. For a column of "
            "outputs make one of the targets: `t = t.reshape(-1, 1)`."
        )
    return xp.sum((y - t) ** 2) / (2 * sample_count(y))


def cross_entropy_error(y: Array, t: Array) -> Array:
    """-sum(t * log(y + 1e-7)), averaged over the rows of a batch: a scalar of the dtype of `y` (course row 8).

    The course's formula for probabilities, with 1e-7 against log(0). Networks compute the exact loss from scores: see
    `SoftmaxWithLoss`.

    Parameters
    ----------
    y
        Probabilities, (C,) or (N, C).
    t
        Rows of the shape of `y` that sum to 1, one-hot or probabilities, or class indices with one dimension less.
        (Note: the course compares sizes, which fails for a single column.)

    Raises
    ------
    LabelError
        For a class index out of range or a row that does not sum to 1, where `t` is a NumPy array, a list or a number.
        On a device other than the host the result is NaN instead.

    Examples
    --------
    >>> round(float(cross_entropy_error([0.1, 0.8, 0.1], 1)), 5)
    0.22314
    """
    xp, y = as_floating(y)
    t = check_labels(as_targets(t), y.shape)
    t = label_rows(asarray(t, like=y), y.shape, y.dtype)
    return -xp.sum(t * xp.log(y + 1e-7)) / sample_count(y)


def sample_count(y: Array) -> int:
    """The number of samples; a vector is one."""
    return y.shape[0] if y.ndim > 1 else 1


def perceptron(x1: Array, x2: Array, w: tuple[float, float], theta: float) -> Any:
    """1 where w1 x1 + w2 x2 exceeds the threshold theta, else 0; an int for two numbers.

    Arrays of any backend and lists, of shapes that broadcast, give 0 and 1 in their floating dtype, as input of the
    next gate.
    """
    # A Python number stays one, since it has no backend of its own.
    x1, x2 = (x if isinstance(x, int | float) else as_floating(x)[1] for x in (x1, x2))
    total = w[0] * x1 + w[1] * x2
    return int(total > theta) if isinstance(total, float) else step_function(total - theta)


def AND(x1: Array, x2: Array) -> Any:
    """1 where both are 1 (w = (0.5, 0.5), theta = 0.7).

    Examples
    --------
    >>> AND(1, 1), AND(1, 0)
    (1, 0)
    >>> AND([0, 0, 1, 1], [0, 1, 0, 1])
    array([0., 0., 0., 1.])
    """
    return perceptron(x1, x2, w=(0.5, 0.5), theta=0.7)


def NAND(x1: Array, x2: Array) -> Any:
    """The negation of `AND`: its weights and threshold with the opposite sign.

    Examples
    --------
    >>> NAND(1, 1), NAND(1, 0)
    (0, 1)
    """
    return perceptron(x1, x2, w=(-0.5, -0.5), theta=-0.7)


def OR(x1: Array, x2: Array) -> Any:
    """1 where at least one is 1 (w = (0.5, 0.5), theta = 0.3).

    Examples
    --------
    >>> OR(0, 0), OR(1, 0)
    (0, 1)
    """
    return perceptron(x1, x2, w=(0.5, 0.5), theta=0.3)


def XOR(x1: Array, x2: Array) -> Any:
    """1 where exactly one is 1: AND of NAND and OR, since no single perceptron computes it.

    Examples
    --------
    >>> XOR(0, 0), XOR(0, 1), XOR(1, 0), XOR(1, 1)
    (0, 1, 1, 0)
    """
    return AND(NAND(x1, x2), OR(x1, x2))
