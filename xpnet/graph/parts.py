"""The parts of a drawing of a graph: nodes, edges, and their texts."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from xpnet._core.arrays import Array, is_array, to_numpy


def format_value(value: Array) -> str:
    """Format a number, a list or an array of any backend: six digits, or four numbers of four digits, else the shape.

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
    """A node of a drawing. Operations are circles, layers boxes, branches points where edges part."""

    key: str  # unique, not drawn
    label: str
    kind: Literal["input", "constant", "operation", "layer", "branch", "output"]
    details: tuple[()] | tuple[str, str] = ()  # of a layer of a network: its description and number of parameters


@dataclass(frozen=True)
class Edge:
    """The texts on an edge from node `tail` to node `head`, for the value and the derivative; ``""`` for none."""

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
    """Replace line breaks and other unprintable characters by spaces, and normalize to NFC."""
    return " ".join("".join(c if c.isprintable() else " " for c in unicodedata.normalize("NFC", text)).split())
