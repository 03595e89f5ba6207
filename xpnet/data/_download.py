"""Download a file from the first of several mirrors that provides the right one."""

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import BinaryIO

from xpnet._core.files import whole_file
from xpnet.errors import DataError

_PATIENCE = 6.0  # seconds for a mirror to answer; a dead network costs this for each mirror
_STALL = 20.0  # seconds without a byte during a download

_log = logging.getLogger("xpnet")


def download(name: str, folder: Path, mirrors: list[str], *, max_bytes: int, verify: Callable[[Path], object]) -> Path:
    """Download the file `name` into `folder` atomically and return its path; a DataError has a line per failed mirror.

    The name is appended to the addresses `mirrors`; one that fails is moved to the end of the list, so that the next
    file asks it last. A download is cut off after `max_bytes`. `verify` is called with the path of the temporary
    file, and raises a DataError if it is not the right one.
    """
    import pooch

    reasons = []
    for _ in range(len(mirrors)):
        url = mirrors[0] + name
        try:
            _await_answer(url)
            _log.info("Downloading %s", url)
            bar = sys.stderr is not None and sys.stderr.isatty()
            downloader = pooch.HTTPDownloader(progressbar=bar, chunk_size=2**16, timeout=(_PATIENCE, _STALL))
            with whole_file(folder / name) as file:
                downloader(url, _Capped(file, max_bytes), None)  # which flushes
                verify(Path(file.name))
            return folder / name
        except (OSError, DataError) as error:  # errors of requests are OSErrors
            reasons.append(f"{url}: {_in_one_line(error)}")
            mirrors.append(mirrors.pop(0))
    raise DataError("\n".join(reasons))


def discard(path: Path, what: str) -> None:
    """Remove a wrong file from the cache, or raise a DataError."""
    try:
        path.unlink(missing_ok=True)  # another process may have removed it
    except OSError as error:
        raise DataError(f"{path} is not {what} and cannot be replaced ({error}). Remove it.") from error


def _await_answer(url: str) -> None:
    """Raise unless the mirror answers in time.

    A timeout of requests applies to each address of a host, of which some have sixteen, and not to the look-up of its
    name. So a thread asks, and is abandoned if it takes too long.
    """
    import pooch

    errors: list[Exception] = []

    def ask() -> None:
        try:
            pooch.HTTPDownloader(timeout=_PATIENCE)(url, None, None, check_only=True)
        except Exception as error:
            errors.append(error)

    thread = Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    if thread.is_alive():
        raise TimeoutError(f"no answer in {_PATIENCE:g} seconds")
    if errors:
        raise errors[0]


class _Capped:
    """A file that accepts at most `max_bytes`."""

    def __init__(self, file: BinaryIO, max_bytes: int) -> None:
        self.file, self.max_bytes, self.flush = file, max_bytes, file.flush

    def write(self, data: bytes) -> int:
        if self.file.tell() + len(data) > self.max_bytes:
            raise DataError(f"is too long: more than {self.max_bytes:,} bytes came, and the download was cut off")
        return self.file.write(data)


def _in_one_line(error: Exception) -> str:
    """The reason of an error, without the layers that requests wraps around it."""
    reason = getattr(error.args[0], "reason", error) if error.args else error
    return " ".join(str(reason).split()) or type(error).__name__
