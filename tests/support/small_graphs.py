"""Graphs that several tests draw, and names that are hard to draw."""

from xpnet import AddLayer, Graph, MulLayer
from xpnet.graph import ExpLayer, ReciprocalLayer

AWKWARD = 'a<b> & "c"\\N\\\n&lt; \x00\\'


AS_DRAWN = 'a<b> & "c"\\N\\ &lt; \\'


def shopping(apple=100, number=2, tax=1.1):
    graph = Graph("Two apples")
    values = [graph.variable(*pair) for pair in (("apple", apple), ("number", number), ("tax", tax))]
    graph.apply(MulLayer(), graph.apply(MulLayer(), *values[:2]), values[2], name="price")
    return graph


def shared():
    graph = Graph()
    x, y = graph.variable("사과", 3), graph.variable("a", 4)
    s = graph.apply(AddLayer(), x, y)
    graph.apply(MulLayer(), graph.apply(MulLayer(), s, s), x, name="z")
    return graph


def sigmoid_of_four_nodes(x):
    graph = Graph("Sigmoid")
    x = graph.variable("x", x)
    exp = graph.apply(ExpLayer(), graph.apply(MulLayer(), x, -1))
    y = graph.apply(ReciprocalLayer(), graph.apply(AddLayer(), exp, 1), name="y")
    return graph, x, y
