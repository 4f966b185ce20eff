"""Decision maps: what a fitted network says over two features, all others held still."""

from __future__ import annotations

import numpy as np

from wellfit import rng
from wellfit.nets.fitted import Fitted
from wellfit.records import Array, Boundary, Table

_MARGIN = 0.06
# Of many numeric columns those with the largest first weights are looked at more closely, on so many rows.
CANDIDATES, LOOKED_AT = 12, 400


def ground(table: Table, rows: Array) -> dict[str, Array]:
    """Return for each column its value in the middle of ``rows``, (1,): the median, of categories the commonest."""
    return {name: _middle(table.columns[name][rows]) for name in table.kinds}


def _middle(values: Array) -> Array:
    if values.dtype == object:
        known = [value for value in values if value is not None]
        # Sorted, so that of two equally common categories always the same one is taken.
        common = max(sorted(set(known)), key=known.count) if known else None
        return np.array([common], dtype=object)
    known = values[np.isfinite(values)]
    return np.array([np.median(known) if known.size else np.nan])


def leading_features(model: Fitted, table: Table, rows: Array, seed: int = 0) -> tuple[str, ...]:
    """Return the two numeric columns that a model leans on most, in the table's order; fewer where there are fewer.

    It leans on a column as far as its outputs move where that column's values are shuffled among the rows
    (permutation importance: Breiman 2001, *Random Forests*, 10), ``rows`` (m,) or some of them.
    """
    numeric = [name for name in model.kinds if model.kinds[name] == "numeric"]
    if len(numeric) <= 2:
        return tuple(numeric)
    draw = rng.generator(seed, rng.RESAMPLE)
    looked_at = np.sort(draw.permutation(rows)[:LOOKED_AT])
    columns = {name: table.columns[name][looked_at] for name in model.kinds}
    candidates = _heaviest(model, numeric)[:CANDIDATES]
    plain = model.outputs_of(columns)
    order = draw.permutation(len(looked_at))
    moved = {
        name: float(np.abs(model.outputs_of({**columns, name: columns[name][order]}) - plain).mean())
        for name in candidates
    }
    chosen = sorted(candidates, key=lambda name: -moved[name])[:2]
    return tuple(name for name in numeric if name in chosen)


def _heaviest(model: Fitted, numeric: list[str]) -> list[str]:
    """Return numeric columns by the norm of the first weights on them, the largest first."""
    weights = np.abs(model.layers[0][0]).max(axis=0)
    sizes: dict[str, float] = {}
    at = 0
    assert model.preprocessor is not None  # a model of columns
    for plan in model.preprocessor.plans:
        width = len(plan.features)
        if plan.name in numeric and width:
            sizes[plan.name] = float(weights[at : at + width].max())
        at += width
    return sorted(numeric, key=lambda name: -sizes.get(name, 0.0))


def decision_map(
    model: Fitted, table: Table, names: tuple[str, str], shown: Array, held_out: Array, points: int, still: Array
) -> Boundary | None:
    """Return what a model says over two numeric columns, on a grid of ``points`` a side, or None where none is known.

    ``shown`` (m,) are the rows drawn as points, ``held_out`` (m,) True for those that are test rows. The other columns
    are held at their middle over the rows ``still``, (k,).
    """
    dots = np.column_stack([table.columns[name][shown] for name in names])
    known = np.isfinite(dots).all(axis=1)
    if not known.any():
        return None
    xs, ys = (_side(dots[known, axis], points) for axis in (0, 1))
    across, up = np.meshgrid(xs, ys)
    swept = {names[0]: across.ravel(), names[1]: up.ravel()}
    middle = ground(table, still)
    columns = {name: swept[name] if name in swept else np.repeat(middle[name], points**2) for name in model.kinds}
    outputs = model.outputs_of(columns)
    several = table.task == "multiclass"
    return Boundary(
        xs=xs,
        ys=ys,
        z=(outputs.argmax(1) if several else outputs[:, 0]).reshape(points, points).astype(np.float64),
        points=dots[known],
        labels=table.target[shown][known],
        held_out=held_out[known],
        names=names,
        classes=table.classes,
        chances=outputs.max(1).reshape(points, points) if several else None,
    )


def _side(values: Array, points: int) -> Array:
    low, high = float(values.min()), float(values.max())
    margin = _MARGIN * (high - low) or 1.0
    return np.linspace(low - margin, high + margin, points)
