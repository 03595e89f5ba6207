"""Learning rate schedules: functions of the step, which starts at 0, that an optimizer takes as ``lr``."""

import math
from dataclasses import dataclass

from xpnet._core.checks import check_between, check_count, check_positive
from xpnet.errors import ArgumentError


@dataclass(frozen=True)
class StepDecay:
    """A rate that is multiplied by `factor` every `every` steps: lr * factor^(step // every).

    Parameters
    ----------
    lr
        The rate of the first step, above 0.
    every
        Steps between two changes.
    factor
        Above 0 and at most 1.

    Examples
    --------
    >>> rate = StepDecay(0.5, every=100, factor=0.1)
    >>> rate(0), rate(99), rate(100)
    (0.5, 0.5, 0.05)
    """

    lr: float
    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "lr", check_positive("lr", self.lr))
        check_count("every", self.every)
        object.__setattr__(self, "factor", check_positive("factor", self.factor))
        if self.factor > 1:
            raise ArgumentError(f"factor must be at most 1, so that the rate decays, got {self.factor!r}.")

    def __call__(self, step: int) -> float:
        """The rate of a step."""
        return self.lr * self.factor ** (step // self.every)


@dataclass(frozen=True)
class CosineDecay:
    """Cosine decay from `lr` to `final` after a linear warm-up.

    In the warm-up, step < warm_up, the rate is lr * (step + 1) / (warm_up + 1), so that it is never 0 and the first
    step after it has the rate `lr` (Goyal et al. 2017, section 2.2). Then it is
    final + (lr - final) * (1 + cos(pi * share)) / 2, where share = (step - warm_up) / (steps - warm_up)
    (Loshchilov & Hutter 2017, equation 5, without restarts); after `steps` it stays at `final`.

    Parameters
    ----------
    lr
        The highest rate, above 0.
    steps
        The first step with the rate `final`, counted from 0 with the warm-up.
    warm_up
        Steps of the warm-up, fewer than `steps`.
    final
        From 0 to `lr`.

    Examples
    --------
    >>> rate = CosineDecay(0.5, steps=100, warm_up=4)
    >>> [round(rate(step), 6) for step in (0, 1, 2, 3, 4, 52, 100, 1000)]
    [0.1, 0.2, 0.3, 0.4, 0.5, 0.25, 0.0, 0.0]
    """

    lr: float
    steps: int
    warm_up: int = 0
    final: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "lr", check_positive("lr", self.lr))
        object.__setattr__(self, "final", check_between("final", self.final, 0, self.lr))
        if not hasattr(self.warm_up, "__index__") or self.warm_up < 0:
            raise ArgumentError(f"warm_up must be a whole number of at least 0, got {self.warm_up!r}.")
        if self.warm_up >= check_count("steps", self.steps):
            raise ArgumentError(f"warm_up must be fewer than the {self.steps} steps, got {self.warm_up!r}.")

    def __call__(self, step: int) -> float:
        """The rate of a step."""
        if step < self.warm_up:
            return self.lr * (step + 1) / (self.warm_up + 1)
        if step >= self.steps:
            return self.final
        share = (step - self.warm_up) / (self.steps - self.warm_up)
        return self.final + (self.lr - self.final) * (1 + math.cos(math.pi * share)) / 2
