"""Replays of recorded steps on NumPy: the memory they write to, what they keep, the losses they give."""

import gc
import weakref

import numpy as np
import pytest
from capturable import RunningMean
from recorded import assert_same, network_of, recordings, trained  # noqa: F401 - a fixture
from small_training import make

from xpnet import Layer, Relu, Sigmoid, get_array_module


class Previous(Layer):
    """Keeps views of what a step made, and takes something of them away in the next."""

    recordable = True

    def __init__(self):
        self.columns, self.kept = np.zeros((6, 10)), [np.zeros((5, 6)), np.zeros((10, 6))]

    def forward(self, x):
        if not self.train or x.shape[0] != 10:
            return x
        y = x - 0.1 * self.columns.T + 0.1 * get_array_module(x).sum(self.kept[0], axis=0) - 0.1 * self.kept[1]
        self.columns = (y * 0.5).T
        self.kept = [(y + 1)[5:, ...], x]
        self.cache = (y * 2, {"y": y / 2})
        return y

    def backward(self, dout):
        if dout.shape[0] != 10:
            return dout
        doubled, halved = self.cache
        return dout * (1 + 0.01 * doubled * halved["y"])


@pytest.mark.bits
def test_views_that_are_kept_from_step_to_step():
    layers = Previous(), Previous()
    recorded, plain = (
        trained(network_of(Relu(), layer, Sigmoid(), dtype="float64"), "SGD", capture=capture)
        for layer, capture in zip(layers, (True, False), strict=True)
    )
    assert_same(recorded, plain)
    for name in ("columns", "kept"):
        for a, b in zip(getattr(layers[0], name), getattr(layers[1], name), strict=True):
            np.testing.assert_array_equal(a, b)


def test_what_is_kept_of_a_called_step_no_replay_writes_to():
    """An epoch ends with a step that is called, for its minibatch is short: what it leaves is there to be looked at."""
    seen = {True: [], False: []}

    def looking(capture):
        def look(trainer):
            if not trainer.history.loss:
                return  # an evaluation leaves nothing in the layers
            layer, last = trainer.network.layers["RunningMean1"], trainer.network.last_layer
            held = [last.y, last.t, last.loss, layer.mean]
            seen[capture].append([(array, array.copy()) for array in held[: 3 if capture else 4]])

        return look

    for capture in (True, False):
        network = network_of(Relu(), RunningMean(6))
        trained(network, "SGD", capture=capture, callbacks=[looking(capture)], iterations=201)
    for recorded, plain in zip(seen[True], seen[False], strict=True):
        for (array, then), (_, expected) in zip(recorded, plain, strict=False):
            assert array.tobytes() == then.tobytes() == expected.tobytes()


def test_a_recording_is_given_back_with_the_training(recordings):
    trainer = make(iterations=50, capture=True)
    trainer.train()
    gone = weakref.ref(recordings.pop())
    gc.collect()
    assert gone() is None
    assert all(type(value) is np.ndarray for value in trainer.network.params.values())
