"""The elementwise operations: formulas equal to the layers' and optimizers' own, and kernels that agree with them."""

import fused_operations as operations
import numpy as np
import pytest
from kernel_numbers import SHAPES, check_equal, exact, numbers  # noqa: F401 - a fixture

from xpnet import Affine, Relu, asarray, to_numpy
from xpnet._core.arrays import as_inputs, dtype_name
from xpnet.backend import backend_of

# --- the plain formulas are the layers --------------------------------------------------------------------------------


@pytest.mark.bits
@pytest.mark.parametrize("shape", SHAPES)
def test_bias_relu_is_affine_and_relu(exact, shape):
    x, W, b = (exact.put(numbers(i, *s)) for i, s in enumerate(((shape[0], 4), (4, shape[1]), shape[1:])))
    relu = Relu()
    expected = relu.forward(Affine(W, b).forward(x))
    y = operations.bias_relu(exact.xp.matmul(x, W), b)
    check_equal(exact, y, expected)
    dout = exact.put(numbers(3, *shape))
    check_equal(exact, operations.relu_gradient(dout, y), relu.backward(dout))


def test_bias_relu_works_in_place():
    y = np.array([[1.0, -3.0]])
    assert operations.bias_relu(y, np.array([1.0, 2.0])) is y
    np.testing.assert_array_equal(y, [[2, 0]])


@pytest.mark.bits
@pytest.mark.parametrize("sample", [(), (7,), (2, 3)])
@pytest.mark.parametrize("kind", ["pixels", "same", "other float"])
@pytest.mark.parametrize("targets", ["index", "rows"])
def test_gather_takes_and_converts_a_minibatch(exact, sample, kind, targets):
    rng = np.random.default_rng(0)
    x = exact.put(numbers(1, 6, *sample))
    if kind == "pixels":
        x = exact.put(rng.integers(0, 256, (6, *sample), dtype=np.uint8))
    elif kind == "other float" and exact.name != "strict-no_float64":
        x = asarray(x, dtype={"float32": "float64", "float64": "float32"}[exact.dtype], like=x)
    t = exact.put(rng.integers(0, 10, 6) if targets == "index" else numbers(2, 6, 3))
    indices = exact.put(np.array([5, 0, 0, 2]))
    inputs, picked = operations.gather(x, t, indices, exact.put(1.0).dtype)
    check_equal(exact, inputs, as_inputs(exact.xp.take(x, indices, axis=0), exact.put(1.0).dtype))
    assert dtype_name(picked) == dtype_name(t)
    np.testing.assert_array_equal(to_numpy(picked), to_numpy(t)[[5, 0, 0, 2]])


def test_a_white_pixel_is_1():
    x, t = np.full((1, 1), 255, np.uint8), np.array([3])
    inputs, targets = operations.gather(x, t, np.array([0]), np.dtype("float32"))
    np.testing.assert_allclose(inputs, 1, rtol=1e-7)
    assert targets.tolist() == [3]


@pytest.mark.bits
@pytest.mark.parametrize("on_device", [False, True])
def test_sgd_update_is_the_optimizers_step(exact, on_device):
    params, grads = exact.put(numbers(1, 50)), exact.put(numbers(2, 50))
    expected = params - 0.1 * grads
    (updated,) = operations.sgd_update(params, grads, exact.put(np.array(0.1)) if on_device else 0.1)
    assert updated is params
    check_equal(exact, params, expected)


@pytest.mark.bits
@pytest.mark.parametrize("on_device", [False, True])
def test_adam_update_is_kingma_and_bas_step(exact, on_device):
    params, grads, m, v = (exact.put(numbers(i, 50)) for i in range(4))
    params, v = 2.0**-10 * params, v * v  # so small that each rounding of the change shows
    rate, eps = (exact.put(np.array(x)) if on_device else x for x in (0.01, 1e-3))
    expected_m, expected_v = m + (grads - m) * (1 - 0.9), v + (grads * grads - v) * (1 - 0.99)
    expected = params - expected_m / (exact.xp.sqrt(expected_v) + eps) * rate
    updated = operations.adam_update(params, grads, m, v, rate, eps)
    assert all(a is b for a, b in zip(updated, (params, m, v), strict=True))
    for actual, right in zip(updated, (expected, expected_m, expected_v), strict=True):
        check_equal(exact, actual, right)
    check_equal(exact, grads, numbers(1, 50))


# --- on every backend, CuPy's kernels among them ----------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_each_operation_agrees_with_its_formula_on_numpy(be, shape):
    """Where CuPy takes part it is the kernels that are compared here."""
    a, b, c = (numbers(i, *s).astype(be.dtype) for i, s in enumerate((shape, shape, shape[1:])))
    be.check(operations.bias_relu(be.put(a.copy()), be.put(c)), operations.bias_relu(a.copy(), c))
    be.check(operations.relu_gradient(be.put(a), be.put(b)), operations.relu_gradient(a, b))
    lr = np.array(0.1, be.dtype)
    for rate, there in ((0.1, 0.1), (lr, be.put(lr))):
        (actual,), (expected,) = (
            operations.sgd_update(be.put(a.copy()), be.put(b), there),
            operations.sgd_update(a.copy(), b, rate),
        )
        be.check(actual, expected)
    for rate, eps in ((0.01, 1e-3), (lr, np.array(1e-3, be.dtype))):
        arrays = [a.copy(), b, a.copy(), b * b]
        there = [be.put(x.copy()) if isinstance(x, np.ndarray) else x for x in (*arrays, rate, eps)]
        ours, formula = operations.adam_update(*there), operations.adam_update(*arrays, rate, eps)
        for actual, expected in zip(ours, formula, strict=True):
            be.check(actual, expected)


@pytest.mark.parametrize("sample", [(), (784,), (2, 3)])
@pytest.mark.parametrize("pixels", [True, False])
def test_gather_agrees_with_its_formula_on_numpy(be, sample, pixels):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (9, *sample), dtype=np.uint8) if pixels else numbers(1, 9, *sample).astype(be.dtype)
    indices = np.array([8, 0, 3, 3])
    for t in (rng.integers(0, 10, 9), numbers(2, 9, 4).astype(be.dtype)):
        expected = operations.gather(x, t, indices, np.dtype(be.dtype))
        inputs, targets = operations.gather(be.put(x), be.put(t), be.put(indices), be.put(1.0).dtype)
        be.check(inputs, expected[0], eps=0)
        assert backend_of(targets).xp is be.xp
        np.testing.assert_array_equal(to_numpy(targets), expected[1])


def test_awkward_numbers_come_out_as_numpys(be):
    awkward = np.array([[-1.5, -0.0, 0.0, 2.0, np.nan, np.inf, -np.inf]])
    be.check(
        operations.bias_relu(be.put(awkward.copy()), be.put(np.zeros(7))),
        operations.bias_relu(awkward.copy(), np.zeros(7)),
    )
    be.check(operations.relu_gradient(be.put(np.ones((1, 7))), be.put(awkward)), np.array([[0.0, 0, 0, 1, 0, 1, 0]]))
