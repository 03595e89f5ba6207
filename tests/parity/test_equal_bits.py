"""One seed, the same numbers: NumPy and the strict namespace's devices train to the very same bits."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from matrix import ABSENT, BACKENDS
from threadpoolctl import threadpool_limits

from xpnet import MultiLayerNet, SimpleNetwork, Trainer, TwoLayerNet, to_numpy

pytestmark = pytest.mark.bits

# These compute with NumPy's own kernels. Where our code makes the same products of operands that lie alike, in the same
# order and with one thread, nothing else could make a bit differ.
STRICT = [name for name in BACKENDS if name.startswith("strict")]

Weights = dict[str, np.ndarray]


@pytest.fixture(autouse=True)
def _one_blas_thread() -> Iterator[None]:
    """Two threads split a sum otherwise than one does, and its last bits with it."""
    with threadpool_limits(1, "blas"):
        yield


def random_images() -> tuple[np.ndarray, np.ndarray]:
    """600 images of noise and their labels."""
    rng = np.random.default_rng(3)
    return rng.integers(0, 256, (600, 784)).astype(np.uint8), rng.integers(0, 10, 600)


def trained(backend: str, images: np.ndarray, labels: np.ndarray) -> tuple[Weights, list[float], list[float]]:
    """The weights, losses and accuracies of 100 steps of the course's training."""
    network = TwoLayerNet(784, 50, 10, seed=0, backend=BACKENDS[backend])
    trainer = Trainer(
        network, images, labels, None, None,
        iterations=100, mini_batch_size=100, optimizer_param={"lr": 0.1}, verbose=False, seed=0,
    )  # fmt: skip
    trainer.train()
    weights = {key: np.array(to_numpy(value)) for key, value in network.params.items()}
    return weights, trainer.train_loss_list, trainer.train_acc_list


def assert_trains_to_the_same_bits(backend: str, images: np.ndarray, labels: np.ndarray) -> None:
    weights, losses, accuracies = trained(backend, images, labels)
    expected_weights, expected_losses, expected_accuracies = trained("numpy", images, labels)
    assert len(losses) == 100
    assert losses == expected_losses
    assert accuracies == expected_accuracies
    assert list(weights) == list(expected_weights)
    for key, expected in expected_weights.items():
        assert weights[key].dtype == np.float32
        assert weights[key].tobytes() == expected.tobytes(), key


@pytest.fixture(params=STRICT)
def strict(request: pytest.FixtureRequest) -> str:
    """Each device of the strict namespace."""
    if request.param in ABSENT:
        pytest.skip(f"{request.param} does not take part: {ABSENT[request.param]}")
    return request.param


def test_a_hundred_steps_on_random_pixels(strict: str) -> None:
    assert_trains_to_the_same_bits(strict, *random_images())


def test_a_hundred_steps_on_mnist(strict: str, mnist: Any) -> None:
    (images, labels), _ = mnist
    assert_trains_to_the_same_bits(strict, images[:6000], labels[:6000])


def trained_with_everything(backend: str, *, capture: bool, steps: int = 50) -> dict[str, bytes]:
    """All that fifty steps leave of a network with dropout, batch normalization and weight decay, and its losses."""
    images, labels = random_images()
    network = MultiLayerNet(
        784, [50, 30], 10, weight_decay_lambda=0.01, use_dropout=True, use_batchnorm=True, seed=0,
        backend=BACKENDS[backend],
    )  # fmt: skip
    trainer = Trainer(
        network, images, labels, None, None, capture=capture,
        iterations=steps, mini_batch_size=100, optimizer_param={"lr": 0.1}, verbose=False, seed=0,
    )  # fmt: skip
    trainer.train()
    dropouts = {name: layer for name, layer in network.layers.items() if name.startswith("Dropout")}
    left = {key: to_numpy(value) for key, value in network.state.weights().items()}
    left |= {f"key of {name}": np.array(to_numpy(layer.key)) for name, layer in dropouts.items()}
    # What is dropped next: a step more, made plainly, for a recorded one keeps its masks to itself.
    x, t = next(trainer.runner.step().minibatches(network.asarray(np.arange(100)), 100))
    network.compute_gradients(x, t)
    left |= {f"mask of {name}": to_numpy(layer.mask) for name, layer in dropouts.items()}
    assert len(dropouts) == 2
    return {key: value.tobytes() for key, value in left.items()} | {
        "losses": np.array(trainer.train_loss_list).tobytes()
    }


def test_fifty_steps_with_dropout_recorded_are_those_that_are_called() -> None:
    recorded, plain = (trained_with_everything("numpy", capture=capture) for capture in (True, False))
    assert recorded == plain
    other = trained_with_everything("numpy", capture=True, steps=49)
    assert all(other[key] != recorded[key] for key in recorded if key[0] != "b" or key.startswith("beta"))


def test_fifty_steps_with_dropout_from_one_seed(strict: str) -> None:
    assert trained_with_everything(strict, capture=False) == trained_with_everything("numpy", capture=False)


def test_training_changes_the_weights() -> None:
    """Otherwise the tests above would compare nothing."""
    weights, losses, _ = trained("numpy", *random_images())
    for key, initial in TwoLayerNet(784, 50, 10, seed=0, backend="numpy").params.items():
        assert not np.array_equal(weights[key], initial), key
    assert np.mean(losses[-10:]) < np.mean(losses[:10])


@pytest.mark.parametrize("make", [TwoLayerNet, SimpleNetwork], ids=lambda make: make.__name__)
def test_a_seed_gives_the_same_initial_weights_everywhere(be: Any, make: Callable[..., Any]) -> None:
    here = make(784, 50, 10, seed=0, dtype=be.dtype, backend=be.backend).params
    there = make(784, 50, 10, seed=0, dtype=be.dtype, backend="numpy").params
    other = make(784, 50, 10, seed=1, dtype=be.dtype, backend=be.backend).params
    assert list(here) == list(there) == ["W1", "b1", "W2", "b2"]
    for key, expected in there.items():
        be.check(here[key], expected, eps=0, name=key)
    for key in ("W1", "W2"):
        assert not np.array_equal(to_numpy(here[key]), to_numpy(other[key]))
