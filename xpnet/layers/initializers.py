"""Weight initialization: drawn on the host, so that every backend starts from the same numbers (course row 15)."""

import math
from collections.abc import Callable, Mapping

import numpy as np

from xpnet._core.arrays import Array
from xpnet._core.checks import check_count, check_network_dtype, check_not_negative
from xpnet._core.random import random_streams
from xpnet.backend import Backend, asarray
from xpnet.errors import ArgumentError

Random = np.random.Generator | int | None
"""A generator for all layers of a network; a seed for one layer, which gets the weights of the first layer of a network
with that seed; or None for other numbers each time."""

_VARIANCES: Mapping[str, Callable[[int, int], float]] = {
    "xavier": lambda n_in, _: 1 / n_in,
    "sigmoid": lambda n_in, _: 1 / n_in,
    "glorot": lambda n_in, n_out: 2 / (n_in + n_out),
    "he": lambda n_in, _: 2 / n_in,
    "relu": lambda n_in, _: 2 / n_in,
}


def initial_weights(rng: Random, n_in: int, n_out: int, init: float | str, *, fan_out: int | None = None) -> np.ndarray:
    """Initial weights of an affine layer, float64, shape (n_in, n_out).

    Parameters
    ----------
    rng
        The generator to draw them from, or a seed.
    n_in, n_out
        The numbers of inputs and of outputs of the layer.
    init
        The standard deviation of normal numbers (the course's ``0.01 * randn``), or a name, in any case:

        ``"xavier"``
            sqrt(1 / n_in), for sigmoid and tanh: the course's, after Glorot and Bengio (2010).
        ``"glorot"``
            sqrt(2 / (n_in + n_out)): their equation 12, and PyTorch's ``xavier_normal_``.
        ``"he"``
            sqrt(2 / n_in), for ReLU: He et al. (2015), equation 10.

        The numbers are normal, also if ``_normal`` is added to the name; with ``_uniform`` added they are uniform with
        the same deviation: ``"he_uniform"``. The course says ``"sigmoid"`` for Xavier and ``"relu"`` for He.
    fan_out
        The number of outputs that depend on one input if it is not `n_out`: for a convolution, the number of filters
        times the size of one.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> round(float(initial_weights(rng, 400, 300, "he").std()), 3)
    0.071
    >>> bool(abs(initial_weights(rng, 400, 300, "he_uniform")).max() <= (6 / 400) ** 0.5)
    True
    """
    if not isinstance(rng, np.random.Generator):
        rng = random_streams(rng).weights
    if not isinstance(init, str):
        std = check_not_negative("The standard deviation of initial weights", init)
        return std * rng.standard_normal((n_in, n_out))
    name, separator, spread = init.lower().partition("_")
    if name not in _VARIANCES or (separator and spread not in ("normal", "uniform")):
        raise ArgumentError(
            f"Initial weights must be given by a standard deviation such as `0.01`, or by one of "
            f"{', '.join(_VARIANCES)}, also with _uniform or _normal after it as in `'he_uniform'`; got {init!r}."
        )
    std = math.sqrt(_VARIANCES[name](n_in, fan_out or n_out))
    if spread == "uniform":
        return rng.uniform(-math.sqrt(3) * std, math.sqrt(3) * std, (n_in, n_out))
    return std * rng.standard_normal((n_in, n_out))


def parameter(values: np.ndarray, dtype: str, backend: str | Backend | None) -> Array:
    """`values` as a parameter of a layer, ``"float32"`` or ``"float64"``."""
    return asarray(values, dtype=check_network_dtype(dtype), backend=backend)


def constant(value: float, size: int, dtype: str, backend: str | Backend | None) -> Array:
    """A parameter of shape (size,) that is `value` everywhere."""
    return parameter(np.full(check_count("a layer's size", size), value), dtype, backend)
