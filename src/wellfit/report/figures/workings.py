"""What happens inside a network along one ingredient: small panels, one subject each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from wellfit.messages import join, say
from wellfit.records import Array, Workings
from wellfit.report.figures.panels import name_axes, panels, remark, scale_of, set_scale, title
from wellfit.report.path_text import varies
from wellfit.report.svg import svg_file
from wellfit.report.text import short
from wellfit.report.theme import FONT, LIGHT, drawing
from wellfit.report.workings_text import best, strength

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DASHES = ((0, ()), (0, (5, 1.6)), (0, (1.4, 1.6)), (0, (6, 1.5, 1.4, 1.5)))
_COLOURS = ("class7", "class2", "class6", "class3")
_MOST = 4  # lines in a panel
Line = tuple[str, Array, str, tuple]  # name, values (P,), colour, dashes
_LETTER = 0.52


def workings_figure(found: Workings) -> Figure:
    """Return the panels of what was measured: the weak end at the left; an upright line marks the best point.

    Points stand evenly, since strengths do on their own scale; none has the first place.
    """
    subjects = [(name, draw) for name, draw, there in _subjects(found) if there]
    with drawing():
        figure, every = panels(len(subjects), columns=3)
        for axes, (name, draw) in zip(every, subjects, strict=True):
            title(axes, say(f"workings.panel_{name}"))
            draw(axes)
    return figure


def workings_label(found: Workings) -> str:
    """Return the picture in words."""
    names = join(say(f"workings.panel_{name}") for name, _, there in _subjects(found) if there)
    first, last = strength(found, 0), strength(found, len(found.strengths) - 1)
    return say("workings.picture", over=found.over, first=first, last=last, data=found.data, subjects=names)


def workings_svg(found: Workings) -> str:
    """Return the figure as an SVG file of its own, which follows the reader's light or dark scheme."""
    return svg_file(workings_figure(found), workings_label(found), "workings-")


def _subjects(found: Workings) -> list[tuple[str, Callable[[Axes], None], bool]]:
    """Return each panel's name, what draws it, and whether there is anything to draw."""
    along = len(found.strengths) > 1

    def lines(parts: list[Line], **settings: bool) -> Callable[[Axes], None]:
        return lambda axes: _lines(axes, found, [part for part in parts if np.isfinite(part[1]).any()], **settings)

    solid, dashed, dotted = _DASHES[:3]
    losses: list[Line] = [
        (say("workings.validation"), found.loss.mean(axis=1), "validation", solid),
        (say("workings.train"), found.train_loss.mean(axis=1), "train", dashed),
    ]
    freedom: list[Line] = [(say("workings.measured"), found.freedom, "class7", solid)]
    freedom.append((say("workings.curvature"), found.curvature_freedom, "class2", dashed))
    shares: list[Line] = [
        (say("workings.off"), found.units[:, 1], "class7", solid),
        (say("workings.on"), found.units[:, 0], "class2", dashed),
        (say("workings.saturated"), found.units[:, 2], "class6", dotted),
        (say("workings.zeros"), found.zeros, "class3", _DASHES[3]),
    ]
    shares = [share for share in shares if varies(share[1])]
    reliance: list[Line] = [("", found.reliance.mean(axis=1), "class7", solid)]
    rough: list[Line] = [("", found.roughness.mean(axis=1), "class7", solid)]
    averages = [a for a in found.averaging if a is not None]
    return [
        ("loss", lines(losses), along),
        ("norm", lines(_layers(found.weight_norms), zero=True), along),
        (
            "shrink",
            lines(_layers(np.where(found.shrink == 1, np.nan, 1 - found.shrink))),
            along and bool(np.isfinite(found.shrink).any()),
        ),
        ("freedom", lambda axes: _freedom(axes, found, freedom), along and bool(np.isfinite(found.freedom).any())),
        ("units", lines(shares, zero=True), along and bool(shares)),
        ("reliance", lines(reliance, zero=True), along and len(found.names) > 1),
        ("averaging", lambda axes: _averaging(axes, found), bool(along and averages)),
        ("noise", lambda axes: _noise(axes, found), True),
        ("roughness", lines(rough, zero=True), along),
    ]


def _layers(values: Array) -> list[Line]:
    layers = list(range(values.shape[1]))
    if len(layers) > _MOST:
        layers = [0, layers[-1]]
    return [
        (say("workings.layer", number=layer + 1), values[:, layer], colour, dashes)
        for layer, colour, dashes in zip(layers, _COLOURS, _DASHES, strict=False)
    ]


