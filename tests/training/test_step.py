"""A training step: what it does to a minibatch, and what makes another step of it."""

import functools

import numpy as np
import pytest
from small_training import LABELS, PIXELS

from xpnet import SGD, TwoLayerNet
from xpnet.errors import CaptureError
from xpnet.training.step import CaptureKey, TrainingStep


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
