"""The score of what a search selected, corrected for having been selected on the same rows.

The best of many configurations looks better on the rows it was chosen by than on new ones. Bootstrap bias-corrected
cross-validation (I. Tsamardinos, E. Greasidou and G. Borboudakis, *Bootstrapping the out-of-sample predictions for
efficient and accurate cross-validation*, Machine Learning 107, 2018) repeats the whole selection on resampled rows of
the out-of-fold predictions, trains nothing, and scores each choice on the rows its resample left out.

A resample holds 63% of the rows, so its choice is worse than the one made on all, and the plain average of these scores
errs on the dark side. Between it and the uncorrected score stands the .632+ average of B. Efron and R. Tibshirani,
*Improvements on cross-validation: the .632+ bootstrap method*, JASA 92 (1997): 0.632 of the way where selection fits
the rows little, all the way to the left-out score where it fits nothing but noise.

The variance has three parts: of the score over rows (a bootstrap of them with the selection held fixed, which serves
every metric), an allowance for training sets that overlap, as in Nadeau and Bengio's interval (2003) though milder, and
`DOUBT` times the gap between the naive and the left-out score, as nobody knows where exactly between them the truth
lies. `SHARED` and `DOUBT` were chosen by simulation (``benchmarks/honest.py``). The spread of the left-out scores is no
part of it: each set holds 37% of the rows, and the scores spread as those of so few do.

What it cannot see: errors so rare and large that their squares have no variance (Student's t with 4 degrees of freedom)
left the interval of the RMSE with a coverage of 0.89.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from wellfit import rng
from wellfit.errors import SettingError
from wellfit.evidence.intervals import ends
from wellfit.evidence.metrics import Metric, as_metric, metric_said
from wellfit.messages import say
from wellfit.records import Array, Corrected, Interval, Task

RESAMPLES = 100
FEWEST = 30  # resamples: larger problems get fewer, never fewer than these
WORK = 30_000_000  # configurations x rows in all resamples together, about
SCORING = 20  # temperature and score of a resample cost about what so many configurations do, on every row
IN_BAG = 10_000  # rows of one resample at most: selection on so many is as good as on all
SHARED = 1.2  # K folds: the variance over rows counts this (1 + 1/K) times
DOUBT = 0.6
_PERMUTED = 20
_Z = 1.959963984540054
_CORNER = 1 - np.exp(-1)  # 0.632


def corrected(
    task: Task,
    target: Array,
    predictions: Array,
    metric: str | Metric,
    *,
    fold: Array,
    select: Callable[[Array], Array],
    seed: int,
    resamples: int | None = None,
) -> Corrected:
    """Return the score to expect on new rows of what ``select`` picks from all rows, and its 95% interval.

    ``target`` is (n,), ``predictions`` (C, n, k) out of fold, as in `wellfit.records.History`, and ``fold`` (n,) says
    which fold scored each row. ``select`` is the whole selection: it takes how often each row counts, (n,) float64 of
    whole numbers, 0 for rows it must not look at, and returns the predictions of what it picks for all rows, (n, k),
    NaN nowhere. Epoch, blend and temperature belong in it, or they are not corrected for.

    ``resamples`` is `RESAMPLES` where not given, fewer from about `WORK` / 100 rows x configurations on, and never
    fewer than `FEWEST`; a resample draws no more than `IN_BAG` rows. ``seed`` fixes them. Resamples whose left-out rows
    have no score (AUC of one class) are passed over; where none has one the interval is NaN, and its sentence says so.
    `Corrected.optimism` is above 0 where the naive score flatters, whichever way the metric goes; `Corrected.resamples`
    counts those in which the score was defined. Raises `SettingError` for shapes and counts that do not match or a
    metric that does not fit the task.

    >>> draw = np.random.default_rng(0)
    >>> target = draw.integers(0, 2, 200)
    >>> luck = draw.random((50, 200, 1))  # fifty configurations that know nothing
    >>> def best(weights):
    ...     return luck[np.argmax(((luck[:, :, 0] > 0.5) == target) @ weights)]
    >>> found = corrected("binary", target, luck, "accuracy", fold=np.arange(200) % 5, select=best, seed=0)
    >>> found.naive, round(found.score.mean, 2), found.score.low < 0.5 < found.score.high
    (0.58, 0.53, True)
    """
    chosen = as_metric(metric, task)
    target, fold = np.asarray(target), np.asarray(fold)
    count = _resamples(predictions, len(target), fold, resamples)
    picked = _picked(select, np.ones(len(target)))

    def score(predicted: Array, weights: Array | None = None) -> float:
        return float(chosen.function(task, target, predicted, weights))

    draw = rng.generator(seed, rng.RESAMPLE)
    naive, outside = score(picked), _left_out(score, select, len(target), count, draw)
    if np.isnan(naive) or not len(outside):
        sentence = say("ensemble.corrected_undefined", metric=metric_said(chosen.name), rows=len(target))
        return Corrected(Interval(np.nan, np.nan, np.nan, sentence), naive, np.nan, len(outside))
    out = float(outside.mean())
    shuffled = (chosen.function(task, draw.permutation(target), picked) for _ in range(_PERMUTED))
    mean = _between(naive, out, float(np.mean(list(shuffled))), chosen.higher_is_better)
    allowance = _allowance(fold)
    variance = allowance * _row_variance(score, picked, draw) + (DOUBT * (out - naive)) ** 2
    low, high = ends(mean, variance, (chosen.lowest, chosen.highest), _Z, len(target) / allowance)
    sentence = say("ensemble.corrected", metric=metric_said(chosen.name), rows=len(target), resamples=len(outside))
    optimism = naive - mean if chosen.higher_is_better else mean - naive
    return Corrected(Interval(mean, low, high, sentence), naive, optimism, len(outside))


def _resamples(predictions: Array, rows: int, fold: Array, asked: int | None) -> int:
    """Return how many resamples to draw. Raises `SettingError` where arguments do not match."""
    shape = np.shape(predictions)
    if len(shape) != 3 or 0 in shape or shape[1] != rows:
        raise SettingError("ensemble.wrong_shapes", given=shape, rows=rows)
    if fold.shape != (rows,):
        raise SettingError("ensemble.wrong_fold", given=fold.shape, rows=rows)
    if asked is None:
        return int(np.clip(WORK // (shape[0] * min(rows, IN_BAG) + SCORING * rows), FEWEST, RESAMPLES))
    if isinstance(asked, bool) or not isinstance(asked, int | np.integer) or asked < 1:
        raise SettingError("ensemble.wrong_rounds", name="resamples", value=asked)
    return int(asked)


def _picked(select: Callable[[Array], Array], weights: Array) -> Array:
    found = np.asarray(select(weights), dtype=np.float64)
    if found.ndim != 2 or len(found) != len(weights):
        raise SettingError("ensemble.wrong_rows", given=found.shape, rows=len(weights))
    return found


def _left_out(score: Callable, select: Callable, rows: int, count: int, draw: np.random.Generator) -> Array:
    """Return the scores of the resamples' choices on the rows left out, where there are any and they have a score."""
    scores = np.full(count, np.nan)
    for i in range(count):
        weights = np.bincount(draw.integers(0, rows, min(rows, IN_BAG)), minlength=rows).astype(np.float64)
        outside = (weights == 0).astype(np.float64)
        if outside.any():
            scores[i] = score(_picked(select, weights), outside)
    return scores[~np.isnan(scores)]


