"""The computational graph (course row 10): layers applied to values, the derivatives, and a drawing of both.

Nothing here knows a formula: values are what the layers' ``forward`` gives, derivatives what their ``backward`` gives.
"""

import os
import string
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from numbers import Number
from pathlib import Path
from typing import Any

from xpnet._core.arrays import Array, check_plain, get_array_module, is_array
from xpnet._core.checks import call_of
from xpnet.backend import asarray
from xpnet.errors import ArgumentError, ShapeError
from xpnet.graph.drawing import Drawing
from xpnet.graph.parts import Edge, Node, format_value

__all__ = ["Graph", "Value"]

SYMBOLS = {"MulLayer": "×", "AddLayer": "+", "SquareLayer": "x²", "ExpLayer": "exp", "ReciprocalLayer": "1/x"}
"""What stands in the circle of a layer of that class; any other layer is a box with the name of its class."""


@dataclass(eq=False)
class Value:
    """A number or an array in a graph.

    Attributes
    ----------
    value
        The number or array itself.
    name
        What it is called in drawings; ``""`` for no name.
    gradient
        The derivative by it of the output that `Graph.backward` started from; None before that, and where that output
        does not depend on it.
    constant
        Whether it was given to `Graph.apply` as it is, so that its derivative is of no interest and is not drawn.
    """

    value: Array
    name: str = ""
    gradient: Array | None = None
    constant: bool = False


@dataclass
class _Step:
    """A layer that was applied, and the gradients that its last ``backward`` gave, one for each input."""

    layer: Any
    inputs: tuple[Value, ...]
    output: Value
    gradients: list[Array | None] = field(default_factory=list)

    def inputs_and_gradients(self) -> Iterator[tuple[Value, Array | None]]:
        return zip(self.inputs, self.gradients or [None] * len(self.inputs), strict=True)


