"""Short runs of the main job on small data made here, for its tests."""

from __future__ import annotations

import numpy as np

from wellfit.job import study
from wellfit.records import Table
from wellfit.rng import DATA, generator

BRIEF = {"network": "6", "training": {"epochs": 8}, "folds": 3, "seeds": 1, "cocktails": "none; l2=0.01; dropout=0.2"}


def patients(rows: int = 90, *, seed: int = 0, columns: int = 2) -> dict:
    """Columns of numbers, a category, and who died: decided by the first column, with noise."""
    draw = generator(seed, DATA)
    x = draw.normal(size=(rows, columns))
    died = x[:, 0] + 0.6 * draw.normal(size=rows) > 0
    table = {f"x{i}": x[:, i] for i in range(columns)}
    return table | {"died": np.where(died, "yes", "no").astype(object)}


def heights(rows: int = 90) -> dict:
    draw = generator(3, DATA)
    x = draw.normal(size=(rows, 3))
    return {f"x{i}": x[:, i] for i in range(3)} | {"height": 170 + 12 * x[:, 0] + 3 * draw.normal(size=rows)}


def bound_study(table: Table, **asked):
    return study.opened(table, (), np.arange(table.rows), study.Asked(**{**BRIEF, **asked}), None)
