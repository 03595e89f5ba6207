"""Matrix products that can be captured in a CUDA graph: cuBLAS through a handle of our own.

cuBLAS can be captured, but CuPy refuses (``setStream`` in its ``cublas.pyx``, which each of its wrappers calls first).
So cuBLAS is called here by ctypes. ``cupy_backends.cuda.libs.cublas`` could make the handle, but its products refuse,
and it has no ``cublasSetWorkspace``. ``nvmath.bindings.cublas`` has all that is needed, but would be one more
dependency, and calls itself experimental. ctypes needs nothing that CuPy has not installed: the functions are taken
from the very library that CuPy is linked with.

A captured product is meant to equal ``cupy.matmul`` to the bit. So it is made as CuPy 14 makes it (``tensordot_core``
in its ``_routines_linalg.pyx``): ``cublasGemmEx`` with the same operands, copied where CuPy copies them, the same
compute type and algorithm, and a workspace of cuBLAS's own default size, on which its choice of a kernel depends.

Not yet run on a GPU.
"""

import ctypes
import functools
import importlib
import os
import weakref
from typing import Any

import numpy as np

from xpnet.errors import CaptureError

_MIB = 2**20

_pointer, _int = ctypes.c_void_p, ctypes.c_int
_SIGNATURES: dict[str, list[Any]] = {
    "cublasCreate_v2": [_pointer],
    "cublasDestroy_v2": [_pointer],
    "cublasSetStream_v2": [_pointer, _pointer],
    "cublasSetWorkspace_v2": [_pointer, _pointer, ctypes.c_size_t],
    # handle; transa, transb; m, n, k; alpha; A, Atype, lda; B, Btype, ldb; beta; C, Ctype, ldc; computeType, algo
    "cublasGemmEx": [_pointer, *[_int] * 5, _pointer, *[_pointer, _int, _int] * 2, *[_pointer] * 2, *[_int] * 4],
}

# cudaDataType, the scalars' type, and cublasComputeType_t: CuPy's default, its "pedantic", and TF32.
_TYPES = {
    np.dtype("float32"): (0, ctypes.c_float, 68, 69, 77),
    np.dtype("float64"): (1, ctypes.c_double, 70, 71, 70),
}
_PEDANTIC, _TF32 = 2, 7  # what cupy._core.get_compute_type returns
_GEMM_DEFAULT, _GEMM_DEFAULT_TENSOR_OP = -1, 99  # cublasGemmAlgo_t


class Cublas:
    """A cuBLAS handle bound to one stream of the current device, with a workspace of its own.

    Products are given to that stream, whichever is current. If the library cannot be loaded, or refuses, a CaptureError
    names the function.

    The workspace is not shared: two products at once would write into it. It lives as long as the handle, and is given
    after the stream, because ``cublasSetStream`` takes it away again.
    """

    def __init__(self, cupy: Any, stream: Any) -> None:
        self._cupy = cupy
        self._library = load_library()
        capability = int(cupy.cuda.Device().compute_capability)
        self._algorithm = _GEMM_DEFAULT_TENSOR_OP if capability >= 80 else _GEMM_DEFAULT
        size = workspace_size(capability)
        workspace = cupy.cuda.alloc(size)
        self._handle = ctypes.c_void_p()
        self._call("cublasCreate_v2", ctypes.byref(self._handle))
        self._finalizer = weakref.finalize(self, _destroy, self._library, self._handle, workspace)
        self._finalizer.atexit = False  # the process frees it with everything else, and CUDA may be gone by then
        self._call("cublasSetStream_v2", self._handle, stream.ptr)
        self._call("cublasSetWorkspace_v2", self._handle, workspace.ptr, size)

    def matmul(self, a: Any, b: Any, out: Any = None) -> Any:
        """The product of two matrices, or of a matrix and a vector, as ``cupy.matmul`` gives it.

        Shapes are (n, k) and (k, m), either also a vector (k,); float32 or float64, of any layout. What does not lie in
        C or Fortran order is copied first, as in CuPy. The result is written to `out`, shape (n, m), if given.

        Raises a CaptureError for float16, complex or more than two-dimensional arrays, whose product neither this nor
        CuPy can capture.
        """
        if self._is_ours(a, b):
            if a.ndim == 2 and b.ndim == 2:
                return self._gemm(a, b, out)
            rows = a if a.ndim == 2 else a.reshape(1, -1)
            columns = b if b.ndim == 2 else b.reshape(-1, 1)
            result = self._gemm(rows, columns, None).reshape(a.shape[:-1] + b.shape[1:])
            return result if out is None else _assign(out, result)
        try:  # integers, empty arrays and inner products are for CuPy's own kernels, mistakes for its own messages
            return self._cupy.matmul(a, b, out=out)
        except NotImplementedError as error:
            raise CaptureError(
                f"xp.matmul of {a.dtype} {tuple(a.shape)} and {b.dtype} {tuple(b.shape)}: only products of matrices "
                "and vectors of float32 and float64 can be captured in a CUDA graph"
            ) from error

    def close(self) -> None:
        """Free the handle, then the workspace. Nothing that was captured with it can be launched any more."""
        self._finalizer()

    def _is_ours(self, a: Any, b: Any) -> bool:
        """Whether CuPy would call cuBLAS for the product, rather than a kernel of its own or nothing."""
        if not all(isinstance(x, self._cupy.ndarray) and x.ndim in (1, 2) and x.dtype in _TYPES for x in (a, b)):
            return False
        n, m = (a.shape[0] if a.ndim == 2 else 1), (b.shape[1] if b.ndim == 2 else 1)
        return bool(a.shape[-1] == b.shape[0] and a.size and b.size and (n, m) != (1, 1))

    def _gemm(self, a: Any, b: Any, out: Any) -> Any:
        """The product of (n, k) and (k, m), neither empty, the result not (1, 1)."""
        cupy, (n, k), m = self._cupy, a.shape, b.shape[1]
        dtype = a.dtype if a.dtype == b.dtype else np.promote_types(a.dtype, b.dtype)
        data_type, scalar, default, pedantic, tf32 = _TYPES[dtype]
        compute_type = {_PEDANTIC: pedantic, _TF32: tf32}.get(cupy._core.get_compute_type(dtype), default)
        # cuBLAS counts by columns, and so writes the transpose of a result in C order: c^T = b^T a^T.
        a, transpose_a, lda = _operand(a.astype(dtype, copy=False).T, 0)
        b, transpose_b, ldb = _operand(b.astype(dtype, copy=False), 1)
        in_place = (
            out is not None
            and out.shape == (n, m)
            and out.dtype == dtype
            and out.flags.c_contiguous
            and not cupy.may_share_memory(out, a)
            and not cupy.may_share_memory(out, b)
        )
        c = out if in_place else cupy.empty((n, m), dtype=dtype)
        factors = [self._handle, transpose_b, transpose_a, m, n, k, ctypes.byref(scalar(1))]
        factors += [b.data.ptr, data_type, ldb, a.data.ptr, data_type, lda]
        result = [ctypes.byref(scalar(0)), c.data.ptr, data_type, m]
        self._call("cublasGemmEx", *factors, *result, compute_type, self._algorithm)
        return c if out is None or in_place else _assign(out, c)

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._library, name)(*arguments)
        if status:
            raise CaptureError(f"{name} of cuBLAS, which returned {_status_name(self._library, status)}")


