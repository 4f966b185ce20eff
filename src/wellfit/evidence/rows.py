"""What single rows do to a figure over folds: its standard error, from as many looks as there are rows.

A figure over K folds is the mean of one value per fold. Every row moves it a little: its *change* is how much the
figure grows for each unit of weight that the row gains (the influence function: F. Hampel, *The influence curve and its
role in robust estimation*, JASA 69, 1974). The sum of the squared changes is the figure's variance, as far as rows make
it by being scored (the infinitesimal jackknife: B. Efron, *The Jackknife, the Bootstrap and Other Resampling Plans*,
1982, chapter 6). Differences and ratios of figures have the difference of the changes: what a hard row does to both
cancels.
"""

from __future__ import annotations

import numpy as np

from wellfit.evidence.intervals import RowError
from wellfit.evidence.metrics import METRICS, Metric, labels, right_chances
from wellfit.records import Array, Task


def row_error(changes: Array, folds: int, units: Array | None = None) -> RowError | None:
    """Return the standard error that ``changes`` (n,) make; they sum to 0 in each of the ``folds``.

    ``units`` (n,) are codes of rows that belong together (groups); by default each row stands alone. None where there
    are no more units than folds: nothing is left to measure a spread by.

    >>> row_error(np.array([0.5, -0.5, 0.25, -0.25]), folds=2)
    RowError(error=1.118033988749895, freedom=2)
    """
    sums = changes
    if units is not None:
        codes = np.unique(units, return_inverse=True)[1].reshape(-1)
        sums = np.bincount(codes, changes)
    freedom = len(sums) - folds
    if freedom < 1:
        return None
    return RowError(float(np.sqrt((sums**2).sum() * len(sums) / freedom)), freedom)


def influences(metric: Metric, task: Task, target: Array, predictions: Array) -> Array | None:
    """Return how much a score gains for each unit of weight that a row gains, times the rows' number, (..., n).

    ``target`` is (n,), ``predictions`` (..., n, k) as in `wellfit.records.History`. The mean over the rows is 0. None
    for a metric of one's own: how it depends on single rows is not known. NaN where the score is undefined.

    >>> influences(METRICS["accuracy"], "binary", np.array([0, 1]), np.array([[0.2], [0.3]])).tolist()
    [0.5, -0.5]
    """
    if METRICS.get(metric.name) is not metric:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        return _INFLUENCES[metric.name](task, target, predictions)


def _centred(values: Array) -> Array:
    return values - values.mean(axis=-1, keepdims=True)


def _accuracy(task: Task, target: Array, predictions: Array) -> Array:
    return _centred((labels(task, predictions) == target).astype(np.float64))


def _log_loss(task: Task, target: Array, predictions: Array) -> Array:
    return _centred(-np.log(right_chances(task, target, predictions)))


def _rmse(_: Task, target: Array, predictions: Array) -> Array:
    squares = (target - predictions[..., 0]) ** 2
    means = squares.mean(axis=-1, keepdims=True)
    return np.where(means > 0, (squares - means) / (2 * np.sqrt(means)), 0.0)


def _r2(_: Task, target: Array, predictions: Array) -> Array:
    squares, around = (target - predictions[..., 0]) ** 2, (target - target.mean()) ** 2
    return (squares.mean(axis=-1, keepdims=True) / around.mean() * around - squares) / around.mean()


def _balanced(task: Task, target: Array, predictions: Array) -> Array:
    hits = (labels(task, predictions) == target).astype(np.float64)
    found, classes = np.zeros_like(hits), np.unique(target)
    for code in classes:
        mine = target == code
        found[..., mine] = _centred(hits[..., mine]) * len(target) / (mine.sum() * len(classes))
    return found


def _auc(task: Task, target: Array, predictions: Array) -> Array:
    """Return DeLong's components (E. DeLong, D. DeLong and D. Clarke-Pearson, Biometrics 44, 1988)."""
    flat = predictions.reshape(-1, *predictions.shape[-2:])
    codes = [(0, 1)] if task == "binary" else list(enumerate(range(predictions.shape[-1])))
    parts = []
    for column, code in codes:
        above = target == code
        if above.any() and not above.all():
            parts.append([_placements(above, one[:, column]) for one in flat])
    found = np.mean(parts, axis=0) if parts else np.full(flat.shape[:2], np.nan)
    return found.reshape(predictions.shape[:-1])


def _placements(above: Array, score: Array) -> Array:
    """Return for each row the share of the other class on its right side, ties half; centred, by the class's share."""
    found = np.empty(len(score))
    for mine, sign in ((above, 1), (~above, -1)):
        others, own = np.sort(sign * score[~mine]), sign * score[mine]
        below = (np.searchsorted(others, own, "left") + np.searchsorted(others, own, "right")) / 2
        found[mine] = _centred(below / len(others)) * len(score) / mine.sum()
    return found


_INFLUENCES = {
    "accuracy": _accuracy,
    "balanced-accuracy": _balanced,
    "auc": _auc,
    "log-loss": _log_loss,
    "rmse": _rmse,
    "r2": _r2,
}
