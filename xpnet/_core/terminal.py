"""Text in the encoding of the output, and programs that end quietly when the output is closed."""

import os
import sys
from collections.abc import Callable

_PLAIN_CHARACTERS = str.maketrans({"─": "-", "│": "|", "┐": "+", "┘": "+", "┤": "+", "←": "<", "×": "*", "²": "^2"})
_BROKEN_PIPE_STATUS = 141  # a shell's status of a program ended by SIGPIPE


def encodable(text: str, encoding: str) -> str:
    r"""Replace symbols that the encoding lacks by ASCII, and other characters by escapes.

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
    """Replace symbols as `encodable` does, even if the encoding has them."""
    return text.translate(_PLAIN_CHARACTERS).encode(encoding, "backslashreplace").decode(encoding)


def printable(text: str) -> str:
    """`encodable` for the encoding of the standard output."""
    return encodable(text, output_encoding())


def output_encoding() -> str:
    """The encoding of the standard output; UTF-8 if it has none."""
    return getattr(sys.stdout, "encoding", None) or "utf-8"


def run_program(main: Callable[[], int]) -> int:
    """Run a program and return its exit status.

    Characters that the output's encoding lacks are written as escapes. If the output is closed, as in
    ``python -m xpnet info | head -1``, the program ends quietly.
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
        # Python flushes the rest at exit, which would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE_STATUS
