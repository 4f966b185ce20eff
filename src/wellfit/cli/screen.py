"""Safe text on any screen: what a file names its columns must not command the terminal that shows it."""

from __future__ import annotations

import sys
import unicodedata
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

# Joiners that written languages need; every other invisible mark is shown as its code.
_JOINERS = frozenset("\u200c\u200d")
_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))


def harmless(text: object) -> str:
    r"""Return the text in one line with control characters, escapes and direction marks shown as their codes.

    >>> harmless("dose\x1b[31m\nred")
    'dose\\x1b[31m\\nred'
    """
    return "".join(_shown(c) for c in str(text))


def _shown(char: str) -> str:
    if unicodedata.category(char) not in _HIDDEN or char in _JOINERS:
        return char
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


def settle_streams() -> None:
    """Let a terminal or pipe that lacks a sign show a replacement instead of ending the program."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def tell(text: object) -> None:
    """Print one harmless line on stderr: findings, notes and errors never mix with the answer."""
    print(harmless(text), file=sys.stderr, flush=True)


def answer(text: object) -> None:
    """Print one harmless paragraph on stdout, wrapped to a terminal's width and left whole elsewhere."""
    import shutil

    from wellfit.cli.wrapping import wrapped

    line = harmless(text)
    if sys.stdout.isatty():
        width = max(40, shutil.get_terminal_size().columns)
        line = wrapped(line, width)
    print(line)


def write_bytes(content: bytes) -> None:
    """Write bytes to stdout to the end: an unbuffered stream may take only some of them at once."""
    rest = memoryview(content)
    while rest:
        rest = rest[sys.stdout.buffer.write(rest) :]
    sys.stdout.flush()


def console(stream: TextIO) -> Console:
    """Return a rich console on ``stream`` that takes no markup, emoji codes or highlights from what it prints."""
    from rich.console import Console

    return Console(file=stream, markup=False, emoji=False, highlight=False)
