"""Parameters as a live view on the layers, and the buffer they lie in, through assigning, copying and moving."""

import copy
import pickle

import numpy as np
import pytest
from cases import LABELS, numbers, same_bits, two_layer
from states import flattened

from xpnet import (
    Affine,
    BatchNormalization,
    Network,
    Relu,
    TwoLayerNet,
    to_numpy,
)
from xpnet._core.arrays import dtype_name, is_writable
from xpnet.errors import ArgumentError, ArrayMixError, DtypeError, ShapeError

X = numbers(1, 5, 12)


def test_flattened_parameters_are_views_of_one_buffer(be):
    network = two_layer(be.put)
    before = {key: to_numpy(value).copy() for key, value in network.params.items()}
    params, grads = flattened(network).state.optimizer_view()
    assert same_bits(network.params, before)
    if not is_writable(network.state.like):
        assert params is network.params
        return
    assert params["all"].shape == grads["all"].shape == (network.state.parameter_count,)
    params["all"] -= params["all"]
    assert not any(to_numpy(value).any() for value in network.params.values())
    network.compute_gradients(be.put(X), be.put(LABELS))
    in_order = np.concatenate([to_numpy(grad).ravel() for grad in network.state.grads.values()])
    assert np.array_equal(to_numpy(grads["all"]), in_order)
    assert in_order.any()


@pytest.mark.parametrize("flat", [False, True])
def test_assigning_a_parameter_reaches_the_layer_and_the_buffer(be, flat):
    network = two_layer(be.put)
    if flat:
        network.state.flatten()
    network.params["b2"] = be.put(np.full(7, 3.0))
    network.layers["Affine2"].W = be.put(np.zeros((6, 7)))
    np.testing.assert_array_equal(to_numpy(network.predict(be.put(X))), np.full((5, 7), 3.0))
    if flat and is_writable(network.state.like):
        buffer = to_numpy(network.state.optimizer_view()[0]["all"])
        np.testing.assert_array_equal(buffer[-7 - 42 :], [0.0] * 42 + [3.0] * 7)


@pytest.mark.parametrize("flat", [False, True])
def test_assigning_what_does_not_fit_is_an_error_and_changes_nothing(be, flat):
    network = two_layer(be.put)
    if flat:
        network.state.flatten()
    before = {key: to_numpy(value).copy() for key, value in network.params.items()}
    with pytest.raises(ShapeError, match=r"b2 has shape \(7,\), got a value of shape \(1,\)"):
        network.params["b2"] = be.put(np.ones(1))
    with pytest.raises(DtypeError, match="b2 is .*, got int"):
        network.params["b2"] = be.put(np.ones(7, dtype="int64"))
    with pytest.raises(ArrayMixError, match="b2 is a .*, got list"):
        network.params["b2"] = [1.0] * 7
    with pytest.raises(KeyError, match="no parameter 'W3'; there are W1, b1, W2, b2"):
        network.params["W3"] = be.put(np.ones(1))
    with pytest.raises(TypeError, match="cannot be deleted"):
        del network.params["W1"]
    assert same_bits(network.params, before)


def test_a_flattened_layer_refuses_a_weight_of_another_shape():
    network = flattened(two_layer(np.asarray))
    with pytest.raises(ShapeError, match=r"Affine.b has shape \(7,\), got a value of shape \(1,\)"):
        network.layers["Affine2"].b = np.ones(1)


class OwnAffine(Affine):
    """A reader's own layer, that knows nothing of ``self.out``."""

    def backward(self, dout):
        self.dW = self.x.T @ dout
        self.db = dout.sum(axis=0)
        return dout @ self.W.T


