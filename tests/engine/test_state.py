"""The state of a training step: found, copied, compared and restored."""

import random
from types import SimpleNamespace

import numpy as np
import pytest

from xpnet.engine.state import Feedback, StateScan, StateSnapshot

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


class Owner:
    """Holds arrays in every place that is searched, and numbers."""

    def __init__(self):
        self.v = {"W": np.zeros(3), "list": [np.ones(2), 7]}
        self.rate, self.name, self.mean = 0.5, "owner", np.zeros(2)
        self.view = self.mean[:1]


def test_places_have_names_and_a_second_owner_a_number():
    first, second = Owner(), Owner()
    scan = StateScan([first, second])
    assert set(scan.arrays()) == {
        f"{owner}.{name}" for owner in ("Owner", "Owner 2") for name in ("v.W", "v.list.0", "mean", "view")
    }
    assert scan.scalars()["Owner.rate"] == 0.5
    assert scan.scalars()["Owner 2.v.list.1"] == 7
    assert scan.arrays()["Owner 2.mean"] is second.mean


def test_a_snapshot_restores_contents_bindings_and_what_was_added_or_taken_away():
    owner = Owner()
    snapshot, before = StateSnapshot([owner]), dict(vars(owner))
    for _ in range(2):
        owner.mean += 3.0
        owner.v["W"] = np.full(3, 9.0)
        owner.v["list"].append("more")
        del owner.rate
        owner.new = 1
        snapshot.restore()
        assert vars(owner) == before
        assert all(vars(owner)[name] is value for name, value in before.items())
        assert (owner.mean.tolist(), owner.view.tolist()) == ([0.0, 0.0], [0.0])
        assert owner.v["W"].tolist() == [0.0, 0.0, 0.0]
        assert len(owner.v["list"]) == 2


def test_without_contents_the_bindings_alone_are_restored():
    owner = Owner()
    mean, snapshot = owner.mean, StateSnapshot([owner], contents=False)
    owner.mean += 3.0
    owner.mean = np.ones(2)
    snapshot.restore()
    assert owner.mean is mean
    assert mean.tolist() == [3.0, 3.0]


def test_what_matches_to_the_bit_and_what_was_replaced():
    owner = Owner()
    scan = StateScan([owner])
    arrays, contents = scan.arrays(), scan.contents({"Owner.mean", "Owner.v.W"})
    assert scan.matches(contents)
    owner.mean[0] = np.nextafter(0, 1)
    assert not scan.matches(contents)
    owner.mean = np.zeros(2)  # of the same form
    owner.v["W"] = np.zeros(4)  # of another
    assert scan.replaced(arrays) == {"Owner.mean"}
    contents = scan.contents({"Owner.mean"})
    owner.mean += np.nan
    assert not scan.matches(contents)
    assert scan.matches(scan.contents({"Owner.mean"}))  # NaN for NaN


def test_feedback_hands_on_what_is_bound_anew_through_arrays_of_its_own():
    owner = Owner()
    users, scan = owner.mean, StateScan([owner])
    feedback = Feedback(scan, {"Owner.mean"})
    own = owner.mean
    assert own is not users
    for step in (1.0, 2.0):
        owner.mean = owner.mean + step  # as a layer binds a running mean
        feedback.copy_back()
        assert owner.mean is own
    assert (own.tolist(), users.tolist()) == ([3.0, 3.0], [0.0, 0.0])
    owner.mean = np.ones(5)  # of a smaller batch: no feedback
    feedback.copy_back()
    assert owner.mean.shape == (5,)


def test_of_two_that_are_handed_on_one_may_be_the_old_value_of_the_other():
    owner = Owner()
    owner.now, owner.old = np.array([1.0]), np.array([0.0])
    feedback = Feedback(StateScan([owner]), {"Owner.now", "Owner.old"})
    for count in (2.0, 3.0, 4.0):
        owner.old, owner.now = owner.now, owner.now + 1.0
        feedback.copy_back()
        assert (owner.now.tolist(), owner.old.tolist()) == ([count], [count - 1])
