"""The kernels' sources with no GPU: compiled by NVRTC for each architecture, and their arithmetic run on the CPU.

What is private in CuPy is used as CuPy 14.2 has it.
"""

import dataclasses
import itertools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fused_operations as operations
import numpy as np
import pytest
from cuda_on_cpu import COMPILER, cupy_on_cpu
from fused_operations import launch

from xpnet.engine import kernels
from xpnet.engine.kernels import elementwise, rows
from xpnet.engine.kernels.operation import C_TYPES, OPTIONS, ElementKernel, RowKernel

ARCHITECTURES = ("75", "80", "86", "89", "90", "100", "120")
"""Turing, Ampere (data centre, then desktop), Ada, Hopper, Blackwell (data centre, then desktop)."""

TYPES: dict[str, list[dict[str, str]]] = {
    "gather": [
        {"X": x, "L": targets, "I": "int64", "T": dtype}
        for dtype in C_TYPES
        for x, targets in itertools.product(("uint8", dtype), ("int64", dtype))
    ],
    **{
        name: [{"T": dtype} for dtype in C_TYPES]
        for name in ("adam_update", "bias_relu", "relu_gradient", "sgd_update")
    },
}
"""What the type names of each elementwise kernel stand for, in each way that it is used."""

ELEMENT_KERNELS = {value.name: value for value in vars(elementwise).values() if isinstance(value, ElementKernel)}
ROW_KERNELS = {value.name: value for value in vars(rows).values() if isinstance(value, RowKernel)}
KERNELS: dict[str, Any] = {**ELEMENT_KERNELS, **ROW_KERNELS}


def test_every_operation_has_its_kernel_here():
    assert set(KERNELS) == set(kernels.__all__)
    assert set(TYPES) == set(ELEMENT_KERNELS)


# --- NVRTC ------------------------------------------------------------------------------------------------------------

Compile = Callable[[str, tuple[str, ...], str], bytes]


@pytest.fixture(scope="module")
def compile_cuda() -> Any:
    """A function that compiles a source for an architecture, as CuPy would on a device of it."""
    with pytest.MonkeyPatch.context() as patch:
        try:
            from cupy.cuda import compiler

            # CuPy's own asks the device, even where it is told the architecture.
            patch.setattr(compiler, "_get_arch_for_options_for_nvrtc", lambda arch: (f"-arch=sm_{arch}", "cubin"))

            def compile_source(source: str, options: tuple[str, ...], arch: str) -> bytes:
                return compiler.compile_using_nvrtc(source, (*options, "-ftz=true"), arch)[0]

            compile_source('extern "C" __global__ void nothing() {}', (), ARCHITECTURES[0])
        except Exception as error:  # no CuPy, no NVRTC, or a CuPy whose private names are others
            reason = f"cannot compile with NVRTC: {type(error).__name__}: {error}"
            if os.environ.get("XPNET_NEEDS_NVRTC"):
                pytest.fail(f"XPNET_NEEDS_NVRTC is set, but this {reason}")
            pytest.skip(reason)
        yield compile_source


def elementwise_source(
    kernel: ElementKernel, types: dict[str, str], numbers: tuple[str, ...], ndim: int
) -> tuple[str, tuple[str, ...]]:
    """The source and the options that CuPy makes of an elementwise kernel: `numbers` are Python's, the rest arrays.

    One-dimensional arrays are without gaps, others lie as they please.
    """
    import cupy
    from cupy._core import _carray, _kernel, _scalar, core

    array, indexer, scalar = 1, 2, 3  # CuPy's ARG_KIND_NDARRAY, ARG_KIND_INDEXER, ARG_KIND_SCALAR
    made = kernel.compiled
    infos = []
    for parameter in (*made.in_params, *made.out_params):
        dtype = np.dtype(types.get(parameter.ctype, "int64"))
        if parameter.name in numbers:
            infos.append(_kernel._ArgInfo(scalar, _scalar.CScalar, dtype, 0, True, True))
        else:
            infos.append(_kernel._ArgInfo(array, cupy.ndarray, dtype, ndim, ndim == 1, True))
    infos.append(_kernel._ArgInfo(indexer, _carray.Indexer, None, ndim, True, True))
    type_map = _kernel._TypeMap(tuple((name, np.dtype(dtype)) for name, dtype in sorted(types.items())))
    code = _kernel._get_elementwise_kernel_code(
        tuple(infos), type_map, made.params, made.operation, made.name, made.preamble
    )
    headers = "".join(f"#include <{header}>\n" for header in core._cupy_header_list)
    return headers + code, core.assemble_cupy_compiler_options(made.kwargs["options"])