@pytest.mark.bits
def test_a_layer_that_makes_its_gradients_anew_is_gathered_into_the_buffer():
    def network(kind):
        return Network([kind(numbers(5, 12, 6), numbers(6, 6)), Relu(), kind(numbers(7, 6, 7), numbers(8, 7))])

    own, plain = flattened(network(OwnAffine)), flattened(network(Affine))
    for _ in range(2):
        own.compute_gradients(X, LABELS)
        plain.compute_gradients(X, LABELS)
        assert np.array_equal(own.state.optimizer_view()[1]["all"], plain.state.optimizer_view()[1]["all"])


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, copy.copy, lambda n: n.copy(), lambda n: pickle.loads(pickle.dumps(n))]
)
@pytest.mark.parametrize("flat", [False, True])
def test_a_copy_is_a_network_of_its_own_with_its_own_buffer(copied, flat):
    network = two_layer(np.asarray)
    if flat:
        network.state.flatten()
    network.gradient(X, LABELS)
    before = {key: value.copy() for key, value in network.params.items()}
    twin = copied(network)
    assert same_bits(twin.params, before)
    params, _ = twin.state.optimizer_view()
    for key in list(params):
        params[key] -= 1.0
    assert all(np.array_equal(twin.params[key], before[key] - 1.0) for key in before)
    assert same_bits(network.params, before)
    params, _ = network.state.optimizer_view()
    for key in list(params):
        params[key] += 1.0
    assert all(np.array_equal(network.params[key], before[key] + 1.0) for key in before)


def test_moving_changes_backend_and_dtype_and_keeps_the_numbers(be):
    network = flattened(TwoLayerNet(12, 6, 7, seed=0, dtype="float32", backend="numpy"))
    before = {key: value.copy() for key, value in network.params.items()}
    assert network.to(be.backend, dtype=be.dtype) is network
    assert all(type(value) is type(be.put(X)) for value in network.params.values())
    assert network.dtype == be.dtype
    assert same_bits(network.params, before)
    grads = network.gradient(be.put(X), be.put(LABELS))
    assert {dtype_name(grad) for grad in grads.values()} == {be.dtype}
    if is_writable(network.state.like):
        assert "all" in network.state.optimizer_view()[0]  # laid flat again
    assert same_bits(network.to("numpy", dtype="float32").params, before)


@pytest.mark.parametrize("flat", [False, True])
def test_a_layer_that_forgets_a_gradient_is_an_error_and_never_trains_on_a_stale_one(flat):
    layer = Affine(numbers(5, 12, 7), numbers(6, 7))
    network = Network([layer])
    if flat:
        network.state.flatten()
    network.gradient(X, LABELS)

    def forgets_db(dout):
        layer.dW = layer.x.T @ dout

    layer.backward = forgets_db
    with pytest.raises(ArgumentError, match=r"Affine\(12 -> 7\) has a parameter b, but its backward sets no `self.db`"):
        network.gradient(X, LABELS)


def test_assigning_writes_in_place_what_a_capture_refers_to():
    network = Network([Affine(numbers(5, 12, 7), numbers(6, 7)), BatchNormalization(numbers(7, 7), numbers(8, 7))])
    network.gradient(X, LABELS)  # makes the statistics
    affine, normalization = network.layers.values()
    mean, W = normalization.running_mean, affine.W
    network.state.statistics["running_mean1"] = numbers(9, 7)
    assert normalization.running_mean is mean
    assert np.array_equal(mean, numbers(9, 7))
    network.params["W1"] = value = numbers(10, 12, 7)
    assert affine.W is value  # no buffer: the course's dictionary
    assert not np.array_equal(W, value)
    network.state.flatten()
    view = affine.W
    network.params["W1"] = numbers(11, 12, 7)
    assert affine.W is view
    assert np.array_equal(network.state.buffers.params[: view.size], numbers(11, 12, 7).ravel())


def test_a_buffer_is_kept_while_the_layers_hold_its_views():
    network = flattened(TwoLayerNet(12, 6, 7, seed=0))
    buffers = network.state.buffers
    network.state.flatten()
    assert network.state.buffers is buffers
    other = copy.deepcopy(network)
    other.state.flatten()
    network.state.flatten()
    assert network.state.buffers is buffers
    assert other.state.buffers is not buffers
