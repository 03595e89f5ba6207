"""What stands in for NVRTC: a C++ compiler makes a shared library of a kernel's source.

The library is what CuPy takes for a cubin. It keeps it in its cache and gives it to the driver, whose stand-in loads it
(``runtime/kernels.cpp``). What makes CUDA C++ of C++ is in ``kernels/``.
"""

import hashlib
import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ARCHITECTURE = "90"  # the stand-in's compute capability, as in runtime/device.cpp
NVRTC_VERSION = (12, 9)

FLAGS = (
    *("-std=c++17", "-O1", "-fPIC", "-mf16c", f"-I{HERE / 'kernels' / 'include'}"),
    "-ffp-contract=off",  # each operation rounds, so that results are NumPy's; nvcc would make one of a * b + c
    "-fno-strict-aliasing",  # CuPy's kernels read shared bytes as other types
    "-fno-gnu-unique",  # else what is static in two kernels would be one
    "-fpermissive",  # CuPy's headers have what nvcc takes and C++ does not
    "-w",
)

WAITS = re.compile(r"__syncthreads|__syncwarp|__shfl_")
INDICES = re.compile(r"\b(threadIdx|blockIdx|blockDim|gridDim)\b")
KERNEL = re.compile(r'extern\s+"C"\s+__global__\s+(?:__launch_bounds__\([^)]*\)\s+)?void\s+(\w+)\s*\(')


def install(module: Any) -> None:
    """Put the stand-in into ``cupy.cuda.compiler``."""

    class Program:
        """What CuPy calls instead of its ``_NVRTCProgram``."""

        def __init__(
            self,
            source: str,
            name: str = "",
            headers: Sequence[str] = (),
            include_names: Sequence[str] = (),
            name_expressions: Sequence[str] | None = None,
            method: str = "",
        ) -> None:
            self._source = source
            self._name_expressions = name_expressions or ()

        def compile(self, options: tuple[str, ...] = (), log_stream: Any = None) -> tuple[bytes, dict[str, str] | None]:
            """The library, and the names of those kernels that are asked for by a C++ expression."""
            if not self._source:
                return fingerprint(), None
            try:
                return compiled(self._source, options, self._name_expressions)
            except subprocess.CalledProcessError as error:
                raise module.CompileException(error.stderr, self._source, "", options, "g++") from None

    module._NVRTCProgram = Program
    module._get_nvrtc_version = lambda: NVRTC_VERSION


def fingerprint() -> bytes:
    """What all kernels depend on besides their source; CuPy compiles an empty one to know, and caches by it."""
    files = [Path(__file__), *sorted((HERE / "kernels").rglob("*.h"))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest().encode()


def compiled(
    source: str, options: Sequence[str], name_expressions: Sequence[str]
) -> tuple[bytes, dict[str, str] | None]:
    """The library of a source, and a name for each expression.

    Raises
    ------
    ValueError
        For another architecture than the stand-in's.
    subprocess.CalledProcessError
        Where the compiler refuses the source.
    """
    for option in options:
        if option.startswith("-arch=") and not option.endswith(f"_{ARCHITECTURE}"):
            raise ValueError(f"This is CuPy on a CPU, a device of architecture {ARCHITECTURE}; it has no {option}.")
    names = {expression: f"expression{i}" for i, expression in enumerate(name_expressions)}
    kernels = {**{name: name for name in KERNEL.findall(source)}, **{name: f"({e})" for e, name in names.items()}}
    how = f"{threads_of(source)}, {'true' if flushes(source, options) else 'false'}"
    exports = "\n".join(f"CUPY_ON_CPU_KERNEL({name}, {kernel}, {how})" for name, kernel in kernels.items())
    definitions = [option for option in options if option.startswith("-D")]
    return library(f"{source}\n{exports}\n", definitions), names or None


def threads_of(source: str) -> str:
    """How the threads of its kernels have to run: a name of the enum in ``kernels/launch.h``."""
    if WAITS.search(source):
        return "together"
    return "in_turn" if INDICES.search(source) else "one"


def flushes(source: str, options: Sequence[str]) -> bool:
    """Are subnormal numbers 0? CUDA does that to floats alone; the processor would do it to doubles too."""
    return "-ftz=true" in options and not re.search(r"\bdouble\b", source)


def library(source: str, definitions: Sequence[str]) -> bytes:
    """Compile C++."""
    shim = HERE / "kernels" / ("cupy_on_cpp.h" if "<cupy/" in source else "cuda_on_cpp.h")
    with tempfile.TemporaryDirectory() as folder:
        code, target = Path(folder, "kernel.cpp"), Path(folder, "kernel.so")
        code.write_text(source)
        command = ["g++", *FLAGS, f"-I{cupy_include()}", *definitions, "-include", str(shim), "-shared"]
        subprocess.run([*command, str(code), "-o", str(target)], capture_output=True, text=True, check=True)
        return target.read_bytes()


def precompile() -> None:
    """Compile the headers ahead, which makes the compiling of a kernel several times as fast."""
    for shim in ("cuda_on_cpp.h", "cupy_on_cpp.h"):
        header = HERE / "kernels" / shim
        command = ["g++", *FLAGS, f"-I{cupy_include()}", "-x", "c++-header", str(header), "-o", f"{header}.gch"]
        subprocess.run(command, check=True)


def cupy_include() -> Path:
    """The folder of CuPy's headers; it lies beside this package in the environment."""
    return HERE.parent / "cupy" / "_core" / "include"
