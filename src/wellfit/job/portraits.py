"""Pictures of the fits: cost curve, weights, and the decision map where there are two features to draw it over."""

from __future__ import annotations

import numpy as np

from wellfit.job.refit import Refit, roles
from wellfit.job.study import Study
from wellfit.records import Array, Boundary, Comparison, Portrait
from wellfit.select.maps import decision_map

# Points along each side of a decision map.
GRID = 160


def portraits(study: Study, comparison: Comparison, fits: dict[str, Refit], test_rows: Array) -> tuple[Portrait, ...]:
    """Return the portraits by role: none, the best L2, the best dropout, the winner; a cocktail may have two roles."""
    chosen, order = roles(comparison), ("none", "l2", "dropout", "winner")
    return tuple(
        Portrait(
            role=role,
            cocktail=chosen[role],
            history=fits[chosen[role]].history,
            weights=tuple(weights.ravel().copy() for weights in fits[chosen[role]].model.weights),
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
    rows = np.arange(table.rows)
    return decision_map(fit.model, table, (names[0], names[1]), rows, np.isin(rows, test_rows), GRID, rows)
