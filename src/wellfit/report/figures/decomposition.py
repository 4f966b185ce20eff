"""Bias, variance and their sum along the strengths of an ingredient: the classical picture, measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from wellfit.messages import say
from wellfit.records import Array, BiasVariance, Path
from wellfit.records.decomposition import Loss
from wellfit.report.bias_variance_text import axis, loss_name, part_name, parts_of, strength
from wellfit.report.figures.panels import LEFT, RIGHT, Scale, name_axes, quiet, set_scale
from wellfit.report.figures.path import places
from wellfit.report.svg import svg_file
from wellfit.report.text import digits, short
from wellfit.report.theme import FONT, LIGHT, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, MAIN, SMALL, ROW = 360.0, 190.0, 110.0, 19.0
_HEAD, _GAP, _FOOT = 38.0, 44.0, 34.0
# Colour, dashes and width of each part's line.
_LOOKS: dict[str, tuple[str, tuple, float]] = {
    "total": ("ink", (0, ()), 2.0),
    "bias": ("train", (0, (5, 1.6)), 1.8),
    "variance": ("validation", (0, (1.4, 1.2)), 2.0),
    "noise": ("muted", (0, ()), 0.9),
    "data": ("class2", (0, ()), 1.6),
    "seed": ("l2", (0, (6, 1.5, 1.4, 1.5)), 1.6),
    "unbiased": ("class2", (0, ()), 1.2),
    "biased": ("l2", (0, ()), 1.2),
}


def decomposition_figure(found: BiasVariance) -> Figure:
    """Return bias (dashed), variance (dotted) and their total along the strengths, or as points where there is one.

    The weak end is at the left; none has a place of its own on a logarithmic axis. Bands are half the 95% interval on
    either side: about one standard error. The upright line marks the lowest total. Below stand variance by its source
    (training rows, seed), and in classification the parts of the 0-1 loss.
    """
    return _along(found) if len(found.strengths) > 1 else _one(found)


def _along(found: BiasVariance) -> Figure:
    first = next(iter(found.parts))
    panels: list[tuple[Loss, list[str], float]] = [(first, ["total", "bias", "variance", "noise"], MAIN)]
    if "seed" in parts_of(found, first) and not found.exact:
        panels.append((first, ["data", "seed"], SMALL))
    if "0-1" in found.parts:
        panels.append(("0-1", ["total", "bias", "variance"], SMALL))
    height = _HEAD + sum(size for *_, size in panels) + _GAP * (len(panels) - 1) + _FOOT
    with drawing():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(WIDTH / 72, height / 72))
        # For the type checker: the axis looks at over and strengths alone.
        x = places(cast(Path, found))
        top, every = height - _HEAD, []
        for loss, names, size in panels:
            top -= size
            box = (LEFT / WIDTH, top / height, (WIDTH - LEFT - RIGHT) / WIDTH, size / height)
            axes = quiet(figure.add_axes(box))
            room = 0.025 * float(np.ptp(x)) or 0.5
            axes.set_xlim(float(x[0]) - room, float(x[-1]) + room)
            axes.set_xticks([])
            _lines(axes, found, loss, names, x)
            every.append(axes)
            top -= _GAP
        every[-1].set_xticks(*_ticks(found, x))
        name_axes(every[-1], axis(found), "")
        _mark(every, found, x)
    return figure


def _lines(axes: Axes, found: BiasVariance, loss: Loss, names: Sequence[str], x: Array) -> None:
    """Draw a loss's parts with their bands, and their names above."""
    names = [name for name in names if name in parts_of(found, loss)]
    lines = {name: _values(found, loss, name) for name in names}
    means = np.concatenate([mean for mean, _ in lines.values()])
    known = means[np.isfinite(means)]
    # One exploding point at the weak end runs out of the picture rather than flatten all others.
    high = min(float(known.max()), 4 * float(np.median(lines[names[0]][0][np.isfinite(lines[names[0]][0])])))
    low = min(0.0, float(known.min()))
    set_scale(axes, Scale(1.08 * low, 1.12 * high or 1.0))
    apart = _apart(found, x)
    for name, (mean, half) in lines.items():
        colour, dashes, width = _LOOKS[name]
        if name != "bias":  # its band would hide behind that of the total
            axes.fill_between(x, mean - half / 2, mean + half / 2, color=LIGHT[colour], alpha=0.12, linewidth=0)
        label = part_name(found, loss, name)
        axes.plot(
            x[apart:], mean[apart:], color=LIGHT[colour], linewidth=width, linestyle=dashes, label=label, gid=name
        )
        if apart:
            axes.plot(x[:2], mean[:2], color=LIGHT[colour], linewidth=0.9, linestyle=(0, (1.4, 1.6)))
            axes.plot(x[:1], mean[:1], color=LIGHT[colour], marker="o", markersize=3.4, linestyle="none")
    lost = np.flatnonzero(found.diverged)
    if lost.size:
        base = np.full(lost.size, axes.get_ylim()[0])
        axes.plot(x[lost], base, color=LIGHT["worse"], marker="x", markersize=5, linestyle="none", clip_on=False)
    of_variance = "data" in names
    name_axes(axes, "", say("bias_variance.panel_variance") if of_variance else loss_name(loss))
    axes.legend(
        loc="lower right", bbox_to_anchor=(1.0, 0.985), ncols=len(lines), frameon=False, borderpad=0,
        borderaxespad=0.3, handlelength=1.7, handletextpad=0.4, columnspacing=0.9, fontsize=FONT - 1.5,
        labelcolor=LIGHT["muted"],
    )  # fmt: skip


