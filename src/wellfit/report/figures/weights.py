"""Histograms of the weights: what a penalty does to them, side by side on one axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from wellfit.messages import say
from wellfit.records import Array, Portrait
from wellfit.report.figures.panels import name_axes, panels, remark, title
from wellfit.report.theme import LIGHT, PANEL, drawing, role_colour

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BINS = 41


def finite_weights(portrait: Portrait) -> Array:
    """Return all finite weights of all layers in one flat array."""
    flat = np.concatenate([np.ravel(w) for w in portrait.weights]) if portrait.weights else np.empty(0)
    return flat[np.isfinite(flat)]


def shares(weights: Array, reach: float) -> tuple[Array, Array]:
    """Return the share of weights in each bin (BINS,) and the edges (BINS + 1,) over [-reach, reach].

    The outermost bins also hold what lies beyond them, so that the shares add up to 1.
    """
    edges = np.linspace(-reach, reach, BINS + 1)
    counts, _ = np.histogram(np.clip(weights, -reach, reach), edges)
    return counts / max(len(weights), 1), edges


def weight_range(portraits: Sequence[Portrait]) -> tuple[float, float]:
    """Return how far the shared axis goes to either side of zero, and the largest share that any bin holds."""
    every = [w for w in map(finite_weights, portraits) if w.size]
    reach = max((float(np.quantile(np.abs(w), 0.99)) for w in every), default=1.0) * 1.1 or 1.0
    return reach, max((float(shares(w, reach)[0].max()) for w in every), default=1.0)


def weights_figure(
    portraits: Sequence[Portrait],
    *,
    limits: tuple[float, float] | None = None,
    columns: int = 4,
    titled: bool = True,
    size: tuple[float, float] = PANEL,
) -> Figure:
    """Return one histogram a portrait, all on the same axes: what share of the weights has which value.

    The vertical axis goes with the square root, so that a broad and a narrow histogram can both be read. ``limits`` is
    what `weight_range` returns.
    """
    reach, most = limits or weight_range(portraits)
    with drawing():
        figure, grid = panels(len(portraits), columns=columns, titled=titled, size=size)
        for axes, portrait in zip(grid, portraits, strict=True):
            colour = role_colour(portrait.role)
            axes.set_yscale("function", functions=(_root, np.square))
            axes.set_ylim(0, most * 1.08)
            axes.set_xlim(-reach, reach)
            axes.set_yticks(ticks := _ticks(most), [f"{100 * t:g}%" for t in ticks])
            name_axes(axes, say("report.axis_weight"), say("report.axis_share"))
            if titled:
                title(axes, portrait.cocktail, colour)
            weights = finite_weights(portrait)
            if not weights.size:
                remark(axes, say("report.diverged_panel"))
                continue
            heights, edges = shares(weights, reach)
            axes.stairs(heights, edges, fill=True, color=colour, alpha=0.3, linewidth=0)
            axes.stairs(heights, edges, color=colour, linewidth=1.2, gid="shares")
            axes.axvline(0, color=LIGHT["rule"], linewidth=0.8, zorder=0)
    return figure


def _root(values: Array) -> Array:
    return np.sqrt(np.maximum(values, 0.0))


def _ticks(most: float) -> list[float]:
    """Return a few round shares up to ``most``, spread out on a square-root axis."""
    steps = [0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0]
    return [s for s in steps if 0.04 * most <= s <= most][-3:]
