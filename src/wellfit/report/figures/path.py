"""The path of a network along one ingredient: losses, and below them what becomes of weights and units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wellfit.messages import join, say
from wellfit.records import Array, Path
from wellfit.report.figures.panels import LEFT, RIGHT, Scale, name_axes, quiet, scale_of, set_scale
from wellfit.report.path_text import axis_name, kind_of, name_of, right_sentence, strength, value, varies
from wellfit.report.svg import svg_file
from wellfit.report.text import digits, letters, short
from wellfit.report.theme import FONT, LIGHT, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, LOSS, SMALL = 360.0, 190.0, 74.0
_HEAD, _GAP, _FOOT = 44.0, 30.0, 34.0
# Up to this ratio of the largest to the smallest strength, or where steps are equal, the axis is linear.
_LINEAR = 30.0
# Average width of a letter in units of the font's size.
_LETTER = 0.52
_DASHES = ((0, ()), (0, (5, 1.6)), (0, (1.4, 1.6)), (0, (6, 1.5, 1.4, 1.5)))
_LAYERS = ("class7", "class2", "class6", "class3")


class Line(NamedTuple):
    """A line of a lower panel: its values, (P,), name, colour, dashes, and whether it is a share of 1."""

    values: Array
    name: str
    colour: str
    dashes: tuple
    share: bool = True


def path_figure(path: Path) -> Figure:
    """Return train (dashed) and validation loss (solid) along the path and, below, what changes in the network.

    The weak end is at the left, whichever way strengths run; none has a place of its own on a logarithmic axis. Bands
    are one standard error over folds, seeds averaged. The tinted part is right; upright lines mark the best point and
    the one-standard-error rule's; a thin line is the loss of predicting the mean; a cross is a point with diverged
    members. Norms of layers and shares of zeros, features and units are drawn where they change.
    """
    lower = [lines for lines in (_norms(path), _shares(path)) if lines]
    height = _HEAD + LOSS + len(lower) * (SMALL + _GAP) + _FOOT
    with drawing():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(WIDTH / 72, height / 72))
        wide, left, top = (WIDTH - LEFT - RIGHT) / WIDTH, LEFT / WIDTH, height - _HEAD
        x = places(path)
        every = []
        for size in (LOSS, *[SMALL] * len(lower)):
            top -= size
            axes = quiet(figure.add_axes((left, top / height, wide, size / height)))
            axes.set_xlim(*_limits(x))
            axes.set_xticks([])
            every.append(axes)
            top -= _GAP
        _losses(every[0], path, x)
        for axes, lines in zip(every[1:], lower, strict=True):
            _lines(axes, x, lines)
            if lines[0].share:
                _percent(axes)
            else:
                name_axes(axes, "", say("path.panel_norm"))
        for axes in every:
            _tint(axes, path, x)
        at, labels = _ticks(path, x)
        every[-1].set_xticks(at, labels)
        name_axes(every[-1], axis_name(path), "")
        _head(every[0], path, x)
    return figure


def path_label(path: Path) -> str:
    """Return the picture in words."""
    train, loss = path.mean(path.train_losses), path.mean(path.losses)
    sound = np.flatnonzero(np.isfinite(loss))
    first, last = int(sound[0]), int(sound[-1])
    return say(
        "path.picture",
        name=name_of(path),
        first=strength(path, first),
        last=strength(path, last),
        train_first=digits(train[first]),
        train_last=digits(train[last]),
        first_loss=digits(loss[first]),
        best_loss=digits(loss[path.best]),
        best=strength(path, path.best),
        last_loss=digits(loss[last]),
        right=right_sentence(path),
    )


def path_svg(path: Path) -> str:
    """Return the figure as an SVG file of its own, which follows the reader's light or dark scheme."""
    return svg_file(path_figure(path), path_label(path), "path-")


def places(path: Path) -> Array:
    """Return where the points stand on the axis, (P,), growing from the weak end to the strong one."""
    s, kind = path.strengths.astype(float), kind_of(path)
    if kind == "epochs":
        return -s if _even(s) else -np.log10(s + 1)
    if kind == "up" and _even(s[1:]):
        return s
    logs = np.log10(s[1:]) * (-1 if kind == "bound" else 1)
    reach = logs[-1] - logs[0] or 1.0
    return np.append(logs[0] - 0.11 * reach, logs)


