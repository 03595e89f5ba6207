"""Drawings of graphs (course row 10), as pictures by Graphviz or as plain text."""

import html
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from xpnet._core.files import check_path, write_whole
from xpnet._core.terminal import encodable, output_encoding, plain
from xpnet.errors import ArgumentError
from xpnet.graph.parts import Edge, Node, inputs_of, one_line
from xpnet.graph.text import chain, trees

_log = logging.getLogger("xpnet")

PICTURES = (".png", ".svg", ".pdf")
INSTALL_DOT = "Install it with `sudo apt install graphviz`, or see https://graphviz.org/download."
FORWARD, BACKWARD, LINE = "#1a4fa3", "#b3261e", "#444444"
"""Colors of values, derivatives, and lines."""

_STYLES: dict[str, dict[str, str]] = {
    "input": {"shape": "plaintext", "width": "0", "margin": "0.04"},
    "constant": {"shape": "plaintext", "width": "0", "margin": "0.04", "fontcolor": LINE},
    "operation": {"shape": "circle", "width": "0.5", "margin": "0.02"},
    "layer": {"shape": "box", "style": "rounded", "margin": "0.14,0.06"},
    "branch": {"shape": "point", "width": "0.08", "height": "0.08"},
    "output": {"shape": "plaintext", "width": "0", "margin": "0.04"},
}


