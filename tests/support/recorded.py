"""Small networks that are trained with and without a recording."""

import numpy as np
import pytest
from small_training import make

from xpnet import Affine, Network
from xpnet.engine.replay import NumpyReplayer


def network_of(*layers, dtype="float32", last_layer=None):
    rng = np.random.default_rng(0)
    first, second = (0.1 * rng.standard_normal(shape).astype(dtype) for shape in ((12, 6), (6, 7)))
    return Network([Affine(first, np.zeros(6, dtype)), *layers, Affine(second, np.zeros(7, dtype))], last_layer)


def trained(network, optimizer, *, capture, **options):
    trainer = make(network, optimizer=optimizer, **{"iterations": 200, "capture": capture} | options)
    trainer.train()
    return trainer


def assert_same(a, b):
    assert np.array(a.history.loss).tobytes() == np.array(b.history.loss).tobytes()
    assert a.history.test_acc == b.history.test_acc
    for key, value in a.network.params.items():
        assert value.tobytes() == b.network.params[key].tobytes(), key
    for key, grad in a.network.state.grads.items():
        assert grad.tobytes() == b.network.state.grads[key].tobytes(), key


@pytest.fixture
def recordings(monkeypatch):
    """The recordings that are made."""
    made, init = [], NumpyReplayer.__init__

    def counted(self, *arguments):
        init(self, *arguments)
        made.append(self)

    monkeypatch.setattr(NumpyReplayer, "__init__", counted)
    return made