def _lines(axes: Axes, found: Workings, parts: list[Line], *, zero: bool = False) -> None:
    """Draw lines along the points, with a key above and the best point marked."""
    if not parts:
        remark(axes, say("path.none"))
        return
    x = np.arange(len(found.strengths))
    scale = scale_of([values for _, values, _, _ in parts])
    set_scale(axes, scale)
    if zero and not scale.log:
        axes.set_ylim(min(0.0, scale.low), scale.high + 0.06 * abs(scale.high))
    axes.axvline(best(found), color=LIGHT["better"], linewidth=1.0, zorder=1, gid="best")
    for name, values, colour, dashes in parts:
        axes.plot(x, values, color=LIGHT[colour], linestyle=dashes, linewidth=1.8, gid=name or "line")
    _key(axes, [(name, colour, dashes) for name, _, colour, dashes in parts if name])
    axes.set_xlim(-0.3, len(x) - 0.7)
    at = sorted(set(np.round(np.linspace(0, len(x) - 1, min(len(x), 4 if len(x) > 6 else 3))).astype(int).tolist()))
    axes.set_xticks(at, [_tick(found, p) for p in at])
    name_axes(axes, found.over, "")


def _tick(found: Workings, point: int) -> str:
    return say("path.none") if point == 0 and found.over != "early_stopping" else short(found.strengths[point])


def _key(axes: Axes, entries: list[tuple[str, str, tuple]]) -> None:
    """Write the lines' names above the panel, each after a piece of its line."""
    at = -38.0
    for name, colour, dashes in entries:
        axes.plot(
            [at / _wide(axes), (at + 14) / _wide(axes)],
            [1 + 10 / _high(axes)] * 2,
            transform=axes.transAxes,
            color=LIGHT[colour],
            linestyle=dashes,
            linewidth=1.8,
            clip_on=False,
        )
        axes.annotate(
            name,
            (0, 1),
            (at + 18, 10),
            "axes fraction",
            "offset points",
            va="center",
            fontsize=FONT - 1.5,
            color=LIGHT["muted"],
        )
        at += 18 + _LETTER * (FONT - 1.5) * len(name) + 12


def _freedom(axes: Axes, found: Workings, parts: list[Line]) -> None:
    """Draw both counts of effective parameters, the measured one with a band of one standard error."""
    _lines(axes, found, [part for part in parts if np.isfinite(part[1]).any()], zero=True)
    low, high = found.freedom - found.freedom_error, found.freedom + found.freedom_error
    axes.fill_between(np.arange(len(low)), low, high, color=LIGHT["class7"], alpha=0.14, linewidth=0)


def _wide(axes: Axes) -> float:
    return float(axes.get_position().width * axes.figure.get_figwidth() * 72)  # type: ignore[union-attr]  # a Figure


def _high(axes: Axes) -> float:
    return float(axes.get_position().height * axes.figure.get_figheight() * 72)  # type: ignore[union-attr]  # a Figure


def _averaging(axes: Axes, found: Workings) -> None:
    """Draw the losses of the whole network, of both averages of its sub-networks, and of one sub-network."""

    def line(name: str) -> Array:
        return np.array([np.nan if a is None else getattr(a, name) for a in found.averaging])

    names = ("loss", "geometric", "arithmetic", "single")
    keys = ("whole", "geometric", "arithmetic", "single")
    parts: list[Line] = [
        (say(f"workings.{key}"), line(name), colour, dashes)
        for key, name, colour, dashes in zip(keys, names, _COLOURS, _DASHES, strict=True)
    ]
    _lines(axes, found, parts, zero=True)


def _noise(axes: Axes, found: Workings) -> None:
    """Draw the loss against the noise's standard deviation: none, the best point and the strongest one."""
    last = len(found.strengths) - 1
    points = list(dict.fromkeys([0, best(found), last]))
    parts = [(strength(found, p), found.noise_losses[p]) for p in points if np.isfinite(found.noise_losses[p]).all()]
    if not parts:
        remark(axes, say("path.none"))
        return
    set_scale(axes, scale_of([line for _, line in parts]))
    looks = [(name, colour, dashes) for (name, _), colour, dashes in zip(parts, _COLOURS, _DASHES, strict=False)]
    for (_, colour, dashes), (_, line) in zip(looks, parts, strict=True):
        axes.plot(found.noise, line, color=LIGHT[colour], linestyle=dashes, linewidth=1.8)
    if len(parts) > 1:
        _key(axes, looks)
    axes.set_xticks(found.noise, [short(s) for s in found.noise])
    name_axes(axes, say("workings.axis_noise"), "")
