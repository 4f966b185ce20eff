"""Bias and variance of a training procedure, from the predictions of members that differ in training rows and seed.

Axes: R resamples (training sets), S seeds on each, n rows scored, k outputs or classes. A *part* is an array (R, n):
its mean over resamples is the estimate for each row, and how much it varies says how sure that is.

For squared loss and log-loss the parts are the jackknife's pseudo-values over resamples (Tukey 1958), which take out
the bias that few resamples bring: the mean prediction of R training sets lies off the mean of all by 1/R of the
variance, which would count as bias^2. For squared loss the correction is exact (the estimates are unbiased), for
log-loss it is exact to first order in 1/R. Seeds inside each resample are corrected in the same way. Unbiased estimates
of what is nought may come out a little below it; they are not cut off, since parts then would not sum to the total.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from wellfit import rng
from wellfit.errors import SettingError
from wellfit.evidence.intervals import LEVEL
from wellfit.records import Array, Interval

Parts = dict[str, Array]
_EPS = float(np.finfo(np.float64).eps)
MOST_LOGARITHMIC = 1.5  # half widths beyond so many times the value say nothing on the logarithm's scale
CELLS = 2_000_000  # shares held at once
REPLICATES = 400  # bootstrap replicates over resamples, for the 0-1 loss


class Estimate(NamedTuple):
    """A number, its standard error, and that error's degrees of freedom."""

    value: float
    error: float
    freedom: float

    def interval(self, estimates: str, *, logarithmic: bool = False) -> Interval:
        """Return the 95% t interval; ``estimates`` is the sentence that says of what.

        ``logarithmic`` makes it on the logarithm's scale (Meeker & Escobar 1998, 3.6), for what cannot be below 0 and
        is skewed, unless too little is known for that.
        """
        from scipy.special import stdtrit

        half = float(stdtrit(self.freedom, (1 + LEVEL) / 2)) * self.error if self.error > 0 else 0.0
        if logarithmic and 0 < half < MOST_LOGARITHMIC * self.value:
            factor = float(np.exp(half / self.value))
            return Interval(self.value, self.value / factor, self.value * factor, estimates)
        return Interval(self.value, self.value - half, self.value + half, estimates)


def squared(predictions: Array, target: Array, truth: Array | None = None) -> Parts:
    """Return the parts of the mean squared error: total, bias, variance, data, seed and, with a truth, noise.

    ``predictions`` is (R, S, n, k) with R of at least 2, ``target`` (n, k), ``truth`` (n, k) the expected target of
    each row. Squares are summed over k: with one-hot targets this is the Brier score. Without a truth ``bias`` is
    bias^2 + noise. data and seed are the two levels of the analysis of variance; with S = 1 they are left out. Geman,
    Bienenstock & Doursat (1992). Raises `SettingError` for fewer than two resamples or shapes that do not match.

    >>> parts = squared(np.array([[[[1.0]]], [[[3.0]]]]), np.array([[4.0]]))
    >>> {name: float(part.mean()) for name, part in parts.items()}
    {'total': 5.0, 'bias': 3.0, 'variance': 2.0}
    """
    resamples, seeds = _check(predictions, target.shape)
    centre = target if truth is None else truth
    by_resample = predictions.mean(axis=1)
    others = (by_resample.sum(axis=0) - by_resample) / (resamples - 1)

    def off(mean: Array) -> Array:
        return ((centre - mean) ** 2).sum(axis=-1)

    error = off(predictions).mean(axis=1)
    bias = resamples * off(by_resample.mean(axis=0)) - (resamples - 1) * off(others)
    seed = predictions.var(axis=1, ddof=1).sum(axis=-1) if seeds > 1 else None
    noise = None if truth is None else ((target - truth) ** 2).sum(axis=-1)
    return _parts(error, bias, seed, noise)


