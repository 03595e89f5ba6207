"""The computational graph: the course's figures, sums over branches, arrays on every backend, what is refused."""

import numpy as np
import pytest
from cases import numbers
from small_graphs import sigmoid_of_four_nodes

from xpnet import AddLayer, Affine, Graph, MulLayer, Network, Relu, SoftmaxWithLoss, sigmoid, to_numpy
from xpnet.errors import ArgumentError, ShapeError
from xpnet.graph import SquareLayer
from xpnet.graph.graph import Graph


def test_row_10_two_apples():
    graph = Graph("Two apples")
    apple, number, tax = graph.variable("apple", 100), graph.variable("number", 2), graph.variable("tax", 1.1)
    apples = graph.apply(MulLayer(), apple, number)
    price = graph.apply(MulLayer(), apples, tax, name="price")
    assert (apples.value, apples.name, price.value, price.name) == (200, "", 220.00000000000003, "price")
    assert all(value.gradient is None for value in (apple, number, tax, apples, price))
    graph.backward()
    assert (price.gradient, apples.gradient, apple.gradient, tax.gradient) == (1, 1.1, 2.2, 200)
    assert f"{number.gradient:.6g}" == "110"


def test_row_10_apples_and_oranges():
    graph = Graph()
    a, n, o, m, tax = (graph.variable(*pair) for pair in zip("anomt", (100, 2, 150, 3, 1.1), strict=True))
    both = graph.apply(AddLayer(), graph.apply(MulLayer(), a, n), graph.apply(MulLayer(), o, m), name="fruit")
    price = graph.apply(MulLayer(), both, tax)
    graph.backward()
    assert f"{price.value:.6g}" == "715"
    assert (a.gradient, o.gradient, tax.gradient) == (2.2, 3.3000000000000003, 650)
    assert (f"{n.gradient:.6g}", f"{m.gradient:.6g}") == ("110", "165")
    assert str(graph).splitlines()[2:] == [
        "a ── 100 / 2.2 ──┐",
        "                 × ── 200 / 1.1 ──┐",
        "n ── 2 / 110 ────┘                │",
        "                                  + ── fruit = 650 / 1.1 ──┐",
        "o ── 150 / 3.3 ──┐                │                        │",
        "                 × ── 450 / 1.1 ──┘                        │",
        "m ── 3 / 165 ────┘                                         │",
        "                                                           × ── 715 / 1",
        "t ── 1.1 / 650 ────────────────────────────────────────────┘",
    ]


@pytest.mark.parametrize(("x", "y"), [(3, 4), (-1.5, 0.25)])
def test_row_10_the_chain_rule_of_a_square(x, y):
    graph = Graph()
    first, second = graph.variable("x", x), graph.variable("y", y)
    z = graph.apply(SquareLayer(), graph.apply(AddLayer(), first, second))
    graph.backward()
    assert z.value == (x + y) ** 2
    assert first.gradient == second.gradient == 2 * (x + y)


@pytest.mark.parametrize("at", [0.5, -2.0, 3])
def test_row_10_the_sigmoid_of_its_four_nodes(at):
    graph, x, y = sigmoid_of_four_nodes(at)
    graph.backward()
    np.testing.assert_allclose(y.value, sigmoid(at), rtol=1e-15)
    np.testing.assert_allclose(x.gradient, y.value * (1 - y.value), rtol=1e-14)


def test_arrays_on_every_backend(be):
    at = numbers(1, 3, 4)
    graph, x, y = sigmoid_of_four_nodes(be.put(at))
    graph.backward()
    s = 1 / (1 + np.exp(-at))
    be.check(y.value, s)
    be.check(x.gradient, s * (1 - s))
    graph.backward(dout=be.put(np.full((3, 4), 0.5)))
    be.check(x.gradient, s * (1 - s) / 2)
    assert "x  ── (3, 4) / (3, 4) ──┐" in str(graph)


def test_the_loss_of_a_network_has_the_gradients_of_the_network(be):
    W1, b1, W2, b2 = (be.put(numbers(k, *shape)) for k, shape in enumerate([(4, 3), (3,), (3, 2), (2,)], start=5))
    x, t = be.put(numbers(1, 5, 4)), be.put(np.array([0, 1, 1, 0, 1]))
    first, second = Affine(W1, b1), Affine(W2, b2)
    graph = Graph()
    given = graph.variable("x", x)
    scores = graph.apply(second, graph.apply(Relu(), graph.apply(first, given)))
    loss = graph.apply(SoftmaxWithLoss(), scores, t)
    graph.backward()
    network = Network([Affine(W1, b1), Relu(), Affine(W2, b2)])
    expected = network.gradient(x, t)
    be.check(loss.value, to_numpy(network.loss(x, t)))
    be.check(first.dW, to_numpy(expected["W1"]))
    be.check(second.db, to_numpy(expected["b2"]))
    assert given.gradient.shape == (5, 4)


