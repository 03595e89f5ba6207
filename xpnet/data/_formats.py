"""The formats of files of weights: telling them apart, and reading safetensors and npz files without trusting them.

Errors are predicates ("is damaged: ..."), to which `xpnet.data.weights` adds the file.
"""

import io
import json
import math
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib import format as npy

from xpnet.errors import DamagedFileError, DataError

# The first bytes of other files, what these are, and what to do with them.
_FROM_PYTORCH = (
    "a file of PyTorch. In a program that has PyTorch write the arrays alone: `numpy.savez('weights.npz', **{name: "
    "t.float().numpy() for name, t in torch.load('weights.pt', map_location='cpu', weights_only=True).items()})`, and "
    "load weights.npz"
)
_FROM_KERAS = (
    "a file of Keras. In a program that has Keras write the arrays alone: `numpy.savez('weights.npz', **{w.path: "
    "numpy.asarray(w) for w in model.weights})`, and load weights.npz"
)
_UNPACK = "Unpack it, and load the file that is in it"
_OTHERS = {
    b"\x93NUMPY": "a .npy file, whose array has no name. Write the arrays by name: `numpy.savez('weights.npz', "
    "**params)`, and load weights.npz",
    b"\x89HDF\r\n\x1a\n": f"an HDF5 file, perhaps {_FROM_KERAS}",
    b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19": _FROM_PYTORCH,  # before PyTorch 1.6
    b"\x1f\x8b": f"compressed with gzip. {_UNPACK}: `python -m gzip -d weights.npz.gz`",
    b"BZh": f"compressed with bzip2. {_UNPACK}",
    b"\xfd7zXZ\0": f"compressed with xz. {_UNPACK}",
    b"\x28\xb5\x2f\xfd": f"compressed with Zstandard. {_UNPACK}",
    b"7z\xbc\xaf\x27\x1c": f"a 7z archive. {_UNPACK}",
    b"version https://git-lfs": "a pointer to a file that Git LFS keeps elsewhere. Fetch the file: `git lfs pull`",
    b"<": "a web page, not the file that was to be downloaded. Download the file itself; on GitHub its page has a "
    "button `Raw`",
}


def file_format(file: io.BufferedReader) -> str:
    """Return ``"safetensors"``, ``"npz"`` or ``"pickle"``; raise a DataError with a fix for known other formats.

    Unknown content counts as a pickle.
    """
    file.seek(0)
    head = file.read(64)
    file.seek(0)
    if not head:
        raise DamagedFileError("is damaged: it is empty")
    if head[8:9] == b"{" and head[4:8] == bytes(4):  # JSON after the length of the header
        return "safetensors"
    if head.startswith(b"PK"):
        return _zip_format(file)
    for magic, what in _OTHERS.items():
        if head.lstrip().startswith(magic):
            raise DataError(f"is {what}")
    if head[:1] == b"\x08" and head[2:3] in (b"\x12", b"\x1a", b"\x3a", b"\x42"):
        raise DataError(
            "is perhaps a model of ONNX. In a program that has ONNX write the arrays alone: `numpy.savez("
            "'weights.npz', **{a.name: onnx.numpy_helper.to_array(a) for a in onnx.load('model.onnx').graph."
            "initializer})`, and load weights.npz"
        )
    return "pickle"


def _zip_format(file: io.BufferedReader) -> str:
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except Exception:  # zipfile raises any error for damaged files; `read_npz` will report it
        names = []
    file.seek(0)
    if any(name.endswith("data.pkl") for name in names):
        raise DataError(f"is {_FROM_PYTORCH}")
    if "model.weights.h5" in names:
        raise DataError(f"is {_FROM_KERAS}")
    return "npz"


def check_floats(name: str, dtype: np.dtype) -> None:
    """Raise unless `dtype` is float16, float32 or float64."""
    if dtype.kind != "f" or dtype.itemsize > 8:
        raise DataError(f"holds {name[:60]} of dtype {dtype}, expected were floats of 16, 32 or 64 bits")


def is_pytorch_counter(name: str) -> bool:
    """Whether this is PyTorch's counter of a batch normalization's minibatches, which no layer here uses."""
    return name.rpartition(".")[2] == "num_batches_tracked"


# --- npz --------------------------------------------------------------------------------------------------------------

_MAX_MEMBERS = 1000


def read_npz(content: bytes, max_bytes: int) -> dict[str, np.ndarray]:
    """Read the arrays of floats in an npz file, which may unpack to `max_bytes`."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            _check_members(members, max_bytes)
            return {member.filename.removesuffix(".npy"): _read_npy(archive, member, max_bytes) for member in members}
    except DataError:
        raise
    except Exception as error:  # zipfile, zlib and NumPy raise any error for damaged files
        raise DamagedFileError(f"is damaged: it cannot be read as an npz file ({error})") from error


def _check_members(members: list[zipfile.ZipInfo], max_bytes: int) -> None:
    if len(members) > _MAX_MEMBERS or sum(member.file_size for member in members) > max_bytes:
        raise DataError(f"unpacks to more than {max_bytes:,} bytes, or to more than {_MAX_MEMBERS:,} arrays")
    if len({member.filename for member in members}) < len(members):
        raise DataError("is no npz file of NumPy's: a name is in it twice")
    for member in members:
        known = member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        if not (known and member.filename.endswith(".npy")):
            raise DataError(f"is no npz file of NumPy's: it holds {member.filename[:60]!r}")


def _read_npy(archive: zipfile.ZipFile, member: zipfile.ZipInfo, max_bytes: int) -> np.ndarray:
    """Read one array. NumPy's reader would allocate whatever the header asks for before reading."""
    with archive.open(member) as file:
        if npy.read_magic(file) != (1, 0):  # later versions are for headers too long for arrays of floats
            raise DataError(f"is no npz file of NumPy's: {member.filename} has another version than 1.0")
        shape, fortran_order, dtype = npy.read_array_header_1_0(file)
        if not is_pytorch_counter(member.filename.removesuffix(".npy")):
            check_floats(member.filename.removesuffix(".npy"), dtype)
        size = math.prod(shape) * dtype.itemsize
        if not 0 <= size <= min(member.file_size, max_bytes):
            raise DamagedFileError(
                f"is damaged: {member.filename} is said to hold an array of shape {shape}, which it does not"
            )
        data = file.read(size + 1)  # one more byte, to detect an array that is too long
    if len(data) != size:
        raise DamagedFileError(
            f"is damaged: {member.filename} has {len(data):,} bytes of numbers, expected were {size:,}"
        )
    array = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran_order else "C")
    return array.astype(dtype.newbyteorder("="), order="C")