def log_loss(chances: Array, target: Array, truth: Array | None = None) -> Parts:
    """Return the parts of the log-loss, as `squared` does, by Heskes (1998).

    ``chances`` is (R, S, n, k) with rows that sum to 1 (k = 1 holds the chance of class 1), ``target`` (n,) codes,
    ``truth`` (n, K) the true chance of each class. The mean prediction is the normalized geometric mean; variance is
    the mean Kullback-Leibler divergence from it to the members, and the bias that from the truth to it; noise is the
    truth's entropy. Without a truth ``bias`` is the log-loss of the mean prediction: bias + noise. The divergence adds
    up over two levels too (resamples, seeds within them). Chances are clipped at float64's epsilon, as in the metric.

    >>> chances = np.array([[[[0.2]]], [[[0.8]]]])
    >>> round(float(log_loss(chances, np.array([1]))["total"].mean()), 3)
    0.916
    """
    resamples, seeds = _check(chances, (*target.shape, chances.shape[-1]))
    logs = np.log(np.clip(both_classes(chances), _EPS, 1.0))
    logs -= _log_sum(logs)[..., None]
    truth_or_target = np.eye(logs.shape[-1])[target] if truth is None else truth
    by_resample = logs.mean(axis=1)
    others = (by_resample.sum(axis=0) - by_resample) / (resamples - 1)

    def cross(geometric: Array) -> Array:
        return _log_sum(geometric) - (truth_or_target * geometric).sum(axis=-1)

    error = -(truth_or_target * by_resample).sum(axis=-1)
    bias = resamples * cross(by_resample.mean(axis=0)) - (resamples - 1) * cross(others)
    seed = None
    if seeds > 1:  # how far a resample's geometric mean falls short of summing to 1, less what few seeds miss
        rest = (logs.sum(axis=1, keepdims=True) - logs) / (seeds - 1)
        seed = (seeds - 1) * _log_sum(rest).mean(axis=1) - seeds * _log_sum(by_resample)
    if truth is None:
        return _parts(error, bias, seed, None)
    entropy = -(truth * np.log(np.clip(truth, _EPS, 1.0))).sum(axis=-1)
    return _parts(error - entropy, bias - entropy, seed, entropy)


def zero_one(labels: Array, target: Array, classes: int, truth: Array | None = None, seed: int = 0) -> ZeroOne:
    """Return the parts of the 0-1 loss by Domingos (2000): see `ZeroOne`.

    ``labels`` is (R, S, n), the predicted codes, ``target`` (n,), ``truth`` (n, classes) the true chances. The main
    prediction of a row is the class that most members say (ties go to the first). Bias is 1 where it is wrong. Where
    the main prediction is right, members that stray from it cost (unbiased variance, P(other class)); where it is
    wrong, those that stray to the right class gain (biased variance, with Domingos's multiclass weight: P(stray) times
    P(right | stray) = P(right)). Net variance is the first less the second; bias + net variance is the expected loss
    exactly. With a truth, "right" is its likeliest class, and noise what is left of the expected loss. ``seed`` draws
    the replicates for standard errors.

    The main prediction is that of R x S members, not of infinitely many: where classes are nearly even it is chosen
    partly by chance, and variance comes out a little too low. There is no unbiased estimate.

    >>> labels = np.array([[[0, 1, 2]], [[0, 1, 0]], [[0, 0, 0]]])
    >>> found = zero_one(labels, np.array([0, 0, 2]), 3)
    >>> [round(float(found.rows[name].mean()), 2) for name in ("total", "bias", "unbiased", "biased")]
    [0.44, 0.67, 0.0, 0.22]
    """
    _check(labels[..., None], (*target.shape, 1))
    right = target if truth is None else truth.argmax(axis=1)
    shares = (labels[..., None] == np.arange(classes)).mean(axis=1)  # (R, n, classes)
    rows = _domingos(shares.mean(axis=0), right)
    if truth is not None:
        rows["noise"] = 1 - (shares.mean(axis=0) * truth).sum(axis=-1) - rows["total"]
        rows["total"] = rows["total"] + rows["noise"]
    return ZeroOne(rows, shares, right, truth, seed)


