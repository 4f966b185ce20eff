"""Is a column, given the target, related to the other columns of a table? Tests by shuffling, exact at their level.

The null hypothesis is that the column's values may be exchanged among rows of equal target without anything else
noticing, which holds for a copy of the target with noise and for no real measurement of the world.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from wellfit.data.encoded import Coded
from wellfit.data.preprocess import Preprocessor
from wellfit.records import Array, Table

_SHUFFLES = 500
# So many of the most telling columns are asked whether they are related to any other, and two have to be.
_ASKED, _NEEDED = 8, 2
# Above this the consensus of the other columns is not computed: the cost grows with the cube.
_MOST_FOR_CONSENSUS = 1_500


@dataclass(frozen=True, eq=False)
class Given:
    """The target cut into cells: its classes, or up to 30 slices of a number. ``cells`` is (m,) codes.

    ``slope`` is (m,): the target's deviation from its cell's mean, zero for classes.
    """

    cells: Array
    slope: Array

    @classmethod
    def of(cls, y: Array, classes: bool) -> Given:
        """Return the cells of a target (m,)."""
        if classes:
            return cls(_codes(y), np.zeros(len(y)))
        count = max(1, min(30, len(y) // 40))
        edges = np.unique(np.quantile(y, np.arange(1, count) / count))
        cells = _codes(np.searchsorted(edges, y, side="right"))
        return cls(cells, y - _cell_means(y[:, None], cells)[cells, 0])

    def only(self, rows: Array) -> Given:
        """Return the same for these rows."""
        return Given(_codes(self.cells[rows]), self.slope[rows])

    def remove(self, x: Array) -> Array:
        """Return x (m, d) without what the target says of it: cell means, and the line through each cell."""
        out = x - _cell_means(x, self.cells)[self.cells]
        if self.slope.any():
            counts = np.bincount(self.cells)[:, None]
            square = np.bincount(self.cells, self.slope**2)[:, None]
            product = _cell_means(out * self.slope[:, None], self.cells) * counts
            lines = product / np.where(square > 0, square, 1.0)
            out -= lines[self.cells] * self.slope[:, None]
        return out

    def shuffled(self, rng: np.random.Generator) -> Array:
        """Return an order of the rows, (m,), that moves each within its own cell."""
        order = np.empty(len(self.cells), dtype=np.int64)
        order[np.argsort(self.cells, kind="stable")] = np.lexsort((rng.random(len(self.cells)), self.cells))
        return order


@dataclass(frozen=True, eq=False)
class World:
    """The columns that a suspect is held against, as numbers and their squares: ``x`` is (m, d), of unit length.

    ``owner`` is (d,): which of the ``names`` a column of x was made from. ``goal`` is (m, k), the target as centred
    0/1 columns or ranks.
    """

    table: Table
    rows: Array
    names: Sequence[str]
    x: Array
    owner: Array
    goal: Array
    given: Given

    @classmethod
    def of(cls, table: Table, rows: Array, names: Sequence[str]) -> World:
        """Return the world of the columns ``names``, at ``rows`` of the table."""
        kinds = {name: table.kinds[name] for name in names}
        columns = {name: table.columns[name][rows] for name in names}
        part = Table(table.name, columns, kinds, table.target[rows], table.target_name, table.task)
        x, owner = np.empty((len(rows), 0)), np.empty(0, dtype=np.int64)
        if names:
            fitted = Preprocessor.fit(part, np.arange(len(rows)))
            x = fitted.transform(columns)
            place = {name: i for i, name in enumerate(names)}
            owner = np.array([place[plan.name] for plan in fitted.plans for _ in plan.features], dtype=np.int64)
            x, owner = np.hstack([x, x**2]), np.concatenate([owner, owner])
        y = table.target[rows]
        if table.task == "regression":
            goal = np.argsort(np.argsort(y, kind="stable"), kind="stable").astype(np.float64)[:, None]
        else:
            goal = (y[:, None] == np.unique(y)).astype(np.float64)
        given = Given.of(y, table.task != "regression")
        return cls(table, rows, names, unit(x - x.mean(0)), owner, goal - goal.mean(0), given)

    def related(self, values: Array, rng: np.random.Generator, leave_out: int = -1) -> bool:
        """Is a column (m,) of the table, given the target, related to these columns (but ``names[leave_out]``)?

        Three tests, each at the level 1/501: the largest correlation with any column, the sum of all squared ones,
        and (where nothing is left out) the correlation with what the columns together say of the target: a real
        measurement errs where the others doubt.
        """
        x, given = self.x, self.given
        agreed = _consensus(x, self.goal) if leave_out < 0 else self.goal[:, :0]
        x = x[:, self.owner != leave_out]
        if x.shape[1] == 0:
            return False
        if values.dtype != object and np.isnan(values).any():
            here = np.flatnonzero(~np.isnan(values))
            values, x, agreed, given = values[here], x[here], agreed[here], given.only(here)
        own = given.remove(_as_numbers(values))
        if values.dtype != object:
            own = np.hstack([own, given.remove(own**2)])
        # Each cell has the same weight, so that one with a wide spread does not hide the others.
        spread = np.sqrt(_cell_means(own**2, given.cells))
        own = unit(own / np.where(spread > 0, spread, 1.0)[given.cells])
        others, agreed = unit(given.remove(x)), unit(given.remove(agreed))

        def strength(order: Array) -> tuple[float, float, float]:
            each, together = others.T @ own[order], agreed.T @ own[order]
            return float(np.abs(each).max()), float((each**2).sum()), float(np.abs(together).max(initial=0.0))

        found = strength(np.arange(len(own)))
        if found[0] > _beyond_doubt(len(own), others.shape[1] * own.shape[1]):
            return True
        return _exceeds(found, strength, lambda: given.shuffled(rng))

    def informative(self, rng: np.random.Generator) -> bool:
        """Does any of the columns say something about the target? A test at the level 1/501."""
        if self.x.shape[1] == 0:
            return False
        goal = unit(self.goal)

        def strength(order: Array) -> tuple[float]:
            return (float(np.abs(self.x.T @ goal[order]).max()),)

        found = strength(np.arange(len(goal)))
        if found[0] > _beyond_doubt(len(goal), self.x.shape[1] * goal.shape[1]):
            return True
        return _exceeds(found, strength, lambda: rng.permutation(len(goal)))

    def connected(self, rng: np.random.Generator) -> bool:
        """Are two or more of the columns that say most of the target related to others, given the target?"""
        if len(self.names) < _NEEDED or self.x.shape[1] == 0:
            return False
        says = np.zeros(len(self.names))
        np.maximum.at(says, self.owner, np.abs(self.x.T @ unit(self.goal)).max(1))
        related = 0
        for i in np.argsort(-says, kind="stable")[:_ASKED]:
            related += self.related(self.table.columns[self.names[i]][self.rows], rng, int(i))
            if related == _NEEDED:
                return True
        return False


def unit(x: Array) -> Array:
    """Return the columns of x (m, d) with length one; those without content become zero."""
    size = np.sqrt((x**2).sum(0))
    kept = size > 1e-9 * math.sqrt(len(x))
    return np.where(kept, x / np.where(kept, size, 1.0), 0.0)


def _exceeds(found: tuple, strength: Callable[[Array], tuple], shuffle: Callable[[], Array]) -> bool:
    """Is any strength found larger than in all shuffles? Stops where none can be any more."""
    best = np.array(found)
    alive = np.ones(len(best), dtype=bool)
    for _ in range(_SHUFFLES):
        alive &= np.array(strength(shuffle())) < best
        if not alive.any():
            return False
    return True


def _beyond_doubt(rows: int, pairs: int) -> float:
    """Return twice the correlation that the largest of so many pairs of unrelated normal columns hardly reaches."""
    return 2 * math.sqrt(2 * math.log(2 * _SHUFFLES * pairs) / rows)


def _consensus(x: Array, goal: Array) -> Array:
    """Return the ridge regression of ``goal`` (m, k) on ``x`` (m, d), (m, k); nothing, (m, 0), where that is dear."""
    m, d = x.shape
    if min(m, d) > _MOST_FOR_CONSENSUS:
        return goal[:, :0]
    if d <= m:
        return x @ np.linalg.solve(x.T @ x + np.eye(d), x.T @ goal)
    products = x @ x.T
    return products @ np.linalg.solve(products + np.eye(m), goal)


def _codes(values: Array) -> Array:
    return np.unique(values, return_inverse=True)[1].reshape(-1)


def _cell_means(x: Array, cells: Array) -> Array:
    """Return the mean of x (m, d) in each cell, (cells, d)."""
    counts = np.bincount(cells)
    order = np.argsort(cells, kind="stable")
    return np.add.reduceat(x[order], np.cumsum(counts) - counts, axis=0) / counts[:, None]


def _as_numbers(values: Array) -> Array:
    """Return a column as numbers (m, d): itself, or its ten most frequent levels as 0/1."""
    if values.dtype != object:
        return values[:, None] / (np.abs(values).max(initial=0.0) or 1.0)
    column = Coded.of(values)
    frequent = np.argsort(-np.bincount(column.codes + 1), kind="stable")[:10] - 1
    return (column.codes[:, None] == frequent).astype(np.float64)
