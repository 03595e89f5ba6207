"""The kernels' sources compiled by NVRTC for each architecture, with no GPU.

What is private in CuPy is used as CuPy 14.2 has it.
"""

import itertools
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fused_operations import ELEMENT_KERNELS, KERNELS, ROW_KERNELS, planted

from xpnet.engine import kernels
from xpnet.engine.kernels.operation import C_TYPES, OPTIONS, ElementKernel

ARCHITECTURES = ("75", "80", "86", "89", "90", "100", "120")
"""Turing, Ampere (data center, then desktop), Ada, Hopper, Blackwell (data center, then desktop)."""

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
