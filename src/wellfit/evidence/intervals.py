"""Intervals over folds. Folds share training rows, so their plain spread says too little: Nadeau and Bengio correct it.

C. Nadeau and Y. Bengio, *Inference for the generalization error*, Machine Learning 52 (2003), 239-281.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from wellfit.errors import SettingError
from wellfit.messages import say
from wellfit.records import Array, Difference, Interval

LEVEL = 0.95
MOST_RATIO = 1e9


def fold_interval(values: ArrayLike, *, train_rows: ArrayLike, test_rows: ArrayLike, estimates: str) -> Interval:
    """Return the mean of one value per fold and its 95% t interval, with K - 1 degrees of freedom.

    ``values`` is (K,), the seeds averaged already; ``train_rows`` and ``test_rows`` are the folds' counts of rows,
    one number or (K,). The variance of the mean is ``(1/K + test_rows/train_rows) S^2``, the ratio averaged over the
    folds. ``estimates`` begins the sentence that says what this is. Folds with NaN are left out, and the sentence says
    so; one fold alone has no interval (NaN), equal values have one of no width. Raises `SettingError` for counts that
    do not match.

    >>> interval = fold_interval([1.0, 2.0, 3.0], train_rows=20, test_rows=10, estimates="Loss")
    >>> round(interval.mean, 3), round(interval.low, 3), round(interval.high, 3)
    (2.0, -1.928, 5.928)
    """
    numbers = np.asarray(values, dtype=np.float64)
    return _interval(numbers, np.abs(numbers), train_rows, test_rows, estimates)[0]


def difference(
    values: ArrayLike,
    reference: ArrayLike,
    *,
    train_rows: ArrayLike,
    test_rows: ArrayLike,
    higher_is_better: bool,
    estimates: str,
) -> Difference:
    """Return the paired difference ``values - reference`` over folds, (K,) each, its interval and the word for it.

    The word is ``better`` or ``worse`` where the interval leaves out 0, else ``undecided``; also where the differences
    are the same in every fold: their spread is then unknown, not nought. Arguments are as in `fold_interval`.

    >>> rows = dict(train_rows=80, test_rows=20)
    >>> losses, of_none = [0.31, 0.36, 0.33, 0.34, 0.35], [0.42, 0.46, 0.43, 0.45, 0.44]
    >>> difference(losses, of_none, **rows, higher_is_better=False, estimates="Loss").word
    'better'
    """
    ours, theirs = np.asarray(values, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    scale = np.maximum(np.abs(ours), np.abs(theirs))
    interval, spread = _interval(ours - theirs, scale, train_rows, test_rows, estimates)
    if not spread > 0 or not (interval.low > 0 or interval.high < 0):
        return Difference(interval, "undecided")
    return Difference(interval, "better" if (interval.low > 0) == higher_is_better else "worse")


def ratio_interval(
    values: ArrayLike, reference: ArrayLike, *, train_rows: ArrayLike, test_rows: ArrayLike, estimates: str
) -> Interval:
    """Return the geometric mean over folds of ``values / reference``, (K,) each and not negative, and its interval.

    It is `fold_interval` of the logarithms: losses of folds differ by factors, and a few hard rows in one fold would
    drown a plain difference. Ratios are cut off at a billion, so that a loss of 0 has one. Other arguments are as in
    `fold_interval`.

    >>> interval = ratio_interval([2.0, 4.0, 8.0], [1.0, 2.0, 4.0], train_rows=20, test_rows=10, estimates="Ratio")
    >>> interval.mean, interval.low, interval.high
    (2.0, 2.0, 2.0)
    """
    above, below = np.asarray(values, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    floor = MOST_RATIO**-1 * np.maximum(above, below) + np.finfo(np.float64).tiny
    logs = np.log(np.maximum(above, floor) / np.maximum(below, floor))
    found = fold_interval(logs, train_rows=train_rows, test_rows=test_rows, estimates=estimates)
    with np.errstate(over="ignore"):  # the upper end of two unlike folds may well be infinite
        mean, low, high = (float(np.exp(x)) for x in (found.mean, found.low, found.high))
    return Interval(mean, low, high, found.estimates)


def half_width(spread: float, folds: int, ratio: float) -> float:
    """Return half the width of the interval: t(0.975, K - 1) sqrt((1/K + ratio)) S."""
    from scipy.special import stdtrit  # scipy.stats takes a second to import

    return float(stdtrit(folds - 1, (1 + LEVEL) / 2) * np.sqrt(1 / folds + ratio) * spread)


def _interval(
    values: Array, scale: Array, train_rows: ArrayLike, test_rows: ArrayLike, what: str
) -> tuple[Interval, float]:
    """Return the interval and the spread S of the values: NaN where unknown, 0 where only rounding is left."""
    ratio = np.asarray(test_rows, dtype=np.float64) / np.asarray(train_rows, dtype=np.float64)
    if values.ndim != 1 or ratio.shape not in ((), values.shape):
        raise SettingError("evidence.wrong_folds", values=values.shape, rows=ratio.shape)
    defined = ~np.isnan(values)
    ratio = np.broadcast_to(ratio, values.shape)[defined]
    kept, folds = values[defined], int(defined.sum())
    if folds == 0:
        return Interval(np.nan, np.nan, np.nan, say("evidence.folds_none", what=what)), np.nan
    mean = float(kept.mean())
    if folds == 1:
        return Interval(mean, np.nan, np.nan, say("evidence.folds_one", what=what)), np.nan
    spread = float(kept.std(ddof=1))
    if spread <= 8 * np.finfo(np.float64).eps * float(scale[defined].max()):
        return Interval(mean, mean, mean, say("evidence.folds_same", what=what, folds=folds)), 0.0
    half = half_width(spread, folds, float(ratio.mean()))
    key = "evidence.folds" if folds == len(values) else "evidence.folds_some"
    sentence = say(key, what=what, folds=folds, all=len(values))
    return Interval(mean, mean - half, mean + half, sentence), spread