def test_where_a_value_goes_to_several_nodes_its_derivative_is_the_sum():
    graph = Graph()
    x, y = graph.variable("x", 3.0), graph.variable("y", 4.0)
    s = graph.apply(AddLayer(), x, y)
    graph.apply(MulLayer(), graph.apply(MulLayer(), s, s), x)  # (x + y)**2 * x
    graph.backward()
    assert (s.gradient, y.gradient, x.gradient) == (2 * 7 * 3, 42, 42 + 49)


def test_the_sum_writes_into_no_array_of_a_layer():
    graph = Graph()
    x, y = graph.variable("x", np.ones(2)), graph.variable("y", np.ones(2))
    graph.apply(AddLayer(), graph.apply(AddLayer(), x, y), x)  # AddLayer hands one array on to both its inputs
    dout = np.array([1.0, 2.0])
    graph.backward(dout=dout)
    assert (x.gradient.tolist(), y.gradient.tolist(), dout.tolist()) == ([2, 4], [1, 2], [1, 2])


def test_backward_twice_gives_the_same_and_from_another_output_only_what_it_depends_on():
    graph = Graph()
    x, y = graph.variable("x", 3.0), graph.variable("y", 5.0)
    square = graph.apply(SquareLayer(), x)
    product = graph.apply(MulLayer(), square, y)
    graph.backward()
    once = x.gradient
    graph.backward()
    assert x.gradient == once == 30
    graph.backward(square)
    assert (square.gradient, x.gradient, product.gradient, y.gradient) == (1, 6, None, None)
    assert str(graph).splitlines()[2:] == [
        "x ── 3 / 6 ── x² ── 9 / 1 ──┐",
        "                            × ── 45",
        "y ── 5 ─────────────────────┘",
    ]


def test_backward_from_a_value_that_goes_to_several_nodes_leaves_nothing_of_an_earlier_one_behind_it():
    graph = Graph()
    s = graph.apply(SquareLayer(), graph.variable("x", 3), name="s")
    graph.apply(MulLayer(), s, s)
    graph.backward()
    graph.backward(s)
    assert str(graph).splitlines()[2:] == [
        "x ── 3 / 6 ── x² ── s = 9 / 1 ── used 2 times",
        "",
        "s ── 9 ──┐",
        "         × ── 81",
        "s ── 9 ──┘",
    ]


class Returns:
    """Any object with forward and backward; its backward gives what it was told to."""

    def __init__(self, gradients):
        self.gradients = gradients

    def forward(self, *inputs):
        return inputs[0]

    def backward(self, dout):
        return self.gradients


def test_an_object_of_ones_own_is_a_layer_and_a_gradient_of_none_stops_there():
    graph = Graph()
    x, y = graph.variable("x", 1), graph.variable("y", 2)
    graph.apply(Returns((None, [7.0])), x, y)
    graph.backward()
    assert (x.gradient, y.gradient) == (None, [7.0])


@pytest.mark.parametrize("gradients", [1.0, (1.0, 2.0, 3.0), ()])
def test_another_number_of_gradients_than_inputs_is_an_error(gradients):
    graph = Graph()
    graph.apply(Returns(gradients), graph.variable("x", 1), graph.variable("y", 2))
    given = len(gradients) if isinstance(gradients, tuple) else 1
    with pytest.raises(ArgumentError, match=rf"Returns has 2 inputs, .* returned {given} gradients.* `return dx, dy`"):
        graph.backward()


def test_what_cannot_be_meant_is_refused_and_leaves_the_graph_as_it_was():
    graph, other = Graph(), Graph()
    x, foreign = graph.variable("x", 3), other.variable("x", 4)
    with pytest.raises(ArgumentError, match=r"The graph has no nodes.*graph.apply\(layer, x\)"):
        graph.backward()
    square = SquareLayer()
    graph.apply(square, x)
    before = str(graph)
    for refused, says in (
        (lambda: graph.apply(square, x), r"This SquareLayer is a node .*`copy.deepcopy\(layer\)`"),
        (lambda: graph.apply(SquareLayer, x), r"the class SquareLayer. Use `SquareLayer\(\)`"),
        (lambda: graph.apply(3, x), r"forward and backward, got 3\."),
        (lambda: graph.apply(MulLayer(), x, foreign), "value of another graph.*value.value"),
        (lambda: graph.backward(foreign), "value of another graph"),
        (lambda: graph.variable("x", 5), "called 'x' in this graph already"),
        (lambda: graph.apply(SquareLayer(), x, name="x"), "called 'x' in this graph already"),
    ):
        with pytest.raises(ArgumentError, match=says):
            refused()
    with pytest.raises(TypeError):
        graph.apply(MulLayer(), x)
    assert str(graph) == before


def test_a_graph_refuses_gradients_of_another_shape():
    class Wrong:
        def forward(self, x):
            return 2 * x

        def backward(self, dout):
            return dout.sum()

    graph = Graph()
    x = graph.variable("x", np.ones(3))
    graph.apply(Wrong(), x)
    with pytest.raises(ShapeError, match=r"backward of Wrong must return a gradient of shape \(3,\) .*, got \(\)"):
        graph.backward()
    with pytest.raises(ShapeError, match=r"dout must have the shape of the output, \(3,\), got \(2,\)"):
        graph.backward(dout=np.ones(2))
