"""CuPy as the layers see it: loading it, saying why it cannot be loaded, and the thin namespace over it.

Not yet run on a GPU.
"""

import functools
import importlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from xpnet.errors import BackendError, CaptureError

__all__ = ["CupyNamespace", "cupy_namespace", "installed_cupy_wheels", "load_cupy"]


class _Capture(threading.local):
    """What makes the matrix products of this thread while it captures a stream; None otherwise."""

    products: Any = None


class CupyNamespace:
    """The functions of ``cupy``, with a seam for what must differ.

    Layers write ``xp.matmul(a, b)`` and not ``a @ b`` because CuPy refuses its own matrix product while a stream is
    being captured: the place to send it elsewhere is here, and no layer needs to know. Most of what cannot be captured
    CuPy refuses by itself; what it would let pass, and every launch of the graph then repeat, is refused here.

    Attributes
    ----------
    cupy
        The module itself.
    idle_pools
        Memory pools of CUDA graphs that are closed, for the next ones.
    """

    accepts_out = True

    def __init__(self, cupy: Any) -> None:
        self.cupy = cupy
        self._capture = _Capture()
        self.idle_pools: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.cupy, name)
        setattr(self, name, value)  # the next look-up is a plain attribute
        return value

    @contextmanager
    def capturing(self, products: Any) -> Iterator[None]:
        """Inside a ``with`` block, and in this thread alone, have `products` make the matrix products.

        For the capture of a stream, and for the steps that warm up for it: what is loaded then is not loaded while the
        stream is being captured, when it cannot be.

        Parameters
        ----------
        products
            A `xpnet.engine.cublas.Cublas` on the stream.
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
        """``cupy.array``; while a stream is being captured of arrays on the device alone."""
        self._refuse_host("array", a)
        return self.cupy.array(a, *args, **kwargs)

    def asarray(self, a: Any, *args: Any, **kwargs: Any) -> Any:
        """``cupy.asarray``; while a stream is being captured of arrays on the device alone."""
        self._refuse_host("asarray", a)
        return self.cupy.asarray(a, *args, **kwargs)

    def sliding_window_view(self, x: Any, window_shape: tuple[int, ...], axis: tuple[int, ...]) -> Any:
        """A view of the windows, as NumPy's; CuPy's own copies the window's shape to the device, and waits for it."""
        shape = list(x.shape)
        for along, size in zip(axis, window_shape, strict=True):
            shape[along] -= size - 1
        strides = (*x.strides, *(x.strides[along] for along in axis))
        return self.cupy.lib.stride_tricks.as_strided(x, (*shape, *window_shape), strides)

    @property
    def random(self) -> Any:
        """``cupy.random``, but not in captured steps: cuRAND refuses, and newer generators would have drawn before.

        The steps that warm up draw too, and a generator's state is nothing that could be put back.
        """
        if self._capture.products is not None:
            raise CaptureError("xp.random: captured steps would draw other numbers than plain ones; hash a counter")
        return self.cupy.random

    def _refuse_host(self, name: str, a: Any) -> None:
        # CuPy refuses to copy an array while it captures, but makes a single number a constant of the graph.
        if self._capture.products is not None and not isinstance(a, self.cupy.ndarray):
            raise CaptureError(
                f"xp.{name} of a value on the host ({type(a).__name__}): every launch of the graph would see this one; "
                "make it an array before training begins"
            )

    def __repr__(self) -> str:
        return f"<xpnet namespace over cupy {self.cupy.__version__}>"


@functools.cache
def cupy_namespace() -> CupyNamespace:
    """The one namespace over CuPy; an ImportError where there is no CuPy."""
    return CupyNamespace(importlib.import_module("cupy"))


def installed_cupy_wheels() -> list[str]:
    """The CuPy distributions installed, as ``name version``; two of them break each other."""
    from importlib.metadata import distributions

    wheels = {
        f"{d.metadata['Name']} {d.version}"
        for d in distributions()
        if (name := (d.metadata["Name"] or "").lower()) == "cupy" or name.startswith(("cupy-cuda", "cupy-rocm"))
    }
    return sorted(wheels)


def load_cupy() -> CupyNamespace:
    """The namespace over CuPy.

    Raises
    ------
    BackendError
        Saying which: not installed, two wheels at once, installed but broken, or no device answers.
    """
    wheels = installed_cupy_wheels()
    names = " ".join(wheel.partition(" ")[0] for wheel in wheels)
    two = (
        f" Two CuPy wheels are installed ({', '.join(wheels)}), which break each other: "
        f"remove them all with `python -m pip uninstall {names}` and install one."
        if len(wheels) > 1
        else ""
    )
    try:
        xp = cupy_namespace()
    except Exception as error:  # an ImportError, or an OSError where a library of CUDA's is missing
        if not wheels:
            raise BackendError(
                "The backend 'cupy' was asked for, but CuPy is not installed. Install it with "
                "`pip install 'xpnet[cuda12]'` (or cuda13, as your driver is), or choose `XPNET_BACKEND=numpy`."
            ) from error
        raise BackendError(
            f"The backend 'cupy' was asked for, but {', '.join(wheels)} cannot be imported: {error}.{two}"
        ) from error
    try:
        if xp.cuda.runtime.getDeviceCount() == 0:
            raise RuntimeError("it sees no CUDA device")
    except Exception as error:  # CuPy's errors have no common base that can be named without CuPy
        raise BackendError(
            f"The backend 'cupy' was asked for, and CuPy {xp.__version__} is installed, but no CUDA device answers: "
            f"{error}.{two} Look at `python -m xpnet info`, or choose `XPNET_BACKEND=numpy`."
        ) from error
    return xp
