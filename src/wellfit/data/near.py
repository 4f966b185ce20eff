"""How close each single column comes to the target: the cheap first look of `wellfit.data.leaks`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from wellfit.data.encoded import Coded
from wellfit.data.raw import write_float
from wellfit.records import Array, Table

# At least this share of the rows that the majority class gets wrong, a suspect gets right.
_WORTH = 0.6
# Heaps: standard deviation over the distance to the next class mean.
_TIGHT = 0.25
# Unexplained share of a regression target's variance.
_UNEXPLAINED, _BARELY_UNEXPLAINED = 0.01, 1e-6
# Share of wrong rows.
_WRONG, _HARDLY_WRONG, _EXACT = 0.05, 0.01, 0.005


@dataclass(frozen=True)
class Closeness:
    """A column close to the target: ``right`` is its share of right rows, or of explained variance.

    ``exact`` where it is the target under another name. ``nearly`` where it is too close for anything else; ``heap``
    is, for a number that gathers in heaps, their width over their distance: both matter where no other column can
    bear witness.
    """

    right: float
    exact: bool = False
    nearly: bool = False
    heap: float = math.inf


def nearness(table: Table, rows: Array, rng: np.random.Generator) -> dict[str, Closeness]:
    """Return the columns that are close enough to the target to be suspected, judged on ``rows``."""
    y = table.target[rows]
    if table.task != "regression":
        y = np.unique(y, return_inverse=True)[1].reshape(-1)
    found = {}
    numeric = [name for name, kind in table.kinds.items() if kind != "categorical"]
    if numeric:
        x = np.column_stack([table.columns[name][rows] for name in numeric])
        largest = np.abs(np.nan_to_num(x)).max(0)
        x = x / np.where(largest > 0, largest, 1.0)  # so that no square overflows or vanishes
        screen = _screen_numbers if table.task == "regression" else _screen_classes
        judge = _judge_number if table.task == "regression" else _judge_class
        for j in np.flatnonzero(screen(x, y, rng)):
            close = judge(x[:, j], y)
            if close is not None:
                found[numeric[j]] = close
    for name, kind in table.kinds.items():
        if kind == "categorical":
            codes = Coded.of(table.columns[name][rows]).codes + 1
            close = _judge_levels_number(codes, y) if table.task == "regression" else _judge_levels(codes, y)
            if close is not None:
                found[name] = close
    return found


def _neighbours(x: Array, y: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return the target of each row and of the next larger one, (m - 1, p) each, along each column of x (m, p).

    Ties stand in random order. Pairs with a missing value are NaN.
    """
    mixed = rng.permutation(len(x))
    order = np.argsort(x[mixed], axis=0, kind="stable")
    along = y[mixed].astype(np.float64)[order]
    along[np.isnan(np.take_along_axis(x[mixed], order, 0))] = np.nan
    return along[:-1], along[1:]


def _screen_classes(x: Array, y: Array, rng: np.random.Generator) -> Array:
    """Which columns of x (m, p) sort the rows so that neighbours mostly have one class? (p,) bool."""
    a, b = _neighbours(x, y, rng)
    pairs = ~np.isnan(b)
    mixed = ((a != b) & pairs).sum(0) / np.maximum(pairs.sum(0), 1)
    shares = np.bincount(y) / len(y)
    return (mixed <= 0.5 * (1 - (shares**2).sum())) & (pairs.mean(0) >= 0.5)


def _screen_numbers(x: Array, y: Array, rng: np.random.Generator) -> Array:
    """Which columns of x (m, p) sort the rows so that neighbours have nearly one target value? (p,) bool."""
    a, b = _neighbours(x, y, rng)
    pairs = ~np.isnan(b)
    unexplained = np.nansum((a - b) ** 2, axis=0) / 2 / np.maximum(pairs.sum(0), 1) / y.var()
    return (unexplained <= 0.1) & (pairs.mean(0) >= 0.5)


def _judge_class(x: Array, y: Array) -> Closeness | None:
    """Judge a numeric column against classes: by its levels where they are few, else by how tight its heaps are."""
    present = ~np.isnan(x)
    x, y = x[present], y[present]
    levels, codes = np.unique(x, return_inverse=True)
    classes = len(np.unique(y))
    if len(levels) <= classes + 2:
        return _judge_levels(codes.reshape(-1) + 1, y)
    counts = np.bincount(y)
    kept = np.flatnonzero(counts >= 3)
    if len(kept) < 2 or counts[kept].sum() < 0.9 * len(y):
        return None
    means = np.array([x[y == c].mean() for c in kept])
    spread = np.array([x[y == c].std(ddof=1) for c in kept])
    apart = np.abs(means[:, None] - means)
    np.fill_diagonal(apart, np.inf)
    gap = apart.min(1)
    if (gap <= 0).any():
        return None
    heap = float(np.sqrt(np.mean((spread / gap) ** 2)))
    wrong = float((kept[np.argmin(np.abs(x[:, None] - means), axis=1)] != y).mean())
    if heap > _TIGHT or not _worth(wrong, y):
        return None
    return Closeness(1 - wrong, heap=heap)


