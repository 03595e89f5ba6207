"""When steps are recorded: where it pays, where it can be done, and in blocks of which length."""

import warnings

import pytest
from recorded import recordings, trained  # noqa: F401 - a fixture
from small_training import make

from xpnet import TwoLayerNet
from xpnet.errors import ArgumentError, CaptureError
from xpnet.training.step_runner import graph_steps


def test_where_it_does_not_pay_nothing_is_recorded(recordings, monkeypatch):
    make(iterations=20).train()
    monkeypatch.setattr("xpnet._core.tuning.MAX_CAPTURED_STEP_FLOPS", 100)
    make(iterations=200).train()
    assert not recordings


def test_other_array_libraries_are_trained_one_by_one(be):
    if be.backend.name == "cupy":
        pytest.skip("CuPy has a way of its own to record")
    network = TwoLayerNet(12, 6, 7, seed=0, dtype=be.dtype, backend=be.backend)
    if be.backend.name == "numpy":
        trained(network, "SGD", capture=True)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(network, iterations=40, capture="auto").train()
    with pytest.raises(CaptureError, match="There is no recording of arrays of"):
        make(network, iterations=40, capture=True).train()


def test_an_unknown_choice_is_an_error():
    with pytest.raises(ArgumentError, match="'auto', True or False, got 'always'"):
        make(capture="always")


@pytest.mark.parametrize(
    ("whole", "steps"), [(600, 50), (468, 39), (467, 31), (1875, 25), (60, 30), (50, 50), (7, 7), (1, 1)]
)
def test_few_steps_of_an_epoch_are_left_over(whole, steps):
    assert graph_steps(whole) == steps
