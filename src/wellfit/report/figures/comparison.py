"""The forest plot: what each cocktail changes, with its interval, against the unregularized network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from wellfit.messages import say
from wellfit.records import CocktailResult, Comparison, Difference
from wellfit.report.figures.panels import quiet
from wellfit.report.text import clean, metric_name
from wellfit.report.theme import FONT, LIGHT, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Measure = Literal["score", "loss"]
MARKS = {"better": "o", "worse": "D", "undecided": "o"}
ROW, WIDTH, FOOT = 34.0, 420.0, 50.0
# Where one interval is this many times wider than usual it is cut at the border, so that the others can be read.
_FAR = 5.0


def difference_of(result: CocktailResult, measure: Measure) -> Difference | None:
    """Return the paired difference in this measure, or None where there is none to show."""
    found = result.score_difference if measure == "score" else result.loss_difference
    bounds = (found.interval.mean, found.interval.low, found.interval.high) if found else (math.nan,)
    return found if all(map(math.isfinite, bounds)) else None


def comparison_figure(
    comparison: Comparison, *, measure: Measure = "score", results: Sequence[CocktailResult] | None = None
) -> Figure:
    """Return the forest plot of the paired differences to "none", one row a cocktail, in the order of ``results``.

    ``measure`` is the score or the loss; ``results`` are all of the comparison's unless given. A bar is the 95%
    interval, the mark its mean; it is filled where the interval leaves out zero. An interval that runs far out of the
    others' range is cut with an arrow. Cocktails that diverged say so.
    """
    rows = [r for r in (results or comparison.results) if not _reference(r)]
    with drawing():
        from matplotlib.figure import Figure

        height = ROW * max(len(rows), 1) + FOOT
        figure = Figure(figsize=(WIDTH / 72, height / 72))
        axes = quiet(figure.add_axes((0.02, FOOT / height, 0.96, 1 - FOOT / height)), grid="x")
        reach = _reach([difference_of(r, measure) for r in rows])
        axes.set_xlim(-reach, reach)
        axes.set_ylim(max(len(rows), 1) - 0.42, -0.62)
        axes.set_yticks([])
        axes.axvline(0, color=LIGHT["muted"], linewidth=1.2, gid="zero")
        for i, row in enumerate(rows):
            _row(axes, i, row, difference_of(row, measure), reach)
        _directions(axes, comparison, measure)
    return figure


def _reference(result: CocktailResult) -> bool:
    return result.score_difference is not None and result.score_difference.word == "reference"


def _reach(differences: list[Difference | None]) -> float:
    """Return how far the axis goes to either side of zero."""
    far = sorted(max(abs(d.interval.low), abs(d.interval.high)) for d in differences if d)
    if not far or far[-1] == 0:
        return 1.0
    return 1.12 * min(far[-1], _FAR * (far[(len(far) - 1) // 2] or far[-1]))


def _row(axes: Axes, i: int, row: CocktailResult, difference: Difference | None, reach: float) -> None:
    """Draw one row: its name, its interval, its mark."""
    axes.text(
        -reach, i - 0.27, clean(row.cocktail, 56), ha="left", va="center", fontsize=FONT + 0.5, color=LIGHT["ink"]
    )
    if difference is None:
        text = say("report.diverged_row") if row.diverged else say("report.not_measured")
        axes.text(reach, i - 0.27, text, ha="right", va="center", fontsize=FONT, color=LIGHT["worse"])
        axes.axhline(i + 0.12, color=LIGHT["grid"], linewidth=0.8, linestyle=(0, (2, 3)))
        return
    word = difference.word
    colour = LIGHT.get(word, LIGHT["undecided"])
    low, high = difference.interval.low, difference.interval.high
    axes.text(reach, i - 0.27, say(f"report.word_{word}"), ha="right", va="center", fontsize=FONT, color=colour)
    axes.plot([low, high], [i + 0.12] * 2, color=colour, linewidth=2.4, alpha=0.55, gid=f"interval {i}")
    axes.plot(
        [difference.interval.mean],
        [i + 0.12],
        linestyle="none",
        marker=MARKS.get(word, "o"),
        markersize=6.5,
        markeredgecolor=colour,
        markeredgewidth=1.6,
        markerfacecolor=LIGHT["paper"] if word == "undecided" else colour,
        gid=f"mean {i}",
    )
    for end, mark in ((low, "<"), (high, ">")):
        if abs(end) > reach:
            edge = math.copysign(0.985 * reach, end)
            axes.plot([edge], [i + 0.12], linestyle="none", marker=mark, markersize=6, color=colour, gid=f"cut {i}")


def _directions(axes: Axes, comparison: Comparison, measure: Measure) -> None:
    """Write below the axis what it measures, and which side is the better one."""
    higher = comparison.higher_is_better if measure == "score" else False
    sides = (say("report.side_worse_left"), say("report.side_better_right"))
    if not higher:
        sides = (say("report.side_better_left"), say("report.side_worse_right"))
    for at, align, text in ((0.0, "left", sides[0]), (1.0, "right", sides[1])):
        colour = LIGHT["better" if (at == 1.0) == higher else "worse"]
        axes.annotate(
            text, (at, 0), (0, -24), "axes fraction", "offset points", ha=align, va="top", fontsize=FONT, color=colour
        )
    name = say(f"report.forest_{measure}", metric=metric_name(comparison.metric))
    axes.set_xlabel(clean(name, 44), fontsize=FONT, color=LIGHT["muted"], labelpad=9.5)
