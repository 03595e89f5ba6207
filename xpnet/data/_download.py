"""Downloading one file from the first of several mirrors that gives the right one."""

import io
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from xpnet.errors import DataError

__all__ = ["discard", "download"]

_PATIENCE = 6.0  # seconds for a mirror to answer: a network that swallows everything costs this times the mirrors
_STALL = 20.0  # seconds without a byte in the midst of a download

_log = logging.getLogger("xpnet")


def download(name: str, folder: Path, mirrors: list[str], *, at_most: int, verify: Callable[[Path], object]) -> Path:
    """Put the file `name` into `folder`, whole and verified or not at all, and return its path.

    Parameters
    ----------
    mirrors
        Addresses that the name is appended to. The list is changed: a mirror that fails goes to its end, so that the
        next file asks it last.
    at_most
        Bytes after which a download is cut off.
    verify
        Called with the path of what came, under a name of no consequence; raises a DataError if it is not the file.

    Raises
    ------
    DataError
        No mirror gave the file. A line for each says why.
    """
    import pooch

    def fetch(url: str, part: str, _pooch: object) -> None:
        # Pooch calls this, and gives `part` its final name only if nothing is raised.
        _log.info("Downloading %s", url)
        bar = sys.stderr is not None and sys.stderr.isatty()
        with _Capped(part, "w") as file:
            file.at_most = at_most
            pooch.HTTPDownloader(progressbar=bar, chunk_size=2**16, timeout=(_PATIENCE, _STALL))(url, file, None)
        verify(Path(part))

    logger = pooch.get_logger()  # would tell of hashes, which are no concern of the user's here
    level = logger.level
    logger.setLevel(logging.ERROR)
    reasons = []
    try:
        for _ in range(len(mirrors)):
            url = mirrors[0] + name
            try:
                _await_answer(url)
                return Path(pooch.retrieve(url, known_hash=None, fname=name, path=folder, downloader=fetch))
            except (OSError, DataError) as error:  # what requests raises is an OSError, too
                reasons.append(f"{url}: {_in_one_line(error)}")
                mirrors.append(mirrors.pop(0))
    finally:
        logger.setLevel(level)
    raise DataError("\n".join(reasons))


def discard(path: Path, what: str) -> None:
    """Remove a file of the cache that is not what it should be; a DataError where that cannot be."""
    try:
        path.unlink(missing_ok=True)  # another process may have been quicker
    except OSError as error:
        raise DataError(f"{path} is not {what} and cannot be replaced ({error}). Remove it.") from error


def _await_answer(url: str) -> None:
    """Raise unless the mirror answers, whatever it answers, in good time.

    A timeout alone would not do: it counts for each of a host's addresses, of which some have sixteen, and not for
    the look-up of its name. So a thread asks, and is left to itself if it takes too long.
    """
    import pooch

    answer: SimpleQueue[Exception | None] = SimpleQueue()

    def ask() -> None:
        try:
            pooch.HTTPDownloader(timeout=_PATIENCE)(url, None, None, check_only=True)
            answer.put(None)
        except Exception as error:
            answer.put(error)

    Thread(target=ask, daemon=True).start()
    try:
        error = answer.get(timeout=_PATIENCE)
    except Empty:
        error = TimeoutError(f"no answer in {_PATIENCE:g} seconds")
    if error is not None:
        raise error


class _Capped(io.FileIO):
    """A file that refuses to grow past `at_most` bytes."""

    at_most = 0

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > self.at_most:
            raise DataError(f"is too long: more than {self.at_most:,} bytes came, and the download was cut off")
        return super().write(data)


def _in_one_line(error: Exception) -> str:
    """What went wrong, without the layers that requests wraps around it."""
    reason = getattr(error.args[0], "reason", error) if error.args else error
    return " ".join(str(reason).split()) or type(error).__name__