def _worth(wrong: float, y: Array) -> bool:
    """Is a share of wrong rows far below that of always guessing the majority class?"""
    return wrong <= (1 - _WORTH) * (1 - np.bincount(y).max() / len(y))


def _judge_levels(codes: Array, y: Array) -> Closeness | None:
    """Judge levels, (m,) codes with 0 for missing, against classes.

    Each row is guessed by the majority of the *other* rows of its level; rows without a level do not count.
    """
    present = codes > 0
    if present.mean() < 0.5:
        return None
    codes, y = codes[present], y[present]
    table = np.zeros((int(codes.max()) + 1, int(y.max()) + 1), dtype=np.int64)
    np.add.at(table, (codes, y), 1)
    without = table[codes]
    without[np.arange(len(y)), y] -= 1
    seen = without.sum(1) > 0
    wrong = float(((without.argmax(1) != y) | ~seen).mean())
    noise = 2 * np.sqrt(_WRONG * (1 - _WRONG) / len(y))
    one_to_one = bool(((table > 0).sum(0) <= 1).all() and ((table > 0).sum(1) <= 1).all())
    if not one_to_one and (wrong > _WRONG + noise or not _worth(wrong, y)):
        return None
    return Closeness(1 - wrong, exact=one_to_one or wrong <= _EXACT, nearly=wrong <= _HARDLY_WRONG)


def _judge_number(x: Array, y: Array) -> Closeness | None:
    """Judge a numeric column against a regression target, by the best of a line and a smooth curve."""
    present = ~np.isnan(x)
    x, y = x[present], y[present]
    if len(np.unique(x)) < 2 or len(np.unique(y)) < 2:
        return None
    order = np.argsort(x, kind="stable")
    curve = float(np.mean(np.diff(y[order]) ** 2) / 2 / y.var())
    line = 1 - float(np.corrcoef(x, y)[0, 1]) ** 2
    ranks = float(np.corrcoef(_ranks(x), _ranks(y))[0, 1]) ** 2
    unexplained = max(0.0, min(curve, line))
    exact = ranks > 1 - 1e-9
    if unexplained > _UNEXPLAINED and not exact:
        return None
    return Closeness(1 - unexplained, exact=exact, nearly=unexplained <= _BARELY_UNEXPLAINED)


def _ranks(x: Array) -> Array:
    """Return the ranks of x, (m,), equal values with the mean of theirs."""
    _, place, counts = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[place.reshape(-1)]


def _judge_levels_number(codes: Array, y: Array) -> Closeness | None:
    """Judge levels, (m,) codes with 0 for missing, against a regression target.

    Each row is guessed by the mean of the *other* rows of its level; rows without a level do not count.
    """
    present = codes > 0
    if present.mean() < 0.5:
        return None
    codes, y = codes[present], y[present]
    counts = np.bincount(codes)[codes]
    if (counts < 2).mean() > 0.05:
        return None
    kept = counts >= 2
    sums = np.bincount(codes, y)[codes]
    guess = (sums[kept] - y[kept]) / (counts[kept] - 1)
    unexplained = float(np.mean((y[kept] - guess) ** 2) / y.var())
    if unexplained > _UNEXPLAINED:
        return None
    return Closeness(1 - unexplained, exact=unexplained < 1e-9, nearly=unexplained <= _BARELY_UNEXPLAINED)


def missing_and_mode(table: Table, rows: Array, skip: set[str]) -> Iterator[tuple[str, str | None, float]]:
    """Yield (column, value, share of right rows) where being missing (value None), or being the column's most frequent
    value, tells a binary target in 99% of the rows.
    """
    y = table.target[rows] == table.target[rows].max()
    for name, values in table.columns.items():
        if name in skip:
            continue
        here = values[rows]
        if here.dtype == object:
            column = Coded.of(here)
            counts = np.bincount(column.codes[column.codes >= 0], minlength=1)
            top = int(counts.argmax())
            marks = [(None, column.codes < 0), (column.levels[top] if column.levels else "", column.codes == top)]
        else:
            levels, counts = np.unique(here[~np.isnan(here)], return_counts=True)
            if len(levels) == 0:
                continue
            top_value = levels[counts.argmax()]
            marks = [(None, np.isnan(here)), (write_float(float(top_value)), here == top_value)]
        for value, mark in marks:
            right = max(float((mark == y).mean()), float((mark != y).mean()))
            if 1 - right <= min(_HARDLY_WRONG, 0.1 * min(y.mean(), 1 - y.mean())):
                yield name, value, right
                break
