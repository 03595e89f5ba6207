"""The state of a training step: found, copied, compared and restored."""

import random
from types import SimpleNamespace

import numpy as np
import pytest

from xpnet.engine.state import StateScan, StateSnapshot

GENERATORS = {
    "Generator": lambda: np.random.default_rng(0),
    "RandomState": lambda: np.random.RandomState(0),
    "Random": lambda: random.Random(0),
}


@pytest.mark.parametrize("kind", GENERATORS)
def test_a_generator_is_put_back_and_its_draws_are_noticed(kind):
    owner = SimpleNamespace(kept={"inside": [GENERATORS[kind]()]})
    (generator,) = owner.kept["inside"]
    scan, name = StateScan([owner]), "SimpleNamespace.kept.inside.0"
    snapshot, before = StateSnapshot([owner]), scan.generator_states()
    assert set(before) == {"numpy.random", "random", name}
    first = [generator.random() for _ in range(3)]
    assert [key for key, state in scan.generator_states().items() if state != before[key]] == [name]
    snapshot.restore()
    assert scan.generator_states() == before
    assert [generator.random() for _ in range(3)] == first
