"""Lines broken by the room that they take on a screen, where a Chinese sign takes that of two letters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

import click

from wellfit.messages import say

# Signs that begin no line, and signs that end none.
_CLOSING = "，。、；：？！）」』”’】》%…"
_OPENING = "（「『“‘【《"


def cells(text: str) -> int:
    """Return how many columns of a screen a text takes.

    >>> cells("ok"), cells("过拟合")
    (2, 6)
    """
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def wrapped(text: str, width: int, first: str = "", rest: str = "") -> str:
    """Return a paragraph as lines of at most ``width`` columns; a longer word stays whole.

    Lines end between words, and between two Chinese signs where neither holds on to the other.

    >>> print(wrapped("Does it overfit?", 10))
    Does it
    overfit?
    >>> print(wrapped("网络过拟合，怎么办？", 10))
    网络过拟
    合，怎么
    办？
    """
    lines, line = [], first
    empty = True
    for piece, spaced in _pieces(text):
        gap = " " if spaced and not empty else ""
        if not empty and cells(line) + len(gap) + cells(piece) > width:
            lines.append(line)
            line, gap = rest, ""
        line += gap + piece
        empty = False
    return "\n".join([*lines, line])


def _pieces(text: str) -> Iterator[tuple[str, bool]]:
    """Yield what stays on one line, and whether a space stands before it."""
    for word in text.split():
        piece, spaced = "", True
        for c in word:
            if piece and _breaks(piece[-1], c):
                yield piece, spaced
                piece, spaced = "", False
            piece += c
        yield piece, spaced


def _breaks(before: str, after: str) -> bool:
    wide = cells(before) == 2 or cells(after) == 2
    return wide and before not in _OPENING and after not in _CLOSING


class Pages(click.HelpFormatter):
    """Click's help, with lines broken by `wrapped`."""

    def write_text(self, text: str) -> None:
        """Write paragraphs, indented."""
        indent = " " * self.current_indent
        width = max(self.width, 11)
        paragraphs = re.split(r"\n\s*\n", text.strip())
        self.write("\n\n".join(wrapped(each, width, indent, indent) for each in paragraphs) + "\n")

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Write names with their descriptions beside them, or below where a name is long."""
        rows, indent = list(rows), " " * self.current_indent
        column = min(max(cells(name) for name, _ in rows), col_max)
        beyond = indent + " " * (column + col_spacing)
        for name, told in rows:
            beside = cells(name) <= column
            if not (beside and told):
                self.write(f"{indent}{name}\n")
            if told:
                first = indent + name + " " * (column + col_spacing - cells(name)) if beside else beyond
                self.write(wrapped(told, max(self.width, cells(beyond) + 10), first, beyond) + "\n")

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """Write the usage with the catalogue's word in front."""
        super().write_usage(prog, args, say("cli.usage") if prefix is None else prefix)

    def write_heading(self, heading: str) -> None:
        """Write a heading of click's in the catalogue's words."""
        known = {"Options": "cli.heading_options", "Commands": "cli.heading_commands"}
        told = say(known[heading]) if heading in known else f"{heading}:"
        self.write(f"{' ' * self.current_indent}{told}\n")
