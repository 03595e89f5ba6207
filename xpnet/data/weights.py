"""Files of named arrays: safetensors, npz and the book's pickles are read, safetensors are written; nothing is run."""

import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from xpnet._core.files import check_path, open_regular, write_whole
from xpnet.data import _formats as formats
from xpnet.data._pickle import read_pickled_arrays
from xpnet.errors import DamagedFileError, DataError

_MAX_BYTES = 2**26  # nineteen times the book's largest file


def load_weights(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read the parameters in a file, for `set_params` of a network with the same layers.

    Use `set_weights` if the file also has running statistics, or ``network.load`` to read it.

    It reads the book's files of parameters, ``ch07/params.pkl`` for `SimpleConvNet` and
    ``ch08/deep_convnet_params.pkl`` for `DeepConvNet` (github.com/oreilly-japan/deep-learning-from-scratch, MIT
    license), and files written by ``save_params`` of the book's networks. These are pickles, and loading a pickle can
    run any program. This function only accepts NumPy arrays: a file with anything else is refused, with the name of
    what it would use, before any of it runs.

    Parameters
    ----------
    path
        A pickle of a dictionary of NumPy arrays (protocol 3 to 5), a safetensors file or an npz file, told apart by
        content, not by name; at most 64 MiB, also when unpacked.

    Returns
    -------
    dict of str to numpy.ndarray
        New arrays, float16, float32 or float64 as in the file; bfloat16 as float32, which is exact. PyTorch's counters
        ``num_batches_tracked`` are left out. A checksum is verified if the file has one, as those of ``network.save``
        have. Whether the weights are the book's is not verified.

    Raises
    ------
    DataError
        If the file is missing, too large or damaged, or holds anything but arrays of finite floats by name.

    Notes
    -----
    The book's repository has had two versions of each file: the first, of July 2016, which gives the book's figures,
    and the present one, of September 2022. Correct classifications of the 10,000 test images of MNIST, here as in the
    book's own code:

    ================================  ==================  =====================
    file                              2016 (``0dda3d1``)  2022 (``b6f396f`` on)
    ================================  ==================  =====================
    ``ch07/params.pkl``               9,890               9,600
    ``ch08/deep_convnet_params.pkl``  9,935               9,797
    ================================  ==================  =====================

    Examples
    --------
    With the book's files in the working folder::

        SimpleConvNet().set_params(load_weights("params.pkl"))
        DeepConvNet().set_params(load_weights("deep_convnet_params.pkl"))
    """
    try:
        return read_arrays(path)
    except DataError as error:
        raise type(error)(f"{error} {_remedy(check_path('path', path), error)}".rstrip()) from error.__cause__


def _remedy(path: Path, error: DataError) -> str:
    if not path.is_file():
        return "Give the path of a file of parameters, such as the book's: `load_weights('folder/params.pkl')`."
    if path.stat().st_size > _MAX_BYTES:
        return "`network.load('weights.safetensors')` reads larger files that a network has saved."
    if isinstance(error, DamagedFileError):
        return "Copy or download it once more."
    if "`" in str(error):
        return ""
    return (
        "In the program that has the arrays, write them alone: `numpy.savez('weights.npz', **{name: "
        "numpy.asarray(value, dtype='float32') for name, value in params.items()})`, and load weights.npz."
    )


def read_arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read the arrays of finite floats in a file, in its order; see `load_weights`, which adds a remedy to errors."""
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > _MAX_BYTES:
            raise DataError(f"has {size:,} bytes, expected were {_MAX_BYTES:,} at most")
        kind = formats.file_format(file)
        if kind == "safetensors":
            header = formats.read_header(file, size)
            names = [name for name in header.dtypes if not formats.is_pytorch_counter(name)]
            for name in names:
                formats.check_floats(name, header.dtype(name))
            arrays = _read_verified(file, header, names)
        else:
            content = file.read(size)
            arrays = formats.read_npz(content, _MAX_BYTES) if kind == "npz" else read_pickled_arrays(content)
            arrays = {name: array for name, array in arrays.items() if not formats.is_pytorch_counter(name)}
        for name, array in arrays.items():
            formats.check_floats(name, array.dtype)
        _check_finite(arrays)
        if not arrays:
            raise DataError("holds no arrays")
    return arrays


def save_weights(
    path: str | os.PathLike[str],
    arrays: Mapping[str, np.ndarray],
    description: str,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Write named arrays of floats atomically as safetensors, with a checksum, a description and more metadata.

    Raises a DataError if a weight is NaN or infinite, and a WriteError if the file cannot be written. An older file is
    then not changed.
    """
    from safetensors.numpy import save

    target = check_path("path", path)
    try:
        _check_finite(arrays)
    except DataError as error:
        raise DataError(f"{target} is not written: the network {error}.") from None
    contiguous = {key: np.ascontiguousarray(value) for key, value in arrays.items()}
    text = {**(metadata or {}), "format": "xpnet", "network": description}
    text["sha256"] = _file_sha256(contiguous, text)
    return write_whole(target, save(contiguous, metadata=text))


def load_expected_weights(
    path: str | os.PathLike[str], expected: Mapping[str, tuple[tuple[int, ...], str]]
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read a file of `save_weights` with exactly the arrays of the `expected` shapes and dtypes, and its metadata.

    Raises a DataError if the file is missing or damaged, holds other arrays, or holds NaN or infinity.
    """
    try:
        with _opened(path) as file:
            if (kind := formats.file_format(file)) != "safetensors":
                raise DataError(_not_safetensors(kind, os.fspath(path), file.read(1)))
            header = formats.read_header(file, os.fstat(file.fileno()).st_size)
            found = {name: (shape, str(header.dtype(name))) for name, shape in header.shapes.items()}
            if found != dict(expected):
                raise DataError(
                    f"holds other weights than this network's. In the file: {_describe(found)}. Expected: "
                    f"{_describe(expected)}. Make the network with the sizes and dtype it was saved with"
                )
            arrays = _read_verified(file, header, list(header.shapes))
            _check_finite(arrays)
    except DamagedFileError as error:
        raise DamagedFileError(f"{error} Copy it once more, or load another.") from error.__cause__
    return arrays, header.metadata


def _not_safetensors(kind: str, path: str, first: bytes) -> str:
    if kind == "npz" or first == b"\x80":
        what = "an npz file" if kind == "npz" else "a pickle"
        return f"is {what}, expected was a safetensors file. Use `network.state.set_weights(load_weights({path!r}))`"
    return (
        "is no safetensors file, which `network.save` writes. Give the path of a file of weights, such as "
        "`network.load('weights.safetensors')`"
    )


def _describe(form: Mapping[str, tuple[tuple[int, ...], str]]) -> str:
    return ", ".join(f"{key} {shape} {dtype}" for key, (shape, dtype) in sorted(form.items())) or "nothing"


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[io.BufferedReader]:
    """Open a file of weights; the readers' errors are predicates, which get the path as their subject."""
    place = check_path("path", path)
    try:
        with open_regular(place) as file:
            yield file
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"{place} cannot be read ({reason}), a readable file was expected.") from error
    except DataError as error:  # the new message contains the old one
        raise type(error)(f"{place} {error}.") from error.__cause__


# --- verifying --------------------------------------------------------------------------------------------------------


def content_sha256(arrays: Mapping[str, np.ndarray]) -> str:
    """The SHA-256 of the names, shapes, dtypes and values of arrays, whichever format they come from."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.shape} {array.dtype}\n".encode())
        little_endian = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        digest.update(little_endian.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _file_sha256(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> str:
    others = sorted((key, value) for key, value in metadata.items() if key != "sha256")
    return hashlib.sha256((content_sha256(arrays) + json.dumps(others)).encode()).hexdigest()


def _read_verified(
    file: io.BufferedReader, header: formats.SafetensorsHeader, names: list[str]
) -> dict[str, np.ndarray]:
    """Read arrays of a safetensors file, and verify the checksum if it has one."""
    arrays = {name: formats.read_tensor(file, header, name) for name in names}
    if "sha256" in header.metadata and header.metadata.get("format") == "xpnet":
        found, expected = _file_sha256(arrays, header.metadata), header.metadata["sha256"]
        if found != expected:
            raise DamagedFileError(f"is damaged: its content has SHA-256 {found}, expected was {expected[:64]}")
    return arrays


def _check_finite(arrays: Mapping[str, np.ndarray]) -> None:
    for name, array in arrays.items():
        finite = np.isfinite(array)
        if not finite.all():
            index = tuple(int(i) for i in np.argwhere(~finite)[0])
            count = finite.size - int(np.count_nonzero(finite))
            raise DataError(
                f"holds {name[:60]}, in which {count:,} of {finite.size:,} numbers are NaN or infinite, the first at "
                f"index {index}; expected were finite weights. Its training has diverged: train again with a lower "
                "learning rate, such as `optimizer_param={'lr': 0.001}`, or take a file that was saved earlier"
            )
