"""Decision maps over two features, with the points they were trained and tested on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from wellfit.messages import say
from wellfit.records import Array, Boundary, Portrait, Task
from wellfit.report.figures.panels import name_axes, panels, remark, title
from wellfit.report.theme import LIGHT, class_colour, drawing, role_colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (320.0, 296.0)
# More points than this a set say nothing more, and weigh down the page.
MAX_POINTS = 300
_LAYERS = 6
_TINT = 0.07


def boundary_figure(portraits: Sequence[Portrait], task: Task, *, columns: int = 3, titled: bool = True) -> Figure:
    """Return the decision maps side by side: tinted by what the network says, with train and test points.

    Binary: a tint deepens with the probability and a line stands where it is one half. Multiclass: a tint a class.
    Regression: deeper is higher. Train points are filled discs, test points open diamonds, coloured by their own class.
    Portraits without a map are left out; of more than 300 points in a set, 300 evenly spread ones are drawn.
    """
    shown = [p for p in portraits if p.boundary is not None]
    with drawing():
        figure, grid = panels(len(shown), columns=columns, titled=titled, size=SIZE)
        for axes, portrait in zip(grid, shown, strict=True):
            assert portrait.boundary is not None  # for the type checker: kept above
            _panel(axes, portrait.boundary, task)
            if titled:
                title(axes, portrait.cocktail, role_colour(portrait.role))
    return figure


def _panel(axes: Axes, map_: Boundary, task: Task) -> None:
    axes.grid(visible=False)
    axes.set_xlim(map_.xs[0], map_.xs[-1])
    axes.set_ylim(map_.ys[0], map_.ys[-1])
    name_axes(axes, map_.names[0], map_.names[1])
    if not np.isfinite(map_.z).any():
        remark(axes, say("report.diverged_panel"))
        return
    if task == "multiclass":
        _regions(axes, map_)
    else:
        levels = np.linspace(0.5, 1, _LAYERS + 1)[:-1]
        if task == "binary":
            _layers(axes, map_, 1 - map_.z, levels, class_colour(0))
            _layers(axes, map_, map_.z, levels, class_colour(1))
            _line(axes, map_, map_.z, 0.5, LIGHT["ink"], 1.3)
        else:
            low, high = value_range(map_)
            _layers(axes, map_, (map_.z - low) / (high - low or 1.0), np.linspace(0, 1, 10)[:-1], LIGHT["class3"])
    _points(axes, map_, task)


def _layers(axes: Axes, map_: Boundary, values: Array, levels: Array, colour: str) -> None:
    """Lay one thin tint over another wherever ``values`` reaches a level: bands without seams between them."""
    values = np.where(np.isfinite(values), values, -np.inf)
    for level in levels:
        # At exactly the lowest level a saturated map would be left blank by rounding.
        if values.max() >= level:
            top = max(float(values.max()), float(level)) + 1.0
            low = np.maximum(values, level - 1.0)
            axes.contourf(map_.xs, map_.ys, low, levels=[level, top], colors=[colour], alpha=_TINT)


def _regions(axes: Axes, map_: Boundary) -> None:
    """Tint the region of each class and draw the borders between them."""
    for k in range(len(map_.classes)):
        inside = (map_.z == k).astype(float)
        if inside.any():
            axes.contourf(map_.xs, map_.ys, inside, levels=[0.5, 1.5], colors=[class_colour(k)], alpha=0.26)
            _line(axes, map_, inside, 0.5, LIGHT["paper"], 1.0)


def _line(axes: Axes, map_: Boundary, values: Array, level: float, colour: str, width: float) -> None:
    if np.nanmin(values) < level < np.nanmax(values):
        axes.contour(map_.xs, map_.ys, values, levels=[level], colors=[colour], linewidths=[width])


def value_range(map_: Boundary) -> tuple[float, float]:
    """Return the range that the tints of a regression map span: that of its points, or of the map without any."""
    values = np.asarray(map_.labels, dtype=float)
    values = values[np.isfinite(values)]
    if not values.size:
        values = map_.z[np.isfinite(map_.z)]
    return float(np.quantile(values, 0.02)), float(np.quantile(values, 0.98))


def thin(rows: Array, most: int = MAX_POINTS) -> Array:
    """Return at most ``most`` of these row indices, evenly spread.

    >>> thin(np.arange(10), 4).tolist()
    [0, 3, 6, 9]
    """
    return rows if len(rows) <= most else rows[np.round(np.linspace(0, len(rows) - 1, most)).astype(int)]


def _points(axes: Axes, map_: Boundary, task: Task) -> None:
    """Draw the points of both sets: train as filled discs with a pale rim, test as open diamonds."""
    sound = np.isfinite(map_.points).all(axis=1)
    held_out = np.asarray(map_.held_out, dtype=bool)
    for held in (False, True):
        rows = thin(np.flatnonzero(sound & (held_out == held)))
        if task == "regression":
            _value_marks(axes, map_, rows, held)
            continue
        codes = np.asarray(map_.labels)[rows].astype(int)
        for k in np.unique(codes):
            _marks(axes, map_.points[rows[codes == k]], class_colour(int(k)), held)


def _value_marks(axes: Axes, map_: Boundary, rows: Array, held_out: bool) -> None:
    """Draw the points of one set, (m,) rows, in four depths of the map's colour: deeper is higher, as in the map."""
    from matplotlib.colors import to_rgba

    low, high = value_range(map_)
    share = (np.asarray(map_.labels, dtype=float)[rows] - low) / (high - low or 1.0)
    depth = np.clip(np.floor(4 * share), 0, 3)
    for k in range(4):
        points = map_.points[rows[depth == k]]
        axes.plot(
            points[:, 0],
            points[:, 1],
            linestyle="none",
            marker="D" if held_out else "o",
            markersize=4.1 if held_out else 5.2,
            markerfacecolor=to_rgba(LIGHT["class3"], 0.25 * (k + 1)),
            markeredgecolor=LIGHT["ink"],
            markeredgewidth=0.6,
            gid="test" if held_out else "train",
        )


def _marks(axes: Axes, points: Array, colour: str, held_out: bool) -> None:
    axes.plot(
        points[:, 0],
        points[:, 1],
        linestyle="none",
        marker="D" if held_out else "o",
        markersize=3.9 if held_out else 4.8,
        markerfacecolor="none" if held_out else colour,
        markeredgecolor=colour if held_out else LIGHT["paper"],
        markeredgewidth=1.1 if held_out else 0.6,
        gid="test" if held_out else "train",
    )