def workspace_size(capability: int) -> int:
    """The bytes of cuBLAS's own default workspace on a device of this compute capability, 90 for a Hopper.

    From the table at ``cublasSetWorkspace`` in NVIDIA's documentation of cuBLAS.
    """
    generation = capability // 10
    return {9: 32, 10: 32, 12: 12}.get(generation, 32 if generation > 12 else 4) * _MIB


def _operand(x: Any, transposed: int) -> tuple[Any, int, int]:
    """A matrix as cuBLAS reads it, by columns: the array, whether to transpose, and the distance between columns.

    A single column may have any distance, so long as it is no less than the column's length.
    """
    if x.flags.f_contiguous:
        return x, transposed, max(x.strides[1] // x.itemsize, x.shape[0])
    if not x.flags.c_contiguous:
        x = x.copy()
    return x, 1 - transposed, x.strides[0] // x.itemsize


def _assign(out: Any, result: Any) -> Any:
    if out.shape != result.shape:
        raise ValueError(f"out has the shape {tuple(out.shape)}, but the product has the shape {tuple(result.shape)}.")
    out[...] = result
    return out


@functools.cache
def load_library() -> Any:
    """The cuBLAS library that CuPy itself is linked with, the functions' argument types declared."""
    try:
        library = _open_library()
        for name, arguments in _SIGNATURES.items():
            getattr(library, name).argtypes = arguments
        library.cublasGetStatusName.restype = ctypes.c_char_p
    except (ImportError, OSError, AttributeError) as error:
        raise CaptureError(f"the cuBLAS library, which cannot be loaded: {error}") from error
    return library


def _open_library() -> Any:
    """The library.

    Linux looks for a function of CuPy's extension module in the libraries that it is linked with, too: so it is the
    same one, whatever other versions are about. Windows looks in the module alone; there cuda-pathfinder is asked, by
    which CuPy has loaded it.
    """
    path = importlib.import_module("cupy_backends.cuda.libs").cublas.__file__
    if os.name == "nt":
        path = importlib.import_module("cuda.pathfinder").load_nvidia_dynamic_lib("cublas").abs_path
    return ctypes.CDLL(path)


def _status_name(library: Any, status: int) -> str:
    return f"{library.cublasGetStatusName(status).decode()} ({status})"


def _destroy(library: Any, handle: ctypes.c_void_p, workspace: Any) -> None:
    """Free the handle; `workspace` is an argument so that it lives until then."""
    library.cublasDestroy_v2(handle)
    del workspace
