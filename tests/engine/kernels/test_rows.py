"""The operations on rows: the loss is the layer's own to the bit, and the kernels agree with the formulas."""

import fused_operations as operations
import numpy as np
import pytest
from kernel_numbers import SHAPES, check_equal, exact, numbers  # noqa: F401 - a fixture

from xpnet import SoftmaxWithLoss, to_numpy
from xpnet.functions import one_hot


@pytest.mark.bits
@pytest.mark.parametrize("form", ["index", "one-hot"])
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_softmax_cross_entropy_is_softmax_with_loss(exact, shape, biased, form):
    scores, b = exact.put(numbers(1, *shape)), exact.put(numbers(2, shape[1])) if biased else None
    t = exact.put(np.random.default_rng(0).integers(0, shape[1], shape[0]))
    if form == "one-hot":
        t = one_hot(t, shape[1], scores.dtype)
    before = to_numpy(scores).copy()
    dscores, losses = operations.softmax_cross_entropy(scores, b, t)
    np.testing.assert_array_equal(to_numpy(scores), before)  # without a bias they are not the caller's own
    layer, x = SoftmaxWithLoss(), scores if b is None else scores + b
    each = [to_numpy(layer.compute_loss(x[i : i + 1, :], t[i : i + 1, ...])) for i in range(shape[0])]
    check_equal(exact, losses, np.array(each))
    loss = layer.compute_loss(x, t)
    check_equal(exact, dscores, layer.backward())
    exact.check(operations.mean(losses), to_numpy(loss), eps=4)


def test_the_loss_is_exact_where_the_right_class_is_far_behind(exact):
    scores = exact.put(np.array([[0.0, 100.0], [1000.0, 0.0], [0.0, 1000.0]]))
    dscores, losses = operations.softmax_cross_entropy(scores, None, exact.put(np.array([0, 0, 0])))
    exact.check(losses, np.array([100.0, 0, 1000]), eps=1)
    exact.check(dscores, np.array([[-1.0, 1], [0, 0], [-1, 1]]) / 3, eps=4)


def test_mean_is_written_where_it_is_wanted():
    losses = np.zeros(3)
    assert operations.mean(np.array([1.0, 2.0]), losses[1, ...]) == 1.5
    np.testing.assert_array_equal(losses, [0, 1.5, 0])


def test_a_label_out_of_range_makes_its_row_nan(be):
    scores = be.put(np.zeros((3, 4)))
    dscores, losses = operations.softmax_cross_entropy(scores, None, be.put(np.array([4, -1, 3])))
    nan = [np.nan] * 4
    be.check(dscores, np.array([nan, nan, [1 / 12, 1 / 12, 1 / 12, -1 / 4]]))
    be.check(losses, np.array([np.nan, np.nan, np.log(4)]))


@pytest.mark.parametrize("shape", SHAPES)
def test_each_operation_agrees_with_its_formula_on_numpy(be, shape):
    """Where CuPy takes part it is the kernels that are compared here."""
    a, c = (numbers(i, *s).astype(be.dtype) for i, s in ((0, shape), (2, shape[1:])))
    t = np.random.default_rng(0).integers(0, shape[1], shape[0])
    be.check(operations.mean(be.put(a[:, 0])), operations.mean(a[:, 0]))
    for labels in (t, np.eye(shape[1], dtype=be.dtype)[t]):
        for bias in (c, None):
            actual = operations.softmax_cross_entropy(be.put(a), None if bias is None else be.put(bias), be.put(labels))
            for ours, expected in zip(actual, operations.softmax_cross_entropy(a, bias, labels), strict=True):
                be.check(ours, expected)
