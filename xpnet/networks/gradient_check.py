"""The numerical gradient of a network, and the check of backpropagation against it (course row 16)."""

from typing import TYPE_CHECKING

import numpy as np

from xpnet._core.arrays import Array, dtype_name, to_numpy
from xpnet.backend import asarray
from xpnet.gradient import numerical_gradient

if TYPE_CHECKING:
    from xpnet.networks.network import Network


def numerical_network_gradient(network: "Network", x: Array, t: Array, h: float | None) -> dict[str, Array]:
    """What ``Network.numerical_gradient`` returns, for checked inputs `x` in the network's dtype."""
    exact = network.copy().to(dtype="float64")
    own_dtype, x = dtype_name(x), asarray(x, like=x, dtype="float64")
    grads = {}
    for key, parameter in exact.params.items():

        def loss_with(values: np.ndarray, key: str = key, parameter: Array = parameter) -> Array:
            exact.params[key] = asarray(values, like=parameter)  # replaced, since not every array can be written to
            return exact.loss(x, t, train=True)

        values = np.array(to_numpy(parameter))
        grad = numerical_gradient(loss_with, values, h)
        grads[key] = asarray(grad, like=parameter, dtype=own_dtype)
        exact.params[key] = asarray(values, like=parameter)  # as before; `parameter` may be a view that was written to
    return grads


def check_gradient(network: "Network", x: Array, t: Array) -> dict[str, float]:
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