@dataclass(frozen=True)
class Drawing:
    """A drawing of a graph: ``print(drawing)`` as plain text, ``drawing.draw("graph.png")`` as a picture.

    Its `direction` is ``"LR"``, left to right, for a computational graph, where only branches have several outgoing
    edges; ``"TB"``, top to bottom, for the layers of a network, each with its main input first.

    Examples
    --------
    >>> nodes = Node("x", "x", "input"), Node("square", "x²", "operation"), Node("y", "y", "output")
    >>> print(Drawing("A square", nodes, (Edge("x", "square", "3", "6"), Edge("square", "y", "9", "1"))))
    A square
    value forward / derivative backward
    <BLANKLINE>
    x ── 3 / 6 ── x² ── 9 / 1 ── y
    """

    title: str
    nodes: tuple[Node, ...]  # in topological order
    edges: tuple[Edge, ...]  # those into a node in the order of its inputs
    direction: Literal["LR", "TB"] = "LR"

    def __str__(self) -> str:
        """The plain-text drawing, in characters that the standard output can show."""
        text, encoding = self._text(one_line), output_encoding()
        if encodable(text, encoding) == text:
            return text
        # Texts first, because replaced characters may be longer; lines are replaced one by one.
        return plain(self._text(lambda words: plain(one_line(words), encoding)), encoding)

    def _text(self, shown: Callable[[str], str] = one_line) -> str:
        head = [text for text in (shown(self.title), " / ".join(self._legend())) if text]
        body = (trees if self.direction == "LR" else chain)(self.nodes, self.edges, shown)
        return "\n".join([*head, "", *body] if head else body)

    def dot(self) -> str:
        """The picture in the DOT language; needs the Python package graphviz, but not the program ``dot``."""
        return str(self._digraph().source)

    def draw(self, path: str | os.PathLike[str]) -> Path:
        """Write the drawing atomically, and return the path of the written file.

        If the Python package graphviz or the program ``dot`` is missing, or ``dot`` fails, the plain text is written
        instead, with the suffix ``.txt``, and the log (``"xpnet"``) says what to install.

        Parameters
        ----------
        path
            A file with the suffix ``.png``, ``.svg`` or ``.pdf``, or ``.txt`` for plain text.

        Raises
        ------
        ArgumentError
            If there is no such format.
        """
        path = check_path("path", path)
        suffix = path.suffix.lower()
        if suffix not in (*PICTURES, ".txt"):
            instead = str(path.parent / f"{path.stem or 'graph'}.png")
            raise ArgumentError(
                f"{str(path)!r} has the suffix {suffix!r}, which is no format of a drawing. The formats are "
                f"{', '.join(PICTURES)} and .txt. Use `path={instead!r}`."
            )
        if suffix == ".txt":
            return write_whole(path, f"{self._text()}\n")
        picture = self._picture(suffix[1:])
        if picture is None:
            return write_whole(path.with_suffix(".txt"), f"{self._text()}\n")
        return write_whole(path, picture)

    def _repr_svg_(self) -> str | None:
        picture = self._picture("svg")
        return None if picture is None else picture.decode()

    def _picture(self, form: str) -> bytes | None:
        try:
            graphviz = _graphviz()
        except ImportError as error:
            missing = str(error)
        else:
            graph = self._digraph()
            if form == "png":
                graph.graph_attr["dpi"] = "150"  # other formats would only scale the page
            try:
                return bytes(graph.pipe(form, quiet=True))
            except graphviz.ExecutableNotFound:
                missing = f"Graphviz's program dot is not installed. {INSTALL_DOT}"
            except (graphviz.CalledProcessError, OSError) as error:
                missing = f"Graphviz's program dot failed: {error}. {INSTALL_DOT}"
        _log.warning("Drawn as plain text. %s", " ".join(missing.split()))
        return None

    def _legend(self) -> tuple[str, ...]:
        backward = ("derivative backward",) if any(edge.backward for edge in self.edges) else ()
        return ("value forward", *backward) if self.direction == "LR" else ()

    # --- Graphviz ----------------------------------------------------------------------------------------------------

    def _digraph(self) -> Any:
        legend = [
            _html(f"{arrow}{text}", color)
            for text, arrow, color in zip(self._legend(), ("", "← "), (FORWARD, BACKWARD), strict=False)
        ]
        head = [f"<b>{_html(self.title)}</b>", *([" &#160; ".join(legend)] if legend else []), "&#160;"]
        graph = _graphviz().Digraph(
            graph_attr={
                "rankdir": self.direction,
                "bgcolor": "white",
                "label": f"<{'<br/>'.join(head)}>",
                "labelloc": "t",
                "ordering": "in",  # the inputs of a node from top to bottom
                "nodesep": "0.2",
                "ranksep": "0.14" if self.direction == "LR" else "0.3",
                "fontname": "DejaVu Sans",
            },
            node_attr={"height": "0", "fontsize": "15", "fontname": "DejaVu Sans"},
            edge_attr={"arrowsize": "0.6", "color": LINE, "fontsize": "13", "fontname": "DejaVu Sans"},
        )
        for node in self.nodes:
            lines = [f"<b>{_html(node.label)}</b>", *(_html(text) for text in node.details if text)]
            label = f"<{'<br/>'.join(lines)}>" if node.details else _plain(node.label)
            graph.node(node.key, label, **_STYLES[node.kind])
        if self.direction == "LR":
            self._add_wires(graph)
        else:
            self._add_arrows(graph)
        return graph

    def _add_wires(self, graph: Any) -> None:
        """Add edges with the value above the line and the derivative below it.

        Graphviz places labels next to an edge, so these are a node in its middle: a table whose rule continues the
        line.
        """
        branches = {node.key for node in self.nodes if node.kind == "branch"}
        for number, edge in enumerate(self.edges):
            if not edge.forward:
                graph.edge(edge.tail, edge.head)
                continue
            labels = _html(edge.forward, FORWARD), _html(edge.backward and f"← {edge.backward}", BACKWARD)
            rows = "<hr/>".join(f"<tr><td>{label}</td></tr>" for label in labels)
            table = f'<<table border="0" cellborder="0" cellspacing="0" cellpadding="2" color="{LINE}">{rows}</table>>'
            middle = f"edge{number}"
            graph.node(middle, table, shape="plain", fontsize="13")
            graph.edge(edge.tail, f"{middle}:w", dir="none")
            graph.edge(f"{middle}:e", edge.head, dir="none" if edge.head in branches else "forward")

    def _add_arrows(self, graph: Any) -> None:
        """Add the edges of a network; other inputs than the main one of a layer are placed at its right."""
        for edges in inputs_of(self.nodes, self.edges).values():
            for edge in edges[:1]:
                graph.edge(edge.tail, edge.head, _plain(edge.forward, before="  "), fontcolor=FORWARD)
            for edge in edges[1:]:
                with graph.subgraph(graph_attr={"rank": "same"}) as row:
                    row.edge(edge.head, edge.tail, dir="back")  # reversed: Graphviz places the head at the right


def _graphviz() -> Any:
    try:
        import graphviz
    except ImportError as error:
        raise ImportError(
            "The Python package graphviz is not installed. Install it with `pip install '.[plot]'`."
        ) from error
    return graphviz


def _plain(text: str, before: str = "") -> Any:
    return _graphviz().escape(before + one_line(text).replace("&", "&amp;"))


def _html(text: str, color: str = "#000000") -> str:
    """Escape a text for an HTML label, including backslashes."""
    letters = html.escape(one_line(text)).replace("\\", "\\\\")
    return f'<font color="{color}">{letters or "&#160;"}</font>'
