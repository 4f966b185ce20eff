"""Means over rows with their bounds, and what a choice among alternatives is worth: the numbers that a diagnosis reads.

A question like "is some alternative better by more than a margin?" has a direction, so it is answered by one-sided 95%
bounds: yes where the lower bound lies above the limit, no where the upper one lies below it, else unsure.

Losses are compared row by row, each row scored by models that did not see it. Folds share training rows, and the plain
variance over rows knows nothing of how training sets differ; it is taken `SHARED` (1 + 1/K) times, the allowance that
`wellfit.evidence.corrected` uses, between the plain one (P. Bayle, A. Bayle, L. Janson and L. Mackey, *Cross-validation
confidence intervals for test error*, NeurIPS 2020: right for stable methods) and the 1 + K/(K - 1) that Nadeau and
Bengio's correction (2003) comes to when the spread of folds is that of their rows. Rows of one group count as one.

Losses are skewed: a few hopeless rows make up most of what an overconfident network loses. A plain t bound is blind
then on one side and too sure on the other; the bounds here are those of P. Hall, *On the removal of skewness by
transformation*, JRSS B 54 (1992).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from wellfit.errors import SettingError
from wellfit.evidence.corrected import SHARED
from wellfit.evidence.intervals import LEVEL
from wellfit.records import Array, Interval, Task

Sign = Literal["yes", "no", "unsure"]
CLIP = 1e-15  # of a probability, in the log-loss


@dataclass(frozen=True)
class Bound:
    """A mean, its one-sided 95% bounds ``low`` and ``high``, and the ends of the two-sided 95% interval."""

    mean: float
    low: float
    high: float
    ends: tuple[float, float] = (float("nan"), float("nan"))

    def above(self, limit: float) -> Sign:
        """Return whether the mean lies above a limit beyond noise.

        >>> Bound(1.0, 0.5, 1.5).above(0.2), Bound(1.0, 0.5, 1.5).above(0.7), Bound(1.0, 0.5, 1.5).above(2)
        ('yes', 'unsure', 'no')
        """
        if not np.isfinite(self.mean):
            return "unsure"
        return "yes" if self.low > limit else "no" if self.high < limit else "unsure"

    def beyond(self, margin: float) -> Sign:
        """Return whether the mean is above 0 beyond noise, and above ``margin`` (0 or more) itself.

        No where it is surely below the margin, whether above 0 or not.

        >>> Bound(1.0, 0.5, 1.5).beyond(0.7), Bound(0.6, 0.5, 0.8).beyond(0.7), Bound(1.0, -0.5, 2.5).beyond(0.7)
        ('yes', 'unsure', 'unsure')
        """
        found = self.above(margin)
        return found if found == "no" else "yes" if self.low > 0 and self.mean > margin else "unsure"

    def interval(self, estimates: str) -> Interval:
        """Return the two-sided 95% interval with the sentence that says what it estimates."""
        return Interval(self.mean, *self.ends, estimates)

    def negative(self) -> Bound:
        """Return the bound of minus the mean."""
        return Bound(-self.mean, -self.high, -self.low, (-self.ends[1], -self.ends[0]))


def bound(values: Array, *, folds: int, units: Array | None = None, allowance: float | None = None) -> Bound:
    """Return the mean of one value per row, (n,), and its bounds.

    ``units`` (n,) says which rows belong together (groups), by default none do. ``allowance`` is the factor on the
    variance, by default `SHARED` (1 + 1/``folds``). One unit alone has no bounds (infinite ones).

    >>> found = bound(np.array([0.0, 1.0, 2.0, 3.0]), folds=2)
    >>> round(found.mean, 3), round(found.low, 3), round(found.high, 3)
    (1.5, -0.538, 3.538)
    """
    from scipy.special import stdtrit

    rows = len(values)
    mean = float(np.mean(values)) if rows else float("nan")
    rest = np.asarray(values, dtype=np.float64) - mean
    if units is not None:
        codes = np.unique(units, return_inverse=True)[1].reshape(-1)
        rest = np.bincount(codes, rest).astype(np.float64)
    count = len(rest)
    if count < 2 or not np.isfinite(mean):
        return Bound(mean, -np.inf, np.inf, (-np.inf, np.inf))
    factor = SHARED * (1 + 1 / folds) if allowance is None else allowance
    spread = float(np.sqrt((rest**2).mean()))
    if not spread > 0:
        return Bound(mean, mean, mean, (mean, mean))
    skew = float(((rest / spread) ** 3).mean())
    error = np.sqrt(factor * count / (count - 1)) * spread * count**0.5 / rows

    def end(level: float) -> float:
        return float(mean - error * _straightened(float(stdtrit(count - 1, level)), skew, count))

    tail = (1 - LEVEL) / 2
    return Bound(mean, end(LEVEL), end(1 - LEVEL), (end(1 - tail), end(tail)))


def _straightened(quantile: float, skew: float, count: int) -> float:
    """Return the quantile of a mean's t statistic where values are skewed: the inverse of Hall's cubic (1992)."""
    root = count**0.5
    if abs(skew) < 1e-6 * root:
        return quantile
    inner = 1 + skew * (quantile / root - skew / (6 * count))
    return 3 * root / skew * (float(np.cbrt(inner)) - 1)


def row_losses(
    task: Task, target: Array, predictions: Array, loss: str = "auto", parameter: float = 0.0, unit: float = 1.0
) -> Array:
    """Return the loss of each row, (..., n): cross-entropy of ``predictions`` (..., n, k), else `regression_losses`.

    ``target`` is (n,) codes or values; ``loss`` and ``parameter`` are those of a regression, squared by default.
    Probabilities are clipped at `CLIP`.

    >>> row_losses("binary", np.array([1, 0]), np.array([[0.5], [0.25]])).round(3).tolist()
    [0.693, 0.288]
    """
    if task == "regression":
        return regression_losses(loss, parameter, np.asarray(target, dtype=np.float64) - predictions[..., 0], unit)
    if task == "binary":
        right = np.where(target == 1, predictions[..., 0], 1 - predictions[..., 0])
    else:
        right = predictions[..., np.arange(len(target)), target]
    return -np.log(np.clip(right, CLIP, 1 - CLIP))


def regression_losses(loss: str, parameter: float, residuals: Array, unit: float = 1.0) -> Array:
    """Return the loss of each residual y - yhat: ``absolute``, ``huber``, ``quantile``, else squared (`Training`).

    A ``huber`` loss turns from square to straight where a residual is ``parameter`` times the ``unit``.

    >>> regression_losses("huber", 1.0, np.array([1.0, 4.0]), unit=2.0).tolist()
    [0.5, 6.0]
    """
    if loss not in ("absolute", "huber", "quantile"):
        return residuals**2
    size = np.abs(residuals)
    if loss == "absolute":
        return size
    if loss == "huber":
        turn = parameter * unit
        return np.where(size <= turn, size**2 / 2, turn * (size - turn / 2))
    return np.maximum(parameter * residuals, (parameter - 1) * residuals)


def nested(losses: Array, fold: Array, ties: Array | None = None) -> tuple[Array, Array]:
    """Return the losses of what looks best on the *other* folds, (n,), and which one that is in each fold, (K,).

    ``losses`` is (C, n) of C alternatives, ``fold`` (n,) codes 0 to K - 1. The lowest of many noisy means is lower than
    the truth; a row's own fold has no say in what is chosen for it, so this mean is that of an honest choice. ``ties``
    (C,) are added to the mean losses before choosing.

    >>> losses = np.array([[1.0, 1.0, 3.0, 3.0], [2.0, 2.0, 2.0, 2.0]])
    >>> nested(losses, np.array([0, 0, 1, 1]))[0].tolist()  # fold 1 knows only that the first is better on fold 0
    [2.0, 2.0, 3.0, 3.0]
    """
    if losses.ndim != 2 or losses.shape[1] != len(fold) or not len(losses):
        raise SettingError("diagnose.wrong_shapes", losses=losses.shape, rows=len(fold))
    folds = int(fold.max()) + 1
    sums = np.array([np.bincount(fold, line, minlength=folds) for line in losses])
    counts = np.bincount(fold, minlength=folds)
    total, rows = sums.sum(axis=1, keepdims=True), len(fold)
    others = (total - sums) / (rows - counts) if folds > 1 else sums / counts
    picks = (others + (0.0 if ties is None else np.asarray(ties)[:, None])).argmin(axis=0)
    return losses[picks[fold], np.arange(rows)], picks
