"""Words beside the axes of a figure: how wide they are, about, and where they are written."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from wellfit.report.text import clean
from wellfit.report.theme import FONT, LIGHT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SMALLER = FONT - 1  # of names and notes
# Average width of a letter in units of the font's size.
_LETTER = 0.58


def width(text: str, size: float = SMALLER) -> float:
    """Return about how wide a text is, in points: wide scripts and capitals counted as such.

    >>> width("WWW") > width("iii") == width("iii", 2 * SMALLER) / 2
    True
    """

    def letter(c: str) -> float:
        if unicodedata.east_asian_width(c) in "WF" or c in "MW@%…\ufffd":
            return 1.8
        return 1.2 if c.isupper() or c == "m" else 1.0

    return _LETTER * size * sum(map(letter, text))


def fitting(name: str, room: float) -> str:
    """Return a name that is harmless and no wider than the room in points, its middle left out where it is."""
    text, limit = clean(name), 60
    while width(text) > room and limit > 3:
        limit = min(limit, len(text)) - 1
        text = clean(name, limit)
    return text


def write(
    axes: Axes,
    text: str,
    at: tuple[float, float],
    off: tuple[float, float],
    *,
    ha: str = "left",
    va: str = "bottom",
    colour: str = "muted",
    bold: bool = False,
) -> None:
    """Write a text at a place in shares of the axes, and so many points off it: small, or ``bold`` as a heading."""
    axes.annotate(
        text,
        at,
        off,
        "axes fraction",
        "offset points",
        ha=ha,
        va=va,
        fontsize=FONT if bold else SMALLER,
        fontweight="bold" if bold else "normal",
        color=LIGHT["ink" if bold else colour],
    )
