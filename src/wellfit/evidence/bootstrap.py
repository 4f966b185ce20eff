"""Bootstrap intervals of a score: rows are drawn with replacement, all resamples at once.

Scores that are means of a loss over rows (log-loss, the mean square under rmse) have the bootstrap-t interval on the
logarithm's scale: losses are skewed, and of the bootstrap's intervals this one holds the truth most often then (P.
Hall, *The Bootstrap and Edgeworth Expansion*, 1992, 3.10). All others have the bias-corrected and accelerated interval
(B. Efron, *Better bootstrap confidence intervals*, 1987) with percentiles widened for few rows (T. Hesterberg, *What
teachers should know about the bootstrap*, 2015). The area under a binary ROC curve has none of these on few rows, or
where every resample has the same: it has R. Newcombe's interval then (*Confidence intervals for an effect size measure
based on the Mann-Whitney statistic, part 2*, Statistics in Medicine 2006, method 5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from wellfit import rng
from wellfit.evidence.metrics import Metric
from wellfit.records import Array, Task

CELLS = 4_000_000  # counts held at once
GROUPS = 200  # of rows, for the jackknife
UNSEEN, HEAVY = 5, 9.0  # errors that a sample lacks, and their kurtosis: that of Student's t with 5 degrees of freedom
_Z = 1.959963984540054  # the normal distribution's 97.5% point
Score = Callable[[Array], Array]


def drawn(rows: int, seed: int, resamples: int) -> Iterator[Array]:
    """Yield how often each resample drew each row, (B, n), a part of the ``resamples`` at a time."""
    draw = rng.generator(seed, rng.RESAMPLE)
    size = max(1, min(resamples, CELLS // rows))
    for first in range(0, resamples, size):
        places = draw.integers(0, rows, (min(size, resamples - first), rows))
        here = places + rows * np.arange(len(places))[:, None]
        yield np.bincount(here.ravel(), minlength=places.size).reshape(places.shape)


def mean_interval(losses: Array, seed: int, resamples: int, *, squares: bool = False) -> tuple[float, float]:
    """Return the bootstrap-t interval of the mean of ``losses``, (n,) and not negative, made on logarithms.

    Where the mean or all spread is 0 there is no interval (NaN). Resamples without spread are left out. Few rows lack
    the rarest ones, so that the quantiles are widened as those of percentiles are (`_widened`), and ``squares`` of
    errors have the standard error that `UNSEEN` more of them with `HEAVY` tails would give.
    """
    rows, mean = len(losses), float(losses.mean())
    error = float(losses.std(ddof=1) / np.sqrt(rows)) if rows > 1 else 0.0
    if not mean > 0 or not error > 1e-12 * mean:
        return float("nan"), float("nan")
    found = []
    for counts in drawn(rows, seed, resamples):
        means = counts @ losses / rows
        errors = np.sqrt(np.maximum(counts @ losses**2 / rows - means**2, 0.0) / (rows - 1))
        with np.errstate(divide="ignore", invalid="ignore"):
            found.append((np.log(means) - np.log(mean)) / (errors / means))
    t = np.concatenate(found)
    t = t[np.isfinite(t)]
    if len(t) < resamples // 2:
        return float("nan"), float("nan")
    low, high = np.quantile(t, [0.025, 0.975]) * _widened(rows) / _Z
    if squares:  # their relative variance is the errors' kurtosis less 1
        kurtosis = (rows * (rows * (error / mean) ** 2 + 1) + UNSEEN * HEAVY) / (rows + UNSEEN)
        error = max(error, mean * float(np.sqrt((kurtosis - 1) / rows)))
    return float(mean * np.exp(-high * error / mean)), float(mean * np.exp(min(-low * error / mean, 50.0)))


def newcombe(area: float, above: int, below: int) -> tuple[float, float]:
    """Return Newcombe's 95% interval of an area under the ROC curve from so many rows of either class.

    >>> low, high = newcombe(1.0, 10, 20)
    >>> round(low, 3), high
    (0.849, 1.0)
    """
    from scipy.optimize import brentq

    few = (above + below) / 2 - 1

    def off(true: float) -> float:
        spread = 1 + few * (1 - true) / (2 - true) + few * true / (1 + true)
        return (area - true) ** 2 - _Z**2 * true * (1 - true) * spread / (above * below)

    # The ends of the scale solve the equation whatever the rows: they are kept out.
    near = 1e-12
    low = 0.0 if area <= near else brentq(off, near, min(area, 1 - near))
    high = 1.0 if area >= 1 - near else brentq(off, max(area, near), 1 - near)
    return float(low), float(high)


def accelerated(
    metric: Metric, task: Task, target: Array, predictions: Array, seed: int, resamples: int
) -> tuple[float, float]:
    """Return the bias-corrected and accelerated interval over resamples in which the score is defined.

    Efron (1987), equations 2.3, 4.4 and 7.3.
    """
    score = scorer(metric, task, target, predictions)
    scores = np.concatenate([score(counts) for counts in drawn(len(target), seed, resamples)])
    scores = scores[~np.isnan(scores)]
    if not len(scores):
        return float("nan"), float("nan")
    low, high = np.quantile(scores, _levels(score, scores, len(target)))
    return float(low), float(high)


def _levels(score: Score, scores: Array, rows: int) -> Array:
    """Return which quantiles of the bootstrap's scores bound the interval, lower and upper."""
    from scipy.special import ndtr, ndtri

    whole = score(np.ones((1, rows)))[0]
    near = 8 * np.finfo(np.float64).eps * max(abs(whole), 1.0)
    below = (np.mean(scores < whole - near) + np.mean(scores <= whole + near)) / 2
    ends = np.array([-1, 1]) * _widened(rows)
    if not 0 < below < 1:
        return ndtr(ends)
    shift, speed = ndtri(below), _acceleration(score, rows)
    return ndtr(shift + (shift + ends) / np.maximum(1 - speed * (shift + ends), 0.1))


