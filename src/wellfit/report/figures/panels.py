"""What all figures share: a grid of panels, quiet axes, and a scale that panels can have in common."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wellfit.records import Array
from wellfit.report.text import clean, short
from wellfit.report.theme import FONT, LIGHT, PANEL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Margins around the axes of one panel, in points; the top grows by a line where a panel has a title.
LEFT, RIGHT, TOP, BOTTOM, TITLE = 42.0, 10.0, 20.0, 33.0, 18.0
# Beyond this ratio between the largest and the smallest value a curve is easier to read on a logarithmic axis.
LOG_RATIO = 30.0


@dataclass(frozen=True)
class Scale:
    """The range of an axis that several panels share, and whether it is logarithmic."""

    low: float
    high: float
    log: bool = False


def panels(
    count: int, *, columns: int = 3, titled: bool = True, size: tuple[float, float] = PANEL
) -> tuple[Figure, list[Axes]]:
    """Return a figure with ``count`` axes in rows of ``columns``, each panel of ``size`` points. Call in `drawing`."""
    from matplotlib.figure import Figure

    columns = max(1, min(columns, count))
    rows = max(1, -(-count // columns))
    width, height = size[0], size[1] + (TITLE if titled else 0.0)
    figure = Figure(figsize=(columns * width / 72, rows * height / 72))
    axes = []
    for i in range(count):
        row, column = divmod(i, columns)
        left, bottom = column * width + LEFT, (rows - 1 - row) * height + BOTTOM
        wide, high = width - LEFT - RIGHT, size[1] - TOP - BOTTOM
        box = (left / (columns * width), bottom / (rows * height), wide / (columns * width), high / (rows * height))
        axes.append(quiet(figure.add_axes(box)))
    return figure, axes


def quiet(axes: Axes, *, grid: str = "y") -> Axes:
    """Take the ink out of axes that says nothing: a base line, pale lines at the ticks, small grey numbers."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, NullLocator

    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(LIGHT["rule"])
    axes.set_axisbelow(True)
    if grid:
        # For the type checker: Grid is one of its words.
        axes.grid(visible=True, axis=grid, color=LIGHT["grid"], linewidth=0.8)  # type: ignore[arg-type]
    axes.tick_params(length=0, pad=5, labelsize=FONT - 1, labelcolor=LIGHT["muted"], color=LIGHT["rule"])
    for axis, most in ((axes.xaxis, 4), (axes.yaxis, 4)):
        axis.set_major_locator(MaxNLocator(most))
        axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
        axis.set_minor_locator(NullLocator())
        axis.set_minor_formatter(NullFormatter())
    return axes


def name_axes(axes: Axes, across: str, up: str) -> None:
    """Write what the axes measure: below the right end, and above the left axis, where no head must be turned."""
    style = {"fontsize": FONT - 1, "color": LIGHT["muted"]}
    points = "offset points"
    # For the type checker: Matplotlib's own words.
    axes.annotate(clean(across, 44), (1, 0), (0, -20), "axes fraction", points, ha="right", va="top", **style)  # type: ignore[arg-type]
    # For the type checker: Matplotlib's own words.
    axes.annotate(clean(up, 44), (0, 1), (-LEFT + 4, 7), "axes fraction", points, ha="left", va="bottom", **style)  # type: ignore[arg-type]


def title(axes: Axes, text: str, colour: str = "ink") -> None:
    """Write a panel's title above everything, at the left."""
    axes.annotate(
        clean(text, 38),
        (0, 1),
        (-LEFT + 4, TOP + 3),
        "axes fraction",
        "offset points",
        ha="left",
        va="bottom",
        fontsize=FONT,
        fontweight="bold",
        color=LIGHT.get(colour, colour),
    )


def remark(axes: Axes, text: str) -> None:
    """Write a remark in the middle of the axes, in place of what cannot be drawn."""
    axes.text(
        0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=LIGHT["muted"], fontsize=FONT
    ).set_gid("remark")


def scale_of(lines: Iterable[Array]) -> Scale:
    """Return a scale that holds the lines: logarithmic where they span far, from 0 where that costs little.

    A few values far above all others (a late explosion) do not set the scale: they run out of the picture.
    """
    every = [line[np.isfinite(line)] for line in lines]
    values = np.concatenate(every) if every else np.empty(0)
    if not values.size:
        return Scale(0.0, 1.0)
    low, high = float(values.min()), float(values.max())
    high = min(high, 10 * float(np.quantile(values, 0.95))) if low >= 0 else high
    if low > 0 and high / low > LOG_RATIO:
        return Scale(low / 1.3, high * 1.3, log=True)
    pad = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return Scale(0.0 if 0 <= low < 0.4 * high else low - pad, high + pad)


def set_scale(axes: Axes, scale: Scale) -> None:
    """Give the vertical axis this scale."""
    if scale.log:
        from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

        axes.set_yscale("log")
        few = scale.high / scale.low < 500
        axes.yaxis.set_major_locator(LogLocator(10, subs=(1, 3) if few else (1,), numticks=6))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(scale.low, scale.high)


def measured(curves: object, name: str, like: Array) -> Array:
    """Return a curve with NaN for infinities and for what was not measured, shape as ``like`` (c,)."""
    line = curves.get(name) if hasattr(curves, "get") else None
    if line is None or len(line) != len(like):
        return np.full(len(like), np.nan)
    line = np.asarray(line, dtype=float)
    return np.where(np.isfinite(line) & (np.abs(line) < 1e100), line, np.nan)
