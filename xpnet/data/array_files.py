"""Files of named arrays, in any of three formats, and trusting none: safetensors, npz, and the book's pickles."""

import hashlib
import io
import json
import math
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from xpnet._core.files import check_path, open_regular
from xpnet.data._formats import file_format
from xpnet.data._pickle import read_pickled_arrays
from xpnet.data._safetensors import SafetensorsHeader, read_header, read_tensors
from xpnet.errors import DamagedFileError, DataError

__all__ = [
    "check_finite_weights",
    "content_sha256",
    "file_sha256",
    "load_weights",
    "open_weights",
    "read_arrays",
    "verified_tensors",
]

_LARGEST = 2**26  # bytes: nineteen times the book's largest file
_MOST_MEMBERS = 1000


def load_weights(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The parameters in a file, by name; for `set_params` of a network of the same layers.

    (For `set_weights`, where the file has running statistics as well; or ``network.load`` reads it.)

    It reads the book's files of parameters, ``ch07/params.pkl`` for `SimpleConvNet` and
    ``ch08/deep_convnet_params.pkl`` for `DeepConvNet`, which are in the book's repository,
    github.com/oreilly-japan/deep-learning-from-scratch (MIT licence), and what the book's networks write with
    ``save_params``. These are pickles, and loading a pickle can run any program. This reader admits NumPy arrays and
    nothing else: a file with anything else in it is refused, by the name of what it wants to use, before any of it
    runs.

    Parameters
    ----------
    path
        A pickle of a dictionary of NumPy arrays (protocol 3 to 5), a safetensors file or an npz file, told apart by
        content and not by name; 64 MiB at most, and no more when unpacked.

        PyTorch's counters ``num_batches_tracked``, which no network here has, are left out.

    Returns
    -------
    dict of str to numpy.ndarray
        The arrays, float16, float32 or float64 as they are there, the caller's own; bfloat16 as float32, which is
        exact. A checksum is verified where the file has one, as those of ``network.save`` have. Whether they are the
        book's is for the caller to know.

    Raises
    ------
    DataError
        When the file is missing, too large or damaged, or holds anything but arrays of finite floats by name.

    Notes
    -----
    The book's repository has had two versions of each file: the first, of July 2016, to which the book's figures
    belong, and the present one, of September 2022, with other numbers in it. Of the 10,000 test images of MNIST they
    get right, here as in the book's own code,

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
    """What is to be done about a file of weights that could not be read; nothing where the error says it."""
    if not path.is_file():
        return "Give the path of a file of parameters, such as the book's: `load_weights('folder/params.pkl')`."
    if path.stat().st_size > _LARGEST:
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
    """The arrays in a file, whose format is told by its content and not by its name; nothing in it is run.

    Parameters
    ----------
    path
        A safetensors file, an npz file, or a pickle of a dictionary of NumPy arrays (protocol 3 to 5); 64 MB at most,
        and no more when unpacked.

    Returns
    -------
    dict of str to numpy.ndarray
        Arrays of finite floats, the caller's own, in the order of the file.

    Raises
    ------
    DataError
        When the file is missing, too large or damaged, or holds anything but arrays of floats by name.
    """
    with open_weights(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > _LARGEST:
            raise DataError(f"has {size:,} bytes, expected were {_LARGEST:,} at most")
        kind = file_format(file)
        if kind == "safetensors":
            header = read_header(file, size)
            names = [name for name in header.dtypes if not _is_pytorchs_counter(name)]
            for name in names:
                _check_floats(name, header.dtype(name))
            arrays = verified_tensors(file, header, names)
        else:
            content = file.read(size)
            arrays = _read_npz(content) if kind == "npz" else read_pickled_arrays(content)
            arrays = {name: array for name, array in arrays.items() if not _is_pytorchs_counter(name)}
        for name, array in arrays.items():
            _check_floats(name, array.dtype)
        check_finite_weights(arrays)
        if not arrays:
            raise DataError("holds no arrays")
    return arrays


@contextmanager
def open_weights(path: str | os.PathLike[str]) -> Iterator[io.BufferedReader]:
    """Open a file of weights; what is wrong with it, raised as a predicate, is completed by its path."""
    place = check_path("path", path)
    try:
        with open_regular(place) as file:
            yield file
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"{place} cannot be read ({reason}), a readable file was expected.") from error
    except DataError as error:  # the message already says all that the inner one does
        raise type(error)(f"{place} {error}.") from error.__cause__


# --- verifying --------------------------------------------------------------------------------------------------------


def content_sha256(arrays: Mapping[str, np.ndarray]) -> str:
    """The SHA-256 of the names, shapes, dtypes and numbers of some arrays, whatever file they come from."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.shape} {array.dtype}\n".encode())
        little_endian = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        digest.update(little_endian.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def file_sha256(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> str:
    """The checksum of a file of weights: of its arrays and of its metadata, but for the checksum itself."""
    others = sorted((key, value) for key, value in metadata.items() if key != "sha256")
    return hashlib.sha256((content_sha256(arrays) + json.dumps(others)).encode()).hexdigest()


def verified_tensors(file: io.BufferedReader, header: SafetensorsHeader, names: list[str]) -> dict[str, np.ndarray]:
    """Read arrays of a safetensors file, and compare them with the checksum in its metadata, where there is one."""
    arrays = read_tensors(file, header, names)
    if "sha256" in header.metadata and header.metadata.get("format") == "xpnet":
        found, expected = file_sha256(arrays, header.metadata), header.metadata["sha256"]
        if found != expected:
            raise DamagedFileError(f"is damaged: its content has SHA-256 {found}, expected was {expected[:64]}")
    return arrays


def check_finite_weights(arrays: Mapping[str, np.ndarray]) -> None:
    """Raise a DataError, with a predicate, where a weight is NaN or infinite: a network that has one is of no use."""
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


def _check_floats(name: str, dtype: np.dtype) -> None:
    if dtype.kind != "f" or dtype.itemsize > 8:
        raise DataError(f"holds {name[:60]} of dtype {dtype}, expected were floats of 16, 32 or 64 bits")


def _is_pytorchs_counter(name: str) -> bool:
    """Whether this counts the minibatches of a batch normalization in PyTorch, which no layer here uses."""
    return name.rpartition(".")[2] == "num_batches_tracked"


# --- npz --------------------------------------------------------------------------------------------------------------


def _read_npz(content: bytes) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            _check_members(members)
            return {member.filename.removesuffix(".npy"): _read_npy(archive, member) for member in members}
    except DataError:
        raise
    except Exception as error:  # zipfile, zlib and NumPy raise what they like for what is damaged
        raise DamagedFileError(f"is damaged: it cannot be read as an npz file ({error})") from error


def _check_members(members: list[zipfile.ZipInfo]) -> None:
    """Raise unless these are what NumPy puts into an npz file, and small enough when they are unpacked."""
    if len(members) > _MOST_MEMBERS or sum(member.file_size for member in members) > _LARGEST:
        raise DataError(f"unpacks to more than {_LARGEST:,} bytes, or to more than {_MOST_MEMBERS:,} arrays")
    if len({member.filename for member in members}) < len(members):
        raise DataError("is no npz file of NumPy's: a name is in it twice")
    for member in members:
        known = member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        if not (known and member.filename.endswith(".npy")):
            raise DataError(f"is no npz file of NumPy's: it holds {member.filename[:60]!r}")


def _read_npy(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """One array. NumPy's own reader would reserve whatever the header asks for before looking at what there is."""
    with archive.open(member) as file:
        if npy.read_magic(file) != (1, 0):  # the others are for headers too long for arrays of floats
            raise DataError(f"is no npz file of NumPy's: {member.filename} has another version than 1.0")
        shape, fortran_order, dtype = npy.read_array_header_1_0(file)
        if not _is_pytorchs_counter(member.filename.removesuffix(".npy")):
            _check_floats(member.filename.removesuffix(".npy"), dtype)
        size = math.prod(shape) * dtype.itemsize
        if not 0 <= size <= min(member.file_size, _LARGEST):
            raise DamagedFileError(
                f"is damaged: {member.filename} is said to hold an array of shape {shape}, which it does not"
            )
        data = file.read(size + 1)  # one byte more tells an array that is too long
    if len(data) != size:
        raise DamagedFileError(
            f"is damaged: {member.filename} has {len(data):,} bytes of numbers, expected were {size:,}"
        )
    array = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran_order else "C")
    return array.astype(dtype.newbyteorder("="), order="C")