def _widened(rows: int) -> float:
    """Return how many standard errors an interval of 95% reaches to either side (Hesterberg 2015)."""
    from scipy.special import stdtrit

    return float(np.sqrt(rows / (rows - 1)) * stdtrit(rows - 1, 0.975)) if rows > 1 else _Z


def _acceleration(score: Score, rows: int) -> float:
    """Return the acceleration by the jackknife (Efron 1987, 7.3), over at most `GROUPS` groups of rows."""
    groups = min(rows, GROUPS)
    # Neighbours are alike, so rows are dealt out.
    code = np.arange(rows) % groups
    left = np.concatenate(
        [score((code != np.arange(g, min(g + 50, groups))[:, None]).astype(float)) for g in range(0, groups, 50)]
    )
    left = left[~np.isnan(left)]
    off = left.mean() - left if len(left) else left
    square = float((off**2).sum())
    return float((off**3).sum() / (6 * square**1.5)) if square > 0 else 0.0


def scorer(metric: Metric, task: Task, target: Array, predictions: Array) -> Score:
    """Return a metric that is no mean as a function of the rows' counts, (B, n): (B,) scores, NaN where undefined.

    >>> from wellfit.evidence.metrics import as_metric
    >>> score = scorer(as_metric("r2", "regression"), "regression", np.array([0.0, 2.0]), np.array([[0.0], [1.0]]))
    >>> score(np.array([[1, 1], [1, 3]])).round(3).tolist()
    [0.5, 0.0]
    """
    if metric.name == "r2":
        return _explained(target, predictions[:, 0])
    if metric.name == "auc":
        return _areas(task, target, predictions)
    codes, kind = np.unique(target, return_inverse=True)
    label = (predictions[:, 0] > 0.5).astype(np.int64) if task == "binary" else predictions.argmax(axis=1)
    member = (kind.reshape(-1)[:, None] == np.arange(len(codes))).astype(np.float64)
    hits = member * (label == target)[:, None]

    def balanced(counts: Array) -> Array:
        with np.errstate(invalid="ignore"):
            return np.nanmean((counts @ hits) / (counts @ member), axis=1)

    return balanced


def _explained(target: Array, values: Array) -> Score:
    square, centred = (target - values) ** 2, target - target.mean()

    def score(counts: Array) -> Array:
        total = counts.sum(axis=1)
        squares = counts @ centred**2 / total
        around = squares - (counts @ centred / total) ** 2
        with np.errstate(invalid="ignore", divide="ignore"):  # one row drawn all the time leaves rounding, not 0
            return np.where(around > 1e-12 * squares, 1 - counts @ square / total / around, np.nan)

    return score


def _areas(task: Task, target: Array, predictions: Array) -> Score:
    classes = [1] if task == "binary" else range(predictions.shape[1])
    parts = []
    for column, code in enumerate(classes):
        order = np.argsort(predictions[:, column], kind="stable")
        score = predictions[order, column]
        parts.append((order, target[order] == code, np.flatnonzero(np.r_[True, score[1:] != score[:-1]])))

    def areas(counts: Array) -> Array:
        found = []
        for order, positive, starts in parts:
            sorted_counts = counts[:, order].astype(np.float64)
            ups = np.add.reduceat(sorted_counts * positive, starts, axis=1)
            downs = np.add.reduceat(sorted_counts * ~positive, starts, axis=1)
            pairs = ups.sum(axis=1) * downs.sum(axis=1)
            below = downs.cumsum(axis=1) - downs / 2
            with np.errstate(invalid="ignore", divide="ignore"):
                found.append(np.where(pairs > 0, (ups * below).sum(axis=1) / pairs, np.nan))
        every = np.array(found)
        known = ~np.isnan(every)
        with np.errstate(invalid="ignore"):
            return np.where(known, every, 0.0).sum(axis=0) / np.where(known.any(axis=0), known.sum(axis=0), np.nan)

    return areas