def _values(found: BiasVariance, loss: Loss, name: str) -> tuple[Array, Array]:
    """Return a part's means and the half widths of its intervals, (P,) each, NaN where members diverged."""
    intervals = [None if d is None else getattr(d, name) for d in found.parts[loss]]
    mean = np.array([np.nan if i is None else i.mean for i in intervals])
    return mean, np.array([np.nan if i is None else (i.high - i.low) / 2 for i in intervals])


def _apart(found: BiasVariance, x: Array) -> int:
    """Return 1 where none stands apart from the other points, since a logarithmic axis has no place for it, else 0."""
    return int(not np.array_equal(x, found.strengths))


def _ticks(found: BiasVariance, x: Array) -> tuple[list[float], list[str]]:
    """Return where numbers stand below the axis, and the numbers."""
    if not _apart(found, x):
        from matplotlib.ticker import MaxNLocator

        wanted = MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]).tick_values(float(x[0]), float(x[-1]))
        kept = [float(w) for w in wanted if x[0] - 1e-9 <= w <= x[-1] + 1e-9]
        return kept, [short(float(f"{w:.10g}")) for w in kept]
    sign = -1.0 if found.strengths[0] > found.strengths[-1] else 1.0
    low, high = sorted((sign * float(x[1]), sign * float(x[-1])))
    powers = np.arange(np.ceil(low - 1e-9), np.floor(high + 1e-9) + 1)
    powers = powers[:: max(1, len(powers) // 6)]
    at = [float(x[0]), *(sign * powers).tolist()]
    return at, [say("path.none"), *(short(float(10.0**p)) for p in powers)]


def _mark(every: Sequence[Axes], found: BiasVariance, x: Array) -> None:
    """Mark the lowest total with a line through all panels, and write its strength above."""
    at = float(x[found.best])
    for axes in every:
        axes.axvline(at, color=LIGHT["better"], linewidth=1.0, zorder=1, gid="lowest")
    text = say("bias_variance.lowest", at=strength(found, found.best))
    low, high = every[0].get_xlim()
    share = (at - low) / (high - low)
    side = "left" if share < 0.3 else "right" if share > 0.7 else "center"
    every[0].annotate(
        text, (at, 1.0), (0, 20), xycoords=every[0].get_xaxis_transform(), textcoords="offset points", ha=side,
        va="bottom", fontsize=FONT - 1, color=LIGHT["better"],
    )  # fmt: skip


def _one(found: BiasVariance) -> Figure:
    """Return the parts of each loss as points with their 95% intervals."""
    blocks = [(loss, parts_of(found, loss)) for loss in found.parts]
    height = sum(_HEAD + ROW * len(names) + 24 for _, names in blocks)
    with drawing():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(WIDTH / 72, height / 72))
        top, left = height, 128.0
        for loss, names in blocks:
            size = ROW * len(names)
            top -= _HEAD + size
            box = (left / WIDTH, top / height, (WIDTH - left - RIGHT) / WIDTH, size / height)
            axes = quiet(figure.add_axes(box), grid="x")
            axes.set_ylim(len(names) - 0.4, -0.6)
            axes.set_yticks(range(len(names)), [part_name(found, loss, name) for name in names])
            axes.axvline(0, color=LIGHT["rule"], linewidth=0.9)
            parts = found.parts[loss][0]
            for i, name in enumerate(names):
                interval, colour = getattr(parts, name), LIGHT[_LOOKS[name][0]]
                axes.plot([interval.low, interval.high], [i, i], color=colour, linewidth=2.0)
                axes.plot([interval.mean], [i], color=colour, marker="o", markersize=5, linestyle="none", gid=name)
            axes.annotate(
                loss_name(loss), (0, 1), (-left + 6, 8), "axes fraction", "offset points", ha="left", va="bottom",
                fontsize=FONT, fontweight="bold", color=LIGHT["ink"],
            )  # fmt: skip
            top -= 24
    return figure


def decomposition_label(found: BiasVariance) -> str:
    """Return the picture in words."""
    loss = next(iter(found.parts))
    best = found.parts[loss][found.best]
    assert best is not None
    values = {"loss": loss_name(loss), "bias": part_name(found, loss, "bias"), "at": found.cocktails[found.best]}
    numbers = {"total": digits(best.total.mean), "first": digits(best.bias.mean), "second": digits(best.variance.mean)}
    return say("bias_variance.picture" if found.over else "bias_variance.picture_one", **values, **numbers)


def decomposition_svg(found: BiasVariance) -> str:
    """Return the figure as an SVG file of its own, which follows the reader's light or dark scheme."""
    return svg_file(decomposition_figure(found), decomposition_label(found), "bias-variance-")
