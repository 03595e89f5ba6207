"""Each kernel on CuPy's own code on a CPU: it computes its formula to the bit, and planted faults are seen."""

import dataclasses
from typing import Any

import fused_operations as operations
import numpy as np
import pytest
from cuda_device import needs_stand_in
from fused_operations import KERNELS, launch, planted

from xpnet.engine.kernels import elementwise, rows
from xpnet.engine.kernels.operation import C_TYPES, OPTIONS, ElementKernel

pytestmark = needs_stand_in


class Checked:
    """A raw kernel that takes only what its source declares: CuPy would take the bytes of anything."""

    def __init__(self, code: str, name: str, **options: Any) -> None:
        import cupy

        self.kernel = cupy.RawKernel(code, name, **options)
        signature = code.partition(f"void {name}(")[2].partition(")")[0]
        self.kinds = [parameter.strip().rsplit(" ", 1)[0] for parameter in signature.split(",")]
        self.real = {"float": np.dtype("float32"), "double": np.dtype("float64")}[code.split()[1]]

    def __call__(self, grid: tuple[int], block: tuple[int], args: tuple[Any, ...]) -> None:
        assert block == (32,)
        for kind, argument in zip(self.kinds, args, strict=True):
            if not self.fits(kind, argument):
                raise TypeError(f"{argument!r} is no {kind}.")
        self.kernel(grid, block, args)

    def fits(self, kind: str, argument: Any) -> bool:
        import cupy

        if kind.endswith("*"):
            dtype = np.int64 if "long long" in kind else self.real
            is_array = isinstance(argument, cupy.ndarray)
            return argument is None or (is_array and argument.dtype == dtype and argument.flags.c_contiguous)
        if kind == "long long":
            return type(argument) is int
        return kind == "real" and isinstance(argument, np.generic) and argument.dtype == self.real


