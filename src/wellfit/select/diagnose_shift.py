"""Are the validation rows like the training rows? A classifier two-sample test, and one test per column.

Half of both sets train a classifier that tells them apart, and the other half says whether it can (D. Lopez-Paz and
M. Oquab, *Revisiting classifier two-sample tests*, ICLR 2017), by the rank-sum test of its scores; then the halves
change places. A shift in one column alone is seen better by that column alone: each is ranked by itself. The p value is
the smallest, times the count of looks (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wellfit.evidence.diagnosis import Shift
from wellfit.evidence.diagnosis_bounds import Bound
from wellfit.evidence.intervals import LEVEL
from wellfit.records import Array, Table
from wellfit.rng import RESAMPLE, generator

RIDGE = 0.1  # on standardized columns, of the discriminating linear model
MOST_ROWS, MOST_COLUMNS = 20_000, 2_000
NAMED = 5


def shift(
    table: Table, training: Array, validation: Array, losses: Array, elsewhere: Array, seed: int, ready: Array
) -> Shift:
    """Return how validation rows (v,) differ from training rows (m,), in their columns and in the network's losses.

    ``losses`` (m,) and ``elsewhere`` (v,) are those of networks that saw neither row; ``ready`` is the design matrix of
    all rows of the table.
    """
    p_value, columns = two_samples(table, training, validation, seed, ready)
    excess, sure = _excess(losses, elsewhere)
    return Shift(p_value, excess, sure, columns)


def _excess(losses: Array, elsewhere: Array) -> tuple[Bound, float]:
    """Return how much higher the losses on validation rows are, with Welch's bounds, and the one-sided p value."""
    from scipy.special import stdtr, stdtrit

    mean = float(elsewhere.mean() - losses.mean())
    if len(elsewhere) < 2 or len(losses) < 2:
        return Bound(mean, -np.inf, np.inf, (-np.inf, np.inf)), 1.0
    parts = np.array([losses.var(ddof=1) / len(losses), elsewhere.var(ddof=1) / len(elsewhere)])
    error = float(np.sqrt(parts.sum()))
    if not error > 0:
        return Bound(mean, mean, mean, (mean, mean)), 1.0
    freedom = parts.sum() ** 2 / (parts**2 / (np.array([len(losses), len(elsewhere)]) - 1)).sum()
    one, two = (float(stdtrit(freedom, level)) * error for level in (LEVEL, (1 + LEVEL) / 2))
    return Bound(mean, mean - one, mean + one, (mean - two, mean + two)), float(stdtr(freedom, -mean / error))


def two_samples(
    table: Table, training: Array, validation: Array, seed: int, ready: Array
) -> tuple[float, tuple[str, ...]]:
    """Return the p value that both sets come from one distribution, and the columns that differ, the surest first.

    The target counts as a column. ``ready`` (n, d) is the design matrix that the classifier sees.
    """
    draw = generator(seed, RESAMPLE + (3 << 32))
    training, validation = (np.sort(draw.permutation(rows)[:MOST_ROWS]) for rows in (training, validation))
    rows = np.concatenate([training, validation])
    side = np.repeat([0, 1], [len(training), len(validation)])
    single = {name: _column(values[rows], side) for name, values in table.columns.items()}
    single[table.target_name] = _column(table.target[rows].astype(np.float64), side)
    target = table.target[rows].astype(np.float64)[:, None]
    together = _classifier(np.hstack([ready[rows][:, :MOST_COLUMNS], target]), side, draw)
    looks = len(single) + 1
    named = sorted((p, name) for name, p in single.items() if p * looks < 1 - LEVEL)
    smallest = min(together, min(single.values()))
    return min(1.0, smallest * looks), tuple(name for _, name in named[:NAMED])


def _column(values: Array, side: Array) -> float:
    """Return the p value of one column: ranks for numbers (their spread too), shares for words and missing values."""
    if values.dtype == object:
        from wellfit.data.encoded import Coded

        return _shares(Coded.of(values).codes, side)
    missing = np.isnan(values)
    looks = [_rank_sum(values[~missing], side[~missing])]
    middle = np.median(values[~missing]) if (~missing).any() else 0.0
    looks.append(_rank_sum(np.abs(values[~missing] - middle), side[~missing]))
    if missing.any():
        looks.append(_shares(missing.astype(np.int64), side))
    return min(1.0, min(looks) * len(looks))


def _rank_sum(values: Array, side: Array) -> float:
    """Return the two-sided p value of the rank-sum test with ties (Mann & Whitney 1947; normal approximation)."""
    return 2 * min(one := _ranked(values, side), 1 - one)


def _ranked(values: Array, side: Array) -> float:
    """Return the one-sided p value that the values of side 1 are no higher."""
    from scipy.special import ndtr

    n, m = int((side == 0).sum()), int((side == 1).sum())
    if not n or not m:
        return 0.5
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place.reshape(-1)]
    more = float(ranks[side == 1].sum()) - m * (m + 1) / 2 - n * m / 2
    total = n + m
    variance = n * m / 12 * (total + 1 - (counts**3 - counts).sum() / (total * (total - 1.0)))
    return 0.5 if variance <= 0 else float(ndtr(-more / np.sqrt(variance)))


def _shares(codes: Array, side: Array) -> float:
    """Return the p value of Pearson's chi-square test that codes have equal shares on both sides."""
    from scipy.special import chdtrc

    counts = np.stack([np.bincount(codes[side == s] + 1, minlength=codes.max(initial=-1) + 2) for s in (0, 1)])
    counts = counts[:, counts.sum(0) > 0].astype(np.float64)
    frequent = counts.sum(0) >= 10  # rare levels are joined
    counts = np.hstack([counts[:, frequent], counts[:, ~frequent].sum(1, keepdims=True)])
    counts = counts[:, counts.sum(0) > 0]
    if counts.shape[1] < 2 or (counts.sum(1) == 0).any():
        return 1.0
    expected = counts.sum(1, keepdims=True) * counts.sum(0) / counts.sum()
    return float(chdtrc(counts.shape[1] - 1, ((counts - expected) ** 2 / expected).sum()))


def _classifier(x: Array, side: Array, draw: np.random.Generator) -> float:
    """Return the p value of a linear discriminant on columns and their squares, each half judged by the other."""
    half = np.zeros(len(side), dtype=np.int64)
    for s in (0, 1):
        mine = draw.permutation(np.flatnonzero(side == s))
        half[mine[: len(mine) // 2]] = 1
    scale = x.std(0)
    x = (x - x.mean(0)) / np.where(scale > 0, scale, 1.0)
    x = np.hstack([x, x**2]) if 2 * x.shape[1] <= MOST_COLUMNS else x
    looks: Sequence[float] = [_judged(x, side, half == h) for h in (0, 1)]
    return min(1.0, 2 * min(looks))


def _judged(x: Array, side: Array, held: Array) -> float:
    own = ~held
    if len(np.unique(side[own])) < 2 or len(np.unique(side[held])) < 2:
        return 1.0
    a, b = x[own], side[own] - side[own].mean()
    # Ridge regression on the side is Fisher's discriminant; the smaller of the two forms of the solution.
    strength = RIDGE * len(a)
    if a.shape[1] <= len(a):
        weights = np.linalg.solve(a.T @ a + strength * np.eye(a.shape[1]), a.T @ b)
    else:
        weights = a.T @ np.linalg.solve(a @ a.T + strength * np.eye(len(a)), b)
    return _ranked(x[held] @ weights, side[held])
