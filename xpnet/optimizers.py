"""Optimizers: how a step uses the gradients. Each has the course's ``update(params, grads)``."""

from collections.abc import Mapping, MutableMapping
from typing import Any, Protocol

from xpnet.backend import Array
from xpnet.checks import check_positive
from xpnet.errors import ArgumentError

__all__ = ["SGD", "Optimizer", "make_optimizer"]


class Optimizer(Protocol):
    """What a `Trainer` asks of an optimizer."""

    def update(self, params: MutableMapping[str, Array], grads: Mapping[str, Array]) -> None:
        """Change the parameters by the gradients of the same names."""


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

    def __init__(self, lr: float = 0.01) -> None:
        self.lr = check_positive("lr", lr)

    def update(self, params: MutableMapping[str, Array], grads: Mapping[str, Array]) -> None:
        """Take a step of -lr along each gradient."""
        for key in params:
            params[key] -= self.lr * grads[key]

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
