"""Pictures of the fits: cost curve, weights, and the decision map where there are two features to draw it over."""

from __future__ import annotations

import numpy as np

from wellfit.job.refit import Refit, roles
from wellfit.job.study import Study
from wellfit.records import Array, Boundary, Comparison, Portrait

# Points along each side of a decision map.
GRID = 160
_MARGIN = 0.06


def portraits(study: Study, comparison: Comparison, fits: dict[str, Refit], test_rows: Array) -> tuple[Portrait, ...]:
    """Return the portraits by role: none, the best L2, the best dropout, the winner; a cocktail may have two roles."""
    chosen, order = roles(comparison), ("none", "l2", "dropout", "winner")
    return tuple(
        Portrait(
            role=role,
            cocktail=chosen[role],
            history=fits[chosen[role]].history,
            weights=tuple(weights.ravel().copy() for weights, _ in fits[chosen[role]].model.layers),
            boundary=_boundary(study, fits[chosen[role]], test_rows),
        )
        for role in order
        if role in chosen
    )


def _boundary(study: Study, fit: Refit, test_rows: Array) -> Boundary | None:
    """Return the decision map, or None where the table is not one of two numeric features."""
    table = study.table
    names = tuple(table.kinds)
    if len(names) != 2 or set(table.kinds.values()) != {"numeric"} or not fit.sound:
        return None
    held_out = np.zeros(table.rows, dtype=bool)
    held_out[test_rows] = True
    points = np.column_stack([table.columns[name] for name in names])
    shown = np.isfinite(points).all(1)
    if not shown.any():
        return None
    xs, ys = (_side(points[shown, axis]) for axis in (0, 1))
    across, up = np.meshgrid(xs, ys)
    columns = {names[0]: across.ravel(), names[1]: up.ravel()}
    outputs = fit.model.outputs_of({name: columns[name] for name in fit.model.kinds})
    values = outputs.argmax(1) if table.task == "multiclass" else outputs[:, 0]
    return Boundary(
        xs=xs,
        ys=ys,
        z=values.reshape(GRID, GRID).astype(np.float64),
        points=points[shown],
        labels=table.target[shown],
        held_out=held_out[shown],
        names=(names[0], names[1]),
        classes=table.classes,
    )


def _side(values: Array) -> Array:
    low, high = float(values.min()), float(values.max())
    margin = _MARGIN * (high - low) or 1.0
    return np.linspace(low - margin, high + margin, GRID)
