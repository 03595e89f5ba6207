"""CuPy as the layers see it: loading it, saying why it cannot be loaded, and the thin namespace over it.

Not yet run on a GPU.
"""

import functools
import importlib
from typing import Any

from xpnet.errors import BackendError

__all__ = ["CupyNamespace", "cupy_namespace", "installed_cupy_wheels", "load_cupy"]


class CupyNamespace:
    """The functions of ``cupy``, with a seam for what must differ.

    Layers write ``xp.matmul(a, b)`` and not ``a @ b`` because CuPy refuses its own matrix product while a stream is
    being captured: the place to send it elsewhere is here, and no layer needs to know.
    """

    accepts_out = True

    def __init__(self, cupy: Any) -> None:
        self._cupy = cupy

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._cupy, name)
        setattr(self, name, value)  # the next look-up is a plain attribute
        return value

    def __repr__(self) -> str:
        return f"<xpnet namespace over cupy {self._cupy.__version__}>"


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
    two = (
        f" Two CuPy wheels are installed ({', '.join(wheels)}), which break each other: "
        "remove them all with  pip uninstall  and install one."
        if len(wheels) > 1
        else ""
    )
    try:
        xp = cupy_namespace()
    except Exception as error:  # an ImportError, or an OSError where a library of CUDA's is missing
        if not wheels:
            raise BackendError(
                "The backend 'cupy' was asked for, but CuPy is not installed. Install it with  "
                "pip install 'xpnet[cuda12]'  (or cuda13, as your driver is), or choose  XPNET_BACKEND=numpy ."
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
            f"{error}.{two} Look at  python -m xpnet info , or choose  XPNET_BACKEND=numpy ."
        ) from error
    return xp
