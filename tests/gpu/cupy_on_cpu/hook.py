"""What loads the stand-in into CuPy: imported at the start of each Python of the environment (``_cupy_on_cpu.pth``).

It does nothing before ``cupy`` is imported. Then it loads the libraries of this folder, so that the system finds them
under their names when CuPy asks for them, and takes part in the import of two modules:
``cupy_backends.cuda.api.runtime`` is the one compiled against the stand-in for the CUDA runtime, and in
``cupy.cuda.compiler`` the C++ compiler takes NVRTC's place.

Not one of CuPy's files is changed. To have CuPy as it was, delete ``_cupy_on_cpu.pth``.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

HERE = __file__.rpartition("/")[0]
LIBRARIES = ("libcuda.so.1", "libcublasLt.so.12", "libcublas.so.12")  # each after those that it needs


class Finder(importlib.abc.MetaPathFinder):
    """Finds CuPy's runtime module here, and its module of the compiler where it is."""

    def __init__(self) -> None:
        self._prepared = False

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The spec of the two modules; None for all others."""
        if not name.startswith("cupy"):
            return None
        if name in {"cupy", "cupy_backends"} and not self._prepared:
            self._prepared = True
            prepare()
        if name == "cupy_backends.cuda.api.runtime":
            return importlib.util.spec_from_file_location(name, f"{HERE}/runtime.so")
        if name == "cupy.cuda.compiler":
            spec = importlib.machinery.PathFinder.find_spec(name, path)
            if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
                spec.loader = CompilerLoader(spec.loader.name, spec.loader.path)
            return spec
        return None


class CompilerLoader(importlib.machinery.SourceFileLoader):
    """Loads ``cupy.cuda.compiler`` and puts the stand-in for NVRTC into it."""

    def exec_module(self, module: ModuleType) -> None:
        """Execute CuPy's module, then ours on it."""
        super().exec_module(module)
        from _cupy_on_cpu import compiler

        compiler.install(module)


def prepare() -> None:
    """Load the libraries, and set what CuPy reads when it is imported."""
    import ctypes
    import os

    # CUB's kernels are in CuPy's wheel, compiled for GPUs; without it CuPy compiles reductions of its own.
    os.environ["CUPY_ACCELERATORS"] = ""
    # Kernels compiled for this are nothing for a real CuPy.
    os.environ.setdefault("CUPY_CACHE_DIR", f"{HERE}/kernel_cache")
    for library in LIBRARIES:
        ctypes.CDLL(f"{HERE}/{library}")


sys.meta_path.insert(0, Finder())
