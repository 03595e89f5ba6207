"""The activations on huge and tiny numbers: their values and gradients against double precision."""

import numpy as np
import pytest

from xpnet import Gelu, LeakyRelu, Relu, Sigmoid, Tanh

MAGNITUDES = [1e-45, 1e-38, 1e-20, 1e-4, 1.0, 6.0, 21.0, 90.0, 1e4, 1e10, 1e20, 3e38]

FORMULAS = {
    "Relu": (Relu(), lambda x: np.maximum(x, 0), lambda x: (x > 0) * 1.0),
    "Sigmoid": (Sigmoid(), lambda x: 1 / (1 + np.exp(-x)), lambda x: np.exp(-abs(x)) / (1 + np.exp(-abs(x))) ** 2),
    "Tanh": (Tanh(), np.tanh, lambda x: 1 / np.cosh(x) ** 2),
    "LeakyRelu": (LeakyRelu(0.1), lambda x: np.where(x > 0, x, 0.1 * x), lambda x: np.where(x > 0, 1.0, 0.1)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FORMULAS)
def test_activations_of_huge_and_tiny_numbers(name, dtype):
    """Their formulas, computed in extended precision."""
    layer, formula, derivative = FORMULAS[name]
    x = np.array([0.0, *MAGNITUDES, *(-m for m in MAGNITUDES)]).astype(dtype)
    eps = np.finfo(dtype).eps
    with np.errstate(all="ignore"):
        exact = x.astype(np.longdouble)
        np.testing.assert_allclose(layer.forward(x), formula(exact).astype(dtype), rtol=4 * eps)
        found = layer.backward(np.ones_like(x))
        np.testing.assert_allclose(found, derivative(exact).astype(dtype), rtol=1e-5, atol=2 * eps)
    assert found.dtype == dtype


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gelu_and_its_gradient_far_out(dtype):
    """As in PyTorch: beyond about 6 it is x or 0, and its derivative 1 or 0."""
    layer, x = Gelu(), np.array([-3e38, -1e20, -1e10, -21, -20, -9, 9, 20, 21, 1e10, 1e20, 3e38]).astype(dtype)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(layer.forward(x), np.maximum(x, 0), atol=1e-6)
        np.testing.assert_allclose(layer.backward(np.ones_like(x)), x > 0, atol=1e-5)


def test_the_gradient_of_leaky_relu_at_zero_is_the_slope():
    """As in PyTorch."""
    layer = LeakyRelu(0.25)
    layer.forward(np.array([-0.0, 0.0]))
    assert layer.backward(np.array([1.0, 2.0])).tolist() == [0.25, 0.5]