def _even(strengths: Array) -> bool:
    steps = np.diff(strengths)
    if len(steps) < 2:
        return len(steps) == 0 or abs(steps[0]) <= _LINEAR * float(np.abs(strengths).min())
    level = float(np.ptp(np.abs(steps))) <= 0.1 * float(np.abs(steps).mean())
    return level or float(np.abs(strengths).max()) <= _LINEAR * float(np.abs(strengths).min())


def _limits(x: Array) -> tuple[float, float]:
    room = 0.025 * float(np.ptp(x)) or 0.5
    return float(x[0]) - room, float(x[-1]) + room


def _apart(path: Path, x: Array) -> bool:
    """Whether none stands apart from the other points, since a logarithmic axis has no place for it."""
    return kind_of(path) != "epochs" and not np.array_equal(x, path.strengths)


def _ticks(path: Path, x: Array) -> tuple[list[float], list[str]]:
    """Return where numbers stand below the axis, and the numbers: round ones that do not crowd."""
    s, apart = path.strengths.astype(float), _apart(path, x)
    known = s[1:] if apart else s
    low, high = float(known.min()), float(known.max())
    if apart or (kind_of(path) == "epochs" and not np.array_equal(x, -s)):
        powers = 10.0 ** np.arange(np.floor(np.log10(max(low, 1e-12 if apart else 1.0))), np.log10(high) + 1)
        few = not apart or high / low < 1e3
        wanted = [*powers, *(5 * powers), *(2 * powers)] if few else list(powers)
    else:
        from matplotlib.ticker import MaxNLocator

        wanted = list(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high))
    ends = [float(s[0])] if apart else [high, low] if kind_of(path) == "epochs" else []
    round_ones = [float(f"{w:.10g}") for w in wanted if low * 0.999 <= w <= high * 1.001]
    kept: list[tuple[float, str]] = []
    reach = x[-1] - x[0] or 1.0
    for tick in [*ends, *round_ones]:
        label = say("path.none") if apart and tick == s[0] else short(tick)
        at = float(x[0]) if apart and tick == s[0] else _place(path, x, tick)
        room = (_LETTER * FONT * letters(label) + 16) / (WIDTH - LEFT - RIGHT) * reach
        if all(abs(at - other) >= room for other, _ in kept):
            kept.append((at, label))
    kept.sort()
    return [at for at, _ in kept], [label for _, label in kept]


def _place(path: Path, x: Array, number: float) -> float:
    kind = kind_of(path)
    if kind == "epochs":
        return -number if np.array_equal(x, -path.strengths) else -float(np.log10(number + 1))
    return (-1 if kind == "bound" else 1) * float(np.log10(number)) if _apart(path, x) else number


def _losses(axes: Axes, path: Path, x: Array) -> None:
    """Draw both losses with their bands, the loss of predicting the mean, and crosses where members diverged."""
    (train, _), (loss, loss_error) = _band(path.train_losses), _band(path.losses)
    lines = [train, loss, *([np.array([path.chance])] if np.isfinite(path.chance) else [])]
    scale = scale_of(lines)
    tallest = np.nanmax(loss + loss_error)
    high = min(max(scale.high, tallest * 1.03), 1.25 * scale.high)
    set_scale(axes, Scale(scale.low, scale.high if scale.log else high, scale.log))
    name_axes(axes, "", say("path.axis_loss"))
    axes.axhline(path.chance, color=LIGHT["muted"], linewidth=0.9, gid="chance")
    start = 1 if _apart(path, x) and len(x) > 1 else 0
    looks = ((path.train_losses, "train", _DASHES[1], 1.6), (path.losses, "validation", _DASHES[0], 2.0))
    for values, name, dashes, width in looks:
        mean, error = _band(values)
        axes.fill_between(x, mean - error, mean + error, color=LIGHT[name], alpha=0.14, linewidth=0)
        axes.plot(x[start:], mean[start:], color=LIGHT[name], linewidth=width, linestyle=dashes, gid=name)
        if start:
            axes.plot(x[:2], mean[:2], color=LIGHT[name], linewidth=1.0, linestyle=_DASHES[2], gid=f"{name} to none")
            axes.plot(x[:1], mean[:1], color=LIGHT[name], marker="o", markersize=3.6, linestyle="none")
    lost = np.flatnonzero(path.diverged)
    if lost.size:
        base = np.full(lost.size, axes.get_ylim()[0])
        axes.plot(
            x[lost],
            base,
            color=LIGHT["worse"],
            marker="x",
            markersize=5,
            linestyle="none",
            clip_on=False,
            gid="diverged",
        )
    _name_lines(axes, path, x, train, loss)


