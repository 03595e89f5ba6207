"""The nodes of a graph: numbers, lists and arrays, and the gradient of a number that meets an array."""

import numpy as np
import pytest

from xpnet import AddLayer, Graph, MulLayer
from xpnet.errors import ShapeError, XpnetError
from xpnet.graph import SquareLayer


def test_nodes_compute_with_lists_as_with_arrays():
    assert MulLayer().forward([1, 2], 3).tolist() == [3.0, 6.0]
    assert AddLayer().forward([1, 2], [3, 4]).tolist() == [4.0, 6.0]
    assert SquareLayer().forward([3, 4]).tolist() == [9.0, 16.0]


def test_nodes_refuse_arrays_of_two_shapes():
    for node in (MulLayer(), AddLayer()):
        name = type(node).__name__
        with pytest.raises(ShapeError, match=rf"{name} expects two arrays of one shape, got \(3,\) and \(2, 3\)"):
            node.forward(np.ones(3), np.ones((2, 3)))
        with pytest.raises(ShapeError, match="two arrays of one shape"):
            node.forward([1, 2], [[1], [2]])
    with pytest.raises(XpnetError, match="Expected numbers"):
        MulLayer().forward("ab", 3)


def test_the_gradient_of_a_number_is_summed_over_the_array_that_it_meets():
    x = np.array([1.0, 2.0, 4.0])
    node = MulLayer()
    node.forward(3.0, x)
    by_number, by_array = node.backward(np.array([1.0, 10.0, 100.0]))
    assert by_number == 1 + 20 + 400
    assert by_array.tolist() == [3.0, 30.0, 300.0]
    node = AddLayer()
    node.forward(x, np.array(3.0))
    by_array, by_number = node.backward(np.array([1.0, 10.0, 100.0]))
    assert by_number == 111
    assert by_array.tolist() == [1.0, 10.0, 100.0]
    graph = Graph()
    a, b = graph.variable("a", 2.0), graph.variable("b", x)
    graph.apply(MulLayer(), a, b)
    graph.backward()
    assert a.gradient == 7.0
