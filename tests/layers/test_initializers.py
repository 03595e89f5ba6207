"""How weights begin, by name, in every kind of network; from one seed the same numbers on every backend."""

import math

import numpy as np
import pytest
from cases import same_bits

from xpnet import (
    Affine,
    BatchNormalization,
    Convolution,
    Dropout,
    LayerNormalization,
    MultiLayerNet,
    SimpleConvNet,
    SimpleNetwork,
    ThreeLayerNet,
    TwoLayerNet,
    to_numpy,
)
from xpnet.errors import ArgumentError, BackendError
from xpnet.layers.initializers import initial_weights

# sqrt(1/n), sqrt(2/(n + m)) and sqrt(2/n) for 400 inputs and 300 outputs
XAVIER, GLOROT, HE = 0.05, math.sqrt(2 / 700), math.sqrt(2 / 400)

DEVIATIONS = {
    0.03: 0.03,
    "xavier": XAVIER,
    "sigmoid": XAVIER,
    "glorot": GLOROT,
    "he": HE,
    "relu": HE,
    "He": HE,
    "RELU": HE,
    "xavier_normal": XAVIER,
    "glorot_normal": GLOROT,
    "he_normal": HE,
}
BOUNDS = {
    "xavier_uniform": math.sqrt(3 / 400),
    "glorot_uniform": math.sqrt(6 / 700),  # their equation 16
    "he_uniform": math.sqrt(6 / 400),
    "relu_uniform": math.sqrt(6 / 400),
    "Sigmoid_Uniform": math.sqrt(3 / 400),
}

NETWORKS = {
    "TwoLayerNet": lambda how, **options: TwoLayerNet(400, 300, 10, how, **options),
    "SimpleNetwork": lambda how, **options: SimpleNetwork(400, 300, 10, how, **options),
    "ThreeLayerNet": lambda how, **options: ThreeLayerNet(400, 300, 200, 10, how, **options),
    "MultiLayerNet": lambda how, **options: MultiLayerNet(400, [300, 200], 10, weight_init_std=how, **options),
}


def excess_kurtosis(W):
    """0 of normal numbers, -1.2 of evenly spread ones."""
    return float(np.mean(((W - W.mean()) / W.std()) ** 4) - 3)


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("how", DEVIATIONS)
def test_normal_weights_have_the_deviation_asked_for(kind, how):
    W = NETWORKS[kind](how, seed=0, dtype="float64", backend="numpy").params["W1"]
    # The deviation of n normal numbers is off by 1/sqrt(2n) of itself: 0.2%.
    assert W.std() == pytest.approx(DEVIATIONS[how], rel=0.01)
    assert abs(W.mean()) < 4 * DEVIATIONS[how] / math.sqrt(W.size)
    assert abs(excess_kurtosis(W)) < 4 * math.sqrt(24 / W.size)


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("how", BOUNDS)
def test_uniform_weights_keep_the_bound_and_go_up_to_it(kind, how):
    W = NETWORKS[kind](how, seed=0, dtype="float64", backend="numpy").params["W1"]
    assert 0.999 * BOUNDS[how] < np.abs(W).max() <= BOUNDS[how]
    assert W.std() == pytest.approx(BOUNDS[how] / math.sqrt(3), rel=0.01)
    assert abs(W.mean()) < 4 * W.std() / math.sqrt(W.size)
    assert excess_kurtosis(W) == pytest.approx(-1.2, abs=0.05)


@pytest.mark.parametrize("kind", NETWORKS)
def test_each_layer_goes_by_its_own_sizes_and_biases_begin_at_zero(kind):
    for how, deviation in (("he", lambda n, m: math.sqrt(2 / n)), ("glorot", lambda n, m: math.sqrt(2 / (n + m)))):
        network = NETWORKS[kind](how, seed=1, dtype="float64", backend="numpy")
        for key, value in network.params.items():
            if key.startswith("W"):
                assert value.std() == pytest.approx(deviation(*value.shape), rel=5 / math.sqrt(2 * value.size)), key
            else:
                assert not value.any()


@pytest.mark.parametrize("how", [0.01, "xavier", "glorot", "he_uniform"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_a_seed_gives_the_same_numbers_on_every_backend(be, kind, how):
    here = NETWORKS[kind](how, seed=3, dtype=be.dtype, backend=be.backend)
    host = NETWORKS[kind](how, seed=3, dtype="float64", backend="numpy")
    for key, value in host.params.items():
        be.check(here.params[key], value.astype(be.dtype), eps=0, name=key)
    other = NETWORKS[kind](how, seed=4, dtype=be.dtype, backend=be.backend)
    assert not np.array_equal(to_numpy(here.params["W1"]), to_numpy(other.params["W1"]))


def test_a_deviation_of_zero_is_the_course_asking_for_symmetry():
    assert not TwoLayerNet(4, 3, 2, 0).params["W1"].any()


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "gelu", "sigmoid", "tanh"])
def test_multi_layer_net_begins_as_its_activation_wants_it(activation):
    options = {"activation": activation, "seed": 0, "backend": "numpy"}
    named = MultiLayerNet(
        40, [30], 7, weight_init_std="xavier" if activation in ("sigmoid", "tanh") else "he", **options
    )
    assert same_bits(MultiLayerNet(40, [30], 7, **options).params, named.params)


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("hee", r"one of xavier, sigmoid, glorot, he, relu, .*'he_uniform'`; got 'hee'"),
        ("he_even", "got 'he_even'"),
        ("uniform", "got 'uniform'"),
        ("he_uniform_normal", "got 'he_uniform_normal'"),
        ("", "got ''"),
        (-0.1, "a finite number of at least 0, got -0.1"),
        (float("nan"), "a finite number .* got nan"),
        (float("inf"), "a finite number .* got inf"),
        ([0.1], r"a finite number .* got \[0.1\]"),
    ],
)
def test_a_name_or_a_deviation_that_is_none(kind, how, says):
    with pytest.raises(ArgumentError, match=rf"nitial weights must be .*{says}"):
        NETWORKS[kind](how)