class ZeroOne:
    """The parts of the 0-1 loss: ``rows[name]`` is (n,): total, bias, variance (net), unbiased, biased, noise.

    A mode does not change smoothly, so pseudo-values would not serve: standard errors come from drawing resamples
    with replacement.
    """

    def __init__(self, rows: Parts, shares: Array, right: Array, truth: Array | None, seed: int) -> None:
        self.rows = rows
        self._shares, self._right, self._truth, self._seed = shares, right, truth, seed

    def estimates(self, weights: Array | None = None, groups: Array | None = None) -> dict[str, Estimate]:
        """Return the estimates of all parts; arguments are as in `estimates`."""
        resamples, rows, classes = self._shares.shape
        share = _shares(weights, rows)
        draw = rng.generator(self._seed, rng.RESAMPLE)
        counts = draw.multinomial(resamples, np.full(resamples, 1 / resamples), REPLICATES) / resamples
        again: dict[str, list[Array]] = {name: [] for name in self.rows}
        flat = self._shares.reshape(resamples, rows * classes)
        size = max(1, CELLS // (rows * classes))
        for first in range(0, REPLICATES, size):
            mixed = (counts[first : first + size] @ flat).reshape(-1, rows, classes)
            parts = _domingos(mixed, self._right)
            if self._truth is not None:
                parts["noise"] = 1 - (mixed * self._truth).sum(axis=-1) - parts["total"]
                parts["total"] = parts["total"] + parts["noise"]
            for name, part in parts.items():
                again[name].append(part @ share)
        found = {}
        for name, part in self.rows.items():
            value = float(share @ part)
            over_rows, clusters = _row_variance(part, share, groups)
            over_resamples = float(np.var(np.concatenate(again[name]), ddof=1))
            found[name] = _joined(value, over_rows, clusters - 1, over_resamples, resamples - 1, 0.0)
        return found


def estimates(
    parts: Mapping[str, Array], weights: Array | None = None, groups: Array | None = None
) -> dict[str, Estimate]:
    """Return each part's mean over resamples and rows with its Monte-Carlo standard error.

    ``parts`` are (R, n); ``weights`` (n,) is how much each row counts, ``groups`` (n,) which rows belong together.
    Both the rows scored and the training sets are a sample, so the error has both: it is that of a mean over two
    crossed factors, the interaction counted once (Owen 2007, *The pigeonhole bootstrap*). Degrees of freedom are
    Satterthwaite's (1946), and no more than R - 1: of few resamples a small spread is often chance.

    >>> estimates({"total": np.array([[1.0, 2.0], [1.0, 4.0]])})["total"].value
    2.0
    """
    return {name: _estimate(part, weights, groups) for name, part in parts.items()}


def both_classes(chances: Array) -> Array:
    """Return chances of all classes, (..., K), where one column holds the chance of class 1."""
    return np.concatenate([1 - chances, chances], axis=-1) if chances.shape[-1] == 1 else chances


def _check(values: Array, shape: tuple[int, ...]) -> tuple[int, int]:
    if values.ndim != 4 or values.shape[2:] != shape or values.shape[0] < 2 or not values.shape[2]:
        raise SettingError("bias_variance.wrong_shapes", given=values.shape, rows=shape)
    return values.shape[:2]


def _log_sum(logs: Array) -> Array:
    top = logs.max(axis=-1, keepdims=True)
    return np.log(np.exp(logs - top).sum(axis=-1)) + top[..., 0]


def _parts(error: Array, bias: Array, seed: Array | None, noise: Array | None) -> Parts:
    """Return the parts by name: variance is what bias leaves of the error, and data what the seed leaves of that."""
    variance = error - bias
    found = {"total": error if noise is None else error + noise, "bias": bias, "variance": variance}
    if seed is not None:
        found |= {"data": variance - seed, "seed": seed}
    if noise is not None:
        found["noise"] = np.broadcast_to(noise, error.shape)
    return found


def _domingos(shares: Array, right: Array) -> Parts:
    """Return the parts of each row from the shares of members, (..., n, classes), that say each class."""
    # Shares are means of means: rounding must not decide a tie, which goes to the first class.
    main = shares.round(9).argmax(axis=-1)
    bias = (main != right).astype(np.float64)
    hits = shares[..., np.arange(len(right)), right]
    unbiased, biased = (1 - bias) * (1 - hits), bias * hits
    return {"total": 1 - hits, "bias": bias, "variance": unbiased - biased, "unbiased": unbiased, "biased": biased}


def _shares(weights: Array | None, rows: int) -> Array:
    if weights is None:
        return np.full(rows, 1 / rows)
    if weights.shape != (rows,) or not weights.sum() > 0:
        raise SettingError("bias_variance.wrong_weights", given=weights.shape, rows=rows)
    return weights / weights.sum()


def _row_variance(part: Array, share: Array, groups: Array | None) -> tuple[float, int]:
    """Return the variance of a weighted mean over rows, (n,), and how many independent rows or groups there are."""
    apart = share * (part - share @ part)
    if groups is not None:
        apart = np.bincount(np.unique(groups, return_inverse=True)[1].reshape(-1), apart)
    count = len(apart)
    return (float(count / (count - 1) * (apart**2).sum()) if count > 1 else np.nan), count


def _estimate(part: Array, weights: Array | None, groups: Array | None) -> Estimate:
    resamples, rows = part.shape
    share = _shares(weights, rows)
    by_row, by_resample = part.mean(axis=0), part @ share
    value = float(by_resample.mean())
    over_rows, clusters = _row_variance(by_row, share, groups)
    over_resamples = float(by_resample.var(ddof=1) / resamples)
    rest = share * (part - by_row - by_resample[:, None] + value)
    if groups is not None:
        codes = np.unique(groups, return_inverse=True)[1].reshape(-1)
        rest = np.stack([np.bincount(codes, line) for line in rest])
    both = clusters / max(clusters - 1, 1) * float((rest**2).sum()) / (resamples * (resamples - 1))
    return _joined(value, over_rows, clusters - 1, over_resamples, resamples - 1, both)


def _joined(value: float, rows: float, rows_freedom: int, resamples: float, freedom: int, both: float) -> Estimate:
    """Return the estimate whose variance is that over rows and over resamples, less what ``both`` count."""
    if np.isnan(rows):
        return Estimate(value, float("nan"), 1.0)
    variance = max(rows + resamples - both, rows, resamples)
    if variance <= (8 * _EPS * value) ** 2:
        return Estimate(value, 0.0, float(freedom))
    total = (rows + resamples) ** 2 / (rows**2 / max(rows_freedom, 1) + resamples**2 / freedom)
    return Estimate(value, float(np.sqrt(variance)), float(min(total, freedom)))
