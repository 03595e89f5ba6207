"""A Trainer on CuPy's own code on a CPU: a CUDA graph takes its blocks, to the same bits, and not an epoch's rest."""

import copy
import gc

import numpy as np
import pytest
from capturable import LazyMomentum, RunningMean
from cuda_device import late_work, living, needs_stand_in
from small_training import PIXELS, make

from xpnet import (
    SGD,
    Adam,
    AdamW,
    Affine,
    CosineDecay,
    Layer,
    Momentum,
    MultiLayerNet,
    Network,
    Relu,
    SimpleConvNet,
    TwoLayerNet,
    get_array_module,
    to_numpy,
)
from xpnet._core.cupy import cupy_namespace
from xpnet.backend import asarray
from xpnet.engine.cuda_graph import CudaGraphReplayer
from xpnet.errors import CaptureError
from xpnet.training.epoch_runner import EpochRunner

pytestmark = needs_stand_in


@pytest.fixture(autouse=True)
def _without_kernels(monkeypatch):
    """Plain steps are not fused, and fused ones sum in another order; `test_on_cupy` has these."""
    monkeypatch.setattr(EpochRunner, "fuses", False)


@pytest.fixture(autouse=True)
def _late_work():
    with late_work():
        yield


@pytest.fixture
def launched(monkeypatch):
    """The graphs that are launched, one after the other."""
    graphs, run = [], CudaGraphReplayer.run

    def noted(replayer, *args, **options):
        graphs.append(replayer._resources.graph)
        run(replayer, *args, **options)

    monkeypatch.setattr(CudaGraphReplayer, "run", noted)
    return graphs


def two_layers():
    return TwoLayerNet(12, 6, 7, 0.1, seed=0, backend="cupy")


def with_a_statistic():
    rng = np.random.default_rng(0)
    W1, b1, W2, b2 = (
        asarray(a.astype(np.float32), backend="cupy")
        for a in (rng.standard_normal((12, 6)), np.zeros(6), rng.standard_normal((6, 7)), np.zeros(7))
    )
    statistic = RunningMean(6)
    statistic.mean = asarray(statistic.mean, backend="cupy")
    return Network([Affine(W1, b1), Relu(), statistic, Affine(W2, b2)])


def with_everything():
    return MultiLayerNet(
        12, [6, 5], 7, weight_decay_lambda=0.01, use_dropout=True, use_batchnorm=True, seed=0, backend="cupy"
    )


def with_windows():
    conv_param = {"filter_num": 3, "filter_size": 2, "pad": 1, "stride": 1}
    return SimpleConvNet((1, 3, 4), conv_param, 5, 7, "he", seed=0, backend="cupy")


def assert_same(a, b):
    assert a.history.loss == b.history.loss
    expected = b.network.state.weights()
    for key, value in a.network.state.weights().items():
        assert to_numpy(value).tobytes() == to_numpy(expected[key]).tobytes(), key


OPTIMIZERS = [
    lambda: SGD(0.3),
    Momentum,
    Adam,
    lambda: AdamW(CosineDecay(0.01, steps=12, warm_up=3), max_norm=0.5),
]


@pytest.mark.bits
@pytest.mark.parametrize("make_network", [two_layers, with_a_statistic, with_everything, with_windows])
@pytest.mark.parametrize("make_optimizer", OPTIMIZERS)
def test_captured_equals_plain(make_network, make_optimizer, launched):
    def slower(trainer):
        if not callable(trainer.optimizer.lr):
            trainer.optimizer.lr *= 0.8

    x = PIXELS.reshape(-1, 1, 3, 4) if make_network is with_windows else PIXELS
    captured, plain = (
        make(make_network(), x, optimizer=make_optimizer(), epochs=5, capture=capture, callbacks=[slower])
        for capture in (True, False)
    )
    captured.train()
    assert len(launched) == 5  # an epoch: a block of two whole minibatches; then the short one, without
    assert len(set(launched)) == 1  # also when the rate has changed
    plain.train()
    assert len(launched) == 5
    assert_same(captured, plain)
    assert len(set(captured.history.loss)) == 15


@pytest.mark.bits
def test_an_epoch_longer_than_a_graph_is_cut_into_equal_ones(launched, monkeypatch):
    monkeypatch.setattr("xpnet._core.tuning.MAX_GRAPH_STEPS", 4)
    captured, plain = (
        make(two_layers(), epochs=2, mini_batch_size=2, capture=capture, iterations=20) for capture in (True, False)
    )
    captured.train()
    # Of 13 minibatches in 25 images 12 are whole: three blocks of four; then of the last 7 steps one block and three.
    assert len(launched) == 3 + 1
    plain.train()
    assert_same(captured, plain)


def test_what_cannot_be_captured_is_made_one_by_one(launched):
    class Looking(Relu):
        recordable = True

        def forward(self, x):
            if float(get_array_module(x).sum(x)) > 1e9:
                raise AssertionError
            return super().forward(x)

    layers = copy.deepcopy(list(two_layers().layers.values()))
    network = Network([layers[0], Looking(), layers[2]])
    trainer = make(network, iterations=40)
    with pytest.warns(UserWarning, match=r"cannot be recorded. CuPy cannot capture .*float\(get_array_module\("):
        trainer.train()
    assert not launched
    assert len(trainer.history.loss) == 40


class LazyMean(Layer):
    """Subtracts, in training, a running mean that is made in the first step; bound anew, or changed in place."""

    recordable = True

    def __init__(self, in_place):
        self.mean, self.in_place = None, in_place

    def forward(self, x):
        if not self.train:
            return x
        new = 0.1 * get_array_module(x).mean(x, axis=0)
        if self.mean is None:
            self.mean = get_array_module(x).zeros_like(new)
        if self.in_place:
            self.mean *= 0.9
            self.mean += new
        else:
            self.mean = 0.9 * self.mean + new
        return x - self.mean

    def backward(self, dout):
        return dout


@pytest.mark.bits
@pytest.mark.parametrize("lazy", ["optimizer", "layer", "layer, in place"])
def test_what_is_made_in_the_first_step_would_be_made_anew_by_each_launch(lazy, launched):
    def trainer(capture):
        network = two_layers()
        if lazy != "optimizer":
            layers = copy.deepcopy(list(network.layers.values()))
            network = Network([layers[0], LazyMean("place" in lazy), *layers[1:]])
        optimizer = LazyMomentum(0.1) if lazy == "optimizer" else SGD(0.3)
        return make(network, optimizer=optimizer, iterations=40, capture=capture)

    what = r"first step creates LazyMomentum\.v\.all\. Create it" if lazy == "optimizer" else "give other numbers than"
    with pytest.raises(CaptureError, match=what):
        trainer(True).train()
    undecided, plain = trainer("auto"), trainer(False)
    with pytest.warns(UserWarning, match=what):
        undecided.train()
    plain.train()
    assert_same(undecided, plain)
    assert not launched


@pytest.mark.parametrize("make_network", [two_layers, with_everything])
def test_the_graph_goes_with_the_training_and_its_memory_with_the_network(make_network):
    """Layers, and what is fused of them, keep arrays of the last step: a pool must be there to take them back."""
    import cupy

    in_use = []
    for _ in range(4):
        trainer = make(make_network(), epochs=2, capture=True)
        trainer.train()
        gc.collect()
        assert living()["graphs"] == 0
        del trainer
        gc.collect()
        cupy.get_default_memory_pool().free_all_blocks()
        free, total = cupy.cuda.runtime.memGetInfo()
        in_use.append((total - free, len(cupy_namespace().idle_pools)))
    assert in_use[1:] == in_use[1:2] * 3
