"""The figures printed in the course (COURSE rows 2, 3, 8, 10 to 13), to the digits shown."""

import numpy as np
import pytest

from xpnet import (
    AddLayer,
    Affine,
    MulLayer,
    ReLU,
    Relu,
    Sigmoid,
    SoftmaxWithLoss,
    asarray,
    cross_entropy_error,
    mean_squared_error,
    relu,
    sigmoid,
    softmax,
    step_function,
    to_numpy,
    use_backend,
)
from xpnet.functions import relu_grad, sigmoid_grad
from xpnet.graph import ExpLayer, ReciprocalLayer, SquareLayer

Y = [0.1, 0.1, 0.1, 0.51, 0.09, 0.1, 0, 0, 0, 0]
T = [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]


def test_row_2_activations():
    assert str(sigmoid(np.array([0.3, 0.7, 1.1]))) == "[0.57444252 0.66818777 0.75026011]"
    assert step_function(np.array([-1.0, 0.0, 2.0])).tolist() == [0, 0, 1]
    assert relu([-1, 2]).tolist() == [0.0, 2.0]
    assert relu_grad([-1.0, 0.0, 2.0]).tolist() == [0, 0, 1]
    assert sigmoid_grad(0) == 0.25


def test_row_2_sigmoid_neither_overflows_nor_loses_its_tail():
    x = np.array([-1e4, -100.0, 0.0, 100.0, 1e4])
    np.testing.assert_allclose(sigmoid(x), [0.0, np.exp(-100.0), 0.5, 1.0, 1.0], rtol=1e-15)
    assert sigmoid(x.astype("float32")).dtype == np.float32


def test_row_3_softmax():
    assert str(softmax(np.array([1, 2]))) == "[0.26894142 0.73105858]"
    small, large = softmax(np.array([10, 20]))
    assert f"{small:.13f}" == "0.0000453978687"
    assert f"{large:.9f}" == "0.999954602"
    np.testing.assert_array_equal(softmax(np.array([[1.0, 2.0], [1001.0, 1002.0]])), [softmax([1.0, 2.0])] * 2)


def test_row_8_losses_in_every_form_of_label():
    assert f"{mean_squared_error(np.array(Y), np.array(T)):.4f}" == "0.1441"
    for t in (np.array(T), T, 3, np.array(3)):
        assert f"{cross_entropy_error(np.array(Y), t):.5f}" == "0.67334"
    twice = np.array([Y, Y])
    for t in (np.array([3, 3]), np.array([3, 3], dtype="uint8"), np.array([T, T])):
        assert f"{cross_entropy_error(twice, t):.5f}" == "0.67334"  # averaged: it does not grow with the batch


def test_row_8_a_single_column_is_not_taken_for_one_hot():
    assert cross_entropy_error(np.full((4, 1), 0.5), np.zeros(4, dtype=int)) == pytest.approx(-np.log(0.5 + 1e-7))


def test_row_10_two_apples():
    apple, tax = MulLayer(), MulLayer()
    price = tax.forward(apple.forward(100, 2), 1.1)
    assert f"{price:.0f}" == "220"
    dapples, dtax = tax.backward(1)
    dapple, dnumber = apple.backward(dapples)
    assert (dapples, dapple, f"{dnumber:.0f}", dtax) == (1.1, 2.2, "110", 200)


def test_row_10_apples_and_oranges():
    apple, orange, both, tax = MulLayer(), MulLayer(), AddLayer(), MulLayer()
    price = tax.forward(both.forward(apple.forward(100, 2), orange.forward(150, 3)), 1.1)
    assert f"{price:.0f}" == "715"
    dboth, dtax = tax.backward(1)
    dapples, doranges = both.backward(dboth)
    dapple, dapple_num = apple.backward(dapples)
    dorange, dorange_num = orange.backward(doranges)
    assert (dapple, f"{dapple_num:.0f}", dorange, f"{dorange_num:.0f}", dtax) == (
        2.2,
        "110",
        3.3000000000000003,
        "165",
        650,
    )


def test_row_10_chain_rule_of_a_square():
    add, square = AddLayer(), SquareLayer()
    assert square.forward(add.forward(3, 4)) == 49
    assert add.backward(square.backward(1)) == (14, 14)


@pytest.mark.parametrize("x", [0.5, -2.0, 3, np.array([0.3, 0.7, 1.1])])
def test_row_10_sigmoid_of_its_four_nodes(x):
    times, exp, plus, over = MulLayer(), ExpLayer(), AddLayer(), ReciprocalLayer()
    y = over.forward(plus.forward(exp.forward(times.forward(x, -1)), 1))
    np.testing.assert_allclose(y, sigmoid(x), rtol=1e-15)
    dx, _ = times.backward(exp.backward(plus.backward(over.backward(1))[0]))
    np.testing.assert_allclose(dx, y * (1 - y), rtol=1e-14)


def test_row_11_activation_layers(be):
    layer = Relu()
    assert ReLU is Relu
    x, dout = be.put(np.array([[1, -0.5], [-2, 3]])), be.put(np.array([[-0.1, 3.0], [1.3, -1.8]]))
    before = to_numpy(dout).copy()
    be.check(layer.forward(x), [[1, 0], [0, 3]])
    assert to_numpy(layer.mask).tolist() == [[False, True], [True, False]]
    be.check(layer.backward(dout), [[-0.1, 0], [0, -1.8]])
    assert np.array_equal(to_numpy(dout), before)
    sig = Sigmoid()
    y = to_numpy(sig.forward(x)).astype("float64")
    be.check(sig.backward(dout), before.astype("float64") * y * (1 - y))


def test_row_12_affine(be):
    affine = Affine(be.put(np.ones((2, 3))), be.put(np.zeros(3)))
    affine.forward(be.put(np.ones((2, 2))))
    affine.backward(be.put(np.array([[1.0, 2, 3], [4, 5, 6]])))
    be.check(affine.db, [5, 7, 9])


def test_row_13_softmax_with_loss(be):
    layer, scores = SoftmaxWithLoss(), np.array([[1.0, 2.0], [3.0, 1.0]])
    layer.forward(be.put(scores), be.put(np.array([0, 1])))
    be.check(layer.backward(), (softmax(scores) - np.eye(2)) / 2)
    exact = layer.forward(be.put(np.array([[0.0, 30.0]])), be.put(np.array([0])))
    be.check(exact, 30.0)  # the course's, with 1e-7 in the logarithm, says 16.1


def test_lists_and_numbers_go_to_the_chosen_backend():
    with use_backend("array_api_strict") as chosen:
        assert type(sigmoid([0.0])) is type(asarray([0.0], backend=chosen))
        assert float(softmax([1, 2])[0]) == pytest.approx(0.26894142)
