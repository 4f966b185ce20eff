"""A search as a picture, every trial a mark; and what each ingredient of its winner is worth, as a forest plot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from wellfit.messages import join, say
from wellfit.records import Array, SearchRecord, Trial
from wellfit.report.figures.comparison import FOOT
from wellfit.report.figures.panels import LEFT, RIGHT, name_axes, quiet
from wellfit.report.search_text import Worth, chosen_rung, shares_of, trial_of, worth_rows
from wellfit.report.text import digits
from wellfit.report.theme import FONT, LIGHT, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDE, TALL = 360.0, 236.0
_TOP, _BOTTOM = 30.0, 34.0
ROW = 52.0  # of an ingredient: its name, its bar, its numbers
# Marks by rung, the first the smallest; many trials have smaller ones.
_SMALL, _LARGE, _MANY = 3.4, 7.6, 150
# The axis ends this far above the best, in units of the median's distance to it: what is worse stands at the border.
_FAR = 3.0
_LOOKS = {"portfolio": ("D", "l2"), "proposed": ("o", "train")}
_VERDICTS = {"helps": ("o", "better"), "harms": ("D", "worse"), "undecided": ("o", "undecided")}


def best_losses(search: SearchRecord) -> Array:
    """Return each trial's validation loss at the rung where it is best, (trials,); NaN where it diverged."""
    rungs = [chosen_rung(search, trial) for trial in search.trials]
    pairs = zip(search.trials, rungs, strict=True)
    return np.array([math.nan if rung is None else trial.losses[rung] for trial, rung in pairs], dtype=float)


def top_of(search: SearchRecord) -> tuple[float, float]:
    """Return where the axis of losses begins and ends: the best of them in full, what is far worse outside."""
    losses = best_losses(search)
    known = losses[np.isfinite(losses) & (np.abs(losses) < 1e100)]
    if not known.size:
        return 0.0, 1.0
    inside = [float(known.min()), *(v for v in (search.ensemble_loss, search.single_loss) if math.isfinite(v))]
    low, high = min(inside), float(known.max())
    reach = max(low + _FAR * (float(np.median(known)) - low), max(inside))
    high = high if high <= low + 1.2 * (reach - low) else reach
    room = high - low or 0.1 * abs(high) or 1.0
    return low - 0.13 * room, high + 0.07 * room


def search_figure(search: SearchRecord) -> Figure:
    """Return every trial in its order, at its validation loss at the rung where it is best.

    A diamond is a strong default, a disc a proposal; the larger, the longer it trained. A thin line leads from the loss
    at the first rung. Rings are in the ensemble, a star is the best single trial, and a dashed line is the ensemble's
    own loss. Trials far above the others stand as arrows at the upper border, those that diverged as crosses.
    """
    with drawing():
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        figure = Figure(figsize=(WIDE / 72, TALL / 72))
        box = (LEFT / WIDE, _BOTTOM / TALL, (WIDE - LEFT - RIGHT) / WIDE, (TALL - _TOP - _BOTTOM) / TALL)
        axes = quiet(figure.add_axes(box))
        count = len(search.trials)
        axes.set_xlim(-0.02 * count - 0.6, 1.02 * count - 0.4)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_ylim(*top_of(search))
        _trials(axes, search)
        _outside(axes, search)
        _chosen(axes, search)
        name_axes(axes, say("search.axis_trial"), say("search.axis_loss"))
    return figure


def _size(search: SearchRecord, trial: Trial) -> float:
    rungs = max(len(search.epochs) - 1, 1)
    share = min(max(len(trial.losses) - 1, 0) / rungs, 1.0)
    return (_SMALL + (_LARGE - _SMALL) * share) * (0.75 if len(search.trials) > _MANY else 1.0)


