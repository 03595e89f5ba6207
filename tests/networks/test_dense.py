"""ThreeLayerNet and `set_params` (course rows 5 and 7): by hand, from given weights, on every backend."""

import numpy as np
import pytest
from cases import numbers, same_bits

from xpnet import Relu, Sigmoid, ThreeLayerNet, asarray, check_gradient, softmax, to_numpy
from xpnet.errors import ArgumentError, ArrayMixError, DtypeError, ShapeError

BY_HAND = {
    "W1": [[0.1, 0.3, 0.5], [0.2, 0.4, 0.6]],
    "b1": [0.1, 0.2, 0.3],
    "W2": [[0.1, 0.4], [0.2, 0.5], [0.3, 0.6]],
    "b2": [0.1, 0.2],
    "W3": [[0.2, 0.5], [0.3, 0.6]],
    "b3": [0.1, 0.2],
}


def test_the_courses_network_by_hand(be64):
    network = ThreeLayerNet(2, 3, 2, 2, dtype="float64", backend=be64.backend).set_params(BY_HAND)
    x = be64.put(np.array([1.0, 0.5]))
    assert np.round(to_numpy(network.predict(x)), 8).tolist() == [0.45655308, 0.9757311]
    assert np.round(to_numpy(network.predict_proba(x)), 8).tolist() == [0.37304446, 0.62695554]


@pytest.mark.parametrize(("activation", "layer"), [("sigmoid", Sigmoid), ("relu", Relu)])
def test_its_layers_and_their_gradients(activation, layer):
    network = ThreeLayerNet(5, 4, 6, 3, 1.0, activation=activation, seed=0, dtype="float64")
    assert [type(made) for made in network.layers.values()][1::2] == [layer, layer]
    shapes = [("W1", (5, 4)), ("b1", (4,)), ("W2", (4, 6)), ("b2", (6,)), ("W3", (6, 3)), ("b3", (3,))]
    assert [(key, value.shape) for key, value in network.params.items()] == shapes
    errors = check_gradient(network, numbers(1, 4, 5), np.array([0, 2, 1, 1]))
    assert max(errors.values()) < 1e-8  # h squared, the error of the central difference


def test_what_it_computes(be):
    """Against the formula itself, written out in NumPy."""
    network = ThreeLayerNet(12, 6, 5, 7, 1.0, seed=0, dtype=be.dtype, backend=be.backend)
    p = {key: to_numpy(value).astype("float64") for key, value in network.params.items()}
    x = numbers(1, 4, 12)
    z1 = 1 / (1 + np.exp(-(x @ p["W1"] + p["b1"])))
    z2 = 1 / (1 + np.exp(-(z1 @ p["W2"] + p["b2"])))
    be.check(network.predict_proba(be.put(x)), softmax(z2 @ p["W3"] + p["b3"]))


def test_an_unknown_activation_is_an_error():
    with pytest.raises(ArgumentError, match="'relu', 'sigmoid'.*got 'step'"):
        ThreeLayerNet(2, 3, 2, 2, activation="step")


# --- set_params -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flat", [False, True])
def test_values_are_copied_converted_and_moved(be, flat):
    network = ThreeLayerNet(2, 3, 2, 2, dtype=be.dtype, backend=be.backend)
    if flat:
        network.state.flatten()
    values = {key: np.array(value) for key, value in BY_HAND.items()}  # float64, NumPy
    assert network.set_params(values) is network
    for key, value in values.items():
        be.check(network.params[key], value, eps=1)
        value[...] = 7.0
        be.check(network.params[key], BY_HAND[key], eps=1)
    if flat and "all" in (buffer := network.state.optimizer_view()[0]):
        assert (
            to_numpy(buffer["all"]).tolist()
            == np.concatenate([to_numpy(v).ravel() for v in network.params.values()]).tolist()
        )


def test_a_network_trains_on_without_touching_the_values_it_was_given():
    given = {key: np.array(value) for key, value in BY_HAND.items()}
    network = ThreeLayerNet(2, 3, 2, 2, dtype="float64").set_params(given)
    network.params["W1"] -= 1.0
    assert given["W1"].tolist() == BY_HAND["W1"]


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"W3": np.zeros((3, 2))}, ShapeError, r"W3 has shape \(2, 2\), got a value of shape \(3, 2\)"),
        ({"W3": [["a", "b"], ["c", "d"]]}, DtypeError, "Expected numbers"),
        ({"W4": np.zeros(2)}, ArgumentError, "Expected the parameters W1, b1, W2, b2, W3, b3, got W1.*W4"),
        ({"b3": None}, (DtypeError, ArrayMixError), "numbers"),
    ],
)
def test_what_does_not_fit_changes_nothing(change, error, says):
    network = ThreeLayerNet(2, 3, 2, 2, seed=0)
    before = network.copy().params
    with pytest.raises(error, match=says):
        network.set_params(BY_HAND | change)
    assert same_bits(network.params, before)


def test_a_missing_parameter_changes_nothing():
    network = ThreeLayerNet(2, 3, 2, 2, seed=0)
    before = network.copy().params
    with pytest.raises(ArgumentError, match="got W1, b1, W2, b2, W3"):
        network.set_params({key: value for key, value in BY_HAND.items() if key != "b3"})
    with pytest.raises(ArgumentError, match="got none"):
        network.set_params({})
    assert same_bits(network.params, before)


def test_asarray_keeps_what_is_in_place():
    """So that `set_params` has to copy."""
    a = np.zeros(3)
    assert asarray(a, like=a) is a
