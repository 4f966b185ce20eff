"""Safe text on any screen: what a file names its columns must not command the terminal that shows it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, TextIO

from wellfit.report.text import harmless as harmless
from wellfit.report.text import screen_width as screen_width

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


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


def show(blocks: Iterable[str | Table]) -> None:
    """Print paragraphs and tables on stdout, the paragraphs as `answer` does; "" is a blank line."""
    screen = console(sys.stdout)
    screen.width = screen_width()
    for block in blocks:
        if isinstance(block, str):
            answer(block) if block else print()
        else:
            screen.print(block)


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
