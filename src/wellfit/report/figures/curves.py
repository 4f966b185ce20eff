"""Learning curves of cocktails, and cost curves of refitted portraits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from wellfit.messages import say
from wellfit.records import CocktailResult, Portrait
from wellfit.report.figures.panels import Scale, measured, name_axes, panels, remark, scale_of, set_scale, title
from wellfit.report.theme import LIGHT, PANEL, drawing, role_colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DASHES = (0, (5, 1.6))


def curve_scale(results: Sequence[CocktailResult]) -> Scale:
    """Return the scale that the learning curves of these cocktails share; those that diverged have no say in it."""
    sound = [r for r in results if not r.diverged] or list(results)
    return scale_of(measured(r.curves, name, r.checkpoints) for r in sound for name in ("train_loss", "score_loss"))


def cost_scale(portraits: Sequence[Portrait]) -> Scale:
    """Return the scale that the cost curves of these portraits share."""
    sound = [p for p in portraits if p.history.status != "diverged"] or list(portraits)
    return scale_of(line for p in sound for line in _costs(p))


def curves_figure(
    results: Sequence[CocktailResult],
    *,
    scale: Scale | None = None,
    columns: int = 3,
    titled: bool = True,
    size: tuple[float, float] = PANEL,
) -> Figure:
    """Return one panel a cocktail: train (dashed) and validation loss (solid) over epochs, the gap between shaded.

    Both lines are measured on one footing: without dropout, without penalty. A thin upright line marks the epoch whose
    weights are kept where that is not the last. ``scale`` is shared by all panels, and by
    default holds all of them; ``size`` is a panel's width and height in points.
    """
    shared = scale or curve_scale(results)
    with drawing():
        figure, grid = panels(len(results), columns=columns, titled=titled, size=size)
        for axes, result in zip(grid, results, strict=True):
            _learning(axes, result, shared)
            if titled:
                title(axes, result.cocktail)
    return figure


def _learning(axes: Axes, result: CocktailResult, scale: Scale) -> None:
    train = measured(result.curves, "train_loss", result.checkpoints)
    score = measured(result.curves, "score_loss", result.checkpoints)
    epochs = np.asarray(result.checkpoints, dtype=float)
    set_scale(axes, scale)
    name_axes(axes, say("report.axis_epoch"), say("report.axis_loss"))
    if not (np.isfinite(train).any() or np.isfinite(score).any()):
        axes.set_xticks([])
        remark(axes, say("report.diverged_panel" if result.diverged else "report.no_curves"))
        return
    axes.set_xlim(epochs[0], max(epochs[-1], epochs[0] + 1))
    axes.fill_between(epochs, train, score, where=score > train, color=LIGHT["validation"], alpha=0.13, linewidth=0)
    axes.plot(epochs, train, color=LIGHT["train"], linewidth=1.6, linestyle=_DASHES, gid="train")
    axes.plot(epochs, score, color=LIGHT["validation"], linewidth=1.9, gid="validation")
    if result.diverged:
        remark(axes, say("report.diverged_panel"))
    elif np.isfinite(result.best_epoch) and epochs[0] < result.best_epoch < 0.995 * epochs[-1]:
        axes.axvline(result.best_epoch, color=LIGHT["muted"], linewidth=0.9, gid="kept")


def _costs(portrait: Portrait) -> tuple[np.ndarray, np.ndarray]:
    """Return the loss and the cost (loss plus penalty) at the checkpoints, each (c,)."""
    history = portrait.history
    loss = measured(history.curves, "train_loss", history.checkpoints)
    penalty = measured(history.curves, "penalty", history.checkpoints)
    return loss, loss + np.where(np.isfinite(penalty), penalty, 0.0)


def cost_figure(
    portraits: Sequence[Portrait],
    *,
    scale: Scale | None = None,
    columns: int = 4,
    titled: bool = True,
    size: tuple[float, float] = PANEL,
) -> Figure:
    """Return one panel a portrait: the cost J (solid) over epochs and, shaded below it, how much of it is penalty."""
    shared = scale or cost_scale(portraits)
    with drawing():
        figure, grid = panels(len(portraits), columns=columns, titled=titled, size=size)
        for axes, portrait in zip(grid, portraits, strict=True):
            colour = role_colour(portrait.role)
            loss, cost = _costs(portrait)
            epochs = np.asarray(portrait.history.checkpoints, dtype=float)
            set_scale(axes, shared)
            name_axes(axes, say("report.axis_epoch"), say("report.axis_cost"))
            if titled:
                title(axes, portrait.cocktail, colour)
            if not np.isfinite(cost).any():
                axes.set_xticks([])
                remark(axes, say("report.diverged_panel"))
                continue
            axes.set_xlim(epochs[0], max(epochs[-1], epochs[0] + 1))
            axes.fill_between(epochs, loss, cost, color=colour, alpha=0.22, linewidth=0)
            axes.plot(epochs, cost, color=colour, linewidth=1.9, gid="cost")
            if portrait.history.status == "diverged":
                remark(axes, say("report.diverged_panel"))
    return figure
