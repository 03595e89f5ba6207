"""What a fused operation is, and the two kinds of kernel behind one."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeVar

import numpy as np

from xpnet._core.arrays import get_array_module
from xpnet._core.cupy import CupyNamespace
from xpnet.engine.traced_array import TracedNamespace

__all__ = ["C_TYPES", "OPTIONS", "ElementKernel", "FusedOperation", "RowKernel"]

OPTIONS = ("--fmad=false",)
"""What every kernel is compiled with."""

C_TYPES = {"float32": "float", "float64": "double"}
"""The dtypes that there are row kernels for, and what CUDA calls them."""

WARP = 32
"""The threads that run in step on a CUDA device and can exchange numbers without memory."""

P = ParamSpec("P")
R = TypeVar("R")


class FusedOperation(Generic[P, R]):
    """An operation with two forms, chosen by the library of its first argument.

    Decorates the plain formula; ``@operation.on_cupy`` decorates the function that launches the kernel.

    Attributes
    ----------
    name
        The operation's name; the backend that counts counts one launch under it.
    plain
        The formula in array functions.
    """

    def __init__(self, plain: Callable[P, R]) -> None:
        functools.update_wrapper(self, plain)
        self.name = plain.__name__
        self.plain = plain

    def on_cupy(self, launch: Callable[P, R]) -> Callable[P, R]:
        """Enter the function for arrays of CuPy."""
        self.launch = launch
        return launch

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Compute, by the kernel or by the formula."""
        xp = get_array_module(args[0])
        if xp is np:
            return self.plain(*args, **kwargs)
        if isinstance(xp, CupyNamespace):
            return self.launch(*args, **kwargs)
        if isinstance(xp, TracedNamespace):
            return xp.tracer.call(self, args, kwargs)
        return self.plain(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<fused operation {self.name}>"


@dataclass(frozen=True)
class ElementKernel:
    """A ``cupy.ElementwiseKernel``, made when it is first called and compiled for each dtype that comes."""

    name: str
    inputs: str
    outputs: str
    operation: str

    @functools.cached_property
    def compiled(self) -> Any:
        """CuPy's kernel."""
        import cupy

        return cupy.ElementwiseKernel(self.inputs, self.outputs, self.operation, self.name, options=OPTIONS)

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Launch it: inputs, then outputs, and ``size=`` where all of them are raw."""
        return self.compiled(*args, **options)


@dataclass(frozen=True)
class RowKernel:
    """A ``cupy.RawKernel`` in which one warp of 32 threads reduces one row; ``real`` is the dtype in its source."""

    name: str
    source: str

    def code(self, dtype: str) -> str:
        """The whole source for ``"float32"`` or ``"float64"``."""
        return f"typedef {C_TYPES[dtype]} real;\n{_WARP_REDUCTIONS}{self.source}"

    @functools.cached_property
    def _compiled(self) -> dict[str, Any]:
        import cupy

        return {dtype: cupy.RawKernel(self.code(dtype), self.name, options=OPTIONS) for dtype in C_TYPES}

    def __call__(self, dtype: str, rows: int, *args: Any) -> None:
        """Launch it with one warp a row; the arrays among the arguments lie in memory without gaps."""
        self._compiled[dtype]((rows,), (WARP,), args)


_WARP_REDUCTIONS = r"""
// The sum, and the largest, of the numbers that the 32 threads of a warp hold: in the end each thread has it.
__device__ real warp_sum(real x) {
    for (int distance = 16; distance > 0; distance /= 2) x += __shfl_xor_sync(0xffffffffu, x, distance);
    return x;
}
__device__ real warp_max(real x) {
    for (int distance = 16; distance > 0; distance /= 2) {
        const real other = __shfl_xor_sync(0xffffffffu, x, distance);
        if (other > x) x = other;
    }
    return x;
}
"""
