"""Arrays of any library: their array module, dtype and device, and functions that the array API standard lacks."""

from typing import Any

import numpy as np

from xpnet._core.cupy import cupy_namespace
from xpnet.errors import ArgumentError, ArrayMixError

Array = Any
"""An array of any backend; the libraries have no common base class."""

# The array module of each known array type; filled by `get_array_module`.
_array_modules: dict[type, Any] = dict.fromkeys((np.ndarray, np.float32, np.float64, np.int64, np.bool_), np)

_dtype_names: dict[tuple[type, Any], str] = {}

_SIZES = {"int": (8, 16, 32, 64), "uint": (8, 16, 32, 64), "float": (16, 32, 64), "complex": (64, 128)}
_NUMBERS = frozenset(["bool", *(f"{kind}{size}" for kind, sizes in _SIZES.items() for size in sizes)])


def get_array_module(x: Array, *others: Array) -> Any:
    """The array module of `x`: numpy, xpnet's namespace over cupy, or another library.

    Raises an ArrayMixError if `others` belong to another library, or `x` is no plain array (see `check_plain`).

    Examples
    --------
    >>> get_array_module(np.ones(3)) is np
    True
    """
    for other in others:
        if get_array_module(other) is not get_array_module(x):
            raise ArrayMixError(
                f"Arrays of two libraries met: {type_name(x)} and {type_name(other)}. "
                "Move one of them to the other with `xpnet.asarray(a, like=b)`."
            )
    try:
        return _array_modules[type(x)]
    except KeyError:
        return _find_array_module(x)


def _find_array_module(x: Array) -> Any:
    check_plain(x)
    if isinstance(x, (np.ndarray, np.generic)):
        xp: Any = np
    elif _is_cupy_array(x):
        xp = cupy_namespace()
    else:
        xp = x.__array_namespace__()
    _array_modules[type(x)] = xp
    return xp


def check_plain(x: Any, name: str = "x") -> None:
    """Raise for subclasses of NumPy's arrays and for anything but arrays; `name` is used in the message.

    The operators of a subclass may differ: ``*`` of ``numpy.matrix`` is a matrix product, sums of masked arrays leave
    out elements. Memory maps behave like plain arrays and are accepted. The ArrayMixError has a conversion to a plain
    array.
    """
    if type(x) in _array_modules or isinstance(x, np.memmap | np.generic):
        return
    if isinstance(x, np.ndarray) or not is_array(x):
        expected = "a plain array" if isinstance(x, np.ndarray) else "an array"
        code = conversion(x, name)
        more = ", with the number for the masked places" if isinstance(x, np.ma.MaskedArray) else ""
        advice = f" Use `{code}`{more}." if code else ""
        raise ArrayMixError(f"{name} must be {expected}, got {type_name(x)}.{advice}")


def conversion(x: Any, name: str = "x") -> str:
    """Code that converts `x`, a variable called `name`, to a plain array; ``""`` if there is none.

    Examples
    --------
    >>> conversion(np.ma.masked_array([1.0, 2.0], mask=[0, 1]))
    'x.filled(0)'
    >>> conversion([1.0, 2.0], "t")
    'numpy.asarray(t)'
    """
    if isinstance(x, np.ndarray) and x.dtype.names:
        return f"numpy.array({name}.tolist())"
    if isinstance(x, np.ma.MaskedArray):
        return f"{name}.filled(0)"
    for method in ("toarray", "to_numpy"):  # SciPy's sparse matrices; pandas' and polars' tables
        if callable(getattr(x, method, None)):
            return f"{name}.{method}()"
    if hasattr(x, "detach"):  # PyTorch's tensors
        return f"{name}.detach().cpu().numpy()"
    convertible = isinstance(x, list | tuple | int | float | range) or hasattr(x, "__array__")
    return f"numpy.asarray({name})" if convertible else ""


def type_name(x: object) -> str:
    """Name of the type of `x`, for messages: ``"numpy.ndarray"``, ``"list"``."""
    return f"{type(x).__module__}.{type(x).__qualname__}".removeprefix("builtins.")


def register_array_type(kind: type, xp: Any) -> None:
    """Declare the array module of a type without ``__array_namespace__``."""
    _array_modules[kind] = xp


def is_array(x: object) -> bool:
    """Whether `x` is an array of any library."""
    known = type(x) in _array_modules or isinstance(x, np.generic | np.ndarray) or hasattr(x, "__array_namespace__")
    return known or _is_cupy_array(x)


def _is_cupy_array(x: object) -> bool:
    """Whether `x` is a CuPy array, without importing CuPy; it has no ``__array_namespace__``."""
    return type(x).__module__.partition(".")[0] == "cupy" and hasattr(type(x), "__cuda_array_interface__")


