"""How many threads the linear algebra has within what the library computes, and afterwards."""

import threading
from typing import ClassVar

import numpy as np
import pytest
from small_training import make
from threadpoolctl import ThreadpoolController, threadpool_limits

from xpnet import Affine, Convolution, Network, Relu, Residual
from xpnet._core import threads as limits
from xpnet._core.threads import blas_threads


def threads():
    """Of each library of linear algebra that is loaded."""
    return [library.num_threads for library in ThreadpoolController().select(user_api="blas").lib_controllers]


@pytest.fixture(autouse=True)
def two_threads(monkeypatch):
    """As on a machine with two cores whose user has said nothing."""
    for name in limits._VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(limits, "_cores", lambda: 2)
    forget()
    with threadpool_limits(2, "blas"):
        if set(threads()) != {2}:
            pytest.skip(f"the linear algebra here cannot have two threads, it has {threads()}")
        yield
    forget()


def forget():
    """Look again at what was found out about this process."""
    limits._set_in_environment.cache_clear()
    limits._libraries.cache_clear()


class Seeing(Relu):
    """Notes how many threads there are in each forward pass."""

    seen: ClassVar[list[int]] = []

    def forward(self, x):
        self.seen.extend(threads())
        return super().forward(x)


def network():
    rng, layer = np.random.default_rng(0), Seeing()
    layer.seen.clear()
    W1, W2 = rng.standard_normal((12, 6)), rng.standard_normal((6, 7))
    return Network([Affine(W1, np.zeros(6)), layer, Affine(W2, np.zeros(7))]), layer


def trained(*, work, monkeypatch):
    """The numbers of threads in a training and its evaluations, where a product of `work` operations is a large one."""
    monkeypatch.setattr("xpnet._core.tuning.MIN_THREADED_FLOPS", work)
    monkeypatch.setattr("xpnet._core.tuning.MIN_OPENBLAS_THREADED_FLOPS", 0)
    made, layer = network()
    make(made, epochs=2, capture=False).train()
    assert len(layer.seen) >= 6
    return set(layer.seen)


def test_small_products_have_one_thread_and_large_ones_all(monkeypatch):
    operations = 2 * (12 * 6 + 6) * 25  # a product and a sum for each parameter of Affine1 and sample of an evaluation
    assert trained(work=operations + 1, monkeypatch=monkeypatch) == {1}
    assert set(threads()) == {2}
    assert trained(work=1, monkeypatch=monkeypatch) == {2}


@pytest.mark.parametrize(
    "work", ["predict", "predict_proba", "loss", "training loss", "accuracy", "gradient", "numerical"]
)
def test_everything_that_computes_has_one_thread(monkeypatch, work):
    monkeypatch.setattr("xpnet._core.tuning.MIN_OPENBLAS_THREADED_FLOPS", 0)
    made, layer = network()
    x, t = np.ones((3, 12)), np.zeros(3, np.int64)
    {
        "predict": lambda: made.predict(x),
        "predict_proba": lambda: made.predict_proba(x, batch_size=2),
        "loss": lambda: made.loss(x, t),
        "training loss": lambda: made.loss(x, t, train=True),
        "accuracy": lambda: made.accuracy(x, t, batch_size=2),
        "gradient": lambda: made.gradient(x, t),
        "numerical": lambda: made.numerical_gradient(x, t),
    }[work]()
    assert set(layer.seen) == {1}
    assert set(threads()) == {2}


def test_of_tiny_products_the_library_decides():
    made, layer = network()
    made.predict(np.ones((3, 12)))
    assert set(layer.seen) == {2}


@pytest.mark.parametrize("name", ["OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"])
def test_what_the_user_has_set_is_left(monkeypatch, name):
    monkeypatch.setenv(name, "2")
    assert trained(work=1e9, monkeypatch=monkeypatch) == {2}


def test_a_limit_of_the_users_own_is_left(monkeypatch):
    with threadpool_limits(1, "blas"):
        assert trained(work=0, monkeypatch=monkeypatch) == {1}
        assert trained(work=1e9, monkeypatch=monkeypatch) == {1}
        assert set(threads()) == {1}
    monkeypatch.setattr(limits, "_cores", lambda: 4)  # of which the user has said two
    forget()
    assert trained(work=1e9, monkeypatch=monkeypatch) == {2}


def test_after_an_error_there_are_as_many_as_before():
    with pytest.raises(KeyboardInterrupt), blas_threads(1.0):
        assert set(threads()) == {1}
        raise KeyboardInterrupt
    assert set(threads()) == {2}


@pytest.mark.parametrize("first_to_end", ["first", "second"])
def test_blocks_that_overlap_put_back_what_was_before(first_to_end):
    first, second = blas_threads(1.0), blas_threads(1.0)
    first.__enter__()
    second.__enter__()
    ends = {"first": (first, second), "second": (second, first)}[first_to_end]
    ends[0].__exit__(None, None, None)
    assert set(threads()) == {1}
    ends[1].__exit__(None, None, None)
    assert set(threads()) == {2}


def test_many_threads_leave_as_many_as_before():
    def enter_and_leave():
        for _ in range(200):
            with blas_threads(1.0):
                assert {library.get_num_threads() for library, _ in limits._libraries()} == {1}

    errors = []

    def called():
        try:
            enter_and_leave()
        except AssertionError as error:
            errors.append(error)

    workers = [threading.Thread(target=called) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not errors
    assert set(threads()) == {2}


def test_the_course_has_one_thread_and_a_wide_network_with_large_batches_all():
    for width, batch, expected in ((50, 100, {1}), (50, 1000, {1}), (500, 1000, {1}), (2000, 1000, {2})):
        with blas_threads(2.0 * 784 * width * batch):
            assert set(threads()) == expected


def test_a_convolution_counts_by_the_piece():
    layer = Convolution(np.ones((30, 1, 5, 5), np.float32), np.zeros(30, np.float32))
    whole = 2 * 30 * 25 * 24 * 24 * 1000
    assert layer.largest_product((1, 28, 28), 1000) < whole / 10
    assert layer.largest_product((1, 28, 28), 1) == 2 * 30 * 25 * 24 * 24
    inside = Convolution(np.ones((1, 1, 5, 5), np.float32), np.zeros(1, np.float32), pad=2)
    expected = inside.largest_product((1, 28, 28), 10)
    assert Residual([inside]).largest_product((1, 28, 28), 10) == expected > 0