def planted(kernel: Any, right: str, wrong: str) -> Any:
    """The kernel with a fault."""
    field = "operation" if isinstance(kernel, ElementKernel) else "source"
    source = getattr(kernel, field)
    assert right in source
    return dataclasses.replace(kernel, **{field: source.replace(right, wrong)})


ALWAYS = ("x_width", "t_width", "scale", "share1", "share2")
SOMETIMES = ("lr", "rate", "eps")
"""The arguments that are Python's numbers, and those that are in some calls and lie on the device in others."""


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("name", ELEMENT_KERNELS)
def test_nvrtc_compiles_each_elementwise_kernel(compile_cuda, name, arch):
    for types in TYPES[name]:
        for numbers, ndim in ((ALWAYS, 1), ((*ALWAYS, *SOMETIMES), 2)):
            cubin = compile_cuda(*elementwise_source(ELEMENT_KERNELS[name], types, numbers, ndim), arch)
            assert cubin.startswith(b"\x7fELF")


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("name", ROW_KERNELS)
def test_nvrtc_compiles_each_row_kernel(compile_cuda, name, arch):
    for dtype in C_TYPES:
        assert compile_cuda(ROW_KERNELS[name].code(dtype), OPTIONS, arch).startswith(b"\x7fELF")


def test_nvrtc_refuses_a_typing_error(compile_cuda):
    from cupy.cuda.compiler import CompileException

    relu, softmax = ELEMENT_KERNELS["relu_gradient"], ROW_KERNELS["softmax_cross_entropy"]
    misspelt = planted(relu, "dout * ", "doubt * ")
    with pytest.raises(CompileException, match="doubt"):
        compile_cuda(*elementwise_source(misspelt, {"T": "float32"}, (), 1), "90")
    with pytest.raises(CompileException, match="totel"):
        compile_cuda(planted(softmax, "/ total", "/ totel").code("float32"), OPTIONS, "90")


# --- the same sources on the CPU --------------------------------------------------------------------------------------

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="needs a C++20 compiler: c++, g++ or clang++")


