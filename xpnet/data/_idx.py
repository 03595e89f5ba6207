"""The IDX format, that of MNIST's files, and trusting none before it is read: numbers of one dtype in one array."""

import gzip
import hashlib
import math
import os
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from xpnet._core.files import open_regular
from xpnet.errors import DataError

__all__ = ["idx_sha256", "read_idx_file"]

# By the third byte of a file; the numbers are big-endian.
_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MAX_DIMENSIONS = 32
_MAX_GZIP_RATIO = 1032  # to how many bytes one of a gzip file can unpack: the limit of the format


def read_idx_file(path: Path, shape: tuple[int, ...] | None = None) -> NDArray[Any]:
    """The array in an IDX file, gzipped or not, for reading; memory is reserved for no more than the file can hold.

    Parameters
    ----------
    path
        The file.
    shape
        That of an array of bytes, where it is known.

    Raises
    ------
    DataError
        With what is wrong as a predicate, so that the caller can put the file, or the address, before it.
    """
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            # Looked at rather than read off the name: browsers like to unpack a .gz and leave the name as it was.
            gzipped = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if gzipped:
                return _read(gzip.GzipFile(fileobj=file), size * _MAX_GZIP_RATIO, shape)  # type: ignore[arg-type]
            return _read(file, size, shape)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"is damaged: it cannot be decompressed ({error}), a whole gzip file was expected") from error
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error}), a readable file was expected") from error


def _read(file: BinaryIO, at_most: int, shape: tuple[int, ...] | None) -> NDArray[Any]:
    """The array: two zero bytes, the dtype, the number of dimensions, each as big-endian uint32, then the numbers."""
    head = file.read(4)
    known = len(head) == 4 and head[:2] == b"\0\0" and head[2] in _DTYPES and 0 < head[3] <= _MAX_DIMENSIONS
    if not known or (shape is not None and head[2] != 0x08):
        expected = "00 00, a dtype and the number of dimensions" if shape is None else f"00 00 08 {len(shape):02x}"
        raise DataError(
            f"is not an IDX file{' of bytes' if shape else ''}: it {_beginning(head)}, expected was {expected}"
        )
    sizes = file.read(4 * head[3])
    if len(sizes) < 4 * head[3]:
        raise DataError(
            f"is cut short: it has {4 + len(sizes):,} bytes, expected were {head[3]} dimensions and numbers"
        )
    found, dtype = tuple(np.frombuffer(sizes, ">u4").tolist()), np.dtype(_DTYPES[head[2]])
    if shape is not None and found != shape:
        raise DataError(f"holds an array of shape {found}, expected was {shape}: it is another file under this name")
    if not all(found):
        raise DataError(f"holds an array of shape {found}, expected was one with numbers in it")
    start, size = 4 + len(sizes), math.prod(found) * dtype.itemsize
    # One byte more than expected tells a file that is too long, however far a gzip bomb would unpack.
    numbers = file.read(min(size, at_most) + 1)
    if len(numbers) != size:
        problem = f"is cut short: it has {start + len(numbers):,} bytes" if len(numbers) < size else "is too long"
        raise DataError(f"{problem}, expected were {start + size:,} (decompressed)")
    array = np.frombuffer(numbers, dtype).reshape(found)
    return array.astype(dtype.newbyteorder("="), copy=False)


def idx_sha256(array: NDArray[np.uint8]) -> str:
    """The SHA-256 of an array of bytes as an IDX file, decompressed."""
    digest = hashlib.sha256(bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _beginning(head: bytes) -> str:
    return f"begins with {head.hex(' ')}" if len(head) == 4 else f"has {len(head)} bytes"
