"""The data sets of a training: checked on the host, then moved beside the network, once."""

from typing import NamedTuple, Self

import numpy as np

from xpnet.backend import Array, asarray, get_array_module, is_array, to_numpy
from xpnet.checks import check_between, check_finite, check_inputs
from xpnet.errors import ArgumentError, ArrayMixError
from xpnet.functions import as_inputs
from xpnet.network import Network

__all__ = ["Samples", "checked", "split_validation"]


class Samples(NamedTuple):
    """Inputs (N, ...), and their targets (N,) or (N, D)."""

    x: Array
    t: Array

    def first(self, n: int | None) -> Self:
        """The first `n` of them, or all."""
        n = self.x.shape[0] if n is None else min(n, self.x.shape[0])
        return self._replace(x=self.x[:n, ...], t=self.t[:n, ...])

    def beside(self, network: Network) -> Self:
        """The same where the network is: pixels stay bytes, floats take its dtype."""
        x, t = (asarray(a, like=network.anchor) for a in self)
        return self._replace(x=x if x.dtype == get_array_module(x).uint8 else as_inputs(x, network.anchor.dtype), t=t)


def checked(network: Network, name: str, x: Array, t: Array) -> Samples:
    """Look at everything, on the host where need be, before anything is moved or learned; `name` is for messages."""
    for label, array in ((f"x_{name}", x), (f"t_{name}", t)):
        if not is_array(array):
            raise ArrayMixError(
                f"{label} must be an array, got {type(array).__name__}. Make it one with  numpy.asarray({label}) ."
            )
    check_inputs(x)
    check_finite(f"x_{name}", x)
    targets = network.last_layer.check_targets(to_numpy(t), (x.shape[0], *network.output_shape(tuple(x.shape[1:]))))
    check_finite(f"t_{name}", targets)
    return Samples(x, network.last_layer.targets_to_keep(targets, network.dtype))


def split_validation(
    x: Array, t: Array, share: float = 0.2, *, seed: "int | np.random.Generator | None" = None
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Set part of the samples aside, drawn at random: to choose hyper-parameters by, since the test set must not be.

    Parameters
    ----------
    x, t
        Inputs (N, ...) and targets (N, ...), of any backend.
    share
        How much of them becomes the validation set, between 0 and 1; at least one sample, and not all.
    seed
        A whole number, for the same samples each time and on every backend.

    Returns
    -------
    tuple of two pairs
        ``(x_train, t_train), (x_val, t_val)``, copies.

    Examples
    --------
    >>> x, t = np.arange(10.0)[:, None], np.arange(10)
    >>> (x_train, t_train), (x_val, t_val) = split_validation(x, t, 0.2, seed=0)
    >>> x_train.shape, sorted([*t_train.tolist(), *t_val.tolist()]) == t.tolist()
    ((8, 1), True)
    """
    n = x.shape[0]
    if n < 2 or t.shape[0] != n:
        raise ArgumentError(f"Expected at least two samples and a target for each, got {n} and {t.shape[0]} targets.")
    count = min(max(1, round(check_between("share", share, 0, 1, below=True) * n)), n - 1)
    order = np.random.default_rng(seed).permutation(n)
    parts = []
    for indices in (order[count:], order[:count]):
        parts.append(tuple(get_array_module(a).take(a, asarray(indices, like=a), axis=0) for a in (x, t)))
    (x_train, t_train), (x_val, t_val) = parts
    return (x_train, t_train), (x_val, t_val)
