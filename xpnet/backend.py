"""Backends: choose one, convert arrays to it, wait for its device, describe it.

New arrays are created on the backend given by a ``backend=`` argument, else by ``with use_backend(...)``, else by
``set_backend()``, else by ``XPNET_BACKEND``, else on numpy. Computations use the library of their arrays:
``xp = get_array_module(x)``. So a process can have networks on several backends, and changing the default does not
affect existing networks.
"""

import functools
import importlib
import importlib.util
import logging
import os
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from numbers import Number
from pathlib import Path
from typing import Any

import numpy as np

from xpnet._core.arrays import (
    Array,
    check_plain,
    conversion,
    creation_device,
    dtype_name,
    get_array_module,
    is_array,
    named_dtype,
    register_array_type,
    to_numpy,
    type_name,
)
from xpnet._core.cupy import CupyNamespace, load_cupy
from xpnet.errors import BackendError, DtypeError, ShapeError

_log = logging.getLogger("xpnet")

_context: ContextVar["str | Backend | None"] = ContextVar("xpnet_backend", default=None)
_default: "str | Backend | None" = None


@dataclass(frozen=True)
class Backend:
    """An array module and a device, for the creation of arrays.

    Attributes
    ----------
    name
        ``"numpy"``, ``"cupy"``, or the name of another array API module.
    xp
        The array module.
    device
        Argument ``device=`` of its creation functions; None for the default.
    """

    name: str
    xp: Any
    device: Any = None

    def describe(self) -> str:
        """Describe the library and the device in a line."""
        version = getattr(self.xp, "__version__", "")
        return " ".join(part for part in (self.name, version, "on", self.describe_device()) if part)

    def describe_device(self) -> str:
        """The name of the processor or of the GPU."""
        if self.name == "cupy":
            index = self.xp.cuda.Device().id
            return f"{self.xp.cuda.runtime.getDeviceProperties(index)['name'].decode()} (GPU {index})"
        return f"{_processor_name()}, {os.cpu_count()} cores" + (f" ({self.device})" if self.device else "")


# --- choosing -------------------------------------------------------------------------------------------------------


def get_backend(backend: str | Backend | None = None) -> Backend:
    """The backend on which new arrays are created.

    Parameters
    ----------
    backend
        ``"numpy"``, ``"cupy"``, ``"auto"`` (CuPy if a device answers, else NumPy; the choice is logged), a `Backend`,
        or the name of an installed module that follows the Python array API standard, optionally with a device after a
        colon (``"array_api_strict:device1"``). None: the innermost ``use_backend``, else ``set_backend``, else the
        environment variable ``XPNET_BACKEND``, else ``"numpy"``.

    Raises
    ------
    BackendError
        If the name is unknown or the backend is unavailable. ``"cupy"`` never falls back to NumPy.

    Examples
    --------
    >>> get_backend("numpy").name
    'numpy'
    """
    choice, _ = chosen_backend(backend)
    if isinstance(choice, Backend):
        return choice
    name = choice.strip()
    if name.lower() in ("numpy", "cupy", "auto"):
        return _BUILDERS[name.lower()]()
    return _array_api_backend(name)


def chosen_backend(backend: str | Backend | None = None) -> tuple[str | Backend, str]:
    """The requested backend, which may not be available, and what requested it."""
    for choice, reason in (
        (backend, "the backend= argument"),
        (_context.get(), "with use_backend(...)"),
        (_default, "set_backend(...)"),
        (os.environ.get("XPNET_BACKEND"), "the environment variable XPNET_BACKEND"),
    ):
        if choice:
            return choice, reason
    return "numpy", "the default"


def set_backend(backend: str | Backend | None) -> None:
    """Choose the backend of new arrays for the whole process; None restores the choice by ``XPNET_BACKEND``."""
    global _default  # noqa: PLW0603 - the only process-wide setting
    _default = None if backend is None else get_backend(backend)


@contextmanager
def use_backend(backend: str | Backend) -> Iterator[Backend]:
    """Choose the backend of new arrays inside a ``with`` block, for this thread or task.

    Examples
    --------
    >>> with use_backend("numpy") as chosen:
    ...     asarray([1.0, 2.0]).dtype, chosen.name
    (dtype('float64'), 'numpy')
    """
    chosen = get_backend(backend)
    token = _context.set(chosen)
    try:
        yield chosen
    finally:
        _context.reset(token)


@functools.cache
def _numpy_backend() -> Backend:
    return Backend("numpy", np)


@functools.cache
def _cupy_backend() -> Backend:
    return Backend("cupy", load_cupy())


def _auto_backend() -> Backend:
    try:
        chosen = _cupy_backend()
    except BackendError as error:
        _log.info("backend auto: numpy, because %s", error)
        return _numpy_backend()
    _log.info("backend auto: %s", chosen.describe())
    return chosen


_BUILDERS: dict[str, Callable[[], Backend]] = {"numpy": _numpy_backend, "cupy": _cupy_backend, "auto": _auto_backend}


