"""What one training step asks of a device, counted on the CPU and pinned: an operation more is a deliberate change."""

import numpy as np
import pytest

from xpnet import Trainer, TwoLayerNet, asarray
from xpnet.counting import COUNTING, count_operations


@pytest.fixture
def trainer():
    rng = np.random.default_rng(0)
    x, t = rng.integers(0, 256, (350, 784), dtype=np.uint8), rng.integers(0, 10, 350)
    network = TwoLayerNet(784, 50, 10, seed=0, backend=COUNTING)
    return Trainer(network, x, t, x[:50], t[:50], epochs=1, verbose=False, seed=0)


def test_a_training_step_makes_34_launches_and_never_waits(trainer):
    trainer.network.flatten()
    order = asarray(np.arange(100), like=trainer.network.anchor)
    with count_operations() as counts:
        for x, t in trainer._minibatches(order, steps=1):
            trainer.train_step(x, t)
    assert not counts.waits
    assert not counts.copies
    # gather 2, pixels to floats 2, forward 5, loss 13, backward 10, update 2
    assert sum(counts.launches.values()) == 34, counts.launches


def test_minibatches_are_gathered_several_at_once(trainer):
    order = asarray(np.arange(300), like=trainer.network.anchor)
    with count_operations() as counts:
        batches = list(trainer._minibatches(order, steps=3))
    assert [x.shape[0] for x, _ in batches] == [100, 100, 100]
    assert sum(counts.launches.values()) == 4


def test_an_epoch_copies_its_order_once_and_fetches_its_losses_once(trainer):
    trainer.network.flatten()
    from tqdm import tqdm

    with tqdm(disable=True) as bar, count_operations() as counts:
        trainer._run_epoch(steps=4, bar=bar)
    assert counts.copies == {"asarray": 1}
    assert counts.waits == {"asnumpy": 1}
    # Three minibatches are gathered at once, then the last; at the end the losses into one array.
    assert sum(counts.launches.values()) == 2 * 4 + 4 * 30 + 1


def test_accuracy_waits_once(trainer):
    network, x, t = trainer.network, trainer.x_train, trainer.t_train
    with count_operations() as counts:
        network.accuracy(x, t, batch_size=100)
    assert counts.waits == {"float": 1}


def test_a_view_is_free_and_a_host_value_is_not():
    x = asarray(np.ones((2, 3)), backend=COUNTING)
    with count_operations() as counts:
        x.T  # noqa: B018
        x[0, ...]
        COUNTING.xp.reshape(x, (-1,))
    assert not counts.launches
    with count_operations() as counts:
        float(x[0, 0])
        bool(x[0, 0] > 0)
        x[x > 0]
        x[[0, 1]]
    assert counts.waits == {"float": 1, "bool": 1, "boolean mask": 1}
    assert counts.copies == {"index from the host": 1}
    with pytest.raises(TypeError, match="met NumPy"):
        np.asarray(x)
    with pytest.raises(TypeError):
        np.exp(x)
    with pytest.raises(TypeError, match="NumPy array met"):
        x + np.ones(3)
