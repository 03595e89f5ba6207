"""How weights begin: drawn on the host from one seed, then moved; every backend begins with the same numbers."""

import math
from collections.abc import Callable, Mapping

import numpy as np

from xpnet._core.checks import check_not_negative
from xpnet.errors import ArgumentError

__all__ = ["initial_weights", "normal", "uniform"]


def normal(rng: "np.random.Generator", shape: tuple[int, ...], std: float) -> np.ndarray:
    """Normal numbers of mean 0 and the given standard deviation: the course's ``0.01 * randn`` (course row 15)."""
    return std * rng.standard_normal(shape)


def uniform(rng: "np.random.Generator", shape: tuple[int, ...], std: float) -> np.ndarray:
    """Numbers spread evenly around 0, with the given standard deviation: from -sqrt(3) to sqrt(3) of it."""
    return rng.uniform(-math.sqrt(3) * std, math.sqrt(3) * std, shape)


def initial_weights(
    rng: "np.random.Generator", n_in: int, n_out: int, how: float | str, *, fan_out: int | None = None
) -> np.ndarray:
    """The weights that an affine layer begins with, float64, (n_in, n_out).

    Parameters
    ----------
    rng
        The generator to draw them from.
    n_in, n_out
        The numbers of inputs and of outputs of the layer.
    how
        The standard deviation of normal numbers, or a name, in any case:

        ``"xavier"``
            sqrt(1 / n_in), for sigmoid and tanh: the course's, after Glorot and Bengio (2010).
        ``"glorot"``
            sqrt(2 / (n_in + n_out)): as their equation 12 has it, and PyTorch's ``xavier_normal_``.
        ``"he"``
            sqrt(2 / n_in), for ReLU: He et al. (2015), equation 10.

        and with ``_uniform`` or ``_normal`` after it, the latter being the same as without: ``"he_uniform"``. The
        course says ``"sigmoid"`` for Xavier and ``"relu"`` for He.
    fan_out
        How many outputs an input has a part in, where they are not `n_out`: of a convolution, filters times the size of
        one.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> round(float(initial_weights(rng, 400, 300, "he").std()), 3)
    0.071
    >>> bool(abs(initial_weights(rng, 400, 300, "he_uniform")).max() <= (6 / 400) ** 0.5)
    True
    """
    if isinstance(how, str):
        name, separator, spread = how.lower().partition("_")
        if name not in _DEVIATIONS or (separator and spread not in ("normal", "uniform")):
            raise ArgumentError(
                f"weight_init_std must be a standard deviation such as `0.01`, or one of {', '.join(_DEVIATIONS)}, "
                f"also with _uniform or _normal after it as in `'he_uniform'`; got {how!r}."
            )
        return (uniform if spread == "uniform" else normal)(
            rng, (n_in, n_out), _DEVIATIONS[name](n_in, fan_out or n_out)
        )
    return normal(rng, (n_in, n_out), check_not_negative("weight_init_std", how))


def _xavier(n_in: int, n_out: int) -> float:  # noqa: ARG001
    return math.sqrt(1 / n_in)


def _glorot(n_in: int, n_out: int) -> float:
    return math.sqrt(2 / (n_in + n_out))


def _he(n_in: int, n_out: int) -> float:  # noqa: ARG001
    return math.sqrt(2 / n_in)


_DEVIATIONS: Mapping[str, Callable[[int, int], float]] = {
    "xavier": _xavier,
    "sigmoid": _xavier,
    "glorot": _glorot,
    "he": _he,
    "relu": _he,
}
