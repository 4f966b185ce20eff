"""The coefficients of a linear model along a path: one line a feature, the strongest of them named beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wellfit.messages import join, say
from wellfit.records import Array, Coefficients, Path
from wellfit.report.figures.lettering import SMALLER, fitting, width, write
from wellfit.report.figures.panels import quiet
from wellfit.report.figures.path import places, spread
from wellfit.report.path_text import axis_name, freedom, linear_of, name_of, strength, strongest, value
from wellfit.report.svg import svg_file
from wellfit.report.text import clean, digits, short
from wellfit.report.theme import CLASSES, FONT, LIGHT, class_colour, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, TALL, SMALL = 360.0, 236.0, 104.0
MOST_NAMED, MOST_PANELS, MOST_LINES = 12, 6, 300
# How far the axis reaches beyond the largest coefficient from the best strength on: what grows further runs out of it.
_REACH = 3.0
# How far the coefficients of none may lie beyond the others for it to be drawn beside them.
_BEYOND = 1.25
_NUMBERS, _HEAD, _GAP, _FOOT = 36.0, 46.0, 24.0, 34.0
_NARROWEST, _WIDEST, _LEADER = 40.0, 132.0, 15.0
_LINE = 11.6
_DOTS = (0, (1.4, 1.6))
_DASHES = (0, (4.5, 1.5))


class _Canvas(NamedTuple):
    """What all panels share.

    ``x`` (P,) is where points stand, ``first`` the first that is drawn, ``start`` where solid lines begin. Features
    ``named`` stand in a margin of ``margin`` points: at the left, where lines begin, or at the ``right``.
    """

    path: Path
    linear: Coefficients
    x: Array
    first: int
    start: int
    named: list[int]
    margin: float
    right: bool
    limits: tuple[float, float]

    @property
    def margins(self) -> tuple[float, float]:
        """The room left and right of a panel's axes, in points: names on one side, numbers on the other."""
        return (_NUMBERS, self.margin) if self.right else (self.margin, _NUMBERS)

    @property
    def wide(self) -> float:
        """The width of a panel's axes, in points."""
        return WIDTH - self.margin - _NUMBERS

    @property
    def room(self) -> tuple[float, float]:
        """The ends of the axis of strengths."""
        low, high = float(self.x[self.first]), float(self.x[-1])
        pad = 0.025 * (high - low) or 0.5
        return low - pad, high + pad

    def across(self, x: float) -> float:
        """Return where a place on the axis of strengths lies, in points from the left end of the axes."""
        low, high = self.room
        return (x - low) / (high - low) * self.wide


def coefficients_figure(path: Path) -> Figure:
    """Return the standardized coefficients along a linear path, one line a feature, a panel an output (at most 6).

    The weak end is at the left and none has a place of its own, as in `path_figure`; where none has no solution, or far
    larger coefficients, lines begin with the weakest penalty. The `MOST_NAMED` strongest features are coloured and
    named: at the left, or at the right where most of them join or grow out of sight further left. Others are grey.
    Upright lines mark the best strength and the one-standard-error rule's; numbers above are degrees of freedom. Raises
    `SettingError` for a path without exact solutions.

    >>> import wellfit as wf
    >>> found = wf.path("football", over="l1", network="linear", points=4, folds=2)
    >>> len(coefficients_figure(found).axes)
    1
    """
    linear = linear_of(path)
    shown = range(min(len(linear.outputs), MOST_PANELS))
    size, more = TALL if len(linear.outputs) == 1 else SMALL, len(linear.outputs) - len(shown)
    height = _HEAD + len(shown) * size + (len(shown) - 1) * _GAP + _FOOT + (_LINE if more else 0.0)
    with drawing():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(WIDTH / 72, height / 72))
        canvas, top = _canvas(path, linear), height - _HEAD
        left = canvas.margins[0]
        every = []
        for output in shown:
            top -= size
            box = (left / WIDTH, top / height, canvas.wide / WIDTH, size / height)
            axes = quiet(figure.add_axes(box))
            _panel(axes, canvas, output, size)
            if len(linear.outputs) > 1:
                write(axes, fitting(linear.outputs[output], _WIDEST), (0, 1), (4 - left, 4), bold=True)
            every.append(axes)
            top -= _GAP
        _head(every[0], canvas)
        _foot(every[-1], canvas, say("path.panels_left", count=more, names=_left_out(linear)) if more else "")
    return figure


