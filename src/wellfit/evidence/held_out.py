"""The interval of a score on test rows that were touched once: it speaks of new rows and this one network."""

from __future__ import annotations

import numpy as np

from wellfit.errors import SettingError
from wellfit.evidence.bootstrap import accelerated, mean_interval, newcombe
from wellfit.evidence.metrics import Metric, as_metric, metric_said
from wellfit.messages import say
from wellfit.records import Array, Interval, Task

_Z = 1.959963984540054  # the normal distribution's 97.5% point
RESAMPLES = 2000
FEW = 50  # rows of the rarer class, below which an area under the curve has Newcombe's interval
WORK = 20_000_000  # rows looked at, about: larger test sets get fewer resamples, never fewer than 500


def test_interval(metric: str | Metric, target: Array, predictions: Array, seed: int) -> Interval:
    """Return a score on test rows and its 95% interval.

    ``target`` is (n,), ``predictions`` (n, k) as in `wellfit.records.History`. Accuracy has Wilson's interval
    (1927), every other metric one of `wellfit.evidence.bootstrap`'s over rows, drawn from ``seed``.
    Raises `SettingError` for an unknown metric or shapes that do not match.

    >>> target, chances = np.array([0, 1, 1, 0]), np.array([[0.1], [0.8], [0.7], [0.6]])
    >>> interval = test_interval("accuracy", target, chances, seed=0)
    >>> interval.mean, round(interval.low, 3), round(interval.high, 3)
    (0.75, 0.301, 0.954)
    """
    target, predictions = np.asarray(target), np.asarray(predictions, dtype=np.float64)
    if predictions.ndim == 1:
        predictions = predictions[:, None]
    if len(target) != len(predictions):
        raise SettingError("evidence.wrong_shapes", given=len(predictions), rows=len(target))
    task = _task(metric, predictions)
    chosen = as_metric(metric, task)
    score = chosen.function(task, target, predictions) if len(target) else float("nan")
    if np.isnan(score):
        sentence = say("evidence.test_undefined", metric=metric_said(chosen.name), rows=len(target))
        return Interval(score, np.nan, np.nan, sentence)
    if chosen.name == "accuracy":
        sentence = say("evidence.wilson", metric=metric_said(chosen.name), rows=len(target))
        return Interval(score, *_wilson(score, len(target)), sentence)
    resamples = int(np.clip(WORK // len(target), 500, RESAMPLES))
    low, high, key = _bounds(chosen, task, target, predictions, seed, resamples)
    sentence = say(f"evidence.{key}", metric=metric_said(chosen.name), rows=len(target), resamples=resamples)
    return Interval(score, low, high, sentence)


# pytest takes the name for a test wherever it is imported.
setattr(test_interval, "__test__", False)  # noqa: B010 (mypy knows no attributes of functions)


def _wilson(share: float, rows: int) -> tuple[float, float]:
    """Return the 95% interval of a share of rows (Wilson 1927, equation 5)."""
    square = _Z**2
    reach = _Z * np.sqrt(square + 4 * rows * share * (1 - share))
    low, high = ((2 * rows * share + square + side * reach) / (2 * (rows + square)) for side in (-1, 1))
    return max(float(low), 0.0), min(float(high), 1.0)


def _task(metric: str | Metric, predictions: Array) -> Task:
    """Return the task that a metric and the predictions' width speak of."""
    regression = _name(metric) in ("rmse", "r2")
    return "regression" if regression else "binary" if predictions.shape[1] == 1 else "multiclass"


def _name(metric: str | Metric) -> str:
    return metric.name if isinstance(metric, Metric) else str(metric).strip().lower()


def _bounds(
    metric: Metric, task: Task, target: Array, predictions: Array, seed: int, resamples: int
) -> tuple[float, float, str]:
    """Return both bounds, and the sentence's key: it names the method."""
    if metric.name in ("rmse", "log-loss"):
        losses = row_losses(metric, task, target, predictions)
        low, high = mean_interval(losses, seed, resamples, squares=metric.name == "rmse")
        root = 0.5 if metric.name == "rmse" else 1.0
        return low**root, high**root, "bootstrap_t" if not np.isnan(low) else "bootstrap_none"
    if metric.name == "auc" and task == "binary":
        above = int((target == 1).sum())
        fewest = min(above, len(target) - above)
        area = metric.function(task, target, predictions)
        if fewest < FEW or area in (0.0, 1.0):
            return *newcombe(area, above, len(target) - above), "newcombe"
    return *accelerated(metric, task, target, predictions, seed, resamples), "bootstrap"


def row_losses(metric: Metric, task: Task, target: Array, predictions: Array) -> Array:
    """Return what the score is the mean of (log-loss) or the root of the mean of (rmse), (n,)."""
    if metric.name == "rmse":
        return (target - predictions[:, 0]) ** 2
    return np.array([metric.function(task, target[i : i + 1], predictions[i : i + 1]) for i in range(len(target))])
