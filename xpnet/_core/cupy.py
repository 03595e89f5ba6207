"""CuPy: loading it, explaining why it cannot be loaded, and a thin namespace over it."""

import functools
import importlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from xpnet.errors import BackendError, CaptureError

INSTALL_CUPY = "`pip install '.[cuda12]'` (or cuda13, matching your CUDA driver)"


class _Capture(threading.local):
    """The matrix products of a thread while it captures a stream, else None."""

    products: Any = None


class CupyNamespace:
    """The functions of ``cupy``, some of them replaced while a stream is being captured.

    CuPy refuses its own matrix product during capture, so layers write ``xp.matmul(a, b)`` and not ``a @ b``. CuPy
    itself refuses most calls that cannot be captured; this class refuses those that would silently become constants of
    the graph.
    """

    accepts_out = True

    def __init__(self, cupy: Any) -> None:
        self.cupy = cupy
        self._capture = _Capture()
        self.idle_pools: list[Any] = []  # memory pools of closed CUDA graphs, to be reused

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.cupy, name)
        setattr(self, name, value)  # so that the next look-up is a plain attribute
        return value

    @contextmanager
    def capturing(self, products: Any) -> Iterator[None]:
        """Let `products` compute the matrix products inside a ``with`` block, in this thread.

        Used for the capture of a stream and for the warm-up steps before it, because libraries cannot be loaded during
        capture. `products` is a `Cublas` on the stream.
        """
        outer, self._capture.products = self._capture.products, products
        try:
            yield
        finally:
            self._capture.products = outer

    def matmul(self, a: Any, b: Any, out: Any = None, **options: Any) -> Any:
        """``cupy.matmul``, also while a stream is being captured."""
        products = self._capture.products
        if products is None or options:
            return self.cupy.matmul(a, b, out=out, **options)
        return products.matmul(a, b, out=out)

    def dot(self, a: Any, b: Any, out: Any = None) -> Any:
        """``cupy.dot``, of matrices and vectors also while a stream is being captured."""
        products = self._capture.products
        if products is None or not {a.ndim, b.ndim} <= {1, 2}:
            return self.cupy.dot(a, b, out)
        return products.matmul(a, b, out=out)

    def array(self, a: Any, *args: Any, **kwargs: Any) -> Any:
        """``cupy.array``; during capture only of arrays on the device."""
        self._refuse_host("array", a)
        return self.cupy.array(a, *args, **kwargs)

    def asarray(self, a: Any, *args: Any, **kwargs: Any) -> Any:
        """``cupy.asarray``; during capture only of arrays on the device."""
        self._refuse_host("asarray", a)
        return self.cupy.asarray(a, *args, **kwargs)

    def sliding_window_view(self, x: Any, window_shape: tuple[int, ...], axis: tuple[int, ...]) -> Any:
        """A view of the windows, like NumPy's. CuPy's own function copies the shape to the device and synchronizes."""
        shape = list(x.shape)
        for along, size in zip(axis, window_shape, strict=True):
            shape[along] -= size - 1
        strides = (*x.strides, *(x.strides[along] for along in axis))
        return self.cupy.lib.stride_tricks.as_strided(x, (*shape, *window_shape), strides)

    @property
    def random(self) -> Any:
        """``cupy.random``, except in captured steps.

        cuRAND cannot be captured; newer generators advance in the warm-up steps, and their state cannot be restored.
        """
        if self._capture.products is not None:
            raise CaptureError("xp.random: captured steps would draw other numbers than plain ones; hash a counter")
        return self.cupy.random

    def _refuse_host(self, name: str, a: Any) -> None:
        # During capture CuPy refuses to copy an array, but a single number becomes a constant of the graph.
        if self._capture.products is not None and not isinstance(a, self.cupy.ndarray):
            raise CaptureError(
                f"xp.{name} of a value on the host ({type(a).__name__}): every launch of the graph would see this one; "
                "make it an array before training begins"
            )

    def __repr__(self) -> str:
        return f"<xpnet namespace over cupy {self.cupy.__version__}>"


@functools.cache
def cupy_namespace() -> CupyNamespace:
    """The single namespace over CuPy; raises an ImportError without CuPy."""
    return CupyNamespace(importlib.import_module("cupy"))


def installed_cupy_wheels() -> list[str]:
    """The installed CuPy distributions, as ``name version``. Two of them break each other."""
    from importlib.metadata import distributions

    wheels = {
        f"{d.metadata['Name']} {d.version}"
        for d in distributions()
        if (name := (d.metadata["Name"] or "").lower()) == "cupy" or name.startswith(("cupy-cuda", "cupy-rocm"))
    }
    return sorted(wheels)


def two_wheels_warning(wheels: list[str]) -> str:
    """What to do about more than one of the `installed_cupy_wheels`."""
    names = " ".join(wheel.partition(" ")[0] for wheel in wheels)
    return (
        f"Two CuPy wheels are installed ({', '.join(wheels)}), which break each other. Remove them all with "
        f"`python -m pip uninstall {names}`, and install one with {INSTALL_CUPY}."
    )


def load_cupy() -> CupyNamespace:
    """The namespace over CuPy; a BackendError if it is not installed, broken, installed twice, or no device answers."""
    wheels = installed_cupy_wheels()
    two = f" {two_wheels_warning(wheels)}" if len(wheels) > 1 else ""
    try:
        xp = cupy_namespace()
    except Exception as error:  # an ImportError, or an OSError if a CUDA library is missing
        if not wheels:
            raise BackendError(
                f"The backend 'cupy' was asked for, but CuPy is not installed. Install it with {INSTALL_CUPY} in a "
                "checkout of xpnet, or choose `XPNET_BACKEND=numpy`."
            ) from error
        raise BackendError(
            f"The backend 'cupy' was asked for, but {', '.join(wheels)} cannot be imported: {error}.{two}"
        ) from error
    try:
        if xp.cuda.runtime.getDeviceCount() == 0:
            raise RuntimeError("it sees no CUDA device")
    except Exception as error:  # CuPy's errors have no common base class
        raise BackendError(
            f"The backend 'cupy' was asked for, and CuPy {xp.__version__} is installed, but no CUDA device answers: "
            f"{error}.{two} Look at `python -m xpnet info`, or choose `XPNET_BACKEND=numpy`."
        ) from error
    return xp