def coefficients_label(path: Path) -> str:
    """Return the picture in words. Raises what `coefficients_figure` raises."""
    linear = linear_of(path)
    sizes = np.abs(linear.standardized).max(axis=1)
    used = (sizes > 0).sum(axis=1)
    largest = [f"{clean(linear.names[j], 40)} ({digits(_signed(linear, path.best, j))})" for j in strongest(path, 5)]
    return say(
        "path.coefficients_picture",
        features=len(linear.names),
        name=name_of(path),
        best=strength(path, path.best),
        best_used=int(used[path.best]),
        rule=strength(path, path.one_standard_error),
        rule_used=int(used[path.one_standard_error]),
        largest=join(largest) or say("path.none"),
    )


def coefficients_svg(path: Path) -> str:
    """Return the figure as an SVG file of its own, which follows the reader's light or dark scheme."""
    return svg_file(coefficients_figure(path), coefficients_label(path), "coefficients-")


def _signed(linear: Coefficients, point: int, feature: int) -> float:
    """Return the standardized coefficient of a feature, of the output where it is largest."""
    column = linear.standardized[point, :, feature]
    return float(column[np.abs(column).argmax()])


def _canvas(path: Path, linear: Coefficients) -> _Canvas:
    x, named = places(path), strongest(path, MOST_NAMED)
    apart = len(x) > 1 and not np.array_equal(x, path.strengths)
    limits = _limits(path, linear, int(apart))
    beyond = np.abs(linear.standardized[0]).max(initial=0.0) > _BEYOND * max(limits[1], -limits[0])
    # A none without a solution, or with one of another size altogether, is not drawn, unless it is what was chosen.
    first = int(apart and path.best > 0 and bool(beyond or not linear.exists[0]))
    low, high = limits = limits if first or not apart else _limits(path, linear, 0)
    widths = [width(clean(linear.names[j])) for j in named]
    margin = min(_WIDEST, max(_NARROWEST, max(widths, default=0.0) + _LEADER + 9))
    begun = linear.standardized[int(apart), :MOST_PANELS, named]
    seen = (begun != 0) & (begun > low) & (begun < high)
    used = linear.standardized[:, :MOST_PANELS, named].any(axis=0)
    right = bool(2 * seen.sum() < used.sum())
    return _Canvas(path, linear, x, first, int(apart), named, margin, right, limits)


def _limits(path: Path, linear: Coefficients, start: int) -> tuple[float, float]:
    """Return the ends of the axis of coefficients: all of them, unless they grow far beyond those that are right."""
    values = linear.standardized[:, :MOST_PANELS]
    known = float(np.abs(values[path.best :]).max(initial=0.0))
    most = _REACH * known if known else np.inf
    low, high = max(float(values[start:].min(initial=0.0)), -most), min(float(values[start:].max(initial=0.0)), most)
    pad = 0.06 * (high - low) or 1.0
    return low - pad, high + pad


def _panel(axes: Axes, canvas: _Canvas, output: int, size: float) -> None:
    """Draw one output's coefficients, and write names where their lines begin."""
    axes.set_xlim(*canvas.room)
    axes.set_xticks([])
    axes.set_ylim(*canvas.limits)
    if not canvas.right:
        axes.yaxis.tick_right()
    axes.tick_params(length=0, pad=4)
    axes.spines["bottom"].set_visible(False)
    axes.axhline(0, color=LIGHT["rule"], linewidth=0.9, gid="zero")
    path = canvas.path
    for point, dashes in ((path.best, "-"), (path.one_standard_error, _DASHES)):
        if point != path.best or dashes == "-":
            axes.axvline(canvas.x[point], color=LIGHT["better"], linewidth=1.0, linestyle=dashes, gid="chosen")
    values = canvas.linear.standardized[:, output]
    _others(axes, canvas, values)
    # The strongest on top.
    for i, j in reversed(list(enumerate(canvas.named))):
        look = {"color": class_colour(i), "zorder": 3}
        line = _without_zeros(values[:, j])
        axes.plot(
            canvas.x[canvas.start :],
            line[canvas.start :],
            linewidth=1.7,
            linestyle="-" if i < CLASSES else _DASHES,
            gid=f"feature {j}",
            **look,  # type: ignore[arg-type]  # Matplotlib's own words
        )
        if canvas.start > canvas.first:
            # For the type checker: Matplotlib's own words, twice.
            axes.plot(canvas.x[:2], line[:2], linewidth=1.1, linestyle=_DOTS, **look)  # type: ignore[arg-type]
            axes.plot(canvas.x[:1], line[:1], marker="o", markersize=3.0, linestyle="none", **look)  # type: ignore[arg-type]
    _names(axes, canvas, values, size)


