"""Temperature scaling: one number that makes a classifier's chances more, or less, sure of themselves.

C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, *On calibration of modern neural networks*, ICML 2017. Logits are
divided by a temperature T > 0: above 1 the chances move towards even, below 1 away from it; which class is likeliest
never changes. The inverse 1/T is fitted, in which the log-loss is convex.

On few rows the plain fit is too bold: rows that happen to be classified without a fault ask for T = 0, that is for
certainty. Here the rows are joined by `PRIOR` imaginary ones that follow the chances as they are: they pull T towards 1
as that many rows of a well-calibrated classifier would, and what hundreds of rows say stands. T is bounded as well.
"""

from __future__ import annotations

import numpy as np

from wellfit.errors import SettingError
from wellfit.nets.network import all_classes
from wellfit.records import Array, Task

PRIOR = 20.0  # imaginary rows
LOWEST, HIGHEST = 0.1, 10.0


def temperature(task: Task, target: Array, predictions: Array, weights: Array | None = None) -> float:
    """Return the temperature from `LOWEST` to `HIGHEST` that lowers the log-loss most; 1 in regression.

    ``target`` is (n,) codes, ``predictions`` (n, k) as in `wellfit.records.History`, ``weights`` (n,) how often each
    row counts. Chances are clipped at float64's epsilon, as in the metric. The `PRIOR` imaginary rows are spread over
    the rows given, in proportion to their weights; chances that say nothing (all even) leave T at 1.
    Raises `SettingError` for shapes, weights or predictions that make no sense.

    >>> sure, target = np.tile([0.99, 0.01], 100)[:, None], np.tile([1, 0, 1, 1], 50)
    >>> round(temperature("binary", target, sure), 2)
    3.77
    >>> round(temperature("binary", target, np.full((200, 1), 0.5)), 2)
    1.0
    """
    target, predictions = np.asarray(target), np.asarray(predictions, dtype=np.float64)
    rows = len(target)
    if predictions.ndim != 2 or 0 in predictions.shape or len(predictions) != rows:
        raise SettingError("ensemble.wrong_rows", given=predictions.shape, rows=rows)
    weights = np.ones(rows) if weights is None else np.asarray(weights, dtype=np.float64)
    if weights.shape != (rows,) or not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        raise SettingError("ensemble.wrong_weights", rows=rows)
    if task == "regression":
        return 1.0
    if weak := int((~np.isfinite(predictions).all(1)).sum()):
        raise SettingError("ensemble.not_finite", bad=weak, rows=rows)
    counted = weights > 0
    chances, weights = all_classes(predictions[counted]), weights[counted]
    truth = np.arange(chances.shape[1]) == target[counted, None]
    share = PRIOR / weights.sum()
    aims = (truth + share * chances) / (1 + share)
    return 1 / _inverse(np.log(chances), aims, weights / weights.sum())


def _inverse(logits: Array, aims: Array, weights: Array) -> float:
    """Return 1/T: where the loss, convex in it, stops falling, or the bound it still falls at.

    ``logits`` and ``aims`` are (n, classes), ``weights`` (n,) of sum 1.
    """
    from scipy.optimize import brentq
    from scipy.special import expit, softmax

    # Only differences of logits count; those of even chances are then exactly 0, and so is the slope.
    logits = logits - logits[:, :1]
    aimed = float(weights @ (aims * logits).sum(1))
    apart, weighted = logits[:, -1], weights * logits[:, -1]

    def slope(inverse: float) -> float:
        if logits.shape[1] == 2:
            return float(expit(inverse * apart) @ weighted) - aimed
        return float(weights @ (softmax(inverse * logits, axis=-1) * logits).sum(1)) - aimed

    low, high = 1 / HIGHEST, 1 / LOWEST
    if slope(1.0) == 0:
        return 1.0
    if slope(low) >= 0:
        return low
    if slope(high) <= 0:
        return high
    return float(brentq(slope, low, high, xtol=1e-9, rtol=1e-12))
