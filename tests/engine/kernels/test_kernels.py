"""The fused operations: their plain formulas are the layers' own to the bit, their kernels agree with the formulas."""

import fused_operations as operations
import numpy as np
import pytest
from matrix import ABSENT, PLACES, Place

from xpnet import Affine, Relu, SoftmaxWithLoss, asarray, to_numpy
from xpnet._core.arrays import as_inputs, dtype_name
from xpnet._core.cupy import CupyNamespace
from xpnet.backend import backend_of
from xpnet.engine import kernels
from xpnet.engine.kernels.operation import FusedOperation, one_kernel
from xpnet.functions import one_hot
from xpnet.testing.counting import COUNTING, count_operations

EXACT = [place for place in PLACES if place.name == "numpy" or place.name.startswith("strict")]
"""Where nothing but our code could make a bit differ: these compute with NumPy's own functions."""

SHAPES = [(1, 1), (1, 10), (5, 1), (5, 10), (3, 77)]


@pytest.fixture(params=EXACT, ids=lambda place: f"{place.name}-{place.dtype}")
def exact(request: pytest.FixtureRequest) -> Place:
    return request.param


def numbers(seed: int, *shape: int) -> np.ndarray:
    """Numbers that float32 holds exactly, large enough to make a softmax one-sided here and there."""
    return (4 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32).astype(np.float64)


def check_equal(place: Place, actual, expected) -> None:
    """Same library, dtype, shape and bits."""
    place.check(actual, to_numpy(expected), eps=0)


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
@pytest.mark.parametrize("form", ["index", "one-hot"])
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_softmax_cross_entropy_is_softmax_with_loss(exact, shape, biased, form):
    scores, b = exact.put(numbers(1, *shape)), exact.put(numbers(2, shape[1])) if biased else None
    t = exact.put(np.random.default_rng(0).integers(0, shape[1], shape[0]))
    if form == "one-hot":
        t = one_hot(t, shape[1], scores.dtype)
    before = to_numpy(scores).copy()
    dscores, losses = operations.softmax_cross_entropy(scores, b, t)
    np.testing.assert_array_equal(to_numpy(scores), before)  # without a bias they are not the caller's own
    layer, x = SoftmaxWithLoss(), scores if b is None else scores + b
    each = [to_numpy(layer.compute_loss(x[i : i + 1, :], t[i : i + 1, ...])) for i in range(shape[0])]
    check_equal(exact, losses, np.array(each))
    loss = layer.compute_loss(x, t)
    check_equal(exact, dscores, layer.backward())
    exact.check(operations.mean(losses), to_numpy(loss), eps=4)


def test_the_loss_is_exact_where_the_right_class_is_far_behind(exact):
    scores = exact.put(np.array([[0.0, 100.0], [1000.0, 0.0], [0.0, 1000.0]]))
    dscores, losses = operations.softmax_cross_entropy(scores, None, exact.put(np.array([0, 0, 0])))
    exact.check(losses, np.array([100.0, 0, 1000]), eps=1)
    exact.check(dscores, np.array([[-1.0, 1], [0, 0], [-1, 1]]) / 3, eps=4)


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


def test_mean_is_written_where_it_is_wanted():
    losses = np.zeros(3)
    assert operations.mean(np.array([1.0, 2.0]), losses[1, ...]) == 1.5
    np.testing.assert_array_equal(losses, [0, 1.5, 0])


# --- on every backend, CuPy's kernels among them ----------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_each_operation_agrees_with_its_formula_on_numpy(be, shape):
    """Where CuPy takes part it is the kernels that are compared here."""
    a, b, c = (numbers(i, *s).astype(be.dtype) for i, s in enumerate((shape, shape, shape[1:])))
    t = np.random.default_rng(0).integers(0, shape[1], shape[0])
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
    be.check(operations.mean(be.put(a[:, 0])), operations.mean(a[:, 0]))
    for labels in (t, np.eye(shape[1], dtype=be.dtype)[t]):
        for bias in (c, None):
            actual = operations.softmax_cross_entropy(be.put(a), None if bias is None else be.put(bias), be.put(labels))
            for ours, expected in zip(actual, operations.softmax_cross_entropy(a, bias, labels), strict=True):
                be.check(ours, expected)


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


