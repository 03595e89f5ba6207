"""Paths, and atomic file writes: readers see either the old or the new file."""

import errno
import io
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from xpnet.errors import ArgumentError, WriteError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_MAX_NAME_BYTES = 255  # the longest file name that Linux and macOS take
_MIN_ABANDONED_SECONDS = 3600  # without file locks: no writer pauses for so long

# Advice by the error number of the operating system.
_REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "Free some space, or choose a path on another disk."),
    errno.EISDIR: "Add the name of a file to it.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
}


def check_path(name: str, value: Any) -> Path:
    """Return `value` as a path, with ``~`` replaced by the home folder.

    Every function that reads or writes files checks its paths here. The function is idempotent; so ``./~``, which
    `Path` would shorten to ``~``, becomes absolute. An ArgumentError is raised if `value` is neither a string nor an
    `os.PathLike` of one, is empty, contains a null character, or begins with the home folder of an unknown user.
    """
    try:
        text = os.fspath(value)
    except TypeError:
        text = None
    if not isinstance(text, str) or not text or "\0" in text:
        fix = f" Use `os.fsdecode({name})`." if isinstance(text, bytes) and text else ""
        raise ArgumentError(f"{name} must be a path, such as `'output/file'`, got {value!r}.{fix}")
    expanded = os.path.expanduser(text)
    if expanded.startswith("~"):
        raise ArgumentError(
            f"{name} is {text!r}, but there is no such home folder. Use `{'./' + text!r}` for a file or folder "
            "whose own name begins with `~`."
        )
    path = Path(expanded)
    return Path.cwd() / path if path.parts[:1] and path.parts[0].startswith("~") else path


def open_regular(path: Path) -> io.BufferedReader:
    """Open a file for reading; raises an OSError for folders, and for pipes and devices, which might never end."""
    _check_kind(os.stat(path).st_mode)
    return open(path, "rb")


def write_whole(path: str | os.PathLike[str], content: bytes | str) -> Path:
    """Write `content` to `path` atomically, and return the path; see `whole_file`.

    Raises a WriteError if it cannot be written. An older file is then unchanged.
    """
    target = check_path("path", path)
    try:
        with whole_file(target) as file:
            file.write(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise WriteError(_why_not(target, error)) from error
    return target


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a temporary file for writing that becomes `path` at the end of the ``with`` block.

    Readers of `path` see either the old or the new file. Missing folders are created, symbolic links are followed, and
    an existing file keeps its permissions. Temporary files left by killed writers of the same target are removed.
    """
    target = _writable_target(check_path("path", path))
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(target)
    file, lock = _new_part(target)
    part = Path(file.name)
    try:
        with file:
            if target.exists() and os.name == "posix":
                with suppress(PermissionError):  # on file systems without permissions
                    os.fchmod(file.fileno(), stat.S_IMODE(target.stat().st_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
        _sync_folder(target.parent)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    finally:
        if lock is not None:
            os.close(lock)


def check_writable(*paths: str | os.PathLike[str]) -> None:
    """Raise an ArgumentError if a file could not be written; to be called before long work."""
    import tempfile

    for path in paths:
        checked = check_path("path", path)
        try:
            target = _writable_target(checked)
            target.parent.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=target.parent).close()
        except OSError as error:
            raise ArgumentError(_why_not(checked, error)) from error


def _why_not(path: Path, error: OSError) -> str:
    remedy = _REMEDIES.get(error.errno or 0, "Choose another path.")
    return f"{path} cannot be written: {error.strerror or error}. {remedy}"


def _check_kind(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is a pipe or a device, not a file")


def _writable_target(path: Path) -> Path:
    """The target of a path, with links followed; raises an OSError if it must not be replaced."""
    with suppress(FileNotFoundError):
        _check_kind(path.stat().st_mode)  # raises for a loop of links, too
        if not os.access(path, os.W_OK):  # renaming would replace it
            raise PermissionError(errno.EACCES, "the file is write-protected")
    return Path(os.path.realpath(path))


# --- temporary files: ".NAME.32 hexadecimal digits.part" in the folder of the file NAME ------------------------------


def _part_prefix(target: Path) -> str:
    """Prefix of the names of a file's temporary files, with a hash if its name is too long."""
    prefix = f".{target.name}."
    if len(os.fsencode(prefix)) + 32 + len(".part") > _MAX_NAME_BYTES:
        import hashlib

        prefix = f".{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:32]}."
    return prefix


def _new_part(target: Path) -> tuple[BinaryIO, int | None]:
    """A new temporary file, and a descriptor that locks it until the process ends."""
    while True:
        file = target.with_name(f"{_part_prefix(target)}{os.urandom(16).hex()}.part").open("xb")
        if fcntl is None:
            return file, None
        lock = os.dup(file.fileno())
        with suppress(OSError):  # some network file systems have no locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(file.name):
            return file, lock
        file.close()  # another writer removed the file before it was locked
        os.close(lock)


def _remove_abandoned(target: Path) -> None:
    """Remove temporary files of `target` that no process is writing."""
    form = re.compile(re.escape(_part_prefix(target)) + r"[0-9a-f]{32}\.part")
    with suppress(OSError), os.scandir(target.parent) as entries:
        for entry in entries:
            if form.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with suppress(OSError):
                    _remove_if_abandoned(entry.path)


def _remove_if_abandoned(part: str) -> None:
    if fcntl is None:
        if time.time() - os.stat(part).st_mtime > _MIN_ABANDONED_SECONDS:
            os.unlink(part)
        return
    descriptor = os.open(part, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises an OSError while it is being written
        os.unlink(part)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    """Make a renaming survive a power failure, if possible."""
    if os.name != "posix":
        return
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
