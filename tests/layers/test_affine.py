"""The affine layer: products by hand, every form of input, its gradients by definition, and how it is created."""

import numpy as np
import pytest

from xpnet import Affine, numerical_gradient, to_numpy
from xpnet.errors import ArgumentError, ArrayMixError, ShapeError


def test_by_hand(be):
    """Course row 12: each row of x times W, plus b; each gradient is the product of the other two."""
    layer = Affine(be.put(np.array([[1.0, 2, 3], [4, 5, 6]])), be.put(np.array([1.0, 2, 3])))
    be.check(layer.forward(be.put(np.array([[0.0, 0], [10, 10]]))), np.array([[1.0, 2, 3], [51, 72, 93]]))
    be.check(layer.backward(be.put(np.array([[1.0, 2, 3], [4, 5, 6]]))), np.array([[14.0, 32], [32, 77]]))
    be.check(layer.dW, np.array([[40.0, 50, 60], [40, 50, 60]]))
    be.check(layer.db, np.array([5.0, 7, 9]))


@pytest.mark.parametrize("shape", [(6,), (1, 6), (5, 6), (5, 2, 3), (5, 3, 1, 2)])
def test_every_form_of_input_is_a_batch_of_vectors(shape):
    rng = np.random.default_rng(0)
    W, b, x = rng.standard_normal((6, 4)), rng.standard_normal(4), rng.standard_normal(shape)
    layer = Affine(W, b)
    rows = x.reshape(-1, 6)
    y = layer.forward(x)
    assert y.shape == ((4,) if x.ndim == 1 else (len(rows), 4))
    np.testing.assert_allclose(y.reshape(-1, 4), np.einsum("nd,dh->nh", rows, W) + b, rtol=1e-13)
    dout = rng.standard_normal(y.shape)
    dx = layer.backward(dout)
    assert dx.shape == shape
    np.testing.assert_allclose(dx.reshape(-1, 6), np.einsum("nh,dh->nd", dout.reshape(-1, 4), W), rtol=1e-13)


def test_its_gradients_are_those_of_small_differences():
    rng = np.random.default_rng(0)
    W, b, x, dout = (rng.standard_normal(shape) for shape in ((3, 2), 2, (4, 3), (4, 2)))
    layer = Affine(W, b)
    layer.forward(x)
    dx = layer.backward(dout)
    for array, gradient in ((W, layer.dW), (b, layer.db), (x, dx)):
        expected = numerical_gradient(lambda _: float((dout * Affine(W, b).forward(x)).sum()), array)
        np.testing.assert_allclose(gradient, expected, rtol=1e-8, atol=1e-9)


def test_without_an_input_gradient_only_the_parameters_have_one():
    layer = Affine(np.ones((3, 2)), np.zeros(2))
    layer.needs_input_gradient = False
    layer.forward(np.ones((4, 3)))
    assert layer.backward(np.ones((4, 2))) is None
    assert layer.dW.tolist() == [[4.0, 4.0]] * 3


@pytest.mark.parametrize(("W", "b"), [((3,), (3,)), ((3, 2), (3,)), ((3, 2), (2, 1)), ((3, 2, 1), (2,))])
def test_parameters_that_do_not_fit(W, b):
    with pytest.raises(ShapeError, match=r"Affine expects weights W of shape \(D, H\) and biases b of shape \(H,\)"):
        Affine(np.zeros(W), np.zeros(b))


def test_sizes_in_place_of_arrays():
    with pytest.raises(ArrayMixError, match=r"Affine.W must be an array, got 1000. To create .* use `Affine.create`"):
        Affine(1000, 50)


def test_it_is_created_from_its_sizes(be):
    options = {"dtype": be.dtype, "backend": be.backend}
    layer = Affine.create(1000, 50, "he", rng=0, **options)
    W = to_numpy(layer.W)
    assert (W.shape, layer.W.dtype) == ((1000, 50), layer.b.dtype)
    assert abs(W.std() / np.sqrt(2 / 1000) - 1) < 0.02  # 50,000 numbers: a relative error of 0.003
    assert not to_numpy(layer.b).any()
    np.testing.assert_array_equal(W, to_numpy(Affine.create(1000, 50, "he", rng=0, **options).W))
    assert (layer.input_shape(), layer.output_shape((10, 100)), repr(layer)) == ((1000,), (50,), "Affine(1000 -> 50)")
    with pytest.raises(ShapeError, match="expects 1000 numbers a sample"):
        layer.output_shape((999,))
    with pytest.raises(ArgumentError, match="input size"):
        Affine.create(0, 50)