def test_a_label_out_of_range_makes_its_row_nan(be):
    scores = be.put(np.zeros((3, 4)))
    dscores, losses = operations.softmax_cross_entropy(scores, None, be.put(np.array([4, -1, 3])))
    nan = [np.nan] * 4
    be.check(dscores, np.array([nan, nan, [1 / 12, 1 / 12, 1 / 12, -1 / 4]]))
    be.check(losses, np.array([np.nan, np.nan, np.log(4)]))


@pytest.mark.skipif("cupy" in ABSENT, reason=f"CuPy does not take part: {ABSENT.get('cupy')}")
def test_every_operation_can_be_captured_in_a_cuda_graph():
    import cupy

    here = next(place for place in PLACES if place.name == "cupy")
    x, t = here.put(np.arange(12, dtype=np.uint8).reshape(4, 3)), here.put(np.array([0, 1, 2, 0]))
    indices, b, lr = here.put(np.array([3, 1])), here.put(numbers(1, 3)), here.put(np.array(0.1))
    params, loss = here.put(numbers(2, 2, 3)), here.put(np.array(0.0))
    weights, m, v = (here.put(numbers(3, 2, 3) ** 2) for _ in range(3))

    def step():
        inputs, targets = operations.gather(x, t, indices, params.dtype)
        dscores, losses = operations.softmax_cross_entropy(operations.bias_relu(inputs, b), b, targets)
        operations.mean(losses, loss)
        operations.sgd_update(params, operations.relu_gradient(dscores, inputs), lr)
        operations.adam_update(weights, dscores, m, v, lr, lr)

    state = (params, weights, m, v, loss)
    before = [array.copy() for array in state]
    step()  # compiles
    after = [to_numpy(array) for array in state]
    for array, old in zip(state, before, strict=True):
        array[...] = old
    pool, stream = cupy.cuda.MemoryPool(), cupy.cuda.Stream(non_blocking=True)
    cupy.cuda.Device().synchronize()
    with cupy.cuda.using_allocator(pool.malloc), stream:
        stream.begin_capture()
        step()
        graph = stream.end_capture()
        graph.launch(stream)
    stream.synchronize()
    for array, expected in zip(state, after, strict=True):
        here.check(array, expected, eps=0)


# --- the backend that counts ------------------------------------------------------------------------------------------


def test_an_operation_counts_as_one_launch():
    def put(a):
        return asarray(a, backend=COUNTING)

    y, b, t, lr = put(numbers(1, 4, 3)), put(numbers(2, 3)), put(np.array([0, 1, 2, 0])), put(np.array(0.1))
    x, indices, out = put(np.zeros((4, 5), np.uint8)), put(np.array([3, 3])), put(np.array(0.0))
    m, v = put(numbers(3, 4, 3)), put(numbers(4, 4, 3) ** 2)
    with count_operations() as counts:
        operations.gather(x, t, indices, y.dtype)
        operations.relu_gradient(y, y)
        _, losses = operations.softmax_cross_entropy(y, b, t)
        operations.mean(losses, out)
        operations.mean(losses, out=out)
        operations.sgd_update(y, y, lr)
        operations.adam_update(y, y, m, v, lr, lr)
        operations.bias_relu(y, b)
    assert counts.launches == dict.fromkeys(kernels.__all__, 1) | {"mean": 2}
    assert not counts.waits
    assert not counts.copies
    assert to_numpy(y).min() >= 0  # in place, also here
    assert to_numpy(out) == pytest.approx(to_numpy(losses).mean())
    with pytest.raises(TypeError, match="NumPy array met"):
        operations.bias_relu(y, np.zeros(3))


def test_arrays_of_cupy_go_to_the_kernel(monkeypatch):
    def kernel(x, **constants):
        return NotImplemented if x is None else ("kernel", constants)

    @one_kernel(kernel)
    def double(x):
        """Twice `x`."""
        return "formula"

    with_constant = FusedOperation(double.plain, kernel, beta=0.9)
    assert double(np.ones(3)) == with_constant(np.ones(3)) == "formula"
    monkeypatch.setattr("xpnet.engine.kernels.operation.get_array_module", lambda x: CupyNamespace(None))
    assert double(np.ones(3)) == ("kernel", {})
    assert with_constant(np.ones(3)) == ("kernel", {"beta": 0.9})
    assert double(None) == "formula"  # a dtype without a kernel
    assert repr(double) == "<fused operation kernel>"
    assert double.__doc__ == "Twice `x`."