def _trials(axes: Axes, search: SearchRecord) -> None:
    """Draw the marks, and where each came from."""
    low, high = axes.get_ylim()
    shares = shares_of(search)
    for at, (trial, loss) in enumerate(zip(search.trials, best_losses(search), strict=True)):
        if not math.isfinite(loss):
            continue
        marker, colour = _LOOKS.get(trial.source, _LOOKS["proposed"])
        first, size = trial.losses[0], _size(search, trial)
        if len(trial.losses) > 1 and math.isfinite(first):
            ends = np.clip([first, loss], low, high)
            axes.plot([at, at], ends, color=LIGHT[colour], linewidth=0.9, alpha=0.45, zorder=2, gid="rise")
        if loss > high:
            continue
        alpha = 0.5 if len(trial.losses) < len(search.epochs) else 0.95
        _mark(axes, at, loss, "trial", marker=marker, markersize=size, markeredgewidth=0.0, color=colour, alpha=alpha)
        if trial.number in shares:
            ring = {"marker": "o", "markersize": size + 5.0, "markeredgewidth": 1.5, "markerfacecolor": "none"}
            _mark(axes, at, loss, "part", color="winner", zorder=4, **ring)


def _mark(axes: Axes, x: float, y: float, name: str, *, color: str, zorder: float = 3, **style: Any) -> None:
    axes.plot([x], [y], linestyle="none", color=LIGHT[color], zorder=zorder, gid=name, **style)


def _outside(axes: Axes, search: SearchRecord) -> None:
    """Draw at the upper border what lies above it and what diverged, and say how much that is."""
    losses, high = best_losses(search), axes.get_ylim()[1]
    lost = ~np.isfinite(losses)
    above = np.where(lost, -np.inf, losses) > high
    for those, mark, colour in ((above, "^", "undecided"), (lost, "x", "worse")):
        if those.any():
            at = np.flatnonzero(those)
            axes.plot(
                at,
                np.full(at.size, high),
                linestyle="none",
                marker=mark,
                markersize=4.2,
                color=LIGHT[colour],
                clip_on=False,
                gid="above" if mark == "^" else "diverged",
            )
    if not (above.any() or lost.any()):
        return
    key = "search.only_diverged" if not above.any() else "search.above_diverged" if lost.any() else "search.above"
    top = digits(float(losses[above].max())) if above.any() else ""
    text = say(key, count=int(above.sum()), top=top, diverged=int(lost.sum()))
    style = {"fontsize": FONT - 1.5, "color": LIGHT["muted"], "ha": "right", "va": "bottom"}
    # For the type checker: Matplotlib's own words.
    axes.annotate(text, (1, 1), (0, 9), "axes fraction", "offset points", **style)  # type: ignore[arg-type]


def _chosen(axes: Axes, search: SearchRecord) -> None:
    """Mark the best single trial, and the ensemble's loss."""
    at = next(i for i, trial in enumerate(search.trials) if trial.number == search.winner)
    loss, high = best_losses(search)[at], axes.get_ylim()[1]
    if math.isfinite(loss):
        star = {"marker": "*", "markersize": 12, "markeredgewidth": 0.8, "markeredgecolor": LIGHT["paper"]}
        _mark(axes, at, min(float(loss), high), "winner", color="winner", zorder=5, **star)
    if not math.isfinite(search.ensemble_loss):
        return
    axes.axhline(search.ensemble_loss, color=LIGHT["winner"], linewidth=1.1, linestyle=(0, (4, 2.4)), gid="ensemble")
    left = at > len(search.trials) / 2  # where the line's name hides least
    axes.annotate(
        join([say("search.line_ensemble"), digits(search.ensemble_loss)], "pair"),
        (0.0 if left else 1.0, search.ensemble_loss),
        (2 if left else -2, -3),
        xycoords=axes.get_yaxis_transform(),
        textcoords="offset points",
        ha="left" if left else "right",
        va="top",
        fontsize=FONT - 1.5,
        color=LIGHT["winner"],
    )