def _without_zeros(lines: Array) -> Array:
    """Return lines, (P, ...), with NaN where a coefficient is 0 and its neighbours are: the zero line is drawn once."""
    used = lines != 0
    near = used.copy()
    near[1:] |= used[:-1]
    near[:-1] |= used[1:]
    return np.where(near, lines, np.nan)


def _others(axes: Axes, canvas: _Canvas, values: Array) -> None:
    """Draw the features without a name: thin lines, and where there are very many a band for the smallest."""
    x, values = canvas.x[canvas.first :], values[canvas.first :]
    sizes = np.abs(values).max(axis=0)
    sizes[canvas.named] = 0.0
    order = np.argsort(-sizes, kind="stable")
    order = order[sizes[order] > 0]
    lines, rest = order[:MOST_LINES], order[MOST_LINES:]
    if rest.size:
        ends = values[:, rest].min(axis=1), values[:, rest].max(axis=1)
        axes.fill_between(x, *ends, color=LIGHT["undecided"], alpha=0.2, linewidth=0, gid="band")
    if lines.size:
        # One line with gaps: a picture of thousands of features stays small.
        gap = np.full((1, lines.size), np.nan)
        y = np.vstack([_without_zeros(values[:, lines]), gap]).T.ravel()
        axes.plot(
            np.tile(np.append(x, np.nan), lines.size),
            y,
            color=LIGHT["undecided"],
            linewidth=0.6,
            alpha=0.45,
            gid="others",
        )