def dtype_name(x: Array) -> str:
    """Name of an array's dtype, the same on every backend and in every byte order: ``"float32"``."""
    # The key has the class, because dtypes of two libraries may have the same hash but cannot always be compared.
    key = (type(x.dtype), x.dtype)
    if key not in _dtype_names:
        name = x.dtype.name if isinstance(x.dtype, np.dtype) else str(x.dtype)
        _dtype_names[key] = name.rpartition(".")[2]
    return _dtype_names[key]


def named_dtype(dtype: Any) -> str:
    """Name of a numeric dtype given as a name, a code, a type, or a dtype of any library; else an ArgumentError.

    Examples
    --------
    >>> named_dtype("f4"), named_dtype(">f8"), named_dtype(np.float64), named_dtype(np.dtype("int64"))
    ('float32', 'float64', 'float64', 'int64')
    """
    if isinstance(dtype, str) and dtype in _NUMBERS:
        return dtype
    # NumPy does not know the dtypes of other libraries, but their text ends in their name: torch.float32.
    for spelling in (dtype, str(dtype).rpartition(".")[2]):
        try:
            name = np.dtype(spelling).name
        except (TypeError, ValueError, SyntaxError):
            continue
        if name in _NUMBERS and dtype is not None:
            return name
    raise ArgumentError(f"Expected the name of a dtype of numbers such as `'float32'`, got {dtype!r:.60}.")


def is_writable(x: Array) -> bool:
    """Whether the array can be written in place, unlike those of JAX and read-only ones of NumPy."""
    try:
        x[...] = x
    except (TypeError, ValueError):
        return False
    return True


def accepts_out(xp: Any) -> bool:
    """Whether functions of the array module take ``out=``, which the array API standard lacks."""
    return xp is np or getattr(xp, "accepts_out", False)


def to_numpy(a: Array) -> np.ndarray:
    """Convert `a` to a plain NumPy array, waiting for the device; a NumPy array is returned itself.

    Raises an ArrayMixError if `a` is no plain array, such as a list or a masked array.
    """
    if type(a) is np.ndarray:
        return a
    xp = get_array_module(a)
    if xp is np:
        return np.asarray(a)
    if accepts_out(xp):  # CuPy, or the counting backend
        return np.asarray(xp.asnumpy(a))
    return np.from_dlpack(a, device="cpu", copy=True)


def copied(a: Array) -> Array:
    """A copy of `a` on its device."""
    return get_array_module(a).astype(a, a.dtype)


def arange(n: int, *, like: Array, dtype: str | None = None) -> Array:
    """The integers 0 to n-1 on the device of `like`; by default of the library's integer dtype."""
    xp = get_array_module(like)
    return xp.arange(n, **({} if dtype is None else {"dtype": getattr(xp, dtype)}), **creation_device(like))


def creation_device(like: Array) -> dict[str, Any]:
    """Arguments of creation functions for the device of `like`; empty for NumPy and CuPy."""
    return {} if accepts_out(get_array_module(like)) else {"device": like.device}


def sliding_windows(x: Array, size: tuple[int, int], stride: tuple[int, int]) -> Array:
    """The windows of images: (C, H, W, N) as (C, FH, FW, OH, OW, N); a read-only view on NumPy and CuPy, else a copy.

    `size` is FH and FW, at most H and W; `stride` is the vertical and horizontal distance of windows.
    """
    xp = get_array_module(x)
    (fh, fw), (down, right) = size, stride
    if accepts_out(xp):
        view = getattr(xp, "sliding_window_view", None) or xp.lib.stride_tricks.sliding_window_view
        windows = xp.permute_dims(view(x, size, (1, 2)), (0, 4, 5, 1, 2, 3))
        return windows[:, :, :, ::down, ::right, :]
    h, w = x.shape[1] - fh, x.shape[2] - fw  # the last row and column where a window begins
    rows = [
        xp.stack([x[:, i : i + h + 1 : down, j : j + w + 1 : right, :] for j in range(fw)], axis=1) for i in range(fh)
    ]
    return xp.stack(rows, axis=1)


def as_inputs(x: Array, dtype: Any, block: Array | None = None) -> Array:
    """Convert inputs to a network's dtype: uint8 pixels times 1/255, floats converted, or `x` itself.

    `block` is an array of `dtype` for the result, with at least as many samples, reused for every batch: allocating new
    memory page by page can take as long as the arithmetic.
    """
    if x.dtype == dtype:
        return x
    xp = get_array_module(x)
    if block is None:
        floats = xp.astype(x, dtype)  # converted before it is scaled: uint8 * (1/255) would be float64
    else:
        floats = block[: x.shape[0], ...]
        floats[...] = x
    if x.dtype == xp.uint8:
        floats *= 1 / 255
    return floats
