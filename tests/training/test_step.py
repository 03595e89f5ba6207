"""A training step: what it does to a minibatch, and what makes another step of it."""

import functools

import numpy as np
import pytest
from small_training import LABELS, PIXELS

from xpnet import SGD, TwoLayerNet, to_numpy
from xpnet.errors import CaptureError
from xpnet.training.step import CaptureKey, TrainingStep, gather

FLOATS = PIXELS / np.float32(100)


def network():
    return TwoLayerNet(12, 6, 7, 0.5, seed=0)


@pytest.mark.bits
def test_one_step_of_a_block_of_a_minibatch_and_by_hand():
    order, rate, left = np.arange(10), [0.1], []
    for way in ("run", "run_minibatch", "run_block", "by hand"):
        step = TrainingStep(network(), SGD(0.1), PIXELS, LABELS, augmentation=lambda x: x * np.float32(0.5))
        if way == "run":
            loss = step.run(order, rate)
        elif way == "run_minibatch":
            loss = step.run_minibatch(*step.gather(order), rate)
        elif way == "run_block":
            losses = np.zeros(1, np.float32)
            step.run_block(order[None], np.float32([rate]), losses)
            (loss,) = losses
        else:
            x, t = step.gather(order)
            loss = step.gradients(step.augment(x), t)
            step.update(rate)
        left.append((float(loss), step.network.params["W1"].tobytes(), step.network.params["b2"].tobytes()))
    assert left[0] == left[1] == left[2] == left[3]


def test_a_train_step_of_ones_own_is_given_what_was_augmented():
    seen = []
    step = TrainingStep(
        network(), SGD(0.1), PIXELS, LABELS, augmentation=lambda x: x + 1, train_step=lambda x, t: seen.append((x, t))
    )
    step.run(np.arange(3))
    ((x, t),) = seen
    np.testing.assert_array_equal(x, step.gather(np.arange(3))[0] + 1)
    np.testing.assert_array_equal(t, LABELS[:3])
    assert step.step_scalars(0, 4).shape == (4, 0)
    with pytest.raises(CaptureError, match="A `train_step` of one's own may draw random numbers"):
        step.check_recordable()


def test_a_key_changes_with_each_part_and_each_setting():
    net, optimizer, step = network(), SGD(0.1), TwoLayerNet.predict
    key = functools.partial(CaptureKey.of, net, optimizer, None, step)
    assert key(True) == key(True)
    assert key(True) != key(False)
    assert key(True) != CaptureKey.of(net, SGD(0.1), None, step, True)
    assert key(True) != CaptureKey.of(net, optimizer, abs, step, True)
    assert key(True) != CaptureKey.of(network(), optimizer, None, step, True)
    before = key(True)
    net.layers["Relu1"].forward = lambda x: x
    assert key(True) != before
    assert key(True) != "a key"


@pytest.mark.parametrize("x", [PIXELS, FLOATS], ids=["pixels", "floats"])
def test_samples_are_gathered_by_their_indices(be, x):
    indices = [8, 0, 0, 3]
    inputs, targets = gather(be.put(x), be.put(LABELS), be.put(np.array(indices)), be.put(1.0).dtype)
    be.check(inputs, x[indices] / 255 if x is PIXELS else x[indices], eps=2)
    assert to_numpy(targets).tolist() == LABELS[indices].tolist()


def by_hand(W1, b1, W2, b2, x, t):
    """The loss and the gradients of a network of two layers, as the course's row 16 writes them."""
    a = x @ W1 + b1
    z = np.maximum(a, 0)
    scores = z @ W2 + b2
    y = np.exp(scores - scores.max(axis=1, keepdims=True))
    y /= y.sum(axis=1, keepdims=True)
    rows = np.arange(len(t))
    loss = -np.log(y[rows, t]).mean()
    dy = (y - np.eye(y.shape[1])[t]) / len(t)
    dz = dy @ W2.T * (a > 0)
    return loss, (x.T @ dz, dz.sum(axis=0), z.T @ dy, dy.sum(axis=0))


@pytest.mark.parametrize("block", [False, True])
def test_steps_are_those_of_the_formulas(block):
    net, order = TwoLayerNet(12, 6, 7, 0.5, seed=0, dtype="float64"), np.random.default_rng(0).integers(0, 25, (4, 6))
    params = [np.array(net.params[name]) for name in ("W1", "b1", "W2", "b2")]
    step = TrainingStep(net, SGD(0.3), PIXELS, LABELS)
    scalars, losses = np.full((4, 1), 0.3), np.zeros(4)
    if block:
        step.run_block(order, scalars, losses)
    else:
        losses[:] = [step.run(indices, (0.3,)) for indices in order]
    for indices, loss in zip(order, losses, strict=True):
        expected, grads = by_hand(*params, PIXELS[indices] / 255, LABELS[indices])
        params = [W - 0.3 * dW for W, dW in zip(params, grads, strict=True)]
        assert loss == pytest.approx(expected, rel=1e-12)
    for name, W in zip(("W1", "b1", "W2", "b2"), params, strict=True):
        np.testing.assert_allclose(net.params[name], W, rtol=1e-11)
