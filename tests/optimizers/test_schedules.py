"""Learning rates that change from step to step: by hand, at their ends, and refused where they make no sense."""

import pickle

import numpy as np
import pytest

from xpnet.errors import ArgumentError
from xpnet.optimizers import SGD
from xpnet.optimizers.schedules import CosineDecay, StepDecay


def test_a_step_decay_by_hand():
    rate = StepDecay(0.8, every=3, factor=0.5)
    assert [rate(step) for step in range(8)] == [0.8, 0.8, 0.8, 0.4, 0.4, 0.4, 0.2, 0.2]
    assert [StepDecay(0.5, 10)(step) for step in (9, 10)] == [0.5, 0.05]
    assert [StepDecay(0.5, 10, factor=1)(step) for step in (9, 10)] == [0.5, 0.5]


def test_a_cosine_by_hand():
    rate = CosineDecay(0.9, steps=8, warm_up=2, final=0.1)
    # A third, two thirds, all of it; then 0.1 + 0.4 (1 + cos) at sixths of a half turn.
    root = np.sqrt(3) / 2
    expected = [0.3, 0.6, 0.9, 0.5 + 0.4 * root, 0.7, 0.5, 0.3, 0.5 - 0.4 * root, 0.1]
    np.testing.assert_allclose([rate(step) for step in range(9)], expected, rtol=1e-14)


def test_without_a_warm_up_the_first_step_has_the_whole_rate():
    rate = CosineDecay(0.3, steps=10)
    assert rate(0) == 0.3
    assert rate(5) == pytest.approx(0.15, rel=1e-14)


@pytest.mark.parametrize("final", [0.0, 0.02, 0.5])
def test_after_its_end_the_final_rate_stays(final):
    rate = CosineDecay(0.5, steps=10, warm_up=3, final=final)
    assert {rate(step) for step in (10, 11, 20, 10**9)} == {final}
    assert rate(9) >= final


def test_a_cosine_falls_from_its_warm_up_to_its_end():
    rates = [CosineDecay(0.5, steps=100, warm_up=10, final=0.01)(step) for step in range(101)]
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert max(rates) == rates[10] == 0.5
    assert min(rates[11:]) == rates[100] == 0.01
    assert rates[0] > 0
    assert len(set(rates)) > 95


def test_a_schedule_is_the_rate_of_an_optimizer():
    schedule = StepDecay(1.0, every=2, factor=0.5)
    optimizer, params = SGD(schedule), {"W": np.zeros(1)}
    positions = []
    for _ in range(6):
        optimizer.update(params, {"W": np.array([-1.0])})
        positions.append(float(params["W"][0]))
    assert positions == [1, 2, 2.5, 3, 3.25, 3.5]
    assert optimizer.step_scalars(3, 3).tolist() == [[0.5], [0.25], [0.25]]
    assert repr(optimizer) == "SGD(lr=StepDecay(lr=1.0, every=2, factor=0.5))"
    assert pickle.loads(pickle.dumps(optimizer)).lr == schedule


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StepDecay(0, 10), "lr must be a finite number above 0, got 0"),
        (lambda: StepDecay(0.1, 0), "every must be a whole number of at least 1, got 0"),
        (lambda: StepDecay(0.1, 2.5), "every must be a whole number"),
        (lambda: StepDecay(0.1, 10, 0.0), "factor must be a finite number above 0, got 0.0"),
        (lambda: StepDecay(0.1, 10, 10), "factor must be at most 1, so that the rate decays, got 10"),
        (lambda: CosineDecay(-0.1, 10), "lr must be a finite number above 0, got -0.1"),
        (lambda: CosineDecay(0.1, 0), "steps must be a whole number of at least 1, got 0"),
        (lambda: CosineDecay(0.1, 10, warm_up=10), "warm_up must be fewer than the 10 steps, got 10"),
        (lambda: CosineDecay(0.1, 10, warm_up=-1), "warm_up must be a whole number of at least 0, got -1"),
        (lambda: CosineDecay(0.1, 10, warm_up=0.5), "warm_up must be a whole number of at least 0, got 0.5"),
        (lambda: CosineDecay(0.1, 10, final=0.2), "final must be a number from 0 to 0.1, got 0.2"),
        (lambda: CosineDecay(0.1, 10, final=-0.1), "final must be a number from 0 to 0.1, got -0.1"),
        (lambda: CosineDecay(0.1, 10, final=float("nan")), "final must be a number from 0 to 0.1, got nan"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


def test_a_schedule_cannot_be_changed():
    with pytest.raises(AttributeError):
        StepDecay(0.1, 10).lr = 1.0