def _between(naive: float, out: float, ignorant: float, higher_is_better: bool) -> float:
    """Return the .632+ average of the naive and the left-out score; ``ignorant`` is what shuffled targets score."""
    sign = -1.0 if higher_is_better else 1.0
    inside, outside, nothing = sign * naive, sign * out, sign * ignorant
    fitted = 0.0  # the relative overfitting rate R
    if nothing > inside:
        outside = min(outside, nothing)
        fitted = max(0.0, (outside - inside) / (nothing - inside))
    weight = _CORNER / (1 - (1 - _CORNER) * fitted)
    return float(sign * ((1 - weight) * inside + weight * outside))


def _allowance(fold: Array) -> float:
    """Return the factor on the variance over rows: 1 where one model scored all rows."""
    folds = len(np.unique(fold))
    return SHARED * (1 + 1 / folds) if folds > 1 else 1.0


def _row_variance(score: Callable, picked: Array, draw: np.random.Generator) -> float:
    rows = len(picked)
    count = int(np.clip(4_000_000 // rows, 100, 400))
    weights = (np.bincount(draw.integers(0, rows, rows), minlength=rows) for _ in range(count))
    scores = np.array([score(picked, w.astype(np.float64)) for w in weights])
    scores = scores[~np.isnan(scores)]
    return float(scores.var(ddof=1)) if len(scores) > 1 else 0.0
