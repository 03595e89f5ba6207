"""Training on CuPy itself: the CUDA graph gives what the steps give, no step waits for the device, and NumPy agrees.

On a GPU, or on CuPy's own code on a CPU (``nox -s cuda``).
"""

import copy
import gc
import warnings
from typing import Any

import numpy as np
import pytest
from capturable import RunningMean
from conv_networks import NETWORKS as CONVOLUTIONAL
from matrix import ABSENT
from optimizer_cases import EVERYTHING, each_optimizer

from xpnet import (
    SGD,
    Affine,
    Augmentation,
    CosineDecay,
    DeepConvNet,
    Gelu,
    LayerNormalization,
    MultiLayerNet,
    Network,
    Sigmoid,
    Tanh,
    Trainer,
    TwoLayerNet,
    asarray,
    to_numpy,
)
from xpnet.training.step import TrainingStep

pytestmark = pytest.mark.skipif("cupy" in ABSENT, reason=f"CuPy does not take part: {ABSENT.get('cupy')}")

RNG = np.random.default_rng(0)
PIXELS, LABELS = RNG.integers(0, 256, (25, 1, 8, 8), dtype=np.uint8), RNG.integers(0, 10, 25)
SIZE = 10  # samples a minibatch: two whole ones an epoch, and a short one that is not captured


def everything(**options: Any) -> Network:
    """Dropout, batch normalization, weight decay."""
    return MultiLayerNet(
        64, [9, 8], 10, weight_decay_lambda=0.01, use_dropout=True, use_batchnorm=True, **options
    )  # fmt: skip


def smooth(*, backend: Any, dtype: str = "float32", seed: int = 0) -> Network:
    """The other activations, and layer normalization."""
    rng = np.random.default_rng(seed)

    def affine(rows: int, columns: int) -> Affine:
        W, b = rng.standard_normal((rows, columns)) / np.sqrt(rows), np.zeros(columns)
        return Affine(*(asarray(a, dtype=dtype, backend=backend) for a in (W, b)))

    gamma, beta = (asarray(a, dtype=dtype, backend=backend) for a in (np.ones(9), np.zeros(9)))
    layers = [affine(64, 9), LayerNormalization(gamma, beta), Gelu(), affine(9, 8), Tanh(), affine(8, 8), Sigmoid()]
    return Network([*layers, affine(8, 10)])


def with_a_statistic(*, backend: Any, dtype: str = "float32", seed: int = 0) -> Network:
    """A layer of one's own that binds anew in each step what the next one needs."""
    layers = copy.deepcopy(list(TwoLayerNet(64, 9, 10, 0.1, seed=seed, backend=backend, dtype=dtype).layers.values()))
    statistic = RunningMean(9)
    statistic.mean = asarray(statistic.mean, dtype=dtype, backend=backend)
    return Network([*layers[:2], statistic, layers[2]])


NETWORKS = {
    "TwoLayerNet": lambda **options: TwoLayerNet(64, 9, 10, 0.1, **options),
    "everything": everything,
    "smooth": smooth,
    "statistic": with_a_statistic,
    **CONVOLUTIONAL,
}
each_network = pytest.mark.parametrize("name", NETWORKS)


def trainer_of(
    name: str,
    *,
    capture: bool,
    fused: bool = True,
    backend: str = "cupy",
    dtype: str = "float32",
    augmentation: Any = None,
    **options: Any,
) -> Trainer:
    """One whose steps are fused or not, whether captured or plain."""
    network = NETWORKS[name](seed=0, backend=backend, dtype=dtype)
    x = PIXELS if name in CONVOLUTIONAL else PIXELS.reshape(25, 64)
    # Not Adam: of a gradient that is 0 but for rounding, as a bias's before a normalization, it makes a whole step.
    options = {"optimizer": SGD(0.1), "iterations": 18} | options
    trainer = Trainer(
        network, x, LABELS, x[:5], LABELS[:5], mini_batch_size=SIZE, seed=0, verbose=False, capture=capture,
        augmentation=augmentation, **options,
    )  # fmt: skip
    made = (trainer.network, trainer.optimizer, trainer.x_train, trainer.t_train)

    def step(**_: Any) -> TrainingStep:
        return TrainingStep(*made, augmentation=augmentation, fused=fused)

    vars(trainer.runner)["step"] = step
    return trainer