def _names(axes: Axes, canvas: _Canvas, values: Array, size: float) -> None:
    """Write the names of the strongest features beside the axes, each tied to its line."""
    low, high = canvas.limits
    here = [(i, j) for i, j in enumerate(canvas.named) if values[canvas.first :, j].any()]
    # An output has room for the features that are strongest in it.
    here = sorted(here, key=lambda item: -abs(values[canvas.path.best, item[1]]))[: int(size // _LINE)]
    find = _chosen if canvas.right else _begin
    found = [(find(canvas, values[:, j]), i, j) for i, j in here]
    # From below, as `spread` wants them; of those at one height the earlier in the list is the stronger.
    found.sort(key=lambda item: (round(item[0][1], 9), -item[1]))
    wanted = [(y - low) / (high - low) * size for (_, y), _, _ in found]
    heights = spread(wanted, [_LINE] * len(found), 0.0, size, gap=0.0)
    edge, unit = canvas.room[int(canvas.right)], float(np.diff(canvas.room)[0]) / canvas.wide
    away = 1 if canvas.right else -1
    for ((x, y), i, j), up in zip(found, heights, strict=True):
        level = low + up / size * (high - low)
        axes.annotate(
            fitting(canvas.linear.names[j], canvas.margin - _LEADER - 6),
            (edge, level),
            (away * _LEADER, 0),
            textcoords="offset points",
            ha="left" if canvas.right else "right",
            va="center_baseline",
            fontsize=SMALLER,
            color=LIGHT["ink"],
            annotation_clip=False,
            gid=f"name {j}",
        )
        # At the left a leader turns level before the line that it belongs to; at the right it goes straight there.
        turn = [edge + 3 * away * unit, x]
        at, heights_at = [edge + 12 * away * unit, *turn], [level, level if canvas.right else y, y]
        look = {"color": class_colour(i), "linewidth": 0.7, "clip_on": False, "zorder": 2, "gid": "leader"}
        axes.plot(at, heights_at, **look)  # type: ignore[arg-type]  # Matplotlib's own words
        if canvas.right:
            axes.plot([x], [y], marker="o", markersize=3.0, zorder=4, color=class_colour(i), gid="anchor")


def _begin(canvas: _Canvas, line: Array) -> tuple[float, float]:
    """Return where a line begins to be seen: its weak end, or where it comes in over the panel's edge."""
    x, line = canvas.x[canvas.first :], line[canvas.first :]
    low, high = canvas.limits
    first = int(((line >= low) & (line <= high)).argmax())
    if first == 0:
        return float(x[0]), float(line[0])
    edge = high if line[first - 1] > high else low
    share = (edge - line[first - 1]) / (line[first] - line[first - 1])
    return float(x[first - 1] + share * (x[first] - x[first - 1])), edge


def _chosen(canvas: _Canvas, line: Array) -> tuple[float, float]:
    """Return where a line meets the one-standard-error strength, or else the best, or else where it was last used."""
    low, high = canvas.limits
    path, used = canvas.path, np.flatnonzero((line != 0) & (line >= low) & (line <= high))
    for point in (path.one_standard_error, path.best, *used[-1:].tolist()):
        if line[point]:
            return float(canvas.x[point]), float(line[point])
    return float(canvas.x[-1]), 0.0


def _head(axes: Axes, canvas: _Canvas) -> None:
    """Write above the first panel what is drawn, the degrees of freedom, and which strengths are marked."""
    path = canvas.path
    left, right = canvas.margins
    write(axes, say("path.axis_coefficient"), (0, 1), (4 - left, 33))
    write(axes, say("path.axis_freedom"), (1, 1), (right - 4, 33), ha="right")
    count = len(canvas.x)
    between = np.linspace(canvas.first, count - 1, 9).astype(int).tolist()
    points = [path.best, path.one_standard_error, canvas.first, count - 1, *between]
    numbers = [(float(canvas.x[p]), freedom(canvas.linear, p)) for p in points]
    for at, label in _apart(canvas, [known for known in numbers if known[1]]):
        write(axes, label, (0, 1), (canvas.across(at), 18), ha="center")
    best, rule = value(path, path.best), value(path, path.one_standard_error)
    marks = [
        (join([say("path.mark_best"), best], "pair"), path.best),
        (join([say("path.mark_rule"), rule], "pair"), path.one_standard_error),
    ]
    if path.best == path.one_standard_error:
        both = join([say("path.mark_best"), say("path.mark_rule")])
        marks = [(join([both, best], "pair"), path.best)]
    widths = [width(text) for text, _ in marks]
    taken = width(clean(canvas.linear.outputs[0]), FONT) * 1.1 + 16 - left if len(canvas.linear.outputs) > 1 else 0.0
    wanted = [canvas.across(float(canvas.x[p])) for _, p in marks]
    middles = spread(wanted, widths, min(max(taken, 0.0), _WIDEST), canvas.wide + right - 4)
    for (text, _), middle in zip(marks, middles, strict=True):
        write(axes, text, (0, 1), (middle, 4), ha="center", colour="better")


def _foot(axes: Axes, canvas: _Canvas, more: str) -> None:
    """Write the strengths below the last panel, and what was left out."""
    ticks = _apart(canvas, _ticks(canvas))
    axes.spines["bottom"].set_visible(True)
    axes.set_xticks([at for at, _ in ticks], [label for _, label in ticks])
    write(axes, axis_name(canvas.path), (1, 0), (canvas.margins[1] - 4, -20), ha="right", va="top")
    if more:
        write(axes, more, (0, 0), (4 - canvas.margins[0], -20 - _LINE), va="top")


def _ticks(canvas: _Canvas) -> list[tuple[float, str]]:
    """Return places on the axis of strengths that deserve a number, the most important first."""
    s, x = canvas.path.strengths.astype(float), canvas.x
    if not canvas.start:
        return [(float(place), short(float(number))) for place, number in zip(x, s, strict=True)]
    powers = 10.0 ** np.arange(np.floor(np.log10(s[1])), np.log10(s[-1]) + 1)
    few = s[-1] / s[1] < 1e3
    wanted = [*powers, *(5 * powers), *(2 * powers)] if few else list(powers)
    inside = [float(f"{w:.10g}") for w in wanted if s[1] * 0.999 <= w <= s[-1] * 1.001]
    # A short path may hold no round number at all.
    inside = inside or [float(s[-1]), float(s[1])]
    none = [(float(x[0]), say("path.none"))] if not canvas.first else []
    return [*none, *((float(np.log10(w)), short(w)) for w in inside)]


def _apart(canvas: _Canvas, wanted: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """Return those of the wanted (place, label), the first of them first, that do not crowd one another."""
    kept: list[tuple[float, float, str]] = []
    for at, label in wanted:
        half = width(label) / 2
        if all(abs(canvas.across(at) - canvas.across(other)) >= half + wide + 7 for other, wide, _ in kept):
            kept.append((at, half, label))
    return sorted((at, label) for at, _, label in kept)


def _left_out(linear: Coefficients) -> str:
    names = [clean(name, 18) for name in linear.outputs[MOST_PANELS:][:3]]
    return join([*names, *(["…"] if len(linear.outputs) > MOST_PANELS + 3 else [])])
