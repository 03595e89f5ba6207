"""A stand-in for CuPy whose kernels a C++ compiler builds and the CPU runs: their sources, and how they are called.

Arrays are NumPy's. An elementwise kernel is a loop; the 32 threads of a warp are 32 threads of the CPU. What CuPy would
refuse, or take for something else without a word, is a TypeError here: a second dtype under one type name, or an
argument that is not what the source of a raw kernel declares.
"""

import ctypes
import hashlib
import math
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

COMPILER = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")

C_NAMES = {"float32": "float", "float64": "double", "uint8": "unsigned char", "int64": "long long"}

WARP = r"""
#include <math.h>
#include <barrier>
#include <thread>
#include <vector>
#define __global__
#define __device__
// A warp is 32 threads of the CPU; a shuffle is a table that all write, and then all read.
static thread_local struct { unsigned x; } threadIdx, blockIdx;
static std::barrier<> warp(32);
template <class T> T __shfl_xor_sync(unsigned, T x, int distance) {
    static T lanes[32];
    lanes[threadIdx.x] = x;
    warp.arrive_and_wait();
    const T other = lanes[threadIdx.x ^ distance];
    warp.arrive_and_wait();
    return other;
}
template <class F> void launch(long long blocks, F kernel) {
    std::vector<std::thread> threads;
    for (unsigned lane = 0; lane < 32; lane++) threads.emplace_back([=] {
        threadIdx.x = lane;
        for (long long block = 0; block < blocks; block++) { blockIdx.x = block; kernel(); }
    });
    for (auto& thread : threads) thread.join();
}
"""


def cupy_on_cpu(folder: Path) -> Any:
    """What ``import cupy`` shall give: the few names that kernels need; libraries are built in `folder`."""
    return SimpleNamespace(
        ElementwiseKernel=lambda *args, **options: _Elementwise(folder, *args),
        RawKernel=lambda *args, **options: _Raw(folder, *args),
        empty=lambda shape, dtype: np.full(shape, 77, dtype),  # what nobody writes shall be seen
        ascontiguousarray=np.ascontiguousarray,
        uint8=np.uint8,
        int64=np.int64,
    )


class _Elementwise:
    def __init__(self, folder: Path, inputs: str, outputs: str, operation: str, name: str) -> None:
        self.folder, self.operation = folder, operation
        self.inputs, self.outputs = ([part.split() for part in text.split(", ")] for text in (inputs, outputs))

    def __call__(self, *args: Any, size: int | None = None) -> Any:
        parameters = [*self.inputs, *self.outputs]
        types: dict[str, Any] = {"int64": np.dtype("int64")}
        for (*_, kind, name), arg in zip(parameters, args, strict=False):
            if isinstance(arg, np.ndarray) and types.setdefault(kind, arg.dtype) != arg.dtype:
                raise TypeError(f"{name} is {arg.dtype}, but {kind} is {types[kind]}.")
        plain = [arg for (*raw, _, _), arg in zip(parameters, args, strict=False) if not raw]
        shape = np.broadcast_shapes(*map(np.shape, plain)) if size is None else (size,)
        inputs = [
            arg if raw else np.broadcast_to(np.asarray(arg, types[kind]), shape).copy()
            for (*raw, kind, _), arg in zip(self.inputs, args, strict=False)
        ]
        outputs = args[len(inputs) :] or [np.full(shape, 77, types[kind]) for *_, kind, _ in self.outputs]
        for (*raw, _, name), array in zip(parameters, (*inputs, *outputs), strict=True):
            if not array.flags.c_contiguous or not (raw or array.shape == shape):
                raise TypeError(f"{name} {array.shape} has not the loop's shape {shape}, or has gaps.")
        addresses = [ctypes.c_void_p(array.ctypes.data) for array in (*inputs, *outputs)]
        self._run(parameters, types)(ctypes.c_longlong(math.prod(shape)), *addresses)
        return outputs[0]

    def _run(self, parameters: list[list[str]], types: dict[str, Any]) -> Callable[..., None]:
        typedefs = "".join(f"typedef {C_NAMES[dtype.name]} {name};\n" for name, dtype in types.items())
        signature = ", ".join(f"{kind}* {name}_" for *_, kind, name in parameters)
        numbers = "\n".join(
            f"{kind}* {name} = {name}_;" if raw else f"{kind}& {name} = {name}_[i];" for *raw, kind, name in parameters
        )
        loop = f"for (ptrdiff_t i = 0; i < size; i++) {{\n{numbers}\n{self.operation};\n}}"
        head = f"#include <math.h>\n#include <stddef.h>\n{typedefs}"
        return _built(f'{head}extern "C" void run(long long size, {signature}) {{\n{loop}\n}}', self.folder)


class _Raw:
    def __init__(self, folder: Path, code: str, name: str) -> None:
        signature = code.partition(f"void {name}(")[2].partition(")")[0]
        self.kinds, names = zip(*(parameter.strip().rsplit(" ", 1) for parameter in signature.split(",")), strict=True)
        self.real = {"float": np.dtype("float32"), "double": np.dtype("float64")}[code.split()[1]]
        body = f"launch(blocks, [=] {{ {name}({', '.join(names)}); }});"
        self.source, self.folder = (
            f'{WARP}{code}extern "C" void run(long long blocks, {signature}) {{ {body} }}',
            folder,
        )

    def __call__(self, grid: tuple[int], block: tuple[int], args: tuple[Any, ...]) -> None:
        if block != (32,):
            raise TypeError(f"One warp, not {block} threads.")
        values = [self._value(kind, arg) for kind, arg in zip(self.kinds, args, strict=True)]
        _built(self.source, self.folder)(ctypes.c_longlong(grid[0]), *values)

    def _value(self, kind: str, arg: Any) -> Any:
        if kind.endswith("*") and arg is None:
            return ctypes.c_void_p(None)
        if kind.endswith("*") and isinstance(arg, np.ndarray):
            if arg.dtype == (np.int64 if "long long" in kind else self.real) and arg.flags.c_contiguous:
                return ctypes.c_void_p(arg.ctypes.data)
        elif kind == "long long" and type(arg) is int:
            return ctypes.c_longlong(arg)
        elif kind == "real" and isinstance(arg, np.generic) and arg.dtype == self.real:
            return (ctypes.c_float if self.real == np.float32 else ctypes.c_double)(arg)
        raise TypeError(f"{arg!r} is no {kind}.")


def _built(source: str, folder: Path) -> Callable[..., None]:
    """The C function ``run`` of a C++ source."""
    library = folder / f"{hashlib.sha256(source.encode()).hexdigest()}.so"
    if not library.exists():
        flags = ["-std=c++20", "-O1", "-ffp-contract=off", "-pthread", "-shared", "-fPIC", "-x", "c++", "-"]
        command = [str(COMPILER), *flags, "-o", str(library)]
        compiled = subprocess.run(command, input=source, capture_output=True, text=True, check=False)
        if compiled.returncode:
            raise RuntimeError(compiled.stderr)
    return ctypes.CDLL(str(library)).run
