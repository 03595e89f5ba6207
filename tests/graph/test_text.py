"""Graphs in plain text, letter by letter."""

import unicodedata

import pytest
from small_graphs import AS_DRAWN, AWKWARD, shared, shopping, sigmoid_of_four_nodes

from xpnet import AddLayer, Graph
from xpnet.graph import SquareLayer


def lines(graph):
    """The drawing below its legend."""
    return str(graph).partition("\n\n")[2].splitlines()


def test_two_apples_before_and_after_backward():
    graph = shopping()
    assert str(graph).splitlines() == [
        "Two apples",
        "value forward",
        "",
        "apple  ── 100 ──┐",
        "                × ── 200 ──┐",
        "number ── 2 ────┘          │",
        "                           × ── 220 ── price",
        "tax    ── 1.1 ─────────────┘",
    ]
    graph.backward()
    assert str(graph).splitlines() == [
        "Two apples",
        "value forward / derivative backward",
        "",
        "apple  ── 100 / 2.2 ──┐",
        "                      × ── 200 / 1.1 ──┐",
        "number ── 2 / 110 ────┘                │",
        "                                       × ── 220 / 1 ── price",
        "tax    ── 1.1 / 200 ───────────────────┘",
    ]


def test_a_value_used_twice_is_drawn_once_in_full_and_then_by_its_name():
    graph = shared()
    graph.backward()
    assert lines(graph) == [
        "사과 ── 3 / 91 ── used 2 times",
        "",
        "사과 ── 3 / 42 ──┐",
        "                 + ── b = 7 / 42 ── used 2 times",
        "a    ── 4 / 42 ──┘",
        "",
        "b    ── 7 / 21 ──┐",
        "                 × ── 49 / 3 ──┐",
        "b    ── 7 / 21 ──┘             │",
        "                               × ── 147 / 1 ── z",
        "사과 ── 3 / 49 ────────────────┘",
    ]


def test_names_that_break_lines_do_not_break_the_drawing():
    graph = Graph("a\ntitle")
    graph.apply(SquareLayer(), graph.variable(AWKWARD, 3), name="y\n")
    assert str(graph).splitlines() == ["a title", "value forward", "", AS_DRAWN + " ── 3 ── x² ── 9 ── y"]
    graph = Graph()
    graph.apply(AddLayer(), *(graph.variable(unicodedata.normalize("NFD", name), 3) for name in ("사과", "é")))
    assert lines(graph) == ["사과 ── 3 ──┐", "            + ── 6", "é    ── 3 ──┘"]


def test_row_10_the_picture_of_the_sigmoid():
    graph, _, _ = sigmoid_of_four_nodes(0.0)
    graph.backward()
    assert str(graph).splitlines()[3:] == [
        "x  ── 0 / 0.25 ──┐",
        "                 × ── 0 / -0.25 ── exp ── 1 / -0.25 ──┐",
        "-1 ──────────────┘                                    │",
        "                                                      + ── 2 / -0.25 ── 1/x ── 0.5 / 1 ── y",
        "1  ───────────────────────────────────────────────────┘",
    ]


class Total:
    def forward(self, *x):
        self.n = len(x)
        return sum(x)

    def backward(self, dout):
        return (dout,) * self.n


def test_several_outputs_of_nodes_with_several_inputs_and_what_is_never_used():
    graph = Graph()
    a, b, c, d = (graph.variable(name, value) for name, value in zip("abcd", (1, 20, 300, 4), strict=True))
    graph.variable("e", 5)
    graph.apply(Total(), a, b, c, d)
    three = graph.apply(Total(), 1, 2, graph.apply(SquareLayer(), 3), name="three")
    graph.backward(three)
    assert str(graph).splitlines()[2:] == [
        "e ── 5 ── unused",
        "",
        "a ── 1 ────┐",
        "           │",
        "b ── 20 ───┤",
        "           Total ── 325",
        "c ── 300 ──┤",
        "           │",
        "d ── 4 ────┘",
        "",
        "1 ─────────────────┐",
        "                   Total ── 12 / 1 ── three",
        "2 ─────────────────┤",
        "                   │",
        "3 ── x² ── 9 / 1 ──┘",
    ]


@pytest.mark.parametrize("depth", [1, 30, 1200])
def test_a_chain_of_any_depth_is_one_line_and_one_of_sums_a_staircase(depth):
    graph, stairs = Graph(), Graph()
    value, sum_ = graph.variable("x", 1.0), stairs.variable("x", 0)
    for _ in range(depth):
        value = graph.apply(Total(), value)
    for _ in range(min(depth, 100)):
        sum_ = stairs.apply(AddLayer(), sum_, 1)
    graph.backward()
    stairs.backward()
    assert str(graph).splitlines()[2:] == ["x ── 1 / 1" + " ── Total ── 1 / 1" * depth]
    drawn = str(stairs).splitlines()[2:]
    assert len(drawn) == 2 * min(depth, 100) + 1
    assert drawn[-2].endswith(f"+ ── {min(depth, 100)} / 1")
    assert max(map(len, drawn)) == len(drawn[-2])
    assert all(line == line.rstrip() for line in drawn)
