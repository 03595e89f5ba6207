"""Reading IDX files, the format of MNIST, and trusting none before its content is verified."""

import gzip
import hashlib
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xpnet.errors import DataError

__all__ = ["read_idx"]


def read_idx(path: Path, shape: tuple[int, ...], sha256: str) -> NDArray[np.uint8]:
    """The array of bytes, of the given shape, in an IDX file, gzipped or not, whose decompressed content is known.

    Raises
    ------
    DataError
        With what is wrong as a predicate, so that the caller can put the file, or the address, before it.
    """
    size = 4 + 4 * len(shape) + math.prod(shape)
    try:
        with open(path, "rb") as file:
            # Looked at rather than read off the name: browsers like to unpack a .gz and leave the name as it was.
            gzipped = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            # One byte more than expected tells a file that is too long, however far a gzip bomb would unpack.
            content = (gzip.GzipFile(fileobj=file) if gzipped else file).read(size + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"is damaged: it cannot be decompressed ({error}), a whole gzip file was expected") from error
    except OSError as error:
        raise DataError(f"cannot be read ({error}), a readable file was expected") from error
    array = _parse_idx(content, shape)
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise DataError(f"is not the published file: its content has SHA-256 {found}, expected was {sha256}")
    return array


def _parse_idx(content: bytes, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The array: two zero bytes, 8 for uint8, the number of dimensions, each as big-endian uint32, then the numbers."""
    start = 4 + 4 * content[3] if len(content) > 3 else 4
    if content[:3] != b"\0\0\x08" or len(content) < start:
        raise DataError(
            f"is not an IDX file of bytes: it has {len(content):,} bytes and begins with "
            f"{content[:4].hex(' ') or 'nothing'}, expected was 00 00 08 {len(shape):02x} and {len(shape)} dimensions"
        )
    found = tuple(np.frombuffer(content[4:start], ">u4").tolist())
    if found != shape:
        raise DataError(f"holds an array of shape {found}, expected was {shape}: it is another file under this name")
    size = start + math.prod(shape)
    if len(content) != size:
        problem = f"is cut short: it has {len(content):,} bytes" if len(content) < size else "is too long"
        raise DataError(f"{problem}, expected were {size:,} (decompressed)")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