def left(trainer: Trainer) -> dict[str, np.ndarray]:
    """All that a training leaves."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # steps that cannot be captured are made one by one, with a warning
        trainer.train()
    arrays = {key: to_numpy(value) for key, value in trainer.network.state.weights().items()}
    return arrays | {"losses": np.array(trainer.train_loss_list)}


def assert_close(a: dict[str, np.ndarray], b: dict[str, np.ndarray], dtype: str = "float32") -> None:
    """To 2**12 eps of the largest number: a step on another sample, or with another rate, is far beyond that."""
    assert list(a) == list(b)
    for key, expected in b.items():
        error = np.abs(a[key] - expected).max() / max(np.abs(expected).max(), 0.01)
        assert error <= 2**12 * np.finfo(dtype).eps, (key, error)


@each_network
@pytest.mark.parametrize("fused", [True, False], ids=["fused", "not fused"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_graph_gives_what_the_steps_give(name, fused, dtype):
    captured, plain = (trainer_of(name, capture=capture, fused=fused, dtype=dtype) for capture in (True, False))
    after = left(captured)
    assert_close(after, left(plain), dtype)
    assert len(set(after["losses"].tolist())) == 18


@each_network
def test_images_that_are_augmented_on_the_way(name):
    captured, plain = (
        trainer_of(name, capture=capture, augmentation=Augmentation(1, 10, 0.05, flip=True, seed=3))
        for capture in (True, False)
    )
    assert_close(left(captured), left(plain))
    keys = [to_numpy(trainer.augmentation.key) for trainer in (captured, plain)]
    np.testing.assert_array_equal(*keys)


@each_optimizer
def test_each_optimizer_by_a_graph(kind):
    for rate in (0.01, CosineDecay(0.01, steps=18, warm_up=3)):
        captured, plain = (
            trainer_of("TwoLayerNet", capture=capture, optimizer=kind(rate, **EVERYTHING)) for capture in (True, False)
        )
        assert_close(left(captured), left(plain))


def test_a_rate_that_a_callback_changes_reaches_the_graph():
    def slower(trainer: Trainer) -> None:
        trainer.optimizer.lr *= 0.5

    captured, plain, constant = (
        trainer_of("TwoLayerNet", capture=capture, callbacks=callbacks, optimizer=SGD(0.5))
        for capture, callbacks in ((True, [slower]), (False, [slower]), (True, []))
    )
    expected = left(plain)
    assert_close(left(captured), expected)
    assert np.abs(left(constant)["W1"] - expected["W1"]).max() > 1e-3


@pytest.mark.bits
def test_two_trainings_at_once_do_not_disturb_each_other():
    alone = [left(trainer_of(name, capture=True)) for name in ("TwoLayerNet", "everything")]
    outer, inner = (trainer_of(name, capture=True) for name in ("TwoLayerNet", "everything"))
    learned = []
    outer.callbacks = [lambda _: learned.append(left(inner)) if not learned else None]
    for a, b in zip((left(outer), learned[0]), alone, strict=True):
        for key in b:
            np.testing.assert_array_equal(a[key], b[key], err_msg=key)


@each_network
@pytest.mark.parametrize("fused", [True, False], ids=["fused", "not fused"])
def test_no_step_waits_for_the_device(name, fused):
    """By CuPy's own detector, which raises where a value is fetched."""
    import cupyx

    trainer = trainer_of(name, capture=False, fused=fused, augmentation=Augmentation(1, 10, 0.05, seed=3))
    trainer.network.state.flatten()
    step, order = trainer.runner.step(), asarray(np.arange(SIZE), backend="cupy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the detector: it will go
        for _ in range(2):
            with cupyx.allow_synchronize(False):
                loss = step.run(order, (0.01,) * step.step_scalars(0, 1).shape[1])
        with cupyx.allow_synchronize(False), pytest.raises(cupyx.DeviceSynchronized):
            float(loss)


@each_network
def test_numpy_learns_the_same(name):
    """Six steps: later on the two differ by what rounding makes of rounding."""
    there, here = (
        trainer_of(name, capture=capture, fused=False, backend=backend, dtype="float64", iterations=6)
        for capture, backend in ((True, "cupy"), (False, "numpy"))
    )
    assert_close(left(there), left(here), "float64")


def test_trainings_one_after_another_need_no_more_memory():
    """Of a network whose layers keep 15 MB of each last step."""
    import cupy

    x, t = np.zeros((100, 1, 28, 28), np.uint8), np.zeros(100, np.int64)

    def in_use_after_a_training() -> int:
        Trainer(
            DeepConvNet(seed=0, backend="cupy"), x, t, x[:10], t[:10], 2, 50, verbose=False, seed=0, capture=True
        ).train()  # fmt: skip
        gc.collect()
        cupy.get_default_memory_pool().free_all_blocks()
        free, total = cupy.cuda.Device().mem_info
        return int(total - free)

    in_use = [in_use_after_a_training() for _ in range(5)]
    assert in_use[4] - in_use[1] <= 4 * 2**20
