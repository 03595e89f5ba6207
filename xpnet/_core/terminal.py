"""Text in the characters of the output's encoding, and programs that end quietly when nobody reads on."""

import os
import sys
from collections.abc import Callable

__all__ = ["encodable", "output_encoding", "plain", "printable", "run_program"]

_PLAIN_CHARACTERS = str.maketrans({"─": "-", "│": "|", "┐": "+", "┘": "+", "┤": "+", "←": "<", "×": "*", "²": "^2"})
_BROKEN_PIPE_STATUS = 141  # what a shell reports of a program that SIGPIPE ends


def encodable(text: str, encoding: str) -> str:
    r"""The text, with ASCII in place of symbols that the encoding lacks, and escapes in place of other characters.

    Examples
    --------
    >>> encodable("사과 ── x²", "utf-8"), encodable("사과 ── x²", "ascii")
    ('사과 ── x²', '\\uc0ac\\uacfc -- x^2')
    """
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return plain(text, encoding)
    return text


def plain(text: str, encoding: str) -> str:
    """The text without the symbols that `encodable` replaces, whether the encoding has them or not."""
    return text.translate(_PLAIN_CHARACTERS).encode(encoding, "backslashreplace").decode(encoding)


def printable(text: str) -> str:
    """The text as `encodable` gives it for the encoding of the standard output."""
    return encodable(text, output_encoding())


def output_encoding() -> str:
    """The encoding of the standard output; UTF-8 where it has none, as in a window without a terminal."""
    return getattr(sys.stdout, "encoding", None) or "utf-8"


def run_program(main: Callable[[], int]) -> int:
    """Run a program and return its exit status.

    What the output's encoding lacks is written as escapes. Where the reader of the output leaves, as in
    ``python -m xpnet info | head -1``, the program ends without a word.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            return main()
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:
        # Python writes what is left when it exits, which would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE_STATUS
