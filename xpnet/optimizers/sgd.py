"""Gradient descent: SGD, momentum and Nesterov momentum (course row 17)."""

from typing import ClassVar

from xpnet._core.arrays import Array
from xpnet.engine import kernels
from xpnet.engine.kernels.operation import FusedOperation
from xpnet.optimizers.base import Optimizer, Rate, check_share


class SGD(Optimizer):
    """Stochastic gradient descent: W -= lr * dW (course row 17).

    Parameters
    ----------
    lr, weight_decay, max_norm
        As for `Optimizer`.

    Examples
    --------
    >>> import numpy as np
    >>> params = {"W": np.array([1.0, 2.0])}
    >>> SGD(lr=0.1).update(params, {"W": np.array([1.0, -1.0])})
    >>> params
    {'W': array([0.9, 2.1])}
    """

    def __init__(self, lr: Rate = 0.01, *, weight_decay: float = 0.0, max_norm: float | None = None) -> None:
        super().__init__(lr, weight_decay=weight_decay, max_norm=max_norm)

    def update_one(self, W: Array, dW: Array, lr: float) -> tuple[Array]:
        """W -= lr * dW."""
        W -= lr * dW
        return (W,)

    def fused_update_one(self, W: Array, dW: Array, lr: float) -> tuple[Array]:
        """The same in one kernel."""
        return FusedOperation(self.update_one, kernels.sgd_update)(W, dW, lr)


class Momentum(Optimizer):
    """Momentum: v = momentum * v + dW; W -= lr * v (Polyak 1964, the heavy ball).

    Note: the course writes v = momentum * v - lr * dW; W += v, which is the same at a constant rate. If the rate
    changes, it takes effect at once here, as in PyTorch; the velocity of the course still contains the old rate.

    Parameters
    ----------
    lr, weight_decay, max_norm
        As for `Optimizer`.
    momentum
        The share of the velocity that each step keeps, in [0, 1).
    """

    slots = ("v",)
    checks: ClassVar = {**Optimizer.checks, "momentum": check_share}
    v: dict[str, Array]

    def __init__(
        self, lr: Rate = 0.01, momentum: float = 0.9, *, weight_decay: float = 0.0, max_norm: float | None = None
    ) -> None:
        super().__init__(lr, weight_decay=weight_decay, max_norm=max_norm)
        self.momentum = momentum

    def update_one(self, W: Array, dW: Array, v: Array, lr: float) -> tuple[Array, Array]:
        """v = momentum * v + dW; W -= lr * v."""
        v *= self.momentum
        v += dW
        W -= lr * v
        return W, v


class Nesterov(Momentum):
    """Nesterov momentum: v = momentum * v + dW; W -= lr * (dW + momentum * v).

    Nesterov's accelerated gradient (1983) in the form of Sutskever et al. 2013 (equations 3 and 4), rewritten, as in
    the course and in PyTorch, so that the gradient is taken at the parameters themselves.

    Parameters
    ----------
    lr, momentum, weight_decay, max_norm
        As for `Momentum`; its note on the course's velocity holds here too.
    """

    def update_one(self, W: Array, dW: Array, v: Array, lr: float) -> tuple[Array, Array]:
        """v = momentum * v + dW; W -= lr * (dW + momentum * v)."""
        v *= self.momentum
        v += dW
        W -= lr * (dW + self.momentum * v)
        return W, v
