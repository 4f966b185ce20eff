"""Intervals over folds, and tests of many differences.

Folds share training rows, so their plain spread says too little: C. Nadeau and Y. Bengio correct it, *Inference for
the generalization error*, Machine Learning 52 (2003), 239-281. Of many differences some look real by luck: S. Holm, *A
simple sequentially rejective multiple test procedure*, Scandinavian Journal of Statistics 6 (1979), 65-70.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

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


def fold_intervals(values: ArrayLike, *, train_rows: ArrayLike, test_rows: ArrayLike, estimates: str) -> list[Interval]:
    """Return the `fold_interval` of each row of ``values``, (P, K)."""
    numbers = np.asarray(values, dtype=np.float64)
    return [found for found, _ in _intervals(numbers, np.abs(numbers), train_rows, test_rows, estimates)]


def trained_interval(values: ArrayLike, *, estimates: str) -> Interval:
    """Return the interval of a figure measured on the folds' own training rows, (K,), by the grouped jackknife.

    Folds share most training rows, so that their values differ far less than training sets drawn anew would (Shao & Tu
    1995, *The Jackknife and Bootstrap*, 2.2). Otherwise as `fold_interval`.

    >>> interval = trained_interval([1.0, 1.1, 1.2], estimates="Training loss")
    >>> round(interval.low, 3), round(interval.high, 3)
    (0.603, 1.597)
    """
    return trained_intervals(np.asarray(values, dtype=np.float64)[None], estimates=estimates)[0]


def trained_intervals(values: ArrayLike, *, estimates: str) -> list[Interval]:
    """Return the `trained_interval` of each row of ``values``, (P, K)."""
    numbers = np.asarray(values, dtype=np.float64)
    known = (~np.isnan(numbers)).sum(axis=1).tolist()
    sentences = {folds: say("evidence.folds_trained", what=estimates, folds=folds) for folds in set(known)}
    found = _intervals(pseudo_values(numbers), np.abs(numbers), 1.0, 0.0, estimates)
    return [
        replace(interval, estimates=sentences[folds]) if spread > 0 else interval
        for (interval, spread), folds in zip(found, known, strict=True)
    ]


def pseudo_values(values: Array) -> Array:
    """Return what each fold's rows add to a figure that was measured without them, (..., K): the jackknife's values.

    Their mean is that of ``values``; NaN stays.

    >>> pseudo_values(np.array([1.0, 2.0, 3.0]))
    array([4., 2., 0.])
    """
    known = (~np.isnan(values)).sum(axis=-1, keepdims=True)
    return np.nansum(values, axis=-1, keepdims=True) - (known - 1) * values


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
    if not spread > 0:
        return Difference(interval, "undecided")
    p_value = 2 * one_sided(interval, int((~np.isnan(ours - theirs)).sum()))
    if not (interval.low > 0 or interval.high < 0):
        return Difference(interval, "undecided", p_value)
    return Difference(interval, "better" if (interval.low > 0) == higher_is_better else "worse", p_value)


def one_sided(interval: Interval, folds: int) -> float:
    """Return the p value, one-sided towards its own side, of a two-sided 95% t interval with K - 1 degrees of freedom.

    >>> round(one_sided(Interval(2.0, 0.0, 4.0, ""), folds=5), 6)
    0.025
    """
    from scipy.special import stdtr, stdtrit

    half = (interval.high - interval.low) / 2
    if not half > 0:
        return float("nan")
    statistic = abs(interval.mean) / half * stdtrit(folds - 1, (1 + LEVEL) / 2)
    return float(stdtr(folds - 1, -statistic))


def holm(p_values: ArrayLike) -> Array:
    """Return p values (m,) adjusted for their number by Holm (1979): NaN, which is no test, stays and does not count.

    A hypothesis is rejected at level a where its adjusted value is at most a; the chance to reject any true one is
    then at most a, however they hang together. The smallest is taken times m, the next times m - 1, and so on, none
    below the one before.

    >>> holm([0.01, 0.04, 0.03, 0.005]).tolist()
    [0.03, 0.06, 0.06, 0.02]
    """
    given = np.asarray(p_values, dtype=np.float64)
    found = given.copy()
    known = np.flatnonzero(~np.isnan(given))
    order = known[np.argsort(given[known], kind="stable")]
    steps = given[order] * np.arange(len(order), 0, -1)
    found[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return found


def family(differences: Sequence[Difference | None]) -> list[Difference | None]:
    """Return differences that are read together, their words adjusted: the chance of any false word is at most 5%.

    "better" and "worse" stay where `holm`'s two-sided value is at most 5%, and become "undecided" elsewhere. The
    reference and None are no tests. Intervals stay those of each difference alone.

    >>> one = Difference(Interval(-2.0, -3.9, -0.1, ""), "better", 0.04)
    >>> [d.word for d in family([one])], [d.word for d in family([one, one])]
    (['better'], ['undecided', 'undecided'])
    """
    tested = [d is not None and d.word != "reference" for d in differences]
    values = [d.p_value if d is not None and t else np.nan for d, t in zip(differences, tested, strict=True)]
    sure = holm(values) <= 1 - LEVEL + 1e-12
    return [
        replace(d, word="undecided") if d is not None and d.word in ("better", "worse") and not s else d
        for d, s in zip(differences, sure, strict=True)
    ]


def ratio_interval(
    values: ArrayLike,
    reference: ArrayLike,
    *,
    train_rows: ArrayLike,
    test_rows: ArrayLike,
    estimates: str,
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
    if values.ndim != 1:
        raise SettingError("evidence.wrong_folds", values=values.shape, rows=np.shape(test_rows))
    return _intervals(values[None], scale[None], train_rows, test_rows, what)[0]


def _intervals(
    values: Array, scale: Array, train_rows: ArrayLike, test_rows: ArrayLike, what: str
) -> list[tuple[Interval, float]]:
    """Return `_interval` of each row of values (P, K); rows with the same folds defined are looked at together."""
    ratio = np.asarray(test_rows, dtype=np.float64) / np.asarray(train_rows, dtype=np.float64)
    if values.ndim != 2 or ratio.shape not in ((), values.shape[1:]):
        raise SettingError("evidence.wrong_folds", values=values.shape[1:], rows=ratio.shape)
    ratio = np.broadcast_to(ratio, values.shape[1:])
    alike: dict[bytes, list[int]] = {}
    defined = ~np.isnan(values)
    for p, row in enumerate(defined):
        alike.setdefault(row.tobytes(), []).append(p)
    found: dict[int, tuple[Interval, float]] = {}
    for places in alike.values():
        known = defined[places[0]]
        some = np.ix_(np.array(places), np.flatnonzero(known))
        found |= zip(places, _known(values[some], scale[some], ratio[known], len(known), what), strict=True)
    return [found[p] for p in range(len(values))]


def _known(values: Array, scale: Array, ratio: Array, asked: int, what: str) -> list[tuple[Interval, float]]:
    """Return `_interval` of each row of values (P, K), none of them NaN, of ``asked`` folds."""
    count, folds = values.shape
    if folds == 0:
        return [(Interval(np.nan, np.nan, np.nan, say("evidence.folds_none", what=what)), np.nan)] * count
    means = values.mean(axis=1).tolist()
    if folds == 1:
        sentence = say("evidence.folds_one", what=what)
        return [(Interval(mean, np.nan, np.nan, sentence), np.nan) for mean in means]
    spreads, width = values.std(axis=1, ddof=1), half_width(1.0, folds, float(ratio.mean()))
    same = spreads <= 8 * np.finfo(np.float64).eps * scale.max(axis=1)
    key = "evidence.folds" if folds == asked else "evidence.folds_some"
    sentence = say(key, what=what, folds=folds, all=asked)
    no_width = say("evidence.folds_same", what=what, folds=folds)
    return [
        (Interval(mean, mean, mean, no_width), 0.0)
        if rounding
        else (Interval(mean, mean - width * spread, mean + width * spread, sentence), spread)
        for mean, spread, rounding in zip(means, spreads.tolist(), same.tolist(), strict=True)
    ]
