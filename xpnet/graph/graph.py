"""Computational graphs (course row 10): layers applied to values, derivatives, and a drawing of both.

All values come from the layers' ``forward``, all derivatives from their ``backward``.
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

SYMBOLS = {"MulLayer": "×", "AddLayer": "+", "SquareLayer": "x²", "ExpLayer": "exp", "ReciprocalLayer": "1/x"}
"""Symbols of layers drawn as circles, by class; other layers are boxes with the name of their class."""


@dataclass(eq=False)
class Value:
    """A number or an array in a graph.

    Attributes
    ----------
    value
        The number or array.
    name
        Its name in drawings, or ``""``.
    gradient
        Derivative of the output of `Graph.backward` with respect to it; None before, and if independent of it.
    constant
        Whether it is a plain argument of `Graph.apply`, whose derivative is not drawn.
    """

    value: Array
    name: str = ""
    gradient: Array | None = None
    constant: bool = False


@dataclass
class _Step:
    """An applied layer, and the gradients of its last ``backward``, one per input."""

    layer: Any
    inputs: tuple[Value, ...]
    output: Value
    gradients: list[Array | None] = field(default_factory=list)

    def inputs_and_gradients(self) -> Iterator[tuple[Value, Array | None]]:
        return zip(self.inputs, self.gradients or [None] * len(self.inputs), strict=True)


class Graph:
    """Records a computation, to compute its derivatives and to draw both.

    Parameters
    ----------
    title
        Title of the drawing.

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
        """Add an input of the graph, a number or an array of any backend; its name must be unique."""
        return self._add(Value(_checked_value(value), name))

    def apply(self, layer: Any, *inputs: Any, name: str = "") -> Value:
        """Run ``layer.forward`` on the inputs, add it to the graph as a node, and return the result.

        Parameters
        ----------
        layer
            `MulLayer`, `Affine`, or any object with ``forward`` and ``backward``; a new one for each node, because it
            stores what its ``backward`` needs.
        inputs
            Values of this graph; plain numbers and arrays are constants.
        name
            Name of the result in drawings; must be unique.

        Raises
        ------
        ArgumentError
            If the layer is a class, has no ``forward`` or ``backward``, or is in the graph already; if an input is a
            value of another graph; if the name is not unique.
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
                f"This {kind} is a node of the graph already, and would overwrite that node's inputs. Make a new one "
                "for each node, or a copy with `copy.deepcopy(layer)`."
            )
        values = tuple(
            self._own(x) if isinstance(x, Value) else Value(_checked_value(x), constant=True) for x in inputs
        )
        result = layer.forward(*(x.value for x in values))
        output = self._add(Value(result, name))
        self._steps.append(_Step(layer, values, output))
        return output

    def backward(self, output: Value | None = None, dout: Array | None = None) -> None:
        """Compute the derivatives of an output with respect to all values, by the chain rule.

        Runs each layer's ``backward`` once, the last layer first, and stores the results in `Value.gradient`. The
        derivative of a value used by several nodes is the sum of their results.

        Parameters
        ----------
        output
            Value to start from; by default the last computed one.
        dout
            Derivative to start with; by default 1, or an array of ones.

        Raises
        ------
        ArgumentError
            If nothing was applied, `output` belongs to another graph, or a layer returns a wrong number of gradients.
            (A layer may leave out those of constants, as `SoftmaxWithLoss` does.)
        ShapeError
            If a gradient has another shape than its input, or `dout` another shape than `output`.
        """
        if not self._steps:
            raise ArgumentError("The graph has no nodes. Apply a layer first, with `graph.apply(layer, x)`.")
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
                        # Not +=, because a layer may have returned the same array for several inputs.
                        x.gradient = gradient if x.gradient is None else x.gradient + gradient

    def drawing(self) -> Drawing:
        """A drawing of the current values and derivatives."""
        steps = {id(step.output): step for step in self._steps}
        uses = Counter(id(x) for step in self._steps for x in step.inputs)
        names = self._names_of_branches(uses)
        nodes: list[Node] = []
        edges: list[Edge] = []
        tails: dict[int, str] = {}  # the node that provides a value
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
                kind = type(step.layer).__name__
                nodes.append(Node(key, SYMBOLS.get(kind, kind), "operation" if kind in SYMBOLS else "layer"))
            tails[id(value)] = key if uses[id(value)] == 1 else f"end{number}"
            if uses[id(value)] == 0:
                nodes.append(Node(f"end{number}", name if step else "unused", "output"))
                edges.append(_edge(key, f"end{number}", value, value.gradient))
            elif uses[id(value)] > 1:
                nodes.append(Node(f"end{number}", name, "branch"))
                edges.append(_edge(key, f"end{number}", value, value.gradient, name if step else ""))
        return Drawing(self.title, tuple(nodes), tuple(edges))

    def draw(self, path: str | os.PathLike[str]) -> Path:
        """Write the drawing in the format of the suffix; see `Drawing.draw`."""
        return self.drawing().draw(path)

    def _repr_svg_(self) -> str | None:
        return self.drawing()._repr_svg_()

    def __str__(self) -> str:
        return str(self.drawing())

    def __repr__(self) -> str:
        return f"Graph({self.title!r}, {len(self._steps)} nodes)"

    def _add(self, value: Value) -> Value:
        if value.name and any(other.name == value.name for other in self._values):
            raise ArgumentError(
                f"There is a value called {value.name!r} in this graph already. Give the new one another name."
            )
        self._values.append(value)
        return value

    def _own(self, value: Value) -> Value:
        if not any(value is mine for mine in self._values):
            raise ArgumentError(
                f"{value!r:.60} is a value of another graph. Use one of this graph, or a constant: `value.value`."
            )
        return value

    def _names_of_branches(self, uses: Mapping[int, int]) -> dict[int, str]:
        """Names of the values used by several nodes: their own, or a, b, c, ..."""
        taken = {value.name for value in self._values}
        letters = (f"{letter}{number or ''}" for number in count() for letter in string.ascii_lowercase)
        free = (name for name in letters if name not in taken)
        return {id(value): value.name or next(free) for value in self._values if uses[id(value)] > 1}


def _checked_value(value: Any) -> Any:
    if is_array(value):
        check_plain(value, "value")
        return value
    return value if isinstance(value, Number) else asarray(value, dtype="float64")


def _gradients(step: _Step, dout: Array) -> list[Array | None]:
    """The gradients of the layer's inputs; None for constants that it leaves out."""
    given = step.layer.backward(dout)
    gradients = list(given) if isinstance(given, tuple | list) else [given]
    variable = [not x.constant for x in step.inputs]
    if len(gradients) == len(step.inputs):
        return gradients
    if len(gradients) == sum(variable):
        rest = iter(gradients)
        return [next(rest) if wanted else None for wanted in variable]
    raise ArgumentError(
        f"{type(step.layer).__name__} has {len(step.inputs)} inputs, but its backward returned {len(gradients)} "
        "gradients. It must return one per input, as in `return dx, dy`."
    )


def _check_gradient(layer: Any, x: Value, gradient: Array) -> None:
    expected, got = (tuple(getattr(a, "shape", ())) for a in (x.value, gradient))
    if not x.constant and got != expected:
        raise ShapeError(
            f"The backward of {type(layer).__name__} must return a gradient of shape {expected} for an input of that "
            f"shape, got {got}."
        )


def _edge(tail: str, head: str, value: Value, gradient: Array | None, name: str = "") -> Edge:
    forward = f"{name} = {format_value(value.value)}" if name else format_value(value.value)
    return Edge(tail, head, forward, "" if gradient is None else format_value(gradient))
