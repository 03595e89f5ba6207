"""Candidates: those that compute something else are refused, and how many steps a repeat has."""

from functools import partial

import numpy as np
import pytest
from small_bench import quick, run_against  # noqa: F401 - a fixture

from xpnet.bench.candidate import Candidate, CandidateRunner
from xpnet.bench.work import Case, Workload, XpnetWorker


@pytest.mark.bits
def test_as_many_steps_are_made_as_are_asked_for():
    work = Workload.of(Case("TwoLayerNet", width=4, batch=3), 0)
    worker, by_hand = XpnetWorker(work, "numpy"), XpnetWorker(work, "numpy")
    worker.train(70)  # more than twice as many as there are minibatches
    step = by_hand.trainer.runner.step()
    for i in range(70):
        step.run(work.order[i % len(work.order)])
    assert {name: w.tobytes() for name, w in worker.weights().items()} == {
        name: w.tobytes() for name, w in by_hand.weights().items()
    }


def test_steps_are_doubled_until_a_repeat_takes_long_enough():
    class Steady(XpnetWorker):
        def seconds(self, work, times, read):
            return 0.004 * times

    of = CandidateRunner(Candidate("numpy", "CPU", "", "numpy", "", partial(Steady, backend="numpy")))
    timings, _ = of.prepare(Case("TwoLayerNet", 3, 2), 0)
    assert {mode: timing.steps for mode, timing in timings.items()} == {"training": 8, "inference": 8}  # 32 ms


def scaled(method, name=None, factor=1.01):
    """A worker whose method gives one array (of that name) a hundredth too large."""

    class Wrong(XpnetWorker):
        pass

    def wrong(self):
        right = getattr(XpnetWorker, method)(self)
        return {**right, name: right[name] * np.float32(factor)} if name else right * np.float32(factor)

    setattr(Wrong, method, wrong)
    return lambda work: Wrong(work, "numpy")


WRONG = {
    "the probabilities is off": scaled("probabilities"),
    "the gradient of W1 is off": scaled("gradients", "W1"),
    "the gradient of b2 is off": scaled("gradients", "b2"),
    "the gradient of W2 is off by nan": scaled("gradients", "W2", np.nan),
    "the change of W2 by a step is off": scaled("weights", "W2"),
}


@pytest.mark.parametrize("message", WRONG)
def test_who_comes_to_other_results_is_an_error_and_not_a_time(quick, message):
    report = run_against(WRONG[message])
    right, wrong = report.rows
    assert right.error == ""
    assert right.timings["training"].seconds
    assert message in wrong.error
    assert "not timed" in wrong.error
    assert wrong.timings == {}
    assert report.not_run == []


def test_a_rival_of_another_learning_rate_is_caught(quick):
    def make(work):
        worker = XpnetWorker(work, "numpy")
        worker.trainer.optimizer.lr *= 2
        return worker

    assert "the change of W1 by a step is off" in run_against(make).rows[1].error


def test_who_cannot_run_does_not_stop_the_others(quick):
    def make(work):
        raise MemoryError("no\nroom")

    right, wrong = run_against(make).rows
    assert wrong.error == "cannot run: no room"
    assert len(right.timings["training"].seconds) == 2
