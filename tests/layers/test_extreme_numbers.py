"""Huge, tiny and not finite numbers: in activations, in what a network is asked, under ``np.seterr(all='raise')``."""

import warnings

import numpy as np
import pytest

from xpnet import (
    Affine,
    BatchNormalization,
    DeepConvNet,
    Gelu,
    LayerNormalization,
    LeakyRelu,
    MultiLayerNet,
    Network,
    Relu,
    ResNet,
    Sigmoid,
    SimpleConvNet,
    Tanh,
    Trainer,
    TwoLayerNet,
    sigmoid,
    softmax,
)
from xpnet.errors import DataError

# --- a network that is asked -----------------------------------------------------------------------------------------


def network():
    return TwoLayerNet(4, 5, 3, seed=0)


X = np.random.default_rng(0).random((30, 4), dtype=np.float32)
T = np.arange(30) % 3


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("ask", ["predict", "predict_proba", "loss", "accuracy"])
def test_inputs_that_are_not_finite_are_named(ask, value):
    x = X.copy()
    x[17, 2] = value
    with pytest.raises(DataError, match=r"x holds numbers that are not finite, in 1 of .* samples"):
        getattr(network(), ask)(x, *([T] if ask in ("loss", "accuracy") else []))
    if ask == "predict":
        with pytest.raises(DataError, match="x holds numbers that are not finite, in 1 of 1 samples"):
            network().predict(x[17])


def test_what_overflows_on_the_way_is_told_with_the_layer():
    made, x = network(), X.copy()
    x[7] = 3e38
    made.params["W1"] *= 1e3
    with pytest.warns(
        RuntimeWarning, match=r"The output of Affine1, Affine\(4 -> 5\), is not finite.*index 7\."
    ) as told:
        scores = made.predict(x)
    assert told[0].filename == __file__
    assert not np.isfinite(scores[7]).any()
    assert np.isfinite(np.delete(scores, 7, axis=0)).all()
    with pytest.warns(RuntimeWarning, match=r"index 7\."):
        assert 0 <= made.accuracy(x, T, batch_size=6) <= 29 / 30


def test_in_a_training_the_trainer_alone_tells():
    made, x = network(), X.copy()
    with pytest.warns(UserWarning, match="^Training ends at iteration 2") as told:
        Trainer(made, x * 1e30, T, x * 1e30, T, epochs=3, optimizer_param={"lr": 1e9}, verbose=False, seed=0).train()
    assert len(told) == 1


def test_the_remedy_for_what_overflows_works():
    made, x = network(), X.copy()
    x[:, 1] *= 1e38
    made.params["W1"] *= 1e3
    with pytest.warns(RuntimeWarning, match="a mean of 0 and a standard deviation of 1"):
        made.predict(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made.predict((x - x.mean(axis=0, dtype="float64")) / x.std(axis=0, dtype="float64"))


def test_finite_scores_say_nothing_however_large():
    """Their squares, by which it is seen at first, overflow; and minus infinity rules a class out."""

    class Masked(Relu):
        def forward(self, x):
            return x + np.array([0, -np.inf, 0], x.dtype)

    made = network()
    made.params["b2"][...] = 1e30
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(made.predict(X)).all()
        W = np.ones((4, 3), np.float32)
        assert np.isneginf(Network([Affine(W, np.zeros(3, np.float32)), Masked()]).predict(X)[:, 1]).all()


# --- np.seterr(all="raise") -----------------------------------------------------------------------------------------


def all_layers():
    rng = np.random.default_rng(0)
    normal = [kind(np.ones(5, "f"), np.zeros(5, "f")) for kind in (BatchNormalization, LayerNormalization)]
    layers = [Gelu(), Tanh(), Sigmoid(), LeakyRelu()]
    W = [rng.standard_normal(shape, dtype=np.float32) for shape in ((64, 5), (5, 10))]
    return Network([Affine(W[0], np.zeros(5, "f")), *normal, *layers, Affine(W[1], np.zeros(10, "f"))])


NETWORKS = {
    "TwoLayerNet": lambda: TwoLayerNet(64, 30, 10, seed=0),
    "MultiLayerNet": lambda: MultiLayerNet(64, [20], 10, use_batchnorm=True, use_dropout=True, seed=0),
    "SimpleConvNet": lambda: SimpleConvNet(
        (1, 8, 8), {"filter_num": 3, "filter_size": 3, "pad": 0, "stride": 1}, 5, seed=0
    ),
    "DeepConvNet": lambda: DeepConvNet((1, 8, 8), hidden_size=5, seed=0),
    "ResNet": lambda: ResNet((1, 8, 8), (3,), seed=0),
    "all layers": all_layers,
}


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e4])
@pytest.mark.parametrize("name", NETWORKS)
def test_floating_point_errors_that_the_user_raises_are_not_those_of_the_algorithm(name, scale):
    made = NETWORKS[name]()
    shape = made.input_shape or (64,)
    x = (np.random.default_rng(0).random((20, *shape)) * scale).astype(np.float32)
    x[0] = 0
    t = np.arange(20) % 10
    with np.errstate(all="raise"):
        made.predict(x)
        made.predict_proba(x)
        made.predict(x[0])
        made.loss(x, t)
        made.loss(x, t, train=True)
        made.accuracy(x, t)
        made.gradient(x, t)
        for capture in (True, False):
            options = {"epochs": 2, "mini_batch_size": 10, "optimizer": "Adam", "verbose": False, "seed": 0}
            Trainer(NETWORKS[name](), x, t, x, t, capture=capture, **options).train()


def test_functions_of_scores_far_apart_underflow_quietly():
    with np.errstate(all="raise"):
        assert softmax(np.array([0.0, -1000.0])).tolist() == [1.0, 0.0]
        assert sigmoid(np.array([-1000.0, 1000.0])).tolist() == [0.0, 1.0]
        assert softmax(np.array([0.0, -100.0], np.float32)).tolist()[0] == 1.0
