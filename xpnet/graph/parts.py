"""What a drawing of a graph is made of: nodes, edges, and the words on them."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from xpnet._core.arrays import Array, is_array, to_numpy

__all__ = ["Edge", "Node", "format_value", "inputs_of", "one_line"]


def format_value(value: Array) -> str:
    """A value for reading: a number in six digits, up to four numbers in four digits each, else the shape.

    Parameters
    ----------
    value
        A number, a list, or an array of any backend.

    Examples
    --------
    >>> format_value(220.00000000000003), format_value(np.array([0.25, 1 / 3])), format_value(np.zeros((3, 2)))
    ('220', '[0.25 0.3333]', '(3, 2)')
    """
    a = to_numpy(value) if is_array(value) else np.asarray(value)
    if a.ndim == 0:
        return _digits(a.item(), 6)
    if a.ndim == 1 and a.size <= 4:
        return f"[{' '.join(_digits(number, 4) for number in a.tolist())}]"
    return str(a.shape)


def _digits(number: Any, count: int) -> str:
    return f"{number + 0.0:.{count}g}" if isinstance(number, float) else str(number)  # -0.0 + 0.0 is 0.0


@dataclass(frozen=True)
class Node:
    """A thing to draw.

    Attributes
    ----------
    key
        Its own name among the nodes; not drawn.
    label
        What stands in it.
    kind
        An input, a constant, an operation (a circle), a layer (a box), a branch (the point at which one value goes to
        several nodes), or an output.
    details
        What else is said of a layer of a network: what it is, and how many parameters it has.
    """

    key: str
    label: str
    kind: Literal["input", "constant", "operation", "layer", "branch", "output"]
    details: tuple[()] | tuple[str, str] = ()


@dataclass(frozen=True)
class Edge:
    """What goes from the node `tail` to the node `head`, and what comes back; ``""`` where there is nothing to say."""

    tail: str
    head: str
    forward: str = ""
    backward: str = ""


def inputs_of(nodes: Sequence[Node], edges: Sequence[Edge]) -> dict[str, list[Edge]]:
    """The edges into each node."""
    inputs: dict[str, list[Edge]] = {node.key: [] for node in nodes}
    for edge in edges:
        inputs[edge.head].append(edge)
    return inputs


def one_line(text: str) -> str:
    """The text without line breaks and other characters that cannot be drawn, its accents joined to their letters."""
    return " ".join("".join(c if c.isprintable() else " " for c in unicodedata.normalize("NFC", text)).split())