def search_label(search: SearchRecord) -> str:
    """Return the picture in words."""
    losses = best_losses(search)

    def best(source: str) -> str:
        these = [v for v, t in zip(losses, search.trials, strict=True) if t.source == source and math.isfinite(v)]
        return digits(min(these, default=None))

    winner = trial_of(search, search.winner)
    rung = chosen_rung(search, winner)
    return say(
        "search.picture",
        trials=len(search.trials),
        portfolio=best("portfolio"),
        proposed=best("proposed"),
        winner=digits(None if rung is None else winner.losses[rung]),
        ensemble=digits(search.ensemble_loss),
    )


def worth_figure(search: SearchRecord) -> Figure:
    """Return what leaving out each ingredient does to the validation loss: a bar is the 95% interval, a mark its mean.

    A filled mark: the interval leaves out zero. Right of zero the ingredient helps.
    """
    rows = worth_rows(search)
    with drawing():
        from matplotlib.figure import Figure

        height = ROW * max(len(rows), 1) + FOOT
        figure = Figure(figsize=(WIDE / 72, height / 72))
        axes = quiet(figure.add_axes((0.02, FOOT / height, 0.96, 1 - FOOT / height)), grid="x")
        reach = _reach(rows)
        axes.set_xlim(-reach, reach)
        axes.set_ylim(max(len(rows), 1) - 0.46, -0.56)
        axes.set_yticks([])
        for i, row in enumerate(rows):
            _worth_row(axes, i, row, reach)
        for at, align, key, colour in (
            (0.0, "left", "search.side_harms", "worse"),
            (1.0, "right", "search.side_helps", "better"),
        ):
            style = {"ha": align, "va": "top", "fontsize": FONT, "color": LIGHT[colour]}
            # For the type checker: Matplotlib's own words.
            axes.annotate(say(key), (at, 0), (0, -24), "axes fraction", "offset points", **style)  # type: ignore[arg-type]
    return figure


def _reach(rows: Sequence[Worth]) -> float:
    far = [max(abs(row.difference.interval.low), abs(row.difference.interval.high)) for row in rows]
    # The line without any ingredient may lie far out: it does not squeeze the others.
    single = [value for value, row in zip(far, rows, strict=True) if row.key != "all"] or far
    return 1.12 * min(max(far, default=1.0), 1.6 * max(single, default=1.0)) or 1.0


def _worth_row(axes: Axes, i: int, row: Worth, reach: float) -> None:
    """Draw one row: what is left out, the numbers, the interval."""
    mark, name = _VERDICTS[row.verdict]
    colour, line = LIGHT[name], i + 0.02
    told = say("search.worth_range", change=row.change, low=row.low, high=row.high)
    word = say(f"search.word_{row.verdict}")
    axes.text(-reach, i - 0.28, row.name, ha="left", va="center", fontsize=FONT + 0.5, color=LIGHT["ink"])
    axes.text(reach, i - 0.28, word, ha="right", va="center", fontsize=FONT, color=colour)
    axes.text(reach, i + 0.26, told, ha="right", va="center", fontsize=FONT - 1.5, color=LIGHT["muted"])
    # Zero is marked beside each bar only, for a line through all would cross the words.
    axes.plot([0, 0], [line - 0.13, line + 0.13], color=LIGHT["muted"], linewidth=1.2, gid="zero")
    interval = row.difference.interval
    ends = np.clip([interval.low, interval.high], -reach, reach)
    axes.plot(ends, [line] * 2, color=colour, linewidth=2.4, alpha=0.55, gid=f"interval {i}")
    axes.plot(
        [np.clip(interval.mean, -reach, reach)],
        [line],
        linestyle="none",
        marker=mark,
        markersize=6.5,
        markeredgecolor=colour,
        markeredgewidth=1.6,
        markerfacecolor=LIGHT["paper"] if row.verdict == "undecided" else colour,
        gid=f"mean {i}",
    )
    for end, arrow in ((interval.low, "<"), (interval.high, ">")):
        if abs(end) > reach:
            edge = math.copysign(0.985 * reach, end)
            axes.plot([edge], [line], linestyle="none", marker=arrow, markersize=6, color=colour, gid=f"cut {i}")
