"""Looking at an array: which library it belongs to, its dtype's name, what can be done with it, and out to NumPy."""

from typing import Any

import numpy as np

from xpnet._core.cupy import cupy_namespace
from xpnet.errors import ArgumentError, ArrayMixError

__all__ = [
    "Array",
    "accepts_out",
    "arange",
    "as_inputs",
    "check_plain",
    "conversion",
    "copied",
    "creation_device",
    "dtype_name",
    "get_array_module",
    "is_array",
    "is_writable",
    "named_dtype",
    "register_array_type",
    "sliding_windows",
    "to_numpy",
    "type_name",
]

Array = Any
"""An array of any backend. The libraries share no base class, so to a type checker it is ``Any``."""

# From the type of an array to its array module; filled in as types are met.
_array_modules: dict[type, Any] = dict.fromkeys((np.ndarray, np.float32, np.float64, np.int64, np.bool_), np)

_dtype_names: dict[tuple[type, Any], str] = {}

_SIZES = {"int": (8, 16, 32, 64), "uint": (8, 16, 32, 64), "float": (16, 32, 64), "complex": (64, 128)}
_NUMBERS = frozenset(["bool", *(f"{kind}{size}" for kind, sizes in _SIZES.items() for size in sizes)])


def get_array_module(x: Array, *others: Array) -> Any:
    """The array module of `x`: numpy for a NumPy array, xpnet's thin namespace over cupy for a CuPy array, and so on.

    The first line of each ``forward`` and ``backward``.

    Raises
    ------
    ArrayMixError
        When `others` belong to another library, or `x` is no plain array: see `check_plain`.

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
    """Refuse what is no array, and subclasses of NumPy's arrays; `name` is what the message calls it.

    The operators of a subclass may mean something else: ``*`` of two matrices is a matrix product, and sums leave out
    the masked elements of a masked array. A memory map computes as a plain array does and is taken.

    Raises
    ------
    ArrayMixError
        The message says how to make a plain array of it.
    """
    if type(x) in _array_modules or isinstance(x, np.memmap | np.generic):
        return
    if isinstance(x, np.ndarray):
        raise ArrayMixError(f"{name} must be a plain array, got {type_name(x)}. {_advice(x, name)}")
    if not is_array(x):
        raise ArrayMixError(f"{name} must be an array, got {type_name(x)}. {_advice(x, name)}".rstrip())


def _advice(x: Any, name: str) -> str:
    code = conversion(x, name)
    if isinstance(x, np.ma.MaskedArray):
        return f"Use `{code}`, with the number that should stand in the masked places."
    return f"Use `{code}`." if code else ""


def conversion(x: Any, name: str = "x") -> str:
    """The code that makes a plain array of `x`, a variable called `name`; ``""`` if there is none.

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
    """The full name of the type of `x`, for messages: ``"numpy.ndarray"``, but ``"list"``."""
    return f"{type(x).__module__}.{type(x).__qualname__}".removeprefix("builtins.")


def register_array_type(kind: type, xp: Any) -> None:
    """Say that arrays of that type belong to that array module, where they do not say so themselves."""
    _array_modules[kind] = xp


def is_array(x: object) -> bool:
    """Whether `x` is an array of some backend, rather than a number or a list."""
    known = type(x) in _array_modules or isinstance(x, np.generic | np.ndarray) or hasattr(x, "__array_namespace__")
    return known or _is_cupy_array(x)


def _is_cupy_array(x: object) -> bool:
    """Whether it is CuPy's, which has no ``__array_namespace__``; without importing CuPy."""
    return type(x).__module__.partition(".")[0] == "cupy" and hasattr(type(x), "__cuda_array_interface__")


def dtype_name(x: Array) -> str:
    """The name of an array's dtype, the same on every backend and in every byte order: ``"float32"``."""
    # By class as well: two libraries' float32 may have one hash, and array-api-strict's refuses to be compared.
    key = (type(x.dtype), x.dtype)
    if key not in _dtype_names:
        name = x.dtype.name if isinstance(x.dtype, np.dtype) else str(x.dtype)
        _dtype_names[key] = name.rpartition(".")[2]
    return _dtype_names[key]


