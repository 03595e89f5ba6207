"""Layers inside a layer: a network sees their parameters, statistics and flags."""

from pathlib import Path

import numpy as np
import pytest
from cases import same_bits
from conv_cases import conv_net
from small_convolutions import convolution, deep, images, samples

from xpnet import Dropout, Network, Relu, Residual
from xpnet.errors import ArgumentError


def test_inside_a_residual_layer_whose_input_needs_no_gradient() -> None:
    """Back to the first layer that learns and no further; its gradients are the same."""
    x, results = images(3, 2, 6, 4), []
    for needs in (True, False):
        relu, inner = Relu(), convolution(2, 2, pad=1)
        layer = Residual([relu, inner])
        layer.needs_input_gradient = needs
        dout = np.cos(layer.forward(x))
        if not needs:
            vars(relu)["backward"] = None  # called it would be an error
        assert (layer.backward(dout) is not None) == inner.needs_input_gradient == needs
        results.append((inner.dW, inner.db))
    for with_it, without in zip(*results, strict=True):
        np.testing.assert_array_equal(without, with_it)


def test_parameters_inside_are_the_networks() -> None:
    network = conv_net(np.asarray)
    inside = network.layers["Residual1"]
    assert list(network.params) == [*("W1", "b1", "W2", "b2", "gamma1", "beta1", "W3", "b3", "W4", "b4", "W5", "b5")]
    assert list(network.state.statistics) == ["running_mean1", "running_var1"]
    assert network.params["W3"] is inside.branch[3].W
    assert network.params["W4"] is inside.shortcut[0].W
    assert network.state.parameter_count == sum(value.size for value in network.params.values())
    network.state.flatten()
    assert network.state.buffers.params.size == network.state.parameter_count
    network.params["W4"] = 0 * network.params["W4"]
    assert not inside.shortcut[0].W.any()
    assert np.shares_memory(inside.shortcut[0].W, network.state.buffers.params)


@pytest.mark.bits
def test_copies_moves_and_files_have_what_is_inside(tmp_path: Path) -> None:
    x, t = samples(8)
    network = deep()
    network.state.flatten()
    network.gradient(x, t)
    other = network.copy()
    assert same_bits(network.state.weights(), other.state.weights())
    other.params["W2"] = other.params["W2"] + 1
    other.layers["Residual1"].branch[1].running_mean += 1
    assert not same_bits(network.state.weights(), other.state.weights())
    path = tmp_path / "weights.safetensors"
    network.save(path)
    other.load(path)
    assert np.array_equal(network.predict(x), other.predict(x))
    exact = network.copy().to(dtype="float64")
    residual = exact.layers["Residual1"]
    assert {a.dtype.name for a in (residual.shortcut[0].W, residual.branch[1].running_var)} == {"float64"}
    np.testing.assert_allclose(exact.predict(x.astype("float64")), network.predict(x), rtol=1e-3, atol=1e-4)


def test_layers_inside_know_whether_this_is_training() -> None:
    network = deep()
    x, t = samples(8)
    dropout, normalization = network.layers["Residual1"].branch[3], network.layers["Residual1"].branch[1]
    assert isinstance(dropout, Dropout)
    network.gradient(x, t)
    assert dropout.train
    assert normalization.train
    before = normalization.running_mean.copy()
    key, in_inference = dropout.key.copy(), network.copy()
    in_inference.state.set_train(False)
    y = x
    for layer in in_inference.layers.values():
        y = layer.forward(y)
    assert np.array_equal(network.predict(x), y)
    assert dropout.train  # as training left it: a prediction has flags of its own
    assert normalization.train
    network.loss(x, t, train=True)  # as in training, and leaves all as it was
    assert np.array_equal(normalization.running_mean, before)
    assert np.array_equal(dropout.key, key)


def test_a_layer_twice_is_an_error_inside_a_layer_too() -> None:
    twice = convolution(2, 2, pad=1)
    with pytest.raises(ArgumentError, match="stands in the network twice"):
        Network([twice, Residual([twice])])
