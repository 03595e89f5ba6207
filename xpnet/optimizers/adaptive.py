"""Adaptive optimizers: AdaGrad, RMSprop, Adam and AdamW (course row 17)."""

import math
from typing import ClassVar

from xpnet._core.arrays import Array, get_array_module
from xpnet._core.checks import check_positive
from xpnet.engine import kernels
from xpnet.engine.kernels.operation import FusedOperation
from xpnet.optimizers.base import Optimizer, Rate, check_share


class AdaGrad(Optimizer):
    """AdaGrad: h += dW^2; W -= lr * dW / (sqrt(h) + eps).

    Duchi, Hazan & Singer 2011, the diagonal form of their section 1.1.

    Parameters
    ----------
    lr, weight_decay, max_norm
        As for `Optimizer`.
    eps
        Above 0, against a division by 0; 1e-7, as in the course.
    """

    slots = ("h",)
    squares_gradients = True
    checks: ClassVar = {**Optimizer.checks, "eps": check_positive}
    h: dict[str, Array]

    def __init__(
        self, lr: Rate = 0.01, *, eps: float = 1e-7, weight_decay: float = 0.0, max_norm: float | None = None
    ) -> None:
        super().__init__(lr, weight_decay=weight_decay, max_norm=max_norm)
        self.eps = eps

    def update_one(self, W: Array, dW: Array, h: Array, lr: float) -> tuple[Array, Array]:
        """h += dW^2; W -= lr * dW / (sqrt(h) + eps)."""
        h += dW * dW
        W -= lr * dW / (get_array_module(h).sqrt(h) + self.eps)
        return W, h


class RMSprop(Optimizer):
    """RMSprop: h = decay_rate * h + (1 - decay_rate) * dW^2; W -= lr * dW / (sqrt(h) + eps).

    Tieleman & Hinton 2012, Coursera, lecture 6.5.

    Parameters
    ----------
    lr, weight_decay, max_norm
        As for `Optimizer`.
    decay_rate
        The share of the mean square that each step keeps, in [0, 1).
    eps
        As for `AdaGrad`.
    """

    slots = ("h",)
    squares_gradients = True
    checks: ClassVar = {**Optimizer.checks, "decay_rate": check_share, "eps": check_positive}
    h: dict[str, Array]

    def __init__(
        self,
        lr: Rate = 0.01,
        decay_rate: float = 0.99,
        *,
        eps: float = 1e-7,
        weight_decay: float = 0.0,
        max_norm: float | None = None,
    ) -> None:
        super().__init__(lr, weight_decay=weight_decay, max_norm=max_norm)
        self.decay_rate = decay_rate
        self.eps = eps

    def update_one(self, W: Array, dW: Array, h: Array, lr: float) -> tuple[Array, Array]:
        """h = decay_rate * h + (1 - decay_rate) * dW^2; W -= lr * dW / (sqrt(h) + eps)."""
        h *= self.decay_rate
        h += (1 - self.decay_rate) * (dW * dW)
        W -= lr * dW / (get_array_module(h).sqrt(h) + self.eps)
        return W, h


class Adam(Optimizer):
    """Adam: momentum and RMSprop, each corrected for its start at 0 (Kingma & Ba 2015, Algorithm 1).

    In step t = 1, 2, ...::

        m = beta1 * m + (1 - beta1) * dW
        v = beta2 * v + (1 - beta2) * dW^2
        W -= lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

    The last line is computed as W -= rate * m / (sqrt(v) + eps_t) with rate = lr * sqrt(1 - beta2^t) / (1 - beta1^t)
    and eps_t = eps * sqrt(1 - beta2^t), two scalars from the host, which takes fewer array operations (the end of
    section 2 of the paper).

    Note: the course adds 1e-7 to the uncorrected sqrt(v): in the first step, where sqrt(1 - beta2^t) is 0.03, that is
    like an eps of 3e-6.

    Parameters
    ----------
    lr, weight_decay, max_norm
        As for `Optimizer`: PyTorch's AdamW decays weights like this, its Adam adds a term to the loss.
    beta1, beta2
        The shares of the two means that each step keeps, in [0, 1).
    eps
        Above 0; 1e-8, as in the paper.
    """

    slots = ("m", "v")
    squares_gradients = True
    checks: ClassVar = {**Optimizer.checks, "beta1": check_share, "beta2": check_share, "eps": check_positive}
    m: dict[str, Array]
    v: dict[str, Array]

    def __init__(
        self,
        lr: Rate = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        *,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        max_norm: float | None = None,
    ) -> None:
        super().__init__(lr, weight_decay=weight_decay, max_norm=max_norm)
        self.beta1 = beta1
        self.beta2 = beta2
        self.eps = eps

    def update_scalars(self, lr: float, t: int) -> tuple[float, float]:
        """The rate and eps, both corrected for the step `t`."""
        correction = math.sqrt(1 - self.beta2**t)
        return lr * correction / (1 - self.beta1**t), self.eps * correction

    def update_one(self, W: Array, dW: Array, m: Array, v: Array, rate: float, eps: float) -> tuple[Array, ...]:
        """m += (1 - beta1) * (dW - m); v += (1 - beta2) * (dW^2 - v); W -= rate * m / (sqrt(v) + eps)."""
        # One array at a time is made and changed in place: memory that a processor's cache holds.
        change = dW - m
        change *= 1 - self.beta1
        m += change
        change = dW * dW
        change -= v
        change *= 1 - self.beta2
        v += change
        change = get_array_module(v).sqrt(v)
        change += eps
        change = m / change
        change *= rate
        W -= change
        return W, m, v

    def fused_update_one(self, W: Array, dW: Array, m: Array, v: Array, rate: float, eps: float) -> tuple[Array, ...]:
        """The same in one kernel."""
        fused = FusedOperation(self.update_one, kernels.adam_update, beta1=self.beta1, beta2=self.beta2)
        return fused(W, dW, m, v, rate, eps)


class AdamW(Adam):
    """AdamW: Adam with a default weight decay, W *= 1 - lr * weight_decay (Loshchilov & Hutter 2019, Algorithm 2).

    Parameters
    ----------
    lr, beta1, beta2, weight_decay, eps, max_norm
        As for `Adam`.
    """

    def __init__(
        self,
        lr: Rate = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        weight_decay: float = 0.01,
        *,
        eps: float = 1e-8,
        max_norm: float | None = None,
    ) -> None:
        super().__init__(lr, beta1, beta2, eps=eps, weight_decay=weight_decay, max_norm=max_norm)
