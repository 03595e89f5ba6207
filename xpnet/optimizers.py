"""Optimizers: how a step uses the gradients. Each has the course's ``update(params, grads)``."""

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, Protocol

import numpy as np

from xpnet.backend import Array
from xpnet.checks import check_positive
from xpnet.errors import ArgumentError
from xpnet.kernels import sgd_update

__all__ = ["SGD", "Optimizer", "RecordableOptimizer", "make_optimizer"]


class Optimizer(Protocol):
    """What a `Trainer` asks of an optimizer."""

    def update(self, params: MutableMapping[str, Array], grads: Mapping[str, Array]) -> None:
        """Change the parameters by the gradients of the same names."""


class RecordableOptimizer(Protocol):
    """What a `Trainer` asks of an optimizer whose steps shall be recorded and replayed.

    A recording keeps Python numbers as they were. So what changes from step to step, as the learning rate may, reaches
    `update` from outside: `numbers` computes it on the host, and each number is then used with arrays alone. What is
    kept from step to step, as velocities are, is made before the first of them, by a method ``prepare(params)``: it
    makes what is not there yet. Where nothing is kept there need be no such method.

    Attributes
    ----------
    varying
        The attributes that reach a step through `numbers` alone, ``("lr",)``; when another changes, as between two
        epochs, the step is recorded anew.
    """

    varying: tuple[str, ...]

    def numbers(self, first: int, count: int) -> np.ndarray:
        """What the steps `first` (the very first is 0) to `first + count - 1` need: a row each, (count, m), float64."""

    def update(
        self, params: MutableMapping[str, Array], grads: Mapping[str, Array], numbers: Sequence[Any] | None = None
    ) -> None:
        """Change the parameters, with a row of `numbers` as floats or as 0-d arrays; None for the optimizer's own."""


class SGD:
    """Stochastic gradient descent: W -= lr * dW (course row 17).

    Parameters
    ----------
    lr
        The learning rate, above 0.

    Examples
    --------
    >>> import numpy as np
    >>> params = {"W": np.array([1.0, 2.0])}
    >>> SGD(lr=0.1).update(params, {"W": np.array([1.0, -1.0])})
    >>> params
    {'W': array([0.9, 2.1])}
    """

    varying = ("lr",)

    def __init__(self, lr: float = 0.01) -> None:
        self.lr = check_positive("lr", lr)

    def numbers(self, first: int, count: int) -> np.ndarray:  # noqa: ARG002 - the same at each step
        """The learning rate of each step, (count, 1)."""
        return np.full((count, 1), self.lr)

    def update(
        self, params: MutableMapping[str, Array], grads: Mapping[str, Array], numbers: Sequence[Any] | None = None
    ) -> None:
        """Take a step of -lr along each gradient."""
        (lr,) = numbers or (self.lr,)
        for key in params:
            params[key] -= lr * grads[key]

    def fused_update(
        self, params: MutableMapping[str, Array], grads: Mapping[str, Array], numbers: Sequence[Any] | None = None
    ) -> None:
        """The same, each array in one kernel where there is one."""
        (lr,) = numbers or (self.lr,)
        for key in params:
            params[key] = sgd_update(params[key], grads[key], lr)

    def __repr__(self) -> str:
        return f"SGD(lr={self.lr:g})"


_BY_NAME = {"sgd": SGD}


def make_optimizer(optimizer: str | Optimizer, options: Mapping[str, Any]) -> Optimizer:
    """An optimizer from its name, in any case, and its arguments; one that is made already is returned as it is."""
    if not isinstance(optimizer, str):
        if not callable(getattr(optimizer, "update", None)):
            raise ArgumentError(f"An optimizer has a method  update(params, grads) ; {optimizer!r} has none.")
        return optimizer
    if optimizer.lower() not in _BY_NAME:
        names = ", ".join(repr(cls.__name__) for cls in _BY_NAME.values())
        raise ArgumentError(f"There is no optimizer {optimizer!r}; there is {names}, or an optimizer of your own.")
    try:
        return _BY_NAME[optimizer.lower()](**options)
    except TypeError as error:
        raise ArgumentError(f"optimizer_param does not suit {optimizer}: {error}.") from error