def test_the_numbers_come_from_the_generator_that_is_given():
    draws = [initial_weights(np.random.default_rng(5), 4, 3, "he") for _ in range(2)]
    assert np.array_equal(*draws)
    np.testing.assert_array_equal(draws[0], math.sqrt(2 / 4) * np.random.default_rng(5).standard_normal((4, 3)))


# --- layers one by one ----------------------------------------------------------------------------------------------


def test_a_layer_is_made_from_its_sizes(be):
    where = {"dtype": be.dtype, "backend": be.backend}
    affine = Affine.create(4, 3, "he", rng=2, **where)
    batch = BatchNormalization.create(3, momentum=0.5, eps=1e-3, **where)
    rows = LayerNormalization.create(3, **where)
    host = Affine.create(4, 3, "he", rng=2, dtype="float64", backend="numpy")
    be.check(affine.W, host.W.astype(be.dtype), eps=0)
    be.check(affine.b, np.zeros(3), eps=0)
    for layer in (batch, rows):
        be.check(layer.gamma, np.ones(3), eps=0)
        be.check(layer.beta, np.zeros(3), eps=0)
    be.check(batch.running_mean, np.zeros(3), eps=0)
    be.check(batch.running_var, np.ones(3), eps=0)
    assert (batch.momentum, batch.eps, rows.eps) == (0.5, 1e-3, 1e-5)


def test_layers_that_share_a_generator_are_those_of_a_network_of_its_seed():
    """A network draws its weights from the first of three generators of its seed, in the order of the layers."""
    network = SimpleConvNet(weight_init_std="glorot", seed=2, backend="numpy")
    options = {"init": "glorot", "rng": np.random.default_rng(2).spawn(3)[0], "backend": "numpy"}
    layers = (
        Convolution.create(1, 30, 5, **options),
        Affine.create(4320, 100, **options),
        Affine.create(100, 10, **options),
    )
    for i, layer in enumerate(layers, 1):
        assert np.array_equal(layer.W, network.params[f"W{i}"])
    first = Convolution.create(1, 30, 5, "glorot", rng=2, backend="numpy")
    assert np.array_equal(first.W, layers[0].W)


def test_each_dropout_of_a_generator_is_another():
    rng = np.random.default_rng(0)
    first, second = Dropout(0.25, seed=rng), Dropout(0.25, inverted=False, seed=rng)
    assert (first.dropout_ratio, first.inverted, second.inverted) == (0.25, True, False)
    assert int(first.key[0]) != int(second.key[0])
    assert int(Dropout(seed=np.random.default_rng(0)).key[0]) == int(first.key[0])


def test_dropout_between_layers_does_not_change_their_weights():
    plain, dropping = (MultiLayerNet(4, [3], 2, use_dropout=use, seed=0, backend="numpy") for use in (False, True))
    assert same_bits(plain.params, dropping.params)


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: Affine.create(2, 3, dtype="int8"), ArgumentError, "dtype must be 'float32' or 'float64', got 'int8'"),
        (lambda: Affine.create(2, 3, rng=1.5), ArgumentError, "seed must be a whole number .* got 1.5"),
        (lambda: Affine.create(2, 3, backend="nmpy"), BackendError, "There is no backend 'nmpy'"),
        (lambda: Affine.create(0, 3), ArgumentError, "a layer's input size must be .* got 0"),
        (lambda: Affine.create(2, 3.5), ArgumentError, "a layer's output size must be .* got 3.5"),
        (lambda: BatchNormalization.create(0), ArgumentError, "a layer's size must be .* got 0"),
        (lambda: BatchNormalization.create(3, momentum=2), ArgumentError, "momentum must be .* got 2"),
        (lambda: LayerNormalization.create(-1), ArgumentError, "a layer's size must be .* got -1"),
        (lambda: LayerNormalization.create(2, dtype="int8"), ArgumentError, "dtype must be .* got 'int8'"),
        (lambda: Dropout(1), ArgumentError, "dropout_ratio must be .* got 1"),
        (lambda: Dropout(seed=1.5), ArgumentError, "seed must be a whole number .* got 1.5"),
    ],
)
def test_a_layer_refuses_options_out_of_range(make, error, says):
    with pytest.raises(error, match=says):
        make()
