"""Files of named arrays, in any of three formats, and trusting none: safetensors, npz, and the book's pickles."""

import io
import math
import os
import zipfile

import numpy as np
from numpy.lib import format as npy

from xpnet._pickled import read_pickled_arrays
from xpnet.errors import DataError

__all__ = ["read_arrays"]

_LARGEST = 2**26  # bytes: a hundred times the book's largest file


def read_arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The arrays in a file, whose format is told by its content and not by its name; nothing in it is run.

    Parameters
    ----------
    path
        A safetensors file, an npz file, or a pickle of a dictionary of NumPy arrays (protocol 2 to 5); 64 MB at most.

    Returns
    -------
    dict of str to numpy.ndarray
        Arrays of floats, the caller's own, in the order of the file.

    Raises
    ------
    DataError
        When the file is missing, too large or damaged, or holds anything but arrays of floats by name.
    """
    try:
        size = os.stat(path).st_size
        if size > _LARGEST:
            raise DataError(f"{path} has {size:,} bytes, expected were {_LARGEST:,} at most.")
        with open(path, "rb") as file:
            content = file.read(size)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}), a readable file was expected.") from error
    try:
        return _read(content)
    except DataError as error:
        raise DataError(f"{path} {error}.") from error.__cause__  # the message already says all that the inner one does


def _read(content: bytes) -> dict[str, np.ndarray]:
    if content.startswith(b"PK\x03\x04"):
        return _read_npz(content)
    if content[8:9] == b"{":  # after the length of the header, in JSON
        return _read_safetensors(content)
    return read_pickled_arrays(content)


def _read_safetensors(content: bytes) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays: dict[str, np.ndarray] = {name: np.array(array) for name, array in load(content).items()}
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"is damaged: it cannot be read as a safetensors file ({error})") from error
    for name, array in arrays.items():
        _check_floats(name, array.dtype)
    return arrays


def _read_npz(content: bytes) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return {member.filename.removesuffix(".npy"): _read_npy(archive, member) for member in archive.infolist()}
    except DataError:
        raise
    except Exception as error:  # zipfile, zlib and NumPy raise what they like for what is damaged
        raise DataError(f"is damaged: it cannot be read as an npz file ({error})") from error


def _read_npy(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """One array. NumPy's own reader would reserve whatever the header asks for before looking at what there is."""
    with archive.open(member) as file:
        version = npy.read_magic(file)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran_order, dtype = read_header(file)
        _check_floats(member.filename, dtype)
        size = math.prod(shape) * dtype.itemsize
        if not 0 <= size <= min(member.file_size, _LARGEST):
            raise DataError(
                f"is damaged: {member.filename} is said to hold an array of shape {shape}, which it does not"
            )
        data = file.read(size + 1)  # one byte more tells an array that is too long
    if len(data) != size:
        raise DataError(f"is damaged: {member.filename} has {len(data):,} bytes of numbers, expected were {size:,}")
    array = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran_order else "C")
    return array.astype(dtype.newbyteorder("="), order="C")


def _check_floats(name: str, dtype: np.dtype) -> None:
    if dtype.kind != "f":
        raise DataError(f"holds {name} of dtype {dtype}, expected were floats")
