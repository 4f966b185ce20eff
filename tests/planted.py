"""Leaks planted on purpose, and honest predictors that look like them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from wellfit.records import Array, Kind, Table


def flipped(codes: Array, share: float, classes: int, rng: np.random.Generator) -> Array:
    """Class codes with this share of the rows moved to another class."""
    out = codes.copy()
    rows = rng.permutation(len(codes))[: round(share * len(codes))]
    out[rows] = (out[rows] + rng.integers(1, classes, len(rows))) % classes
    return out


def class_leaks(table: Table, rng: np.random.Generator) -> dict[str, Array]:
    """Columns made from classes: copies, renamed, with noise of 5-20% of the gap, with 2-5% wrong labels."""
    y, k = table.target, len(table.classes)
    names = np.array([f"code {c}" for c in rng.permutation(k)], dtype=object)
    values = rng.permutation(k).astype(float)  # classes get numbers in any order
    return {
        "copy": np.array(table.classes, dtype=object)[y],
        "renamed": names[y],
        "numbered": 3.0 * values[y] - 7.0,
        "noise 5%": values[y] + 0.05 * rng.normal(size=len(y)),
        "noise 10%": 100 * (values[y] + 0.10 * rng.normal(size=len(y))),
        "noise 20%": values[y] + 0.20 * rng.normal(size=len(y)),
        "flips 2%": names[flipped(y, 0.02, k, rng)],
        "flips 5%": names[flipped(y, 0.05, k, rng)],
        "numbered flips 2%": values[flipped(y, 0.02, k, rng)],
        "numbered flips 5%": values[flipped(y, 0.05, k, rng)],
    }


def number_leaks(table: Table, rng: np.random.Generator) -> dict[str, Array]:
    """Columns made from a number: copies, other units, bent, with noise of 1-5% of a standard deviation."""
    y, noise = table.target, table.target.std() * rng.normal(size=table.rows)
    return {
        "copy": y.copy(),
        "other unit": -0.45 * y + 12,
        "bent": np.log(y - y.min() + y.std()),
        "noise 1%": y + 0.01 * noise,
        "noise 2%": 1000 * (y + 0.02 * noise),
        "noise 5%": y + 0.05 * noise,
    }


def leaks(table: Table, rng: np.random.Generator) -> dict[str, Array]:
    return (number_leaks if table.task == "regression" else class_leaks)(table, rng)


def plant(table: Table, **columns: Array) -> Table:
    kinds: dict[str, Kind] = {n: "categorical" if v.dtype == object else "numeric" for n, v in columns.items()}
    return replace(table, columns={**table.columns, **columns}, kinds={**table.kinds, **kinds})
