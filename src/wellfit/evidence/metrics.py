"""Scores of predictions: what they are called, which way is better, and for which tasks they are made.

Each function takes ``task``, ``target`` (n,) int64 codes or float64 values, ``predictions`` (n, k) as in
`wellfit.records.History` (k = 1 holds the probability of class 1), and optional ``weights`` (n,), counts of each row.
A score that these rows leave undefined is NaN. The tests hold each against scikit-learn's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from wellfit.errors import SettingError
from wellfit.messages import catalogue, say
from wellfit.records import Array, Task

_EPS = float(np.finfo(np.float64).eps)
CLASSIFICATION: tuple[Task, ...] = ("binary", "multiclass")


@dataclass(frozen=True)
class Metric:
    """A score: ``function(task, target, predictions, weights=None) -> float``, from ``lowest`` to ``highest``."""

    name: str
    function: Callable[..., float]
    higher_is_better: bool
    tasks: tuple[Task, ...]
    lowest: float = -np.inf
    highest: float = np.inf


def labels(task: Task, predictions: Array) -> Array:
    """Return the predicted codes (..., n) of (..., n, k): one half or less is class 0, ties go to the first class.

    >>> labels("binary", np.array([[0.5], [0.6]])).tolist()
    [0, 1]
    """
    return (predictions[..., 0] > 0.5).astype(np.int64) if task == "binary" else predictions.argmax(-1)


def right_chances(task: Task, target: Array, predictions: Array) -> Array:
    """Return the probability (..., n) that predictions (..., n, k) give the right class, clipped at float64's epsilon.

    >>> right_chances("binary", np.array([0, 1]), np.array([[0.25], [0.75]])).tolist()
    [0.75, 0.75]
    """
    if task == "binary":
        chance = np.where(target == 1, predictions[..., 0], 1 - predictions[..., 0])
    else:
        chance = predictions[..., np.arange(len(target)), target]
    return np.clip(chance, _EPS, 1 - _EPS)


def _weights(target: Array, weights: Array | None) -> Array:
    return np.ones(len(target)) if weights is None else np.asarray(weights, dtype=np.float64)


def _mean(values: Array, weights: Array | None) -> float:
    if weights is None:
        return float(values.sum() / len(values)) if len(values) else float("nan")
    total = weights.sum()
    return float(values @ weights / total) if total > 0 else float("nan")


def accuracy(task: Task, target: Array, predictions: Array, weights: Array | None = None) -> float:
    """Return the share of rows whose likeliest class is right.

    >>> accuracy("binary", np.array([0, 1, 1]), np.array([[0.2], [0.9], [0.4]]))
    0.6666666666666666
    """
    return _mean((labels(task, predictions) == target).astype(np.float64), _weights(target, weights))


def balanced_accuracy(task: Task, target: Array, predictions: Array, weights: Array | None = None) -> float:
    """Return the mean over the classes that occur of the share of their rows found (Brodersen et al. 2010)."""
    counts = _weights(target, weights)
    total = np.bincount(target, counts)
    right = np.bincount(target, counts * (labels(task, predictions) == target))
    return float((right[total > 0] / total[total > 0]).mean()) if (total > 0).any() else float("nan")


def auc(task: Task, target: Array, predictions: Array, weights: Array | None = None) -> float:
    """Return the area under the ROC curve; for many classes the mean of one against the rest (Fawcett 2006).

    It is the chance that a row of the class ranks above one outside it, ties counting half (Hanley & McNeil 1982).
    Classes that no row or every row has are left out of the mean; where none remains the score is NaN.
    """
    counts = _weights(target, weights)
    if task == "binary":
        return _auc(target == 1, predictions[:, 0], counts)
    areas = np.array([_auc(target == c, predictions[:, c], counts) for c in range(predictions.shape[1])])
    return float(np.nanmean(areas)) if not np.isnan(areas).all() else float("nan")


def _auc(positive: Array, score: Array, counts: Array) -> float:
    if not np.isfinite(score).all():
        return float("nan")
    order = np.argsort(score, kind="stable")
    score, ups, downs = score[order], (counts * positive)[order], (counts * ~positive)[order]
    if ups.sum() == 0 or downs.sum() == 0:
        return float("nan")
    starts = np.flatnonzero(np.r_[True, score[1:] != score[:-1]])
    ups, downs = np.add.reduceat(ups, starts), np.add.reduceat(downs, starts)
    below = np.cumsum(downs) - downs
    return float((ups * (below + downs / 2)).sum() / (ups.sum() * downs.sum()))


def log_loss(task: Task, target: Array, predictions: Array, weights: Array | None = None) -> float:
    """Return the mean negative log-probability of the right class, probabilities clipped at float64's epsilon."""
    return _mean(-np.log(right_chances(task, target, predictions)), _weights(target, weights))


