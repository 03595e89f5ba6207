"""How many threads the linear algebra has within a training, and afterwards."""

import pytest
from small_training import make
from threadpoolctl import ThreadpoolController, threadpool_limits

from xpnet import Affine, Network, Relu
from xpnet.threads import blas_threads


def threads():
    """Of each library of linear algebra that is loaded."""
    return [library.num_threads for library in ThreadpoolController().select(user_api="blas").lib_controllers]


@pytest.fixture(autouse=True)
def two_threads(monkeypatch):
    """As on a machine with two cores whose user has said nothing."""
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    with threadpool_limits(2, "blas"):
        if set(threads()) != {2}:
            pytest.skip(f"the linear algebra here cannot have two threads, it has {threads()}")
        yield


class Seeing(Relu):
    """Notes how many threads there are in each step."""

    seen: list[int]

    def forward(self, x):
        if self.train:
            self.seen += threads()
        return super().forward(x)


def trained(*, work, monkeypatch):
    """The numbers of threads in the steps of a training, when so much work is said to be enough for all threads."""
    import numpy as np

    monkeypatch.setattr("xpnet.threads._ENOUGH_WORK", work)
    rng, layer = np.random.default_rng(0), Seeing()
    layer.seen = []
    W1, W2 = rng.standard_normal((12, 6)), rng.standard_normal((6, 7))
    make(Network([Affine(W1, np.zeros(6)), layer, Affine(W2, np.zeros(7))]), epochs=2, capture=False).train()
    assert len(layer.seen) >= 6
    return set(layer.seen)


def test_small_steps_have_one_thread_and_large_ones_all(monkeypatch):
    operations = 6 * (12 * 6 + 6) * 10  # of the larger layer, a parameter and sample: two forward, four backward
    assert trained(work=operations + 1, monkeypatch=monkeypatch) == {1}
    assert set(threads()) == {2}
    assert trained(work=operations, monkeypatch=monkeypatch) == {2}


@pytest.mark.parametrize("name", ["OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"])
def test_what_the_user_has_set_is_left(monkeypatch, name):
    monkeypatch.setenv(name, "2")
    assert trained(work=1e9, monkeypatch=monkeypatch) == {2}


def test_a_limit_of_the_users_own_is_not_raised(monkeypatch):
    with threadpool_limits(1, "blas"):
        assert trained(work=0, monkeypatch=monkeypatch) == {1}
        assert trained(work=1e9, monkeypatch=monkeypatch) == {1}
        assert set(threads()) == {1}


def test_after_an_error_there_are_as_many_as_before():
    with pytest.raises(KeyboardInterrupt), blas_threads(1.0):
        assert set(threads()) == {1}
        raise KeyboardInterrupt
    assert set(threads()) == {2}


def test_the_course_has_one_thread_and_a_wide_network_all():
    for width, batch, expected in ((50, 100, {1}), (500, 100, {2}), (50, 1000, {2})):
        with blas_threads(6.0 * (784 * width + width * 10) * batch):
            assert set(threads()) == expected
