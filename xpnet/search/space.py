"""Distributions of hyper-parameters."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from xpnet.errors import ArgumentError


class Distribution(Protocol):
    """A distribution of a hyper-parameter; your own needs only this method."""

    def draw(self, rng: "np.random.Generator") -> Any:
        """Draw a value."""


@dataclass(frozen=True)
class Uniform:
    """Uniform distribution of numbers.

    Parameters
    ----------
    low, high
        Bounds, low < high.
    whole
        Whether to draw whole numbers, including both bounds.
    """

    low: float
    high: float
    whole: bool = False

    def __post_init__(self) -> None:
        try:
            fits = -math.inf < self.low < self.high < math.inf
        except TypeError:
            fits = False
        if not fits:
            raise ArgumentError(f"{self} must have two finite numbers as bounds, low < high.")
        if self.whole and any(bound != int(bound) for bound in (self.low, self.high)):
            raise ArgumentError(f"{self} draws whole numbers, so that its bounds must be whole numbers too.")

    def draw(self, rng: "np.random.Generator") -> float:
        """Draw a float, or an int if `whole`."""
        if self.whole:
            return int(rng.integers(int(self.low), int(self.high), endpoint=True))
        return float(rng.uniform(self.low, self.high))


class LogUniform(Uniform):
    """Uniform distribution of logarithms, the course's ``10 ** uniform(-6, -2)``.

    Its bounds, 0 < low < high, are not exponents: ``LogUniform(1e-6, 1e-2)``.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low <= 0:
            raise ArgumentError(f"{self} has no logarithm: low must be above 0. Give the bounds and not the exponents.")

    def draw(self, rng: "np.random.Generator") -> float:
        """Draw a float, or an int if `whole`."""
        if self.whole:  # n stands for n..n + 1, so that the upper bound has its part
            number = 10 ** rng.uniform(math.log10(self.low), math.log10(self.high + 1))
            return int(min(max(number, self.low), self.high))
        number = 10 ** rng.uniform(math.log10(self.low), math.log10(self.high))
        return float(min(max(number, self.low), self.high))  # logarithms are rounded


@dataclass(frozen=True)
class Choice:
    """Uniform choice among values of any kind, such as names of optimizers."""

    values: Sequence[Any]

    def __post_init__(self) -> None:
        if isinstance(self.values, str) or not isinstance(self.values, Sequence) or not self.values:
            plain = isinstance(self.values, str | int | float)
            code = f" Use `xpnet.search.Choice([{self.values!r}])`." if plain else ""
            raise ArgumentError(f"Choice needs a sequence of at least one value, got {self.values!r}.{code}")
        object.__setattr__(self, "values", tuple(self.values))

    def draw(self, rng: "np.random.Generator") -> Any:
        """Draw one of the values."""
        return self.values[int(rng.integers(len(self.values)))]


def check_space(space: Mapping[str, Distribution]) -> None:
    """Raise unless there are parameters, each with a distribution."""
    if not isinstance(space, Mapping):
        raise ArgumentError(f"The space must be a mapping of names to distributions, got {type(space).__name__}.")
    if not space:
        raise ArgumentError(
            "The space has no parameter. Give some, as in `{'lr': xpnet.search.LogUniform(1e-6, 1e-2)}`."
        )
    for name, distribution in space.items():
        if isinstance(distribution, type) or not callable(getattr(distribution, "draw", None)):
            values = distribution if isinstance(distribution, list | tuple) else [distribution]
            plain = values and all(isinstance(value, str | int | float) for value in values)
            choice = f"{{{name!r}: xpnet.search.Choice({list(values)!r})}}"
            code = f" Draw among values with `{choice}`." if plain else ""
            raise ArgumentError(
                f"{name} must be a Uniform, LogUniform or Choice, or have a method draw(rng), got {distribution!r}."
                f"{code}"
            )