class Graph:
    """A computation written down as it is done, so that its derivatives can be taken and both be drawn.

    Parameters
    ----------
    title
        Drawn above it.

    Examples
    --------
    >>> from xpnet import MulLayer
    >>> graph = Graph("Two apples")
    >>> apple, number, tax = graph.variable("apple", 100), graph.variable("number", 2), graph.variable("tax", 1.1)
    >>> apples = graph.apply(MulLayer(), apple, number)
    >>> price = graph.apply(MulLayer(), apples, tax, name="price")
    >>> graph.backward()
    >>> apple.gradient, tax.gradient
    (2.2, 200)
    >>> print(graph)
    Two apples
    value forward / derivative backward
    <BLANKLINE>
    apple  ── 100 / 2.2 ──┐
                          × ── 200 / 1.1 ──┐
    number ── 2 / 110 ────┘                │
                                           × ── 220 / 1 ── price
    tax    ── 1.1 / 200 ───────────────────┘
    """

    def __init__(self, title: str = "") -> None:
        self.title = title
        self._values: list[Value] = []
        self._steps: list[_Step] = []

    def variable(self, name: str, value: Array) -> Value:
        """An input of the graph.

        Parameters
        ----------
        name
            What it is called in drawings; no other value of the graph may have the name.
        value
            A number, or an array of any backend and shape.

        Raises
        ------
        ArgumentError
            When the name is taken.
        """
        return self._add(Value(_checked_value(value), name))

    def apply(self, layer: Any, *inputs: Any, name: str = "") -> Value:
        """Run ``layer.forward`` on the inputs and note it as a node of the graph.

        Parameters
        ----------
        layer
            A layer of its own for each node, because it keeps what its ``backward`` will need: `MulLayer`, `Affine`, or
            any other object with ``forward`` and ``backward``.
        inputs
            What ``forward`` takes: values of this graph; a plain number or array is a constant.
        name
            What the result is called in drawings; no other value of the graph may have the name.

        Returns
        -------
        Value
            What ``forward`` gave.

        Raises
        ------
        ArgumentError
            When the layer is a class, has no ``forward`` or ``backward``, or is in the graph already; when an input is
            a value of another graph; when the name is taken.
        """
        kind = type(layer).__name__
        if isinstance(layer, type):
            raise ArgumentError(f"Expected a layer, got the class {layer.__name__}. Use `{call_of(layer)}`.")
        if not (hasattr(layer, "forward") and hasattr(layer, "backward")):
            raise ArgumentError(
                f"Expected a layer with forward and backward, got {layer!r:.60}. Use `graph.apply(MulLayer(), x, y)`."
            )
        if any(step.layer is layer for step in self._steps):
            raise ArgumentError(
                f"This {kind} is a node of the graph already, and would forget that node's inputs. Make a new one for "
                "each node, or a copy with `copy.deepcopy(layer)`."
            )
        values = tuple(
            self._own(x) if isinstance(x, Value) else Value(_checked_value(x), constant=True) for x in inputs
        )
        result = layer.forward(*(x.value for x in values))
        output = self._add(Value(result, name))
        self._steps.append(_Step(layer, values, output))
        return output

    def backward(self, output: Value | None = None, dout: Array | None = None) -> None:
        """Take the derivatives of an output by every value that it depends on, by the chain rule.

        Runs each layer's ``backward`` once, the last layer first, and leaves the result in each `Value.gradient`, in
        place of an earlier one. Where a value goes to several nodes, its derivative is the sum of what they give.

        Parameters
        ----------
        output
            Where to start; the value that was computed last, if none is given.
        dout
            The derivative to start with; 1, or an array of ones, if none is given.

        Raises
        ------
        ArgumentError
            When nothing has been applied yet; when `output` is of another graph; when a layer gives another number of
            gradients than it has inputs. (A layer may leave out those of constants, as `SoftmaxWithLoss` does.)
        ShapeError
            When a layer gives a gradient of another shape than its input has, or `dout` has another than `output`.
        """
        if not self._steps:
            raise ArgumentError(
                "There is nothing to go back through. Apply a layer first, with `graph.apply(layer, x)`."
            )
        start = self._steps[-1].output if output is None else self._own(output)
        for value in self._values:
            value.gradient = None
        for step in self._steps:
            step.gradients = []
        if dout is None:
            dout = get_array_module(start.value).ones_like(start.value) if is_array(start.value) else 1
        dout, expected = _checked_value(dout), tuple(getattr(start.value, "shape", ()))
        if tuple(getattr(dout, "shape", ())) != expected:
            raise ShapeError(f"dout must have the shape of the output, {expected}, got {tuple(dout.shape)}.")
        start.gradient = dout
        for step in reversed(self._steps):
            if step.output.gradient is not None:
                step.gradients = _gradients(step, step.output.gradient)
                for x, gradient in step.inputs_and_gradients():
                    if gradient is not None:
                        _check_gradient(step.layer, x, gradient)
                        # Not +=, which would write into an array that a layer may have handed to several.
                        x.gradient = gradient if x.gradient is None else x.gradient + gradient

    def drawing(self) -> Drawing:
        """The graph as it is now, to look at: its values, and after `backward` its derivatives."""
        steps = {id(step.output): step for step in self._steps}
        uses = Counter(id(x) for step in self._steps for x in step.inputs)
        names = self._names_of_branches(uses)
        nodes: list[Node] = []
        edges: list[Edge] = []
        tails: dict[int, str] = {}  # the node from which a value goes to the layers that take it
        for number, value in enumerate(self._values):
            key, step = f"value{number}", steps.get(id(value))
            name = names.get(id(value), value.name)
            if step is None:
                nodes.append(Node(key, name, "input"))
            else:
                for place, (x, gradient) in enumerate(step.inputs_and_gradients()):
                    if x.constant:
                        tail = f"{key}input{place}"
                        nodes.append(Node(tail, format_value(x.value), "constant"))
                        edges.append(Edge(tail, key))
                    elif uses[id(x)] > 1:
                        edges.append(_edge(tails[id(x)], key, x, gradient))
                    else:
                        edges.append(_edge(tails[id(x)], key, x, x.gradient, x.name if id(x) in steps else ""))
                nodes.append(_layer_node(key, step.layer))
            tails[id(value)] = key if uses[id(value)] == 1 else f"end{number}"
            if uses[id(value)] == 0:
                nodes.append(Node(f"end{number}", name if step else "unused", "output"))
                edges.append(_edge(key, f"end{number}", value, value.gradient))
            elif uses[id(value)] > 1:
                nodes.append(Node(f"end{number}", name, "branch"))
                edges.append(_edge(key, f"end{number}", value, value.gradient, name if step else ""))
        return Drawing(self.title, tuple(nodes), tuple(edges))

    def draw(self, path: str | os.PathLike[str]) -> Path:
        """Write the drawing, in the format of the suffix, and return the path written; see `Drawing.draw`."""
        return self.drawing().draw(path)

    def _repr_svg_(self) -> str | None:
        """The picture, for a notebook to show."""
        return self.drawing()._repr_svg_()

    def __str__(self) -> str:
        return str(self.drawing())

    def __repr__(self) -> str:
        return f"Graph({self.title!r}, {len(self._steps)} nodes)"

    def _add(self, value: Value) -> Value:
        self._check_name(value.name)
        self._values.append(value)
        return value

    def _check_name(self, name: str) -> None:
        if name and any(value.name == name for value in self._values):
            raise ArgumentError(
                f"There is a value called {name!r} in this graph already. Give the new one another name."
            )

    def _own(self, value: Value) -> Value:
        if not any(value is mine for mine in self._values):
            raise ArgumentError(
                f"{value!r:.60} is a value of another graph. Give one of this graph, or the number or array alone, "
                "as a constant, with `value.value`."
            )
        return value

    def _names_of_branches(self, uses: Mapping[int, int]) -> dict[int, str]:
        """A name for each value that goes to several nodes and is drawn there by name: its own, or a, b, c, ..."""
        taken = {value.name for value in self._values}
        letters = (f"{letter}{number or ''}" for number in count() for letter in string.ascii_lowercase)
        free = (name for name in letters if name not in taken)
        return {id(value): value.name or next(free) for value in self._values if uses[id(value)] > 1}


