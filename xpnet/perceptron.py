"""Perceptrons: the logic gates with weights set by hand, and XOR out of three of them (course row 1)."""

from typing import Any

from xpnet.backend import Array
from xpnet.functions import as_floating, step_function

__all__ = ["AND", "NAND", "OR", "XOR"]


def perceptron(x1: Array, x2: Array, w: tuple[float, float], theta: float) -> Any:
    """1 where w1 x1 + w2 x2 exceeds the threshold theta, else 0.

    Parameters
    ----------
    x1, x2
        Numbers, lists, or arrays of any backend, of shapes that broadcast.
    w, theta
        The two weights, and the threshold.

    Returns
    -------
    int or Array
        0 or 1 for two numbers; for arrays 0 and 1 in their floating dtype, so that one gate feeds the next.
    """
    # A number stays one: beside an array it has no backend of its own.
    x1, x2 = (x if isinstance(x, int | float) else as_floating(x)[1] for x in (x1, x2))
    total = w[0] * x1 + w[1] * x2
    return int(total > theta) if isinstance(total, float) else step_function(total - theta)


def AND(x1: Array, x2: Array) -> Any:
    """1 where both are 1 (w = (0.5, 0.5), theta = 0.7).

    Examples
    --------
    >>> AND(1, 1), AND(1, 0)
    (1, 0)
    >>> AND([0, 0, 1, 1], [0, 1, 0, 1])
    array([0., 0., 0., 1.])
    """
    return perceptron(x1, x2, w=(0.5, 0.5), theta=0.7)


def NAND(x1: Array, x2: Array) -> Any:
    """The negation of `AND`: its weights and its threshold with the other sign.

    Examples
    --------
    >>> NAND(1, 1), NAND(1, 0)
    (0, 1)
    """
    return perceptron(x1, x2, w=(-0.5, -0.5), theta=-0.7)


def OR(x1: Array, x2: Array) -> Any:
    """1 where at least one is 1 (w = (0.5, 0.5), theta = 0.3).

    Examples
    --------
    >>> OR(0, 0), OR(1, 0)
    (0, 1)
    """
    return perceptron(x1, x2, w=(0.5, 0.5), theta=0.3)


def XOR(x1: Array, x2: Array) -> Any:
    """1 where exactly one is 1. No single perceptron can do it; three can: AND of NAND and OR.

    Examples
    --------
    >>> XOR(0, 0), XOR(0, 1), XOR(1, 0), XOR(1, 1)
    (0, 1, 1, 0)
    """
    return AND(NAND(x1, x2), OR(x1, x2))
