"""The look of figures and page: colours with their names, and the style that every figure is drawn in.

Figures are drawn in the light colours. Each is a colour of its own, so `wellfit.report.svg` can replace it by the
CSS variable of its name, and a figure on the page follows the reader's light or dark scheme. Hues are those of Okabe &
Ito (*Color Universal Design*, 2008), which colour-blind readers can tell apart; marks differ in shape or dash as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

LIGHT = {
    "paper": "#fdfcfa",
    "panel": "#f5f3ee",
    "ink": "#1c2026",
    "muted": "#5b6370",
    "rule": "#d8d4cb",
    "grid": "#ebe8e1",
    "train": "#0072b2",
    "validation": "#d55e00",
    "better": "#007a5a",
    "worse": "#b3440a",
    "undecided": "#767d89",
    "none": "#6d7480",
    "l2": "#b35a8c",
    "dropout": "#c28100",
    "winner": "#007a5b",
    "class0": "#0072b3",
    "class1": "#d55e01",
    "class2": "#009e74",
    "class3": "#cc79a8",
    "class4": "#e69f01",
    "class5": "#56b4ea",
    "class6": "#8a6d3b",
    "class7": "#4b4f9e",
}
DARK = {
    "paper": "#15181d",
    "panel": "#1e2229",
    "ink": "#eceae5",
    "muted": "#a3abb8",
    "rule": "#3a414c",
    "grid": "#272c34",
    "train": "#56b4e9",
    "validation": "#f5954a",
    "better": "#35c79d",
    "worse": "#f48c55",
    "undecided": "#98a0ad",
    "none": "#a7afbb",
    "l2": "#e39ac4",
    "dropout": "#ecb64a",
    "winner": "#36c99f",
    "class0": "#56b4eb",
    "class1": "#f5954b",
    "class2": "#36c9a0",
    "class3": "#e39ac5",
    "class4": "#ecb64b",
    "class5": "#9fd6f7",
    "class6": "#c9ab74",
    "class7": "#9a9ff0",
}
CLASSES = 8
ROLES = ("none", "l2", "dropout", "winner")

# Points are 1/72 inch, and one SVG unit; a panel of `PANEL` units fills a phone or a third of a desk.
FONT = 10.5
PANEL = (270.0, 178.0)

_STYLE = {
    "font.size": FONT,
    "font.family": ["sans-serif"],
    "svg.fonttype": "none",
    # Ids in the SVG are hashes of what they name and of this salt, in place of a random one.
    "svg.hashsalt": "wellfit",
    # Names hold dollars, underscores and braces that mean nothing but themselves.
    "text.parse_math": False,
    "text.color": LIGHT["ink"],
    "axes.edgecolor": LIGHT["rule"],
    "axes.facecolor": "none",
    "axes.unicode_minus": True,
    "figure.facecolor": LIGHT["paper"],
    "lines.solid_capstyle": "round",
    "lines.solid_joinstyle": "round",
}


@contextmanager
def drawing() -> Iterator[None]:
    """Give the block Matplotlib's defaults and the house style, whatever the user's settings; they come back after."""
    from matplotlib import style

    with style.context(["default", _STYLE]):
        yield


def class_colour(index: int) -> str:
    """Return the colour of class ``index``; a ninth class starts again at the first."""
    return LIGHT[f"class{index % CLASSES}"]


def role_colour(role: str) -> str:
    """Return the colour of a portrait's role."""
    return LIGHT[role if role in ROLES else "winner"]


def variables(colours: dict[str, str]) -> str:
    """Return the colours as CSS declarations.

    >>> variables({"ink": "#000000"})
    '--ink:#000000'
    """
    return ";".join(f"--{name}:{value}" for name, value in colours.items())