# --- safetensors ------------------------------------------------------------------------------------------------------
# The length of the header as uint64, the header in JSON, the arrays one after the other; all little-endian.
# https://github.com/huggingface/safetensors

_MAX_HEADER_BYTES = 100_000_000  # the format's own limit
_MAX_DIMENSIONS, _MAX_NUMBERS = 32, 2**59  # within NumPy's limits, also for arrays without numbers
_DTYPES = {
    "F16": "<f2",
    "F32": "<f4",
    "F64": "<f8",
    "C64": "<c8",
    "BOOL": "?",
    **{f"{kind}{8 * size}": f"<{kind.lower()}{size}" for kind in "IU" for size in (1, 2, 4, 8)},
}


@dataclass(frozen=True)
class SafetensorsHeader:
    """The header of a safetensors file: dtypes, shapes and offsets of the arrays by name, and metadata."""

    dtypes: dict[str, str]  # in the format's spelling: "F32", "BF16"
    shapes: dict[str, tuple[int, ...]]
    offsets: dict[str, int]  # of the first byte in the file
    metadata: dict[str, str]

    def dtype(self, name: str) -> np.dtype:
        """The dtype returned by `read_tensor`: float32 for bfloat16, which NumPy lacks."""
        kind = self.dtypes[name]
        if kind == "BF16":
            return np.dtype(np.float32)
        if kind not in _DTYPES:
            raise DataError(
                f"holds {name[:60]} of dtype {kind}, which NumPy does not have; expected were F16, BF16, F32 or F64. "
                "Convert it with PyTorch: `from safetensors.torch import load_file, save_file; "
                "save_file({name: t.float() for name, t in load_file('weights.safetensors').items()}, "
                "'float32.safetensors')`"
            )
        return np.dtype(_DTYPES[kind]).newbyteorder("=")


def read_header(file: io.BufferedReader, size: int) -> SafetensorsHeader:
    """Read the header of a file of `size` bytes, and check that it describes all of them."""
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= min(size - 8, _MAX_HEADER_BYTES):
        raise DamagedFileError(f"is damaged: its header is said to have {length:,} bytes, the file has {size:,}")
    try:
        header = json.loads(file.read(length), object_pairs_hook=_without_duplicates)
        metadata = header.pop("__metadata__", {})
        if not all(isinstance(value, str) for value in metadata.values()):
            raise ValueError("metadata that is not text")
        entries = sorted(header.items(), key=lambda entry: entry[1]["data_offsets"])
        _check_entries(entries, size - 8 - length)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedFileError(f"is damaged: its safetensors header cannot be read ({str(error)[:100]})") from error
    return SafetensorsHeader(
        {name: entry["dtype"] for name, entry in entries},
        {name: tuple(entry["shape"]) for name, entry in entries},
        {name: 8 + length + entry["data_offsets"][0] for name, entry in entries},
        metadata,
    )


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a name is in it twice")
    return made


def _check_entries(entries: list[tuple[str, Any]], size: int) -> None:
    """Raise a ValueError unless the arrays follow one another and fill the rest of the file."""
    position = 0
    for name, entry in entries:
        shape, (begin, end) = entry["shape"], entry["data_offsets"]
        if not (isinstance(entry["dtype"], str) and all(type(n) is int and n >= 0 for n in (*shape, begin, end))):
            raise ValueError(f"{name[:60]} has no proper shape or dtype")
        if len(shape) > _MAX_DIMENSIONS or math.prod(max(n, 1) for n in shape) > _MAX_NUMBERS:
            raise ValueError(f"{name[:60]} has a shape that no array can have")
        itemsize = 2 if entry["dtype"] == "BF16" else np.dtype(_DTYPES.get(entry["dtype"], "V0")).itemsize
        if begin != position or end < begin or (itemsize and math.prod(shape) * itemsize != end - begin):
            raise ValueError(f"{name[:60]} has not as many bytes as its shape needs")
        position = end
    if position != size:
        raise ValueError(f"{position:,} bytes of arrays were expected, there are {size:,}")


def read_tensor(file: io.BufferedReader, header: SafetensorsHeader, name: str) -> np.ndarray:
    """Read one of the arrays, as a new array in this machine's byte order."""
    kind = header.dtypes[name]
    array = np.empty(header.shapes[name], "<u2" if kind == "BF16" else _DTYPES[kind])
    file.seek(header.offsets[name])
    if file.readinto(array.reshape(-1).view(np.uint8).data) != array.nbytes:
        raise DamagedFileError("is damaged: it became shorter while it was read")
    if kind == "BF16":  # the upper half of a float32
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(array.dtype.newbyteorder("="), copy=False)
