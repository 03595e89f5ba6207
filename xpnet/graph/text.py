"""Plain-text drawings (course row 10): computational graphs from left to right, networks from top to bottom."""

import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from xpnet.graph.parts import Edge, Node, inputs_of


def _columns(text: str) -> int:
    """Width of a text in a terminal, where Korean and other wide letters take two columns."""
    return sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def _pad(text: str, columns: int) -> str:
    return text + " " * (columns - _columns(text))


@dataclass
class _Row:
    """A line of a tree: the name of its leaf, if any, and the text to the right of the names."""

    leaf: str = ""
    text: str = ""
    width: int = 0

    def add(self, text: str) -> None:
        self.text += text
        self.width += _columns(text)

    def fill(self, width: int, filling: str) -> None:
        self.add(filling * (width - self.width))


@dataclass
class _Tree:
    """The tree of a node: one row per leaf, one between two leaves, and the row of the node."""

    rows: list[_Row]
    root: int = 0


def trees(nodes: Sequence[Node], edges: Sequence[Edge], shown: Callable[[str], str]) -> list[str]:
    """The lines of a computational graph: a tree for each branch and each output."""
    labels = {node.key: shown(node.label) for node in nodes}
    inputs, uses = inputs_of(nodes, edges), Counter(edge.tail for edge in edges)
    growing: dict[str, _Tree] = {}  # by the operation at their root
    lines: list[str] = []
    for node in nodes:
        arms = []
        for edge in inputs[node.key]:
            arm = growing.pop(edge.tail, None) or _Tree([_Row(labels[edge.tail])])
            values = " / ".join(shown(text) for text in (edge.forward, edge.backward) if text)
            arm.rows[arm.root].add(f"── {values} " if values else "")
            arms.append(arm)
        if not arms:
            continue
        tree = _joined(arms, f"used {uses[node.key]} times" if node.kind == "branch" else labels[node.key])
        if node.kind in ("branch", "output"):
            lines += [*([""] if lines else []), *_written(tree)]
        else:
            tree.rows[tree.root].add(" ")
            growing[node.key] = tree
    return lines


def _joined(arms: list[_Tree], label: str) -> _Tree:
    """Join the trees of a node's inputs, with the node at their right."""
    if len(arms) == 1:
        arms[0].rows[arms[0].root].add(f"── {label}" if label else "")
        return arms[0]
    rows, roots, gaps = arms[0].rows, [arms[0].root], []
    for arm in arms[1:]:
        gaps.append(len(rows))
        rows.append(_Row())
        roots.append(len(rows) + arm.root)
        rows += arm.rows
    place = gaps[(len(gaps) - 1) // 2]
    column = max(rows[root].width for root in roots) + 2
    corners = {**dict.fromkeys(roots, "┤"), roots[0]: "┐", roots[-1]: "┘", place: label}
    for number in range(roots[0], roots[-1] + 1):
        rows[number].fill(column, "─" if number in roots else " ")
        rows[number].add(corners.get(number, "│"))
    return _Tree(rows, place)


def _written(tree: _Tree) -> list[str]:
    names = max(_columns(row.leaf) for row in tree.rows)
    return [f"{_pad(row.leaf, names)} {row.text}".rstrip() for row in tree.rows]


def chain(nodes: Sequence[Node], edges: Sequence[Edge], shown: Callable[[str], str]) -> list[str]:
    """The lines of a network: one per layer, with the shapes between them."""
    labels = {node.key: shown(node.label) for node in nodes}
    details = {node.key: tuple(map(shown, node.details)) for node in nodes if node.details}
    names = max(_columns(labels[key]) for key in details)
    kinds, notes = (max(map(_columns, column)) for column in zip(*details.values(), strict=True))
    lines = [labels[nodes[0].key]]
    for key, inputs in inputs_of(nodes, edges).items():
        if not inputs:
            continue  # an input: the first line, or at the right of its layer
        lines.append(f"│  {shown(inputs[0].forward)}".rstrip())
        line = labels[key]
        if key in details:
            kind, note = details[key]
            line = f"{_pad(line, names)}  {_pad(kind, kinds)}  {note:>{notes}}".rstrip()
        lines.append(line + "".join(f"  ←── {labels[edge.tail]}" for edge in inputs[1:]))
    return lines
