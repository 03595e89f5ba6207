"""The losses of yes and no, and of smoothed labels: in networks, of extreme scores, and what they refuse."""

import numpy as np
import pytest
from cases import LABELS, numbers, same_bits
from small_training import make

from xpnet import MultiLayerNet, SigmoidWithLoss, SoftmaxWithLoss, to_numpy
from xpnet.errors import ArgumentError, LabelError, ShapeError

X = numbers(1, 5, 12)


def test_a_network_of_yes_and_no(be):
    """One question: targets (N,) or (N, 1), truth values or numbers."""
    network = MultiLayerNet(12, [6], 1, last_layer=SigmoidWithLoss(), seed=0, dtype=be.dtype, backend=be.backend)
    x, t = be.put(X), be.put(np.array([0.0, 1.0, 1.0, 0.0, 1.0]))
    before = float(network.loss(x, t))
    for _ in range(60):
        for key, grad in network.gradient(x, t).items():
            network.params[key] -= 0.3 * grad
    assert float(network.loss(x, t)) < before / 2
    probabilities = to_numpy(network.predict_proba(x))
    assert probabilities.shape == (5, 1)
    right = np.mean((probabilities[:, 0] > 0.5) == to_numpy(t))
    assert network.accuracy(x, t) == right
    assert network.accuracy(x, be.put(np.array([[0], [1], [1], [0], [1]])), batch_size=2) == right
    assert network.accuracy(x, be.put(np.array([False, True, True, False, True]))) == right


def test_several_questions_count_for_each_other():
    network = MultiLayerNet(12, [], 3, last_layer=SigmoidWithLoss(), seed=0, dtype="float64", backend="numpy")
    scores = network.predict(X)
    t = (scores > 0).astype(np.int64)
    assert network.accuracy(X, t) == 1.0
    t[0, 0] = 1 - t[0, 0]
    assert network.accuracy(X, t) == pytest.approx(14 / 15)


def test_sigmoid_with_loss_of_extreme_scores(be):
    layer = SigmoidWithLoss()
    x, t = np.array([[1000.0, -1000.0, 1000.0, -1000.0]]), np.array([[0.0, 1.0, 1.0, 0.0]])
    be.check(layer.forward(be.put(x), be.put(t)), 2000.0)
    be.check(layer.backward(), np.array([[1.0, -1.0, 0.0, 0.0]]))


@pytest.mark.parametrize(
    ("t", "error", "says"),
    [
        (
            np.array([0.0, 2.0, 1.0, 0.0, 1.0]),
            LabelError,
            r"from 0 to 1, got 2.0 at index \(1, 0\) \(1 wrong",
        ),
        (np.array([0, 1, -1, 0, -1]), LabelError, r"got -1 at index \(2, 0\) \(2 wrong"),
        (np.array([0.0, np.nan, 1.0, 0.0, 1.0]), LabelError, r"got nan at index \(1, 0\)"),
        (np.zeros(4), ShapeError, r"outputs' shape \(5, 1\), got \(4,\)"),
        (np.zeros((5, 2)), ShapeError, r"outputs' shape \(5, 1\), got \(5, 2\)"),
    ],
)
def test_answers_that_are_neither_yes_nor_no(t, error, says):
    network = MultiLayerNet(12, [6], 1, last_layer=SigmoidWithLoss(), use_batchnorm=True, seed=0)
    before = {key: value.copy() for key, value in network.state.weights().items()}
    for use in (network.gradient, network.loss, network.accuracy):
        with pytest.raises(error, match=says):
            use(X, t)
    with pytest.raises(error, match=says):
        make(network, X, t)
    assert same_bits(network.state.weights(), before)


@pytest.mark.parametrize("smoothing", [-0.1, 1, float("nan"), "some"])
def test_a_smoothing_out_of_range(smoothing):
    with pytest.raises(ArgumentError, match=r"label_smoothing must be a number from 0 up to, but not, 1, got "):
        SoftmaxWithLoss(label_smoothing=smoothing)


def test_label_smoothing_is_the_cross_entropy_of_softer_labels(be):
    x = numbers(1, 5, 7)
    soft = 0.8 * np.eye(7)[LABELS] + 0.2 / 7
    smoothed, plain = SoftmaxWithLoss(label_smoothing=0.2), SoftmaxWithLoss()
    for t in (LABELS, np.eye(7)[LABELS]):
        loss, expected = smoothed.forward(be.put(x), be.put(t)), plain.forward(be.put(x), be.put(soft))
        be.check(loss, to_numpy(expected).astype(np.float64))
        be.check(smoothed.backward(), to_numpy(plain.backward()).astype(np.float64))
    assert repr(smoothed) == "SoftmaxWithLoss(label_smoothing=0.2)"


def test_the_smoothed_label_of_one_sample(be64):
    """By hand: the label [0.1, 0.1, 0.8], and log-sum-exp of three scores of 0 is log 3."""
    layer = SoftmaxWithLoss(label_smoothing=0.3)
    loss = layer.forward(be64.put(np.zeros(3)), be64.put(np.array(2)))
    be64.check(loss, np.log(3))
    be64.check(layer.backward(), np.array([1 / 3 - 0.1, 1 / 3 - 0.1, 1 / 3 - 0.8]))
