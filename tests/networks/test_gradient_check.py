"""The numerical gradient of a network, and the check of backpropagation: against sums by hand, and a planted fault."""

import numpy as np
import pytest

from xpnet import Affine, IdentityWithLoss, MultiLayerNet, Network, Relu, check_gradient, to_numpy
from xpnet.networks.gradient_check import numerical_network_gradient


def test_a_regression_by_hand():
    """The loss (x w + b - t)**2 / 2, whose gradients are (x w + b - t) x and x w + b - t."""
    network = Network([Affine(np.array([[3.0]]), np.array([1.0]))], IdentityWithLoss())
    grads = numerical_network_gradient(network, np.array([[2.0]]), np.array([[4.0]]), None)
    assert grads["W1"] == pytest.approx(np.array([[6.0]]), rel=1e-6)
    assert grads["b1"] == pytest.approx(np.array([3.0]), rel=1e-6)
    assert network.params["W1"].tolist() == [[3.0]]


def test_the_network_stays_as_it_was_and_gets_its_own_dtype(be):
    network = MultiLayerNet(4, [3], 2, use_batchnorm=True, seed=0, dtype=be.dtype, backend=be.backend)
    before = {key: to_numpy(value).copy() for key, value in network.state.weights().items()}
    x, t = be.put(np.random.default_rng(0).standard_normal((5, 4))), be.put(np.array([0, 1, 1, 0, 1]))
    if be.name != "strict-no_float64":  # it is computed in float64
        grads = numerical_network_gradient(network, x, t, None)
        assert {str(grad.dtype).rpartition(".")[2] for grad in grads.values()} == {be.dtype}
    for key, value in network.state.weights().items():
        np.testing.assert_array_equal(to_numpy(value), before[key])


class HalfRelu(Relu):
    """A fault of a half."""

    def backward(self, dout):
        return 0.5 * super().backward(dout)


@pytest.mark.parametrize("kind", [Relu, HalfRelu])
def test_a_wrong_backward_is_seen_before_the_layer_that_has_it(kind):
    rng = np.random.default_rng(0)
    W1, W2 = rng.standard_normal((4, 5)), rng.standard_normal((5, 3))
    network = Network([Affine(W1, np.zeros(5)), kind(), Affine(W2, np.zeros(3))])
    errors = check_gradient(network, rng.standard_normal((6, 4)), np.array([0, 1, 2, 0, 1, 2]))
    assert max(errors["W2"], errors["b2"]) < 1e-9
    assert (errors["W1"] > 1e-3) == (kind is HalfRelu)