@pytest.fixture(params=C_TYPES)
def dtype(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A dtype, with CuPy's stand-in in place."""
    monkeypatch.setitem(sys.modules, "cupy", cupy_on_cpu(tmp_path))
    for kernel in KERNELS.values():
        use(kernel, monkeypatch)
    return request.param


def use(kernel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the operation launch this kernel, not yet compiled, in place of its own."""
    module = elementwise if isinstance(kernel, ElementKernel) else rows
    monkeypatch.setattr(module, kernel.name.upper(), dataclasses.replace(kernel))


def assert_close(actual: np.ndarray, expected: np.ndarray, eps: float) -> None:
    """Within `eps` units of the dtype's, relative to the largest number; equal where `eps` is 0."""
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
            for actual, expected in zip(launch(operations.gather, *args), operations.gather.plain(*args), strict=True):
                assert actual.dtype == expected.dtype
                np.testing.assert_array_equal(actual, expected)


def check_bias_relu(dtype: str) -> None:
    y, b = numbers(dtype, 5, 7), numbers(dtype, 7)
    y[2], b[:3] = AWKWARD, 0
    expected = operations.bias_relu.plain(y.copy(), b)
    assert launch(operations.bias_relu, y, b) is y
    assert_close(y, expected, 0)


def check_relu_gradient(dtype: str) -> None:
    dout, y = numbers(dtype, 5, 7), numbers(dtype, 5, 7)[::-1].copy()
    y[2], dout[3] = AWKWARD, AWKWARD
    with np.errstate(invalid="ignore"):  # infinity times 0
        assert_close(launch(operations.relu_gradient, dout, y), operations.relu_gradient.plain(dout, y), 0)


def check_sgd_update(dtype: str) -> None:
    for lr in (0.1, np.array(0.1, dtype)):
        params, grads = numbers(dtype, 1000), numbers(dtype, 1000)[::-1].copy()
        (expected,) = operations.sgd_update.plain(params.copy(), grads, lr)
        assert launch(operations.sgd_update, params, grads, lr)[0] is params
        assert_close(params, expected, 0)


def check_adam_update(dtype: str) -> None:
    for rate, eps in ((0.01, 1e-3), (np.array(0.01, dtype), np.array(1e-3, dtype))):
        params, grads, m, v = numbers(dtype, 4, 1000)
        np.square(v, out=v)
        grads[:7], v[:9], m[7:9] = AWKWARD, 0, 0
        arrays, before = (params, m, v), grads.copy()
        expected = tuple(a.copy() for a in arrays)
        with np.errstate(invalid="ignore"):  # infinity by infinity
            for _ in range(3):
                operations.adam_update.plain(expected[0], grads, *expected[1:], rate, eps)
        for _ in range(3):
            results = launch(operations.adam_update, params, grads, m, v, rate, eps)
        for result, array, right in zip(results, arrays, expected, strict=True):
            assert result is array
            assert_close(array, right, 0)
        assert_close(grads, before, 0)


def check_softmax_cross_entropy(dtype: str) -> None:
    for n, classes in ((1, 1), (5, 10), (3, 32), (2, 77)):
        scores, b = 40 * numbers(dtype, n, classes), 40 * numbers(dtype, classes)
        labels = np.random.default_rng(0).integers(0, classes, n)
        before = scores.copy()
        for biases, t in ((b, labels), (None, labels), (b[::-1], np.eye(classes, dtype=dtype)[labels])):
            expected = operations.softmax_cross_entropy.plain(scores, biases, t)
            actual = launch(operations.softmax_cross_entropy, scores, biases, t)
            for ours, theirs in zip(actual, expected, strict=True):
                assert_close(ours, theirs, 8)
        assert_close(scores, before, 0)


def check_mean(dtype: str) -> None:
    for n in (1, 31, 100):
        x, places = numbers(dtype, n) ** 2, np.zeros(3, dtype)
        assert_close(launch(operations.mean, x), np.asarray(operations.mean.plain(x)), 8)
        launch(operations.mean, x, places[1, ...])
        assert_close(places, np.array([0, operations.mean.plain(x), 0], dtype), 8)


CHECKS = {name.removeprefix("check_"): check for name, check in globals().items() if name.startswith("check_")}


@needs_compiler
@pytest.mark.parametrize("name", CHECKS)
def test_on_the_cpu_a_kernel_computes_its_formula(name, dtype):
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


@needs_compiler
@pytest.mark.parametrize("dtype", ["float32"], indirect=True)
@pytest.mark.parametrize(("name", "right", "wrong"), FAULTS, ids=lambda text: text[:30])
def test_on_the_cpu_a_planted_fault_is_seen(name, right, wrong, dtype, monkeypatch):
    use(planted(KERNELS[name], right, wrong), monkeypatch)
    with pytest.raises(AssertionError), np.errstate(all="ignore"):
        CHECKS[name](dtype)


def test_on_the_cpu_a_wrong_argument_is_seen(dtype):
    with pytest.raises(TypeError, match="T is"):
        launch(operations.bias_relu, np.zeros((2, 3), dtype), np.zeros(3, np.uint8))
    with pytest.raises(TypeError, match="long long"):
        rows.MEAN(dtype, 1, np.zeros(3, dtype), 3.0, np.zeros((), dtype))
