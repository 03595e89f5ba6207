"""What one training step asks of a device, counted on the CPU and pinned: an operation more is a deliberate change."""

import numpy as np
import pytest
from states import flattened

from xpnet import MultiLayerNet, Trainer, TwoLayerNet, asarray, to_numpy
from xpnet._core.interrupts import Interrupts
from xpnet.testing.counting import COUNTING, count_operations
from xpnet.training.progress import TrainingDisplay
from xpnet.training.step import TrainingStep


@pytest.fixture
def trainer():
    rng = np.random.default_rng(0)
    x, t = rng.integers(0, 256, (350, 784), dtype=np.uint8), rng.integers(0, 10, 350)
    network = TwoLayerNet(784, 50, 10, seed=0, backend=COUNTING)
    return Trainer(network, x, t, x[:50], t[:50], epochs=1, verbose=False, seed=0)


def test_a_training_step_makes_34_launches_and_never_waits(trainer):
    trainer.network.state.flatten()
    order = trainer.network.asarray(np.arange(100))
    with count_operations() as counts:
        trainer.runner.step().run(order, (0.1,))
    assert not counts.waits
    assert not counts.copies
    # gather 2, pixels to floats 2, forward 5, loss 13, backward 10, update 2
    assert sum(counts.launches.values()) == 34, counts.launches


def test_loss_and_gradient_make_28_launches(trainer):
    network, (x, t) = flattened(trainer.network), next(trainer.runner.step().minibatches(trainer_order(trainer), 100))
    with count_operations() as counts:
        network.compute_gradients(x, t)
    assert sum(counts.launches.values()) == 28, counts.launches


def test_a_fused_training_step_makes_14_launches_and_never_waits(trainer):
    trainer.network.state.flatten()
    step = TrainingStep(trainer.network, trainer.optimizer, trainer.x_train, trainer.t_train, fused=True)
    numbers, losses = (trainer.network.asarray(np.float32([0.1, 0.0])) for _ in range(2))
    order = trainer_order(trainer)
    with count_operations() as counts:
        losses[0] = step.run(order, (numbers[0, ...],))
    assert not counts.waits
    assert not counts.copies
    assert counts.launches == {
        "gather": 1,
        "matmul": 5,
        "bias_relu": 1,
        "softmax_cross_entropy": 1,
        "mean": 1,
        "sum": 2,  # of the rows, for each bias
        "relu_gradient": 1,
        "sgd_update": 1,
        "setitem": 1,  # the loss, to its place among those of a block
    }


def test_a_block_of_fused_steps_makes_12_launches_a_step_and_one_for_all(trainer):
    """As a CUDA graph captures them: the loss is written where it is to stay."""
    trainer.network.state.flatten()
    step = TrainingStep(trainer.network, trainer.optimizer, trainer.x_train, trainer.t_train, fused=True)
    order = trainer.network.asarray(np.arange(300).reshape(3, 100))
    numbers, losses = (asarray(np.full(shape, 0.1, np.float32), like=order) for shape in ((3, 1), (3,)))
    with count_operations() as counts:
        step.run_block(order, numbers, losses)
    assert not counts.waits
    assert not counts.copies
    each = {"matmul": 5, "bias_relu": 1, "softmax_cross_entropy": 1, "mean": 1, "sum": 2, "relu_gradient": 1}
    assert counts.launches == {name: 3 * n for name, n in (each | {"sgd_update": 1}).items()} | {"gather": 1}
    assert np.isfinite(to_numpy(losses)).all()


@pytest.fixture
def deep_trainer():
    rng = np.random.default_rng(0)
    x, t = rng.integers(0, 256, (350, 784), dtype=np.uint8), rng.integers(0, 10, 350)
    network = MultiLayerNet(
        784, [50, 30], 10, weight_decay_lambda=0.1, use_dropout=True, use_batchnorm=True, seed=0, backend=COUNTING
    )
    return Trainer(flattened(network), x, t, x[:50], t[:50], epochs=1, verbose=False, seed=0)


@pytest.mark.parametrize(("fused", "launches"), [(False, 155), (True, 137)])
def test_a_training_step_with_everything_there_is_never_waits(deep_trainer, fused, launches):
    """The random bits are made where the arrays are, and the running means stay there."""
    trainer = deep_trainer
    step = TrainingStep(trainer.network, trainer.optimizer, trainer.x_train, trainer.t_train, fused=fused)
    order, numbers = trainer_order(trainer), trainer.network.asarray(np.float32([0.1]))
    for _ in range(2):
        with count_operations() as counts:
            step.run(order, (numbers[0, ...],))
        assert not counts.waits
        assert not counts.copies
        assert sum(counts.launches.values()) == launches, counts.launches


def test_inference_and_the_loss_of_training_do_not_wait_either(deep_trainer):
    network, x, t = deep_trainer.network, deep_trainer.x_train, deep_trainer.t_train
    with count_operations() as counts:
        network.predict(x)
        network.loss(x, t)
        network.loss(x, t, train=True)
    assert not counts.waits
    assert not counts.copies


def trainer_order(trainer):
    return trainer.network.asarray(np.arange(100))


def test_minibatches_are_gathered_several_at_once(trainer):
    order, step = trainer.network.asarray(np.arange(300)), trainer.runner.step()
    with count_operations() as counts:
        batches = list(step.minibatches(order, 100))
    assert [x.shape[0] for x, _ in batches] == [100, 100, 100]
    assert sum(counts.launches.values()) == 4


def test_an_epoch_copies_its_order_once_and_fetches_its_losses_once(trainer):
    trainer.network.state.flatten()
    display = TrainingDisplay(verbose=False, validation=False, classifies=True)
    with display.bar(0, 4), count_operations() as counts:
        trainer.runner.left = 4
        trainer.runner.begin_epoch()
        trainer.runner.run(display, Interrupts())
    assert counts.copies == {"asarray": 1}
    assert counts.waits == {"asnumpy": 1}
    # The four parameters are kept. The minibatches are gathered at once. At the end it is seen whether the parameters
    # are finite, and that goes into one array with the losses.
    assert sum(counts.launches.values()) == 4 + 4 + 4 * 30 + 2 + 1


def test_accuracy_waits_once(trainer):
    network, x, t = trainer.network, trainer.x_train, trainer.t_train
    with count_operations() as counts:
        network.accuracy(x, t, batch_size=100)
    assert counts.waits == {"float": 1}