def _band(values: Array) -> tuple[Array, Array]:
    """Return the mean of ``values`` (P, K, S) and its standard error over folds, (P,) each."""
    by_fold = values.mean(axis=2)
    folds = by_fold.shape[1]
    error = by_fold.std(axis=1, ddof=1) / np.sqrt(folds) if folds > 1 else np.zeros(len(values))
    return by_fold.mean(axis=1), error


def _name_lines(axes: Axes, path: Path, x: Array, train: Array, loss: Array) -> None:
    """Write the lines' names where they are far apart, and that of the thin line where nothing else is."""
    sound = np.flatnonzero(np.isfinite(loss))
    early = sound[: max(1, len(sound) // 3)]
    at = int(early[np.argmax((loss - train)[early])]) if len(sound) else 0
    style = {"fontsize": FONT - 0.5, "ha": "left"}
    up = [axes.transData.transform((0, value))[1] * 72 / axes.figure.dpi for value in (loss[at], train[at])]
    floor = axes.transAxes.transform((0, 0))[1] * 72 / axes.figure.dpi
    # Above its line, below it where there is room, or beside the other name.
    under, close = up[1] - floor > 18, up[0] - up[1] < 18
    beside = _LETTER * FONT * letters(say("path.validation")) + 12 if close and not under else 0.0
    for name, line, below in (("validation", loss, False), ("train", loss if beside else train, under)):
        axes.annotate(
            say(f"path.{name}"),
            (x[at], line[at]),
            (3 + (beside if name == "train" else 0.0), -5 if below else 5),
            textcoords="offset points",
            va="top" if below else "bottom",
            color=LIGHT[name],
            **style,  # type: ignore[arg-type]  # Matplotlib's own words
        )
    if not np.isfinite(path.chance):
        return
    far = np.abs(loss - path.chance)
    third = max(1, len(sound) // 3)
    left = not len(sound) or np.nanmin(far[sound[:third]]) >= np.nanmin(far[sound[-third:]])
    axes.annotate(
        say("path.chance"),
        (0.0 if left else 1.0, path.chance),
        (2 if left else -2, 3),
        xycoords=axes.get_yaxis_transform(),
        textcoords="offset points",
        ha="left" if left else "right",
        va="bottom",
        fontsize=FONT - 1.5,
        color=LIGHT["muted"],
    )


def _tint(axes: Axes, path: Path, x: Array) -> None:
    """Tint what is right, and mark the best point and the rule's."""
    left, right = _borders(path, x)
    axes.axvspan(left, right, color=LIGHT["better"], alpha=0.1, linewidth=0, zorder=0, gid="right")
    for point, dashes in ((path.best, _DASHES[0]), (path.one_standard_error, _DASHES[1])):
        if point != path.best or dashes == _DASHES[0]:
            axes.axvline(x[point], color=LIGHT["better"], linewidth=1.0, linestyle=dashes, zorder=1, gid="chosen")


def _borders(path: Path, x: Array) -> tuple[float, float]:
    """Return where the right part begins and ends on the axis: halfway to the points outside it."""
    points, (low, high) = np.flatnonzero(path.right), _limits(x)
    first, last = int(points[0]), int(points[-1])
    left = low if first == 0 else float(x[first - 1] + x[first]) / 2
    return left, high if last == len(x) - 1 else float(x[last] + x[last + 1]) / 2


def _head(axes: Axes, path: Path, x: Array) -> None:
    """Write above the losses what is too weak, right and too strong and, below that, which points are chosen."""
    (low, high), (left, right) = _limits(x), _borders(path, x)
    wide = WIDTH - LEFT - RIGHT
    parts = [("weak", low, left, "muted"), ("right", left, right, "better"), ("strong", right, high, "muted")]
    parts = [part for part in parts if part[2] - part[1] > 1e-9 * (high - low)]
    names = [(say(f"path.word_{word}"), ((a + b) / 2 - low) / (high - low), colour) for word, a, b, colour in parts]
    chosen = [(join([say("path.mark_best"), value(path, path.best)], "pair"), path.best)]
    if path.one_standard_error == path.best:
        both = join([say("path.mark_best"), say("path.mark_rule")])
        chosen[0] = (join([both, value(path, path.best)], "pair"), path.best)
    else:
        rule = path.one_standard_error
        chosen.append((join([say("path.mark_rule"), value(path, rule)], "pair"), rule))
    marks = [(text, (float(x[point]) - low) / (high - low), "better") for text, point in chosen]
    for row, up, size in ((names, 26.0, FONT), (marks, 8.0, FONT - 1)):
        widths = [_LETTER * size * letters(text) for text, _, _ in row]
        middles = spread([at * wide for _, at, _ in row], widths, 30.0 if up < 20 else 0.0, wide)
        for (text, _, colour), middle in zip(row, middles, strict=True):
            axes.annotate(
                text,
                (0, 1),
                (middle, up),
                "axes fraction",
                "offset points",
                ha="center",
                va="bottom",
                fontsize=size,
                color=LIGHT[colour],
            )


def spread(
    middles: Sequence[float], widths: Sequence[float], low: float, high: float, gap: float = 11.0
) -> list[float]:
    """Return where labels of these widths stand, in order and apart from each other, near where they were wanted.

    >>> spread([10, 12], [10, 10], 0, 100)
    [10, 31.0]
    >>> spread([90, 95], [20, 20], 0, 100)
    [59.0, 90.0]
    """
    placed: list[float] = []
    edge = low - gap
    for middle, width in zip(middles, widths, strict=True):
        placed.append(max(middle, edge + gap + width / 2))
        edge = placed[-1] + width / 2
    edge = high + gap
    for i in reversed(range(len(placed))):
        placed[i] = min(placed[i], edge - gap - widths[i] / 2)
        edge = placed[i] - widths[i] / 2
    return placed


def _norms(path: Path) -> list[Line]:
    """Return the norm of each layer's weights, or of the first and the last where there are many."""
    layers = list(range(path.weight_norms.shape[1]))
    if len(layers) > len(_LAYERS):
        layers = [0, layers[-1]]
    key = "path.layer" if len(layers) > 1 else "path.only_layer"
    lines = [
        Line(path.weight_norms[:, layer], say(key, number=layer + 1), colour, dashes, False)
        for layer, colour, dashes in zip(layers, _LAYERS, _DASHES, strict=False)
    ]
    return lines if any(varies(line.values) for line in lines) else []


def _shares(path: Path) -> list[Line]:
    """Return the shares that change: of zeros, of features in use, of units that are always on or off."""
    every = [
        Line(path.zeros, say("path.zeros"), "l2", _DASHES[0]),
        Line(path.inputs_used / max(path.inputs, 1), say("path.inputs"), "class0", _DASHES[1]),
        Line(path.units[:, 1], say("path.units_off"), "none", _DASHES[2]),
        Line(path.units[:, 0], say("path.units_on"), "dropout", _DASHES[3]),
    ]
    return [line for line in every if varies(line.values)]


def _lines(axes: Axes, x: Array, lines: Sequence[Line]) -> None:
    """Draw the lines of a lower panel, with their names above it."""
    set_scale(axes, Scale(0.0, 1.06 * max(float(np.nanmax(line.values)) for line in lines) or 1.0))
    for line in lines:
        axes.plot(x, line.values, color=LIGHT[line.colour], linewidth=1.6, linestyle=line.dashes, label=line.name)
    axes.legend(
        loc="lower right",
        bbox_to_anchor=(1.0, 0.98),
        ncols=len(lines),
        frameon=False,
        borderpad=0,
        borderaxespad=0.3,
        handlelength=1.5,
        handletextpad=0.4,
        columnspacing=0.9,
        fontsize=FONT - 1.5,
        labelcolor=LIGHT["muted"],
    )


def _percent(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g}%"))
