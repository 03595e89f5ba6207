"""The parts of a graph: how values and names are written, and a drawing made of parts by hand."""

import numpy as np

from xpnet.graph.drawing import Drawing
from xpnet.graph.parts import Edge, Node, format_value


def test_values_are_written_for_reading_on_every_backend(be):
    for value, text in (
        (220.00000000000003, "220"),
        (-0.0, "0"),
        (1 / 3, "0.333333"),
        ([1.0, -0.5, 1 / 3], "[1 -0.5 0.3333]"),
        (np.zeros(4), "[0 0 0 0]"),
        (np.zeros(5), "(5,)"),
        (np.zeros((2, 1)), "(2, 1)"),
        (np.array([3, 12345678]), "[3 12345678]"),
    ):
        assert format_value(be.put(value)) == text
    assert (format_value(3), format_value(12345678), format_value([1.0, 2.5]), format_value(1e-9)) == (
        "3",
        "12345678",
        "[1 2.5]",
        "1e-09",
    )


def test_a_drawing_can_be_made_by_hand():
    nodes = Node("x", "x", "input"), Node("f", "f", "layer"), Node("y", "", "output")
    drawing = Drawing("", nodes, (Edge("x", "f", "1"), Edge("f", "y", "2")))
    assert str(drawing).splitlines() == ["value forward", "", "x ── 1 ── f ── 2"]