def rmse(task: Task, target: Array, predictions: Array, weights: Array | None = None) -> float:  # noqa: ARG001 (any metric)
    """Return the root of the mean squared error, in the target's own unit."""
    squares = target - predictions[:, 0]
    squares *= squares
    return float(np.sqrt(_mean(squares, weights)))


def r2(task: Task, target: Array, predictions: Array, weights: Array | None = None) -> float:  # noqa: ARG001 (any metric)
    """Return the share of the target's variance explained, about these rows' own mean; NaN for a constant target."""
    counts = _weights(target, weights)
    around = _mean((target - _mean(target, counts)) ** 2, counts)
    if not around > 0:
        return float("nan")
    return 1 - _mean((target - predictions[:, 0]) ** 2, counts) / around


METRICS: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric("accuracy", accuracy, True, CLASSIFICATION, 0.0, 1.0),
        Metric("balanced-accuracy", balanced_accuracy, True, CLASSIFICATION, 0.0, 1.0),
        Metric("auc", auc, True, CLASSIFICATION, 0.0, 1.0),
        Metric("log-loss", log_loss, False, CLASSIFICATION, 0.0),
        Metric("rmse", rmse, False, ("regression",), 0.0),
        Metric("r2", r2, True, ("regression",), -np.inf, 1.0),
    )
}


def default_metric(task: Task) -> str:
    """Return the metric's name where none was asked for.

    >>> default_metric("binary"), default_metric("regression")
    ('accuracy', 'rmse')
    """
    return "rmse" if task == "regression" else "accuracy"


def as_metric(name: str | Metric | None, task: Task) -> Metric:
    """Return the metric of this name (``balanced_accuracy`` and ``AUC`` are understood), or the task's default.

    Raises `SettingError` where there is no such metric or it is made for another task.
    """
    if isinstance(name, Metric):
        metric = name
    else:
        text = default_metric(task) if name is None else str(name)
        written = text.strip().lower().replace("_", "-").replace(" ", "-")
        if written not in METRICS:
            raise _unknown(text, written, task)
        metric = METRICS[written]
    if task not in metric.tasks:
        raise SettingError("evidence.wrong_metric", name=metric.name, task=task, known=", ".join(_metrics_of(task)))
    return metric


def _metrics_of(task: Task) -> list[str]:
    return [metric.name for metric in METRICS.values() if task in metric.tasks]


def _unknown(text: str, written: str, task: Task) -> SettingError:
    """Return the error for a metric that there is not; only those of this task are of use here."""
    import difflib

    known = _metrics_of(task)
    near = difflib.get_close_matches(written, known, 1, 0.5)
    key = "evidence.unknown_metric_near" if near else "evidence.unknown_metric"
    return SettingError(key, name=text, near=near[0] if near else "", task=task, known=", ".join(known))


def metric_said(name: str) -> str:
    """Return a metric's name as it stands in a sentence; one that the catalogue lacks keeps its own.

    >>> metric_said("balanced-accuracy"), metric_said("of_my_own")
    ('balanced-accuracy', 'of_my_own')
    """
    key = f"named_{name.replace('-', '_')}"
    return say(f"evidence.{key}") if key in catalogue("evidence") else name
