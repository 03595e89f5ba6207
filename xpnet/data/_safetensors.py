"""Reading safetensors files: the header first, so that a wrong file is refused before its arrays are read.

The format: the length of the header as uint64, the header in JSON, and the arrays one after the other, all
little-endian. https://github.com/huggingface/safetensors
"""

import io
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from xpnet.errors import DamagedFileError, DataError

__all__ = ["SafetensorsHeader", "read_header", "read_tensors"]

_MAX_HEADER_BYTES = 100_000_000  # that of the format
_MAX_DIMENSIONS, _MAX_NUMBERS = 32, 2**59  # within those of NumPy, for arrays of no numbers too
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
    """What a safetensors file holds.

    Attributes
    ----------
    dtypes
        By name, as the format calls them: ``"F32"``, ``"BF16"``.
    shapes, offsets
        By name; the offsets are those of the first byte in the file.
    metadata
        Strings by name.
    """

    dtypes: dict[str, str]
    shapes: dict[str, tuple[int, ...]]
    offsets: dict[str, int]
    metadata: dict[str, str]

    def dtype(self, name: str) -> np.dtype:
        """The dtype that `read_tensors` gives: bfloat16, which NumPy lacks, becomes float32, which is exact."""
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
    """Read the header of a file of `size` bytes, and check that it describes all of them.

    Raises
    ------
    DamagedFileError
        With what is wrong as a predicate, so that the caller can put the file before it.
    """
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
    """Raise a ValueError unless the arrays lie one after the other and fill the rest of the file."""
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


def read_tensors(file: io.BufferedReader, header: SafetensorsHeader, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Read some of the arrays: the caller's own, in this machine's byte order."""
    return {name: _read_tensor(file, header, name) for name in names}


def _read_tensor(file: io.BufferedReader, header: SafetensorsHeader, name: str) -> np.ndarray:
    kind = header.dtypes[name]
    array = np.empty(header.shapes[name], "<u2" if kind == "BF16" else _DTYPES[kind])
    file.seek(header.offsets[name])
    if file.readinto(array.reshape(-1).view(np.uint8).data) != array.nbytes:
        raise DamagedFileError("is damaged: it became shorter while it was read")
    if kind == "BF16":  # the upper half of a float32
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(array.dtype.newbyteorder("="), copy=False)