def named_dtype(dtype: Any) -> str:
    """The name of a dtype of numbers in any spelling: a name, a code, a type, or a dtype of some library.

    Raises
    ------
    ArgumentError
        When there is no such dtype.

    Examples
    --------
    >>> named_dtype("f4"), named_dtype(">f8"), named_dtype(np.float64), named_dtype(np.dtype("int64"))
    ('float32', 'float64', 'float64', 'int64')
    """
    if isinstance(dtype, str) and dtype in _NUMBERS:
        return dtype
    # The dtypes of other libraries are no dtypes to NumPy, but are printed with their names: torch.float32.
    for spelling in (dtype, str(dtype).rpartition(".")[2]):
        try:
            name = np.dtype(spelling).name
        except (TypeError, ValueError, SyntaxError):
            continue
        if name in _NUMBERS and dtype is not None:
            return name
    raise ArgumentError(f"Expected the name of a dtype of numbers such as `'float32'`, got {dtype!r:.60}.")


def is_writable(x: Array) -> bool:
    """Whether the array can be written in place; JAX's, and NumPy's read-only ones, cannot."""
    try:
        x[...] = x
    except (TypeError, ValueError):
        return False
    return True


def accepts_out(xp: Any) -> bool:
    """Whether functions of the array module take ``out=``: NumPy's and CuPy's do, the array API standard has none."""
    return xp is np or getattr(xp, "accepts_out", False)


def to_numpy(a: Array) -> np.ndarray:
    """`a` as a plain NumPy array. On a GPU this waits for the device; a NumPy array is returned as it is.

    Raises
    ------
    ArrayMixError
        When `a` is no plain array, such as a list or a masked array.
    """
    if type(a) is np.ndarray:
        return a
    xp = get_array_module(a)
    if xp is np:
        return np.asarray(a)
    if accepts_out(xp):  # CuPy, or its stand-in that counts
        return np.asarray(xp.asnumpy(a))
    return np.from_dlpack(a, device="cpu", copy=True)


def copied(a: Array) -> Array:
    """The same numbers in an array of their own, beside `a`."""
    return get_array_module(a).astype(a, a.dtype)


def arange(n: int, *, like: Array, dtype: str | None = None) -> Array:
    """The integers 0 to n-1 on the device of `like`, in the library's own integer dtype or another."""
    xp = get_array_module(like)
    return xp.arange(n, **({} if dtype is None else {"dtype": getattr(xp, dtype)}), **creation_device(like))


def creation_device(like: Array) -> dict[str, Any]:
    """What a creation function takes to put its result beside `like`; NumPy has one device, CuPy a current one."""
    return {} if accepts_out(get_array_module(like)) else {"device": like.device}


def sliding_windows(x: Array, size: tuple[int, int], stride: tuple[int, int]) -> Array:
    """The windows of images: (C, H, W, N) as (C, FH, FW, OH, OW, N), element [:, i, j] of each window one image.

    Parameters
    ----------
    x
        Images, (C, H, W, N).
    size
        FH and FW, no more than H and W.
    stride
        By how much one window lies below, and right of, another.

    Returns
    -------
    Array
        A view of `x`, for reading only, where the library has strided views: NumPy and CuPy. Else a copy.
    """
    xp = get_array_module(x)
    (fh, fw), (down, right) = size, stride
    if accepts_out(xp):
        view = getattr(xp, "sliding_window_view", None) or xp.lib.stride_tricks.sliding_window_view
        windows = xp.permute_dims(view(x, size, (1, 2)), (0, 4, 5, 1, 2, 3))
        return windows[:, :, :, ::down, ::right, :]
    h, w = x.shape[1] - fh, x.shape[2] - fw  # the last row and column that a window begins at
    rows = [
        xp.stack([x[:, i : i + h + 1 : down, j : j + w + 1 : right, :] for j in range(fw)], axis=1) for i in range(fh)
    ]
    return xp.stack(rows, axis=1)


def as_inputs(x: Array, dtype: Any, block: Array | None = None) -> Array:
    """A network's inputs in its dtype: uint8 pixels times 1/255, floats converted; in place already, `x` itself.

    `block` is memory to use again for batch after batch: an array of `dtype` that has the samples' shape and as many or
    more of them. New memory is given page by page, which can take as long as the arithmetic.
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
