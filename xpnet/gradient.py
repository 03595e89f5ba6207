"""The slow, sure way to a gradient, descent along it, and the check of the fast way against it (course rows 9, 16)."""

from collections.abc import Callable, MutableMapping
from typing import Any, Protocol, Self

import numpy as np

from xpnet.backend import Array, asarray, dtype_name, is_array, is_writable, to_numpy
from xpnet.errors import DtypeError

__all__ = ["check_gradient", "gradient_descent", "numerical_gradient", "numerical_network_gradient"]


def numerical_gradient(f: Callable[[Array], Any], x: Array, h: float = 1e-4) -> Array:
    """The gradient of `f` at `x` by central differences, (f(x + h) - f(x - h)) / 2h for each element (course row 9).

    Parameters
    ----------
    f
        A function of `x` that gives one number. `x` is changed in place between calls, so `f` may also ignore its
        argument and read the array from where it lives, as the course does with ``network.W``.
    x
        Floats of any shape; restored before this returns, also after an error. A number or a list will do.
    h
        The step. With float32 arrays the differences drown in rounding: use float64.

    Returns
    -------
    Array
        Of the shape, dtype and device of `x`.

    Raises
    ------
    DtypeError
        For an integer array, to which h cannot be added, and for an array that cannot be written in place.

    Examples
    --------
    >>> numerical_gradient(lambda x: (x**2).sum(), [3.0, 4.0]).round(6)
    array([6., 8.])
    """
    x = _changeable(x)
    from tqdm.auto import tqdm

    grad = np.empty(tuple(x.shape))
    # The bar appears only where this takes longer than a second, and only in a terminal or notebook.
    places = tqdm(np.ndindex(*x.shape), total=grad.size, delay=1, disable=None, leave=False, desc="numerical gradient")
    for place in places:
        here = float(x[place])
        try:
            x[place] = here + h
            above = float(f(x))
            x[place] = here - h
            below = float(f(x))
        finally:
            x[place] = here
        grad[place] = (above - below) / (2 * h)
    return asarray(grad, like=x, dtype=dtype_name(x))


def _changeable(x: Array) -> Array:
    if not is_array(x):
        return asarray(x, dtype="float64")
    if not dtype_name(x).startswith("float"):
        raise DtypeError(
            f"numerical_gradient adds h to each element, which an array of {dtype_name(x)} cannot hold. "
            "Pass floats:  x = x.astype('float64') ."
        )
    if not is_writable(x):
        raise DtypeError(
            f"numerical_gradient changes x in place, which this {type(x).__module__}.{type(x).__name__} does not "
            "allow. For a network's parameters call  network.numerical_gradient(x, t) , which works on every backend; "
            "otherwise pass a copy that can be written, such as  numpy.array(x) ."
        )
    return x


class Differentiable(Protocol):
    """What is asked here of a network, which is built on this file and not this file on it."""

    @property
    def params(self) -> MutableMapping[str, Array]:
        """The parameters by name."""

    def loss(self, x: Array, t: Array, *, train: bool = False) -> Array:
        """The loss of its parameters; `train`: as in a training step."""

    def gradient(self, x: Array, t: Array) -> dict[str, Array]:
        """The gradient of the loss by backpropagation."""

    def numerical_gradient(self, x: Array, t: Array) -> dict[str, Array]:
        """The gradient of the loss by central differences."""

    def copy(self) -> Self:
        """Another with the same parameters."""

    def to(self, *, dtype: str) -> Self:
        """Itself, in another dtype."""


def numerical_network_gradient(network: Differentiable, x: Array, t: Array, h: float) -> dict[str, Array]:
    """The numerical gradient of a network's loss by each parameter.

    Computed in float64 on a copy, whose parameters are replaced and not written to: so it works on every backend. Given
    back in the network's own dtype.
    """
    exact = network.copy().to(dtype="float64")
    x = asarray(x, like=x, dtype="float64")
    grads = {}
    for key, parameter in exact.params.items():

        def loss_with(values: np.ndarray, key: str = key, parameter: Array = parameter) -> Array:
            exact.params[key] = asarray(values, like=parameter)
            return exact.loss(x, t, train=True)

        values = np.array(to_numpy(parameter))
        grad = numerical_gradient(loss_with, values, h)
        grads[key] = asarray(grad, like=parameter, dtype=dtype_name(network.params[key]))
        exact.params[key] = asarray(values, like=parameter)  # as before; `parameter` may be a view that was written to
    return grads


def gradient_descent(f: Callable[[Array], Any], init_x: Array, lr: float = 0.01, step_num: int = 100) -> Array:
    """The point reached from `init_x` by `step_num` steps of -lr times the numerical gradient of `f` (course row 9).

    Note: one of the notes returns the last gradient instead of the point, calls the argument ``step_sum``, and the book
    changes `init_x` in place; here `init_x` is left as it was.

    Examples
    --------
    >>> gradient_descent(lambda x: (x**2).sum(), [-3.0, 4.0], lr=0.1, step_num=100).round(6) + 0.0
    array([0., 0.])
    """
    x = asarray(np.array(to_numpy(_changeable(init_x))), like=_changeable(init_x))
    for _ in range(step_num):
        x -= lr * numerical_gradient(f, x)
    return x


def check_gradient(network: Differentiable, x: Array, t: Array) -> dict[str, float]:
    """How far backpropagation is from the numerical gradient: the mean absolute difference for each parameter.

    Computed in float64, on a copy of the network, whatever the network's own dtype: in float32 the check would measure
    rounding (course row 16).

    Examples
    --------
    >>> from xpnet import TwoLayerNet
    >>> errors = check_gradient(TwoLayerNet(4, 5, 3, seed=0, backend="numpy"), np.ones((2, 4)), np.array([0, 2]))
    >>> {name: error < 1e-9 for name, error in errors.items()}
    {'W1': True, 'b1': True, 'W2': True, 'b2': True}
    """
    exact = network.copy().to(dtype="float64")
    numerical = exact.numerical_gradient(x, t)  # first: of the same step, so that dropout drops the same
    backward = exact.gradient(x, t)
    return {key: float(np.mean(np.abs(to_numpy(backward[key]) - to_numpy(numerical[key])))) for key in backward}