@functools.cache
def _array_api_backend(name: str) -> Backend:
    """Any other module that follows the array API standard; used by the parity tests."""
    module_name, _, device_name = name.partition(":")
    try:
        _check_installed(name, module_name.partition(".")[0])
        xp = importlib.import_module(module_name)
    except (ImportError, ValueError) as error:
        raise BackendError(
            f"There is no backend {name!r}. Choose 'numpy', 'cupy' or 'auto', as in `XPNET_BACKEND=numpy`."
        ) from error
    if not hasattr(xp, "__array_api_version__"):
        raise BackendError(
            f"There is no backend {name!r}: the module of that name does not follow the Python array API standard. "
            "Choose 'numpy', 'cupy' or 'auto', as in `XPNET_BACKEND=numpy`."
        )
    device = None
    if device_name:
        devices = xp.__array_namespace_info__().devices()
        device = next((d for d in devices if device_name in str(d)), None)
        if device is None:
            raise BackendError(f"{module_name} has no device {device_name!r}; it has {[str(d) for d in devices]}.")
    register_array_type(type(xp.zeros(1, device=device)), xp)
    return Backend(name, xp, device)


def _check_installed(name: str, package: str) -> None:
    """Raise for a module in the working folder, which an environment variable must not run."""
    spec = None if package in sys.modules else importlib.util.find_spec(package)
    if spec is None:
        return
    folders = [Path(place).resolve().parent for place in spec.submodule_search_locations or [spec.origin or "/"]]
    if Path().resolve() in folders:
        raise BackendError(
            f"There is no backend {name!r}: the module `{package}` is in the working folder, and only installed "
            f"modules are imported by name. If you mean it, `import {package}` first; otherwise choose 'numpy', "
            "'cupy' or 'auto', as in `XPNET_BACKEND=numpy`."
        )


# --- converting -----------------------------------------------------------------------------------------------------


def asarray(a: Any, *, dtype: Any = None, like: Array | None = None, backend: str | Backend | None = None) -> Array:
    """Convert `a` to an array on the device of `like`, or on the chosen backend.

    Parameters
    ----------
    a
        An array of any backend, a list, a number.
    dtype
        A numeric dtype, such as ``"float32"`` or ``numpy.float32``; None keeps the dtype.
    like
        An array of the target library and device.
    backend
        The target backend without `like`; see `get_backend`.

    Returns
    -------
    Array
        `a` itself if nothing changes (as in ``numpy.asarray``), else a copy that shares no memory with it, in the byte
        order of this machine.

    Raises
    ------
    ArrayMixError
        For subclasses of NumPy's arrays, such as masked arrays, and for other types; the message has a conversion.
    DtypeError
        For anything but numbers, and for complex numbers if `dtype` is not complex.
    ShapeError
        For lists of different lengths.

    Examples
    --------
    >>> asarray([1, 2], dtype="float32", backend="numpy")
    array([1., 2.], dtype=float32)
    """
    if dtype is not None:
        dtype = named_dtype(dtype)
    if like is not None:
        xp, device = get_array_module(like), creation_device(like).get("device")
    else:
        chosen = get_backend(backend)
        xp, device = chosen.xp, chosen.device
    if is_array(a) and (module := get_array_module(a)) is xp is not np and (device is None or a.device == device):
        return a if dtype in (None, dtype_name(a)) else xp.astype(a, getattr(xp, dtype))
    host = to_numpy(a) if is_array(a) else _read(a)
    _check_numbers(a, host, dtype)
    target = np.dtype(dtype or host.dtype).newbyteorder("=")
    if xp is np:
        host = host.astype(target, copy=False)
        # Arrays of other libraries may be read-only, as those of JAX, even as copies.
        return host if host.flags.writeable or (is_array(a) and module is np) else host.copy()
    # A copy, because torch and others would share the caller's memory.
    host = np.array(host, dtype=target)
    return xp.asarray(host) if device is None else xp.asarray(host, device=device)


def _read(a: Any) -> np.ndarray:
    if isinstance(a, list | tuple):
        for kind in set(map(type, a)):
            if issubclass(kind, np.ndarray):  # numpy.asarray would drop the mask of each
                check_plain(next(part for part in a if type(part) is kind), "each array of the list")
    try:
        return np.asarray(a)
    except (TypeError, ValueError, RuntimeError) as error:
        for part in a if isinstance(a, list | tuple) else [a]:
            if not isinstance(part, list | tuple | Number):
                check_plain(part, "each array of the list" if part is not a else "x")
        raise ShapeError(f"Expected a list of numbers, or of lists of one length, got {a!r:.60}.") from error


def _check_numbers(a: Any, host: np.ndarray, dtype: str | None) -> None:
    """Raise unless `host`, read from `a`, holds numbers that can be converted to `dtype`."""
    kind = host.dtype.kind
    if kind not in "biufc":
        code = conversion(a)
        # For a list, numpy.asarray would give the same result.
        advice = f" Use `{code}`." if code and not code.startswith("numpy.asarray") else ""
        raise DtypeError(f"Expected numbers, got {type_name(a)} that NumPy reads as {host.dtype}: {a!r:.60}.{advice}")
    if kind == "c" and dtype is not None and not dtype.startswith("complex"):
        raise DtypeError(f"Expected real numbers, got {host.dtype}. Use `x.real` for the real parts.")


def backend_of(x: Array) -> Backend:
    """The backend of an array."""
    xp = get_array_module(x)
    if xp is np:
        return _numpy_backend()
    if isinstance(xp, CupyNamespace):
        return Backend("cupy", xp)
    return Backend(type(x).__module__.partition(".")[0], xp, x.device)


# --- synchronizing and describing -----------------------------------------------------------------------------------


def synchronize(like: Array | None = None) -> None:
    """Wait until the device of `like` (default: of the chosen backend) has finished its work.

    Without this, a clock measures only how fast a GPU is given its work.
    """
    xp = get_backend().xp if like is None else get_array_module(like)
    if isinstance(xp, CupyNamespace):
        xp.cuda.get_current_stream().synchronize()


def _processor_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