@pytest.fixture(params=C_TYPES)
def dtype(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A dtype, with kernels whose arguments are checked, and 77 in new memory, so that what nobody writes is seen."""
    import cupy

    def empty(shape: Any, dtype: Any) -> Any:
        array = cupy.ndarray(shape, dtype)
        array.fill(77)
        return array

    monkeypatch.setattr(cupy, "empty", empty)
    for kernel in KERNELS.values():
        use(kernel, monkeypatch)
    return request.param


def use(kernel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the operation launch this kernel, not yet compiled, in place of its own."""
    module = elementwise if isinstance(kernel, ElementKernel) else rows
    fresh = dataclasses.replace(kernel)
    if module is rows:
        vars(fresh)["_compiled"] = {name: Checked(kernel.code(name), kernel.name, options=OPTIONS) for name in C_TYPES}
    monkeypatch.setattr(module, kernel.name.upper(), fresh)


def put(a: Any) -> Any:
    """An array of NumPy's on the device, reversed where it is reversed; anything else as it is."""
    import cupy

    if not isinstance(a, np.ndarray):
        return a
    return cupy.asarray(a[::-1])[::-1] if a.ndim == 1 and a.strides[0] < 0 else cupy.asarray(a)


def assert_close(actual: np.ndarray, expected: np.ndarray, eps: float) -> None:
    """Within `eps` units of the dtype's, relative to the largest number; equal where `eps` is 0."""
    actual = actual.get()
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    scale = np.max(np.abs(expected)) * np.finfo(expected.dtype).eps if eps else 0
    np.testing.assert_allclose(actual, expected, rtol=0, atol=eps * scale)


AWKWARD = np.array([-1.5, -0.0, 0.0, 2.0, np.nan, np.inf, -np.inf])


def numbers(dtype: str, *shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(dtype)


def check_gather(dtype: str) -> None:
    rng = np.random.default_rng(0)
    for x in (rng.integers(0, 256, (9, 2, 3), dtype=np.uint8), numbers(dtype, 9, 6), numbers(dtype, 9)):
        for t in (rng.integers(0, 10, 9), numbers(dtype, 9, 8)):
            args = (x, t, np.array([8, 0, 3, 3]), np.dtype(dtype))
            found = launch(operations.gather, *map(put, args))
            for actual, expected in zip(found, operations.gather.plain(*args), strict=True):
                assert_close(actual, expected, 0)


def check_bias_relu(dtype: str) -> None:
    y, b = numbers(dtype, 5, 7), numbers(dtype, 7)
    y[2], b[:3] = AWKWARD, 0
    expected = operations.bias_relu.plain(y.copy(), b)
    there = put(y)
    assert launch(operations.bias_relu, there, put(b)) is there
    assert_close(there, expected, 0)


def check_relu_gradient(dtype: str) -> None:
    dout, y = numbers(dtype, 5, 7), numbers(dtype, 5, 7)[::-1].copy()
    y[2], dout[3] = AWKWARD, AWKWARD
    with np.errstate(invalid="ignore"):  # infinity times 0
        expected = operations.relu_gradient.plain(dout, y)
    assert_close(launch(operations.relu_gradient, put(dout), put(y)), expected, 0)


def check_sgd_update(dtype: str) -> None:
    for lr in (0.1, np.array(0.1, dtype)):
        params, grads = numbers(dtype, 1000), numbers(dtype, 1000)[::-1].copy()
        (expected,) = operations.sgd_update.plain(params.copy(), grads, lr)
        there = put(params)
        assert launch(operations.sgd_update, there, put(grads), put(lr))[0] is there
        assert_close(there, expected, 0)


def check_adam_update(dtype: str) -> None:
    for rate, eps in ((0.01, 1e-3), (np.array(0.01, dtype), np.array(1e-3, dtype))):
        params, grads, m, v = numbers(dtype, 4, 1000)
        np.square(v, out=v)
        grads[:7], v[:9], m[7:9] = AWKWARD, 0, 0
        expected = (params, m, v)
        W, dW, *slots = map(put, (params, grads, m, v))
        with np.errstate(invalid="ignore"):  # infinity by infinity
            for _ in range(3):
                operations.adam_update.plain(params, grads, m, v, rate, eps)
        for _ in range(3):
            results = launch(operations.adam_update, W, dW, *slots, put(rate), put(eps))
        for result, array, right in zip(results, (W, *slots), expected, strict=True):
            assert result is array
            assert_close(array, right, 0)
        assert_close(dW, grads, 0)


def check_softmax_cross_entropy(dtype: str) -> None:
    for n, classes in ((1, 1), (5, 10), (3, 32), (2, 77)):
        scores, b = 40 * numbers(dtype, n, classes), 40 * numbers(dtype, classes)
        labels = np.random.default_rng(0).integers(0, classes, n)
        there = put(scores)
        for biases, t in ((b, labels), (None, labels), (b[::-1], np.eye(classes, dtype=dtype)[labels])):
            expected = operations.softmax_cross_entropy.plain(scores, biases, t)
            actual = launch(operations.softmax_cross_entropy, there, put(biases), put(t))
            for ours, theirs in zip(actual, expected, strict=True):
                assert_close(ours, theirs, 8)
        assert_close(there, scores, 0)


def check_mean(dtype: str) -> None:
    for n in (1, 31, 100):
        x, places = numbers(dtype, n) ** 2, put(np.zeros(3, dtype))
        assert_close(launch(operations.mean, put(x)), np.asarray(operations.mean.plain(x)), 8)
        launch(operations.mean, put(x), places[1, ...])
        assert_close(places, np.array([0, operations.mean.plain(x), 0], dtype), 8)


CHECKS = {name.removeprefix("check_"): check for name, check in globals().items() if name.startswith("check_")}


@pytest.mark.parametrize("name", CHECKS)
def test_a_kernel_computes_its_formula(name, dtype):
    CHECKS[name](dtype)


FAULTS = [
    ("gather", "T(x[sample * x_width + column]) * scale", "T(x[sample * x_width + column])"),
    ("gather", "x[sample * x_width", "x[row * x_width"),
    ("gather", "t[sample * t_width", "t[row * t_width"),
    ("bias_relu", "y + b", "y"),
    ("bias_relu", "z <= T(0)", "!(z > T(0))"),  # a NaN would become 0
    ("relu_gradient", "y > T(0)", "y >= T(0)"),
    ("relu_gradient", "y > T(0)", "dout > T(0)"),
    ("sgd_update", "-=", "+="),
    ("adam_update", "(grads - m) * share1", "grads * share1"),
    ("adam_update", "share1;", "share2;"),
    ("adam_update", "* share2", "* share1"),
    ("adam_update", "grads * grads", "grads"),
    ("adam_update", "sqrt(v) + eps", "sqrt(v + eps)"),
    ("adam_update", "+ eps", ""),
    ("adam_update", "m / (sqrt(v) + eps) * rate", "(m * rate) / (sqrt(v) + eps)"),  # rounds in another order
    ("adam_update", "* rate", ""),
    ("adam_update", "params -=", "params +="),
    ("softmax_cross_entropy", "- t) * scale", "- t)"),
    ("softmax_cross_entropy", "labels[row] == c", "labels[row] == c + 1"),
    ("softmax_cross_entropy", "labels[row] == c", "labels[0] == c"),
    ("softmax_cross_entropy", "b ? s[c] + b[c] : s[c]", "s[c]"),
    ("softmax_cross_entropy", "log_total - shifted", "-shifted"),
    ("softmax_cross_entropy", "highest = warp_max(highest);", "highest = 0;"),
    ("softmax_cross_entropy", "highest = warp_max(highest);", ""),
    ("softmax_cross_entropy", "total = warp_sum(total);", ""),
    ("softmax_cross_entropy", "loss = warp_sum(loss);", ""),
    ("mean", "sum / n", "sum"),
    ("mean", "sum = warp_sum(sum);", ""),
]


@pytest.mark.parametrize("dtype", ["float32"], indirect=True)
@pytest.mark.parametrize(("name", "right", "wrong"), FAULTS, ids=lambda text: text[:30])
def test_a_planted_fault_is_seen(name, right, wrong, dtype, monkeypatch):
    use(planted(KERNELS[name], right, wrong), monkeypatch)
    with pytest.raises(AssertionError), np.errstate(all="ignore"):
        CHECKS[name](dtype)


def test_a_wrong_argument_is_seen(dtype):
    """CuPy looks at the arguments of elementwise kernels, `Checked` at those of raw ones."""
    with pytest.raises(TypeError, match="mismatch"):
        launch(operations.bias_relu, put(np.zeros((2, 3), dtype)), put(np.zeros(3, np.uint8)))
    with pytest.raises(TypeError, match="long long"):
        rows.MEAN(dtype, 1, put(np.zeros(3, dtype)), 3.0, put(np.zeros((), dtype)))
