"""Intervals over folds, and tests of many differences.

Folds share training rows, so their plain spread says too little: C. Nadeau and Y. Bengio correct it, *Inference for
the generalization error*, Machine Learning 52 (2003), 239-281. Of many differences some look real by luck: S. Holm, *A
simple sequentially rejective multiple test procedure*, Scandinavian Journal of Statistics 6 (1979), 65-70.

K folds leave K - 1 degrees of freedom. Rows tell more: what they say of a figure's standard error is a `RowError`, and
where there is one it takes the place of the folds' (`wellfit.evidence.rows`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from wellfit.errors import SettingError
from wellfit.messages import say
from wellfit.records import Array, Difference, Interval

LEVEL = 0.95
MOST_RATIO = 1e9
Bounds = tuple[float, float]
ANYWHERE: Bounds = (-np.inf, np.inf)


@dataclass(frozen=True)
class RowError:
    """The standard error of a mean over folds as folds and rows together tell it, and its degrees of freedom."""

    error: float
    freedom: float


def fold_interval(
    values: ArrayLike,
    *,
    train_rows: ArrayLike,
    test_rows: ArrayLike,
    estimates: str,
    rows: RowError | None = None,
    bounds: Bounds = ANYWHERE,
) -> Interval:
    """Return the mean of one value per fold and its 95% t interval, with K - 1 degrees of freedom or those of ``rows``.

    ``values`` is (K,), the seeds averaged already; ``train_rows`` and ``test_rows`` are the folds' counts of rows,
    one number or (K,). The variance of the mean is that of ``rows``, else ``(1/K + test_rows/train_rows) S^2``, the
    ratio averaged over the folds. ``bounds`` are what such a value cannot pass; with ``rows`` they also give the
    interval its shape (`ends`). ``estimates`` begins the sentence that says what this is. Folds with NaN are left out,
    and the sentence says so; one fold alone has no interval (NaN), equal values without ``rows`` have one of no width.
    Raises `SettingError` for counts that do not match.

    >>> interval = fold_interval([1.0, 2.0, 3.0], train_rows=20, test_rows=10, estimates="Loss")
    >>> round(interval.mean, 3), round(interval.low, 3), round(interval.high, 3)
    (2.0, -1.928, 5.928)
    """
    numbers = np.asarray(values, dtype=np.float64)
    return _interval(numbers, np.abs(numbers), train_rows, test_rows, estimates, rows, bounds)[0]


def fold_intervals(
    values: ArrayLike,
    *,
    train_rows: ArrayLike,
    test_rows: ArrayLike,
    estimates: str,
    rows: Sequence[RowError | None] | None = None,
    bounds: Bounds = ANYWHERE,
) -> list[Interval]:
    """Return the `fold_interval` of each row of ``values``, (P, K), with P of ``rows``."""
    numbers = np.asarray(values, dtype=np.float64)
    return [found for found, _ in _intervals(numbers, np.abs(numbers), train_rows, test_rows, estimates, rows, bounds)]


def trained_interval(values: ArrayLike, *, estimates: str, rows: RowError | None = None) -> Interval:
    """Return the interval of a loss measured on the folds' own training rows, (K,), by the grouped jackknife or rows.

    Folds share most training rows, so that their values differ far less than training sets drawn anew would (Shao & Tu
    1995, *The Jackknife and Bootstrap*, 2.2). Otherwise as `fold_interval`, from 0 up.

    >>> interval = trained_interval([1.0, 1.1, 1.2], estimates="Training loss")
    >>> round(interval.low, 3), round(interval.high, 3)
    (0.603, 1.597)
    """
    return trained_intervals(np.asarray(values, dtype=np.float64)[None], estimates=estimates, rows=[rows])[0]


def trained_intervals(
    values: ArrayLike, *, estimates: str, rows: Sequence[RowError | None] | None = None
) -> list[Interval]:
    """Return the `trained_interval` of each row of ``values``, (P, K), with P of ``rows``."""
    numbers = np.asarray(values, dtype=np.float64)
    known = (~np.isnan(numbers)).sum(axis=1).tolist()
    sentences = {folds: say("evidence.folds_trained", what=estimates, folds=folds) for folds in set(known)}
    looks = [None] * len(numbers) if rows is None else rows
    found = _intervals(pseudo_values(numbers), np.abs(numbers), 1.0, 0.0, estimates, looks, (0.0, np.inf))
    return [
        replace(interval, estimates=sentences[folds]) if half > 0 and look is None else interval
        for (interval, half), folds, look in zip(found, known, looks, strict=True)
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
    rows: RowError | None = None,
) -> Difference:
    """Return the paired difference ``values - reference`` over folds, (K,) each, its interval and the word for it.

    The word is ``better`` or ``worse`` where the interval leaves out 0, else ``undecided``; also where the differences
    are the same in every fold (and row): their spread is then unknown, not nought. Arguments are as in `fold_interval`;
    ``rows`` is that of the differences, row by row.

    >>> rows = dict(train_rows=80, test_rows=20)
    >>> losses, of_none = [0.31, 0.36, 0.33, 0.34, 0.35], [0.42, 0.46, 0.43, 0.45, 0.44]
    >>> difference(losses, of_none, **rows, higher_is_better=False, estimates="Loss").word
    'better'
    """
    ours, theirs = np.asarray(values, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    scale = np.maximum(np.abs(ours), np.abs(theirs))
    change = ours - theirs
    interval, half = _interval(change, scale, train_rows, test_rows, estimates, rows)
    if not half > 0:
        return Difference(interval, "undecided")
    p_value = 2 * one_sided(interval, int((~np.isnan(change)).sum()) - 1 if rows is None else rows.freedom)
    if not (interval.low > 0 or interval.high < 0):
        return Difference(interval, "undecided", p_value)
    return Difference(interval, "better" if (interval.low > 0) == higher_is_better else "worse", p_value)


def one_sided(interval: Interval, freedom: float) -> float:
    """Return the p value, one-sided towards its own side, of a two-sided 95% t interval.

    >>> round(one_sided(Interval(2.0, 0.0, 4.0, ""), freedom=4), 6)
    0.025
    """
    from scipy.special import stdtr, stdtrit

    half = (interval.high - interval.low) / 2
    if not half > 0:
        return float("nan")
    statistic = abs(interval.mean) / half * stdtrit(freedom, (1 + LEVEL) / 2)
    return float(stdtr(freedom, -statistic))


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
    rows: RowError | None = None,
) -> Interval:
    """Return the geometric mean over folds of ``values / reference``, (K,) each and not negative, and its interval.

    It is `fold_interval` of the logarithms: losses of folds differ by factors, and a few hard rows in one fold would
    drown a plain difference. Ratios are cut off at a billion, so that a loss of 0 has one. Other arguments are as in
    `fold_interval`; ``rows`` is that of the mean logarithm.

    >>> interval = ratio_interval([2.0, 4.0, 8.0], [1.0, 2.0, 4.0], train_rows=20, test_rows=10, estimates="Ratio")
    >>> interval.mean, interval.low, interval.high
    (2.0, 2.0, 2.0)
    """
    above, below = np.asarray(values, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    floor = MOST_RATIO**-1 * np.maximum(above, below) + np.finfo(np.float64).tiny
    logs = np.log(np.maximum(above, floor) / np.maximum(below, floor))
    found = fold_interval(logs, train_rows=train_rows, test_rows=test_rows, estimates=estimates, rows=rows)
    with np.errstate(over="ignore"):  # the upper end of two unlike folds may well be infinite
        mean, low, high = (float(np.exp(x)) for x in (found.mean, found.low, found.high))
    return Interval(mean, low, high, found.estimates)


def rise_interval(
    last: ArrayLike, lowest: ArrayLike, *, train_rows: ArrayLike, test_rows: ArrayLike, estimates: str
) -> Interval:
    """Return the `ratio_interval` of two losses of the same networks, with half of Nadeau and Bengio's correction.

    What training sets do to all rows of a fold alike they do to ``last`` and ``lowest`` (K,) both, and much of it
    cancels: half of the correction holds the truth as often as asked (``docs/intervals.md``). Raises `SettingError` for
    counts that do not match.

    >>> interval = rise_interval([2.0, 4.0, 9.0], [1.0, 2.0, 4.0], train_rows=20, test_rows=10, estimates="Rise")
    >>> round(interval.low, 2), round(interval.high, 2)
    (1.66, 2.6)
    """
    halved = np.asarray(test_rows, dtype=np.float64) / 2
    return ratio_interval(last, lowest, train_rows=train_rows, test_rows=halved, estimates=estimates)


def quantile(freedom: float) -> float:
    """Return the 97.5% point of Student's t.

    >>> round(quantile(4), 3)
    2.776
    """
    from scipy.special import stdtrit  # scipy.stats takes a second to import

    return float(stdtrit(freedom, (1 + LEVEL) / 2))


def half_width(spread: float, folds: int, ratio: float) -> float:
    """Return half the width of the interval: t(0.975, K - 1) sqrt((1/K + ratio)) S."""
    return float(quantile(folds - 1) * np.sqrt(1 / folds + ratio) * spread)


def ends(mean: float, variance: float, bounds: Bounds, reach: float, rows: float) -> tuple[float, float]:
    """Return the ends of a mean's interval: Wilson's (1927) between two bounds, else on a log scale or plain.

    Logarithms are those of the distance from 0, where nothing is below, or from ``highest``.

    ``variance`` is that of the mean, ``reach`` how many standard errors are told. Wilson's interval is that of a share
    with this mean and variance, of at most ``rows`` rows: it has a width where all rows are right, and the variance
    none.

    >>> [round(end, 3) for end in ends(0.5, 0.0025, (0.0, 1.0), 1.96, 100)]
    [0.404, 0.596]
    >>> [round(end, 3) for end in ends(0.5, 0.0025, (0.0, np.inf), 1.96, 100)]
    [0.411, 0.608]
    >>> [round(end, 3) for end in ends(0.5, 0.0025, (-np.inf, 1.0), 1.96, 100)]
    [0.392, 0.589]
    """
    lowest, highest = bounds
    half, span = reach * float(np.sqrt(variance)), highest - lowest
    if np.isfinite(span):
        share = (mean - lowest) / span
        spread = share * (1 - share)
        count = max(1.0, min(rows, spread * span**2 / variance)) if variance > 0 and spread > 0 else rows
        middle, shrink = share + reach**2 / (2 * count), 1 + reach**2 / count
        side = reach * float(np.sqrt(max(spread, 0.0) / count + reach**2 / (4 * count**2)))
        low, high = (lowest + span * (middle + sign * side) / shrink for sign in (-1, 1))
    elif lowest == 0 and mean > 0:
        factor = float(np.exp(min(half / mean, 50.0)))
        low, high = mean / factor, mean * factor
    elif mean < highest < np.inf:
        away = highest - mean
        factor = float(np.exp(min(half / away, 50.0)))
        low, high = highest - away * factor, highest - away / factor
    else:
        low, high = mean - half, mean + half
    return float(max(low, lowest)), float(min(high, highest))


def _interval(
    values: Array,
    scale: Array,
    train_rows: ArrayLike,
    test_rows: ArrayLike,
    what: str,
    rows: RowError | None = None,
    bounds: Bounds = ANYWHERE,
) -> tuple[Interval, float]:
    """Return the interval and half its width in standard errors: NaN where unknown, 0 where only rounding is left."""
    if values.ndim != 1:
        raise SettingError("evidence.wrong_folds", values=values.shape, rows=np.shape(test_rows))
    return _intervals(values[None], scale[None], train_rows, test_rows, what, [rows], bounds)[0]


def _intervals(
    values: Array,
    scale: Array,
    train_rows: ArrayLike,
    test_rows: ArrayLike,
    what: str,
    rows: Sequence[RowError | None] | None = None,
    bounds: Bounds = ANYWHERE,
) -> list[tuple[Interval, float]]:
    """Return `_interval` of each row of values (P, K); rows with the same folds defined are looked at together."""
    ratio = np.asarray(test_rows, dtype=np.float64) / np.asarray(train_rows, dtype=np.float64)
    if values.ndim != 2 or ratio.shape not in ((), values.shape[1:]):
        raise SettingError("evidence.wrong_folds", values=values.shape[1:], rows=ratio.shape)
    ratio = np.broadcast_to(ratio, values.shape[1:])
    looks = [None] * len(values) if rows is None else rows
    alike: dict[bytes, list[int]] = {}
    defined = ~np.isnan(values)
    for p, row in enumerate(defined):
        alike.setdefault(row.tobytes(), []).append(p)
    found: dict[int, tuple[Interval, float]] = {}
    for places in alike.values():
        known = defined[places[0]]
        some = np.ix_(np.array(places), np.flatnonzero(known))
        told = _Told(len(known), float(ratio[known].mean()) if known.any() else np.nan, what, bounds)
        found |= zip(places, told.known(values[some], scale[some], [looks[p] for p in places]), strict=True)
    return [found[p] for p in range(len(values))]


@dataclass(frozen=True)
class _Told:
    """What intervals have in common: of ``asked`` folds, ``share`` test rows to a training row."""

    asked: int
    share: float
    what: str
    bounds: Bounds

    def known(self, values: Array, scale: Array, rows: Sequence[RowError | None]) -> list[tuple[Interval, float]]:
        """Return `_interval` of each row of values (P, K), none of them NaN."""
        count, folds = values.shape
        if folds == 0:
            return [(Interval(np.nan, np.nan, np.nan, say("evidence.folds_none", what=self.what)), np.nan)] * count
        means = values.mean(axis=1).tolist()
        if folds == 1:
            sentence = say("evidence.folds_one", what=self.what)
            return [(Interval(mean, np.nan, np.nan, sentence), np.nan) for mean in means]
        rounding = (8 * np.finfo(np.float64).eps * scale.max(axis=1)).tolist()
        spreads, width = values.std(axis=1, ddof=1).tolist(), half_width(1.0, folds, self.share)
        lowest, highest = self.bounds
        key = "evidence.folds" if folds == self.asked else "evidence.folds_some"
        sentence = say(key, what=self.what, folds=folds, all=self.asked)
        no_width = say("evidence.folds_same", what=self.what, folds=folds)
        found = []
        for mean, spread, near, look in zip(means, spreads, rounding, rows, strict=True):
            if look is not None and folds == self.asked:
                found.append(self._with_rows(mean, near, folds, look))
                continue
            half = width * spread if spread > near else 0.0
            low, high = max(mean - half, lowest), min(mean + half, highest)
            found.append((Interval(mean, low, high, sentence if half > 0 else no_width), half))
        return found

    def _with_rows(self, mean: float, near: float, folds: int, look: RowError) -> tuple[Interval, float]:
        reach, error = quantile(look.freedom), look.error if look.error > near else 0.0
        alike = 1 + (folds - 1) * self.share / (1 + self.share)  # Nadeau and Bengio's correlation of folds
        low, high = ends(mean, error**2, self.bounds, reach, (look.freedom + folds) / alike)
        key = "spread.rows" if low < high else "evidence.folds_same"
        return Interval(mean, low, high, say(key, what=self.what, folds=folds)), reach * error
