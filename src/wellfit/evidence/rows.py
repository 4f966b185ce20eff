"""What single rows tell of a figure over folds: its standard error, from as many looks as there are rows.

A figure over K folds is the mean of one value per fold. Every row moves it a little: its *change* is how much the
figure grows for each unit of weight that the row gains (the influence function: F. Hampel, *The influence curve and its
role in robust estimation*, JASA 69, 1974). The sum of squared changes is the figure's variance as far as rows make it
by being measured on (the infinitesimal jackknife: B. Efron, *The Jackknife, the Bootstrap and Other Resampling Plans*,
1982, chapter 6). Differences of figures have the differences of changes: what a hard row does to both cancels.

Rows also train. What that does is told by the loss of the rows trained on, T, which folds show when their rows are left
out (the grouped jackknife), and by what the rows left out lose more, the gap V - T. A row has its loss in both, in V
where its fold is left out and in T elsewhere, so that the gap's changes are small. But the gap is what rows do to each
other, and a sum over pairs has twice the variance that its rows show one by one (B. Efron and C. Stein, *The jackknife
estimate of variance*, Annals of Statistics 9, 1981); and left out a row errs more than trained on, by a factor s. Hence

    variance of V = variance of T + 2 s x sum of the squared changes of V - T,  s = sqrt(V / T) between 1 and 2.

In least squares residuals grow by s = 1 / (1 - h), h being parameters per row, and the gap's variance is s times what
its changes show; with s = 2 the sum counts four times, as where all of a change is done twice. That is taken for every
figure alone, which is on the safe side, and s as measured, the larger one, for paired differences. Pairs of AUCs, whose
own loss no training has made stationary, need the sum s times only. Benchmarks: ``benchmarks/interval_coverage.py``;
what was tried: ``docs/intervals.md``.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from wellfit.evidence.corrected import SHARED
from wellfit.evidence.intervals import RowError, pseudo_values
from wellfit.evidence.metrics import METRICS, Metric, labels, right_chances
from wellfit.records import Array, Task

TWICE = 2.0  # the variance of a sum over pairs of rows, over that which rows show one by one
MOST_STRETCH = 2.0  # a change that is done twice has four times the variance: TWICE times this
Kind = Literal["smooth", "ranks", "counts"]  # how a figure moves as the network does: see `kind_of`


def kind_of(metric: str) -> Kind:
    """Return how a score moves as its network does: smoothly as losses do, by ranks that change, or in jumps."""
    return "ranks" if metric == "auc" else "smooth" if metric in ("log-loss", "rmse", "r2") else "counts"


def stretch(unseen: Array, trained: Array) -> Array:
    """Return by how much errors grow where rows are left out, at least 1 and at most `MOST_STRETCH`.

    ``unseen`` (..., K) and ``trained`` (..., K) are losses, which go with an error's square.

    >>> stretch(np.array([2.0, 2.5]), np.array([1.0, 1.0])).item()
    1.5
    """
    above, below = unseen.mean(axis=-1), trained.mean(axis=-1)
    ratio = np.where(below > 0, above / np.where(below > 0, below, 1.0), MOST_STRETCH**2)
    return np.sqrt(np.clip(ratio, 1.0, MOST_STRETCH**2))


def row_error(changes: Array, folds: int, units: Array | None = None) -> RowError | None:
    """Return the standard error that ``changes`` (n,) make; they sum to 0 in each of the ``folds``.

    ``units`` (n,) are codes of rows that belong together (groups); by default each row stands alone. None where
    `tells` says that folds know more.

    >>> row_error(np.array([0.5, -0.5, 0.25, -0.25]), folds=2)
    RowError(error=1.118033988749895, freedom=2)
    """
    return row_errors(changes[None], folds, units)[0]


def tells(units: int, folds: int) -> bool:
    """Return whether so many units (rows, or groups) tell a spread better than their folds do.

    They leave units - folds degrees of freedom, and the folds one less than there are folds. Where there are hardly
    more units than folds most folds hold a single one, whose change is 0 by definition, and the few that share a fold
    would have to speak for all.

    >>> tells(300, 150), tells(300, 299)
    (True, False)
    """
    return units - folds >= max(1, folds - 1)


def row_errors(changes: Array, folds: int, units: Array | None = None) -> list[RowError | None]:
    """Return the `row_error` of each row of ``changes``, (P, n)."""
    sums = changes
    if units is not None:
        codes = np.unique(units, return_inverse=True)[1].reshape(-1)
        sums = np.array([np.bincount(codes, line) for line in changes])
    count = sums.shape[1]
    if not tells(count, folds):
        return [None] * len(sums)
    # In C order, so that no sum depends on how many there are.
    squares = (np.ascontiguousarray(sums) ** 2).sum(axis=1) * count / (count - folds)
    return [RowError(error, count - folds) for error in np.sqrt(squares).tolist()]


def trained_error(values: Array, rows: RowError) -> RowError:
    """Return the standard error of a loss on the folds' training rows, ``values`` (K,), as rows and folds tell it.

    To first order a row changes the loss of a network that has minimized it by its own share alone, and the rows'
    variance is taken `SHARED` (1 + 1/K) times. The folds' jackknife also sees networks that are far from that, but errs
    upward (Efron & Stein 1981) and has few folds: where it says more, the mean of both counts.
    """
    folds, alone = _jackknife(values), _allowed(rows, len(values))
    return RowError(max(alone, (alone + folds) / 2) ** 0.5, rows.freedom)


def unseen_error(trained: Array, rows: RowError, gap: RowError, *, counted: float, paired: bool) -> RowError:
    """Return the standard error of a figure on rows left out: see the head of this file.

    ``trained`` (K,) is the same figure on the folds' training rows, ``rows`` what its rows tell, ``gap`` what those of
    the difference of both do, whose squared changes are ``counted`` so many times. The larger variance of ``trained``
    counts, of ``paired`` differences the smaller one: its rows do not know that networks trained on them make up for
    them, nor its folds how far chance told them apart. Degrees of freedom are Satterthwaite's (1946).
    """
    folds, alone = _jackknife(trained), _allowed(rows, len(trained))
    by_folds = paired and folds < alone
    freedom = len(trained) - 1 if by_folds else rows.freedom
    parts = (min if paired else max)(folds, alone), counted * gap.error**2
    below = parts[0] ** 2 / freedom + parts[1] ** 2 / gap.freedom
    return RowError(sum(parts) ** 0.5, sum(parts) ** 2 / below if by_folds and below > 0 else gap.freedom)


def shared_error(values: Array, rows: RowError, share: float, *, rows_alone: bool = False) -> RowError:
    """Return the standard error of a figure on rows left out, where that on training rows is of no help or unknown.

    ``values`` is (K,), ``share`` test rows for each training row. Nadeau and Bengio (2003) take it that values of folds
    have variance v and correlation r = test / (train + test), so that their mean has v (1 + (K - 1) r) / K. Folds show
    v (1 - r), rows v but for what training sets do to all rows of a fold alike: the larger v counts, unless
    ``rows_alone`` are asked: in paired differences of counts what training does to all rows alike cancels.
    """
    count = len(values)
    by_rows = (1 + (count - 1) * share / (1 + share)) * rows.error**2
    by_folds = 0.0 if rows_alone else (1 / count + share) * float(values.var(ddof=1))
    return RowError(max(by_folds, by_rows) ** 0.5, rows.freedom)


def gap_error(gap: RowError, folds: int, share: float) -> RowError:
    """Return the standard error of a gap itself, from the rows' with Nadeau and Bengio's factor, 1 + K test/train.

    Of a gap the folds say far too much: a hard row raises the loss left out in its own fold and that trained on in all
    others, which cancels in the mean.
    """
    return RowError(gap.error * (1 + folds * share) ** 0.5, gap.freedom)


def _jackknife(values: Array) -> float:
    """Return the variance of the mean of values on training rows, (K,), by the grouped jackknife."""
    return float(pseudo_values(values).var(ddof=1)) / len(values)


def _allowed(rows: RowError, folds: int) -> float:
    return SHARED * (1 + 1 / folds) * rows.error**2


def influences(metric: Metric, task: Task, target: Array, predictions: Array) -> tuple[Array, Array] | None:
    """Return scores (...) and how much they gain for each unit of weight that a row gains, times n, (..., n).

    ``target`` is (n,), ``predictions`` (..., n, k) as in `wellfit.records.History`. The mean over the rows is 0. None
    for a metric of one's own: how it depends on single rows is not known. NaN where the score is undefined.

    >>> found = influences(METRICS["accuracy"], "binary", np.array([0, 1]), np.array([[0.2], [0.3]]))
    >>> float(found[0]), found[1].tolist()
    (0.5, [0.5, -0.5])
    """
    if METRICS.get(metric.name) is not metric:
        return None
    with np.errstate(all="ignore"):
        return _INFLUENCES[metric.name](task, target, predictions)


Found = tuple[Array, Array]


def _mean(values: Array) -> Found:
    means = values.mean(axis=-1)
    return means, values - means[..., None]


def _accuracy(task: Task, target: Array, predictions: Array) -> Found:
    return _mean((labels(task, predictions) == target).astype(np.float64))


def _log_loss(task: Task, target: Array, predictions: Array) -> Found:
    return _mean(-np.log(right_chances(task, target, predictions)))


def _rmse(_: Task, target: Array, predictions: Array) -> Found:
    mean, rest = _mean((target - predictions[..., 0]) ** 2)
    root = np.sqrt(mean)
    rest *= np.where(root > 0, 1 / (2 * root), 0.0)[..., None]
    return root, rest


def _r2(_: Task, target: Array, predictions: Array) -> Found:
    squares, around = (target - predictions[..., 0]) ** 2, (target - target.mean()) ** 2
    lost = squares.mean(axis=-1) / around.mean()
    return 1 - lost, (lost[..., None] * around - squares) / around.mean()


def _balanced(task: Task, target: Array, predictions: Array) -> Found:
    hits = (labels(task, predictions) == target).astype(np.float64)
    classes, rest, found = np.unique(target), np.zeros_like(hits), []
    for code in classes:
        mine = target == code
        mean, centred = _mean(hits[..., mine])
        found.append(mean)
        rest[..., mine] = centred * len(target) / (mine.sum() * len(classes))
    return np.mean(found, axis=0), rest


def _auc(task: Task, target: Array, predictions: Array) -> Found:
    """Return areas and DeLong's components (E. DeLong, D. DeLong and D. Clarke-Pearson, Biometrics 44, 1988)."""
    codes = [(0, 1)] if task == "binary" else [(c, c) for c in range(predictions.shape[-1])]
    parts = []
    for column, code in codes:
        above = target == code
        if above.any() and not above.all():
            flat = predictions[..., column].reshape(-1, len(target))
            parts.append([_placements(above, score) for score in flat])
    shape = predictions.shape[:-2]
    if not parts:
        return np.full(shape, np.nan), np.full((*shape, len(target)), np.nan)
    areas = np.mean([[area for area, _ in part] for part in parts], axis=0)
    rest = np.mean([[centred for _, centred in part] for part in parts], axis=0)
    return areas.reshape(shape), rest.reshape(*shape, len(target))


def _placements(above: Array, score: Array) -> tuple[float, Array]:
    """Return the area, and each row's share of the other class on its right side, ties half, less the area."""
    found, area = np.empty(len(score)), 0.0
    for mine, sign in ((above, 1), (~above, -1)):
        others, own = np.sort(sign * score[~mine]), sign * score[mine]
        below = (np.searchsorted(others, own, "left") + np.searchsorted(others, own, "right")) / 2
        area = float(below.mean() / len(others))
        found[mine] = (below / len(others) - area) * len(score) / mine.sum()
    return area, found


_INFLUENCES = {
    "accuracy": _accuracy,
    "balanced-accuracy": _balanced,
    "auc": _auc,
    "log-loss": _log_loss,
    "rmse": _rmse,
    "r2": _r2,
}
