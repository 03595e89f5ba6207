"""Files of named arrays, in any of three formats, and trusting none: safetensors, npz, and the book's pickles."""

import io
import math
import os
import stat
import zipfile

import numpy as np
from numpy.lib import format as npy

from xpnet._pickled import read_pickled_arrays
from xpnet.errors import ArgumentError, DataError

__all__ = ["load_weights", "read_arrays"]

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

    Returns
    -------
    dict of str to numpy.ndarray
        The arrays, float16, float32 or float64 as they are there, the caller's own. They are
        read and not verified: that they are the book's is for the caller to know.

    Raises
    ------
    DataError
        When the file is missing, too large or damaged, or holds anything but arrays of floats by name.

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
    if not isinstance(path, str | os.PathLike):
        raise ArgumentError(f"load_weights takes the path of a file, such as 'params.pkl', got {path!r}.")
    try:
        return read_arrays(path)
    except DataError as error:
        raise DataError(f"{error} {_mend(path)}") from error.__cause__


def _mend(path: str | os.PathLike[str]) -> str:
    """What is to be done about a file of weights that could not be read."""
    if not os.path.isfile(path):
        return "Give the path of a file of parameters, such as the book's:  load_weights('folder/params.pkl')"
    if os.path.getsize(path) > _LARGEST:
        return "What a network has saved itself may be larger:  network.load('weights.safetensors')"
    return (
        "Copy or download it once more; or, where it is a file of your own, write the arrays alone, from the program "
        "that has them:  numpy.savez('weights.npz', **params)  or  network.save('weights.safetensors')"
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
        Arrays of floats, the caller's own, in the order of the file.

    Raises
    ------
    DataError
        When the file is missing, too large or damaged, or holds anything but arrays of floats by name.
    """
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
            raise OSError("it is a folder or a device")
        if status.st_size > _LARGEST:
            raise DataError(f"{path} has {status.st_size:,} bytes, expected were {_LARGEST:,} at most.")
        with open(path, "rb") as file:
            content = file.read(status.st_size)
    except DataError:
        raise
    except (OSError, ValueError) as error:  # a ValueError where the path is none, with a zero in it
        raise DataError(f"{path} cannot be read ({error}), a readable file was expected.") from error
    try:
        arrays = _read(content)
        if not arrays:
            raise DataError("holds no arrays")
    except DataError as error:
        raise DataError(f"{path} {error}.") from error.__cause__  # the message already says all that the inner one does
    return arrays


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
            members = archive.infolist()
            _check_members(members)
            return {member.filename.removesuffix(".npy"): _read_npy(archive, member) for member in members}
    except DataError:
        raise
    except Exception as error:  # zipfile, zlib and NumPy raise what they like for what is damaged
        raise DataError(f"is damaged: it cannot be read as an npz file ({error})") from error


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
    if dtype.kind != "f" or dtype.itemsize > 8:
        raise DataError(f"holds {name[:60]} of dtype {dtype}, expected were floats of 16, 32 or 64 bits")