def _checked_value(value: Any) -> Any:
    """The value, if it is a number or a plain array; a list as an array of float64."""
    if is_array(value):
        check_plain(value, "value")
        return value
    return value if isinstance(value, Number) else asarray(value, dtype="float64")


def _gradients(step: _Step, dout: Array) -> list[Array | None]:
    """What the layer's ``backward`` gives for each input; None for constants that it leaves out."""
    given = step.layer.backward(dout)
    gradients = list(given) if isinstance(given, tuple | list) else [given]
    variable = [not x.constant for x in step.inputs]
    if len(gradients) == len(step.inputs):
        return gradients
    if len(gradients) == sum(variable):
        rest = iter(gradients)
        return [next(rest) if wanted else None for wanted in variable]
    raise ArgumentError(
        f"{type(step.layer).__name__} has {len(step.inputs)} inputs, but its backward gave {len(gradients)} gradients. "
        "It must return one for each input, as in `return dx, dy`."
    )


def _check_gradient(layer: Any, x: Value, gradient: Array) -> None:
    """That a gradient has the shape of the value that it is by; numbers have none."""
    expected, got = (tuple(getattr(a, "shape", ())) for a in (x.value, gradient))
    if not x.constant and got != expected:
        raise ShapeError(
            f"The backward of {type(layer).__name__} must give a gradient of shape {expected} for an input of that "
            f"shape, got {got}."
        )


def _layer_node(key: str, layer: Any) -> Node:
    kind = type(layer).__name__
    return Node(key, SYMBOLS[kind], "operation") if kind in SYMBOLS else Node(key, kind, "layer")


def _edge(tail: str, head: str, value: Value, gradient: Array | None, name: str = "") -> Edge:
    forward = f"{name} = {format_value(value.value)}" if name else format_value(value.value)
    return Edge(tail, head, forward, "" if gradient is None else format_value(gradient))
