"""Writing a file whole or not at all, and knowing beforehand that it can be written."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from xpnet.errors import ArgumentError

__all__ = ["check_writable", "whole_file", "write_whole"]


def write_whole(path: str | os.PathLike[str], content: bytes | str) -> Path:
    """Write `content` to `path`: under another name first, renamed when it is all there.

    Whoever reads `path`, at any moment, finds the old file or the new one. Missing folders are made.
    """
    with whole_file(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)
    return Path(path)


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file to write to, piece by piece, that becomes `path` at the end of a ``with`` block; see `write_whole`."""
    import uuid

    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def check_writable(*paths: Path) -> None:
    """Raise an ArgumentError where one of the files could not be written: before long work, and not after it."""
    import tempfile

    for path in paths:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=path.parent).close()
            if path.is_dir():
                raise OSError("it is a folder")
        except OSError as error:
            raise ArgumentError(
                f"{path} cannot be written: {error.strerror or error}. Choose another place for it."
            ) from error
