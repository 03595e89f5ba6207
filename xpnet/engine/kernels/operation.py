"""Fused operations, and the two kinds of kernels that compute them on CuPy."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeVar

from xpnet._core.arrays import get_array_module
from xpnet._core.cupy import CupyNamespace
from xpnet.engine.traced_array import Tracer

OPTIONS = ("--fmad=false",)
"""What every kernel is compiled with."""

C_TYPES = {"float32": "float", "float64": "double"}
"""The dtypes of row kernels, and their names in CUDA."""

WARP = 32
"""The threads that a CUDA device runs in step, and that can exchange numbers without memory."""

P = ParamSpec("P")
R = TypeVar("R")


class FusedOperation(Generic[P, R]):
    """A function of arrays that is one kernel on CuPy, and its plain formula elsewhere.

    `plain`, the formula, belongs to a layer or an optimizer. `cuda`, a function of `xpnet.engine.kernels`, launches the
    kernel, with `constants` besides the arguments of `plain`; it returns NotImplemented for a dtype without a kernel.
    """

    def __init__(self, plain: Callable[P, R], cuda: Callable[..., Any], **constants: Any) -> None:
        functools.update_wrapper(self, plain)
        self.plain, self.cuda, self.constants = plain, cuda, constants
        self.__name__ = cuda.__name__

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Compute, as the array module of the first argument wants it."""
        xp = get_array_module(args[0])
        if isinstance(xp, Tracer):
            return xp.call(self, args, kwargs)
        result = self.cuda(*args, **kwargs, **self.constants) if isinstance(xp, CupyNamespace) else NotImplemented
        return self.plain(*args, **kwargs) if result is NotImplemented else result

    def __repr__(self) -> str:
        return f"<fused operation {self.__name__}>"


def one_kernel(cuda: Callable[..., Any]) -> Callable[[Callable[P, R]], FusedOperation[P, R]]:
    """A decorator that makes a plain formula a fused operation with the kernel that `cuda` launches."""
    return lambda plain: FusedOperation(plain, cuda)


@dataclass(frozen=True)
class ElementKernel:
    """A ``cupy.ElementwiseKernel``, created when it is first called and compiled for each dtype."""

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
        """Launch it with inputs, then outputs, and ``size=`` if all of them are raw."""
        return self.compiled(*args, **options)


@dataclass(frozen=True)
class RowKernel:
    """A ``cupy.RawKernel`` in which one warp of 32 threads reduces one row; ``real`` is the dtype in its source."""

    name: str
    source: str

    def code(self, dtype: str) -> str:
        """The source for ``"float32"`` or ``"float64"``."""
        return f"typedef {C_TYPES[dtype]} real;\n{_WARP_REDUCTIONS}{self.source}"

    @functools.cached_property
    def _compiled(self) -> dict[str, Any]:
        import cupy

        return {dtype: cupy.RawKernel(self.code(dtype), self.name, options=OPTIONS) for dtype in C_TYPES}

    def __call__(self, dtype: str, rows: int, *args: Any) -> None:
        """Launch it with one warp per row; the arrays among the arguments are contiguous."""
        self._compiled[dtype]((rows,), (WARP,), args)


_WARP_REDUCTIONS = r"""
// The sum, and the maximum, of the numbers of a warp's 32 threads; each thread gets it.
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
