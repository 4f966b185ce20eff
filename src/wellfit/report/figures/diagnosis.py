"""A diagnosis as a picture: loss against the count of training rows, and against epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wellfit.messages import join, say
from wellfit.records import Array, Diagnosis, LearningCurve
from wellfit.report.figures.panels import measured, name_axes, panels, scale_of, set_scale, title
from wellfit.report.text import digits, short
from wellfit.report.theme import FONT, LIGHT, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (340.0, 230.0)
# How far beyond the rows that there are the fitted law is drawn: as far as a next step may ask for.
AHEAD = 2.0
_DASHES, _DOTS = (0, (5, 1.6)), (0, (1, 2))


def diagnosis_figure(diagnosis: Diagnosis) -> Figure:
    """Return up to two panels: the losses over the count of training rows, and over epochs.

    Training is dashed, validation solid; over rows each is the mean over folds and the shade its range, the dotted line
    is the fitted law carried on to twice the rows. What was not measured is left out; with neither there is one empty
    panel.
    """
    curve, epochs = diagnosis.learning_curve, diagnosis.curves
    drawn = [curve is not None and len(curve.sizes) > 0, bool(epochs) and len(diagnosis.checkpoints) > 0]
    with drawing():
        figure, grid = panels(max(1, sum(drawn)), columns=2, titled=True, size=SIZE)
        places = iter(grid)
        if curve is not None and drawn[0]:
            _over_rows(next(places), curve)
        if drawn[1]:
            _over_epochs(next(places), diagnosis)
        if any(drawn):
            grid[0].legend(frameon=False, fontsize=FONT - 1.5, labelcolor=LIGHT["muted"], loc="best")
    return figure


def diagnosis_label(diagnosis: Diagnosis) -> str:
    """Return what the picture shows, for those who cannot see it."""
    told = [diagnosis.sentence]
    curve = diagnosis.learning_curve
    if curve is not None and len(curve.sizes):
        ends = {"few": int(curve.sizes[0]), "many": int(curve.sizes[-1])}
        first, last = (digits(float(_mean(curve.losses)[i])) for i in (0, -1))
        told.append(say("showing.rows_label", first=first, last=last, **ends))
    return join(told, "sentences")


def _mean(losses: Array) -> Array:
    return np.asarray(losses, dtype=float).mean(axis=1)


def _over_rows(axes: Axes, curve: LearningCurve) -> None:
    sizes = np.asarray(curve.sizes, dtype=float)
    a, b, c = curve.fit
    far = np.geomspace(sizes[0], AHEAD * sizes[-1], 60)
    law = a + b * far**-c if np.isfinite(curve.fit).all() else np.empty(0)
    set_scale(axes, scale_of([*np.asarray(curve.train_losses).T, *np.asarray(curve.losses).T, law]))
    axes.set_xscale("log")
    axes.set_xlim(sizes[0] / 1.1, (AHEAD if len(law) else 1.1) * sizes[-1])
    axes.set_xticks(sizes, [short(size) for size in sizes], minor=False)
    axes.minorticks_off()
    for losses, colour, dashes in (
        (curve.train_losses, "train", _DASHES),
        (curve.losses, "validation", "solid"),
    ):
        values = np.asarray(losses, dtype=float)
        axes.fill_between(sizes, values.min(axis=1), values.max(axis=1), color=LIGHT[colour], alpha=0.13, linewidth=0)
        mean = values.mean(axis=1)
        ink = LIGHT[colour]
        name = say(f"showing.{colour}")
        axes.plot(
            sizes, mean, color=ink, linestyle=dashes, linewidth=1.9, marker="o", markersize=4, gid=colour, label=name
        )
    if len(law):
        axes.plot(far, law, color=LIGHT["validation"], linestyle=_DOTS, linewidth=1.4, gid="law")
    name_axes(axes, say("showing.axis_rows"), say("report.axis_loss"))
    title(axes, say("showing.over_rows"))


def _over_epochs(axes: Axes, diagnosis: Diagnosis) -> None:
    points = np.asarray(diagnosis.checkpoints, dtype=float)
    train = measured(diagnosis.curves, "train_loss", points)
    names = ("score_loss", "stop_loss", "validation_loss")
    lines = [measured(diagnosis.curves, name, points) for name in names]
    score = next((line for line in lines if np.isfinite(line).any()), lines[0])
    set_scale(axes, scale_of([train, score]))
    axes.set_xlim(points[0], max(points[-1], points[0] + 1))
    named = {colour: say(f"showing.{colour}") for colour in ("train", "validation")}
    axes.plot(points, train, color=LIGHT["train"], linestyle=_DASHES, linewidth=1.6, gid="train", label=named["train"])
    axes.plot(points, score, color=LIGHT["validation"], linewidth=1.9, gid="validation", label=named["validation"])
    name_axes(axes, say("report.axis_epoch"), say("report.axis_loss"))
    title(axes, say("showing.over_epochs"))
