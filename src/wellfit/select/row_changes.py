"""How much each row moves what is read off a population: losses, scores and gaps over folds, seeds averaged.

Axes: K folds, S seeds, N rows that some fold trains on or scores. A change is NaN where a row has no say. See
`wellfit.evidence.rows`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from wellfit.engines.base import curve_rows
from wellfit.evidence.diagnosis_bounds import row_losses
from wellfit.evidence.intervals import MOST_RATIO, RowError
from wellfit.evidence.metrics import Metric
from wellfit.evidence.rows import influences, row_error
from wellfit.nets import Training
from wellfit.records import Array, FoldData, History, Table


class RowChanges:
    """The rows of K folds, and what they do to figures over these folds.

    Predictions are given per fold, (..., S, rows, k) as in `wellfit.records.History`; changes are (..., N).
    """

    def __init__(self, table: Table, folds: Sequence[FoldData], training: Training, metric: Metric | None = None):
        self.table, self.folds, self.metric = table, folds, metric
        self.loss = training.loss_and_parameter(table.task)
        parts = [part for fold in folds for part in (fold.rows.train, fold.rows.stop, fold.rows.score)]
        self.rows = np.unique(np.concatenate(parts))
        self.scored = [np.searchsorted(self.rows, fold.rows.score) for fold in folds]
        self._fold = np.full(len(self.rows), -1)
        for k, places in enumerate(self.scored):
            self._fold[places] = k

    @cached_property
    def _units(self) -> Array | None:
        groups = self.table.groups
        if groups is None:
            return None
        return np.unique(np.asarray(groups)[self.rows].astype(str), return_inverse=True)[1].reshape(-1)

    def error(self, changes: Array | None) -> RowError | None:
        """Return the standard error that changes (N,) make; None where they are unknown, or the rows too few."""
        if changes is None:
            return None
        known = np.isfinite(changes)
        folds = len(np.unique(self._fold[known & (self._fold >= 0)]))
        return row_error(changes[known], folds, None if self._units is None else self._units[known])

    def of_loss(self, predictions: Sequence[Array]) -> Array:
        """Return the changes of the mean validation loss."""
        return self._blank(
            [shares * (losses - mean) for losses, mean, shares in self._losses(predictions, self._score_rows)]
        )

    def of_score(self, predictions: Sequence[Array]) -> Array | None:
        """Return the changes of the mean score over the folds where it is defined; None for a metric of one's own."""
        assert self.metric is not None
        found = []
        for fold, said in zip(self.folds, predictions, strict=True):
            part = influences(self.metric, self.table.task, self.table.target[fold.rows.score], said)
            if part is None:
                return None
            found.append(part.mean(axis=-2) / max(1, part.shape[-1]))
        changes = self._blank(found)
        undefined = sum(bool(np.isnan(part).any()) for part in found)
        return changes * (len(found) / max(1, len(found) - undefined))

    def of_gap(self, predictions: Sequence[Array], seen: Sequence[Array]) -> Array | None:
        """Return the changes of the mean logarithm of validation loss over training loss.

        ``seen`` are the predictions on the folds' training rows, as in `wellfit.records.History`; None without any.
        """
        if not all(said.shape[-2] for said in seen):
            return None
        score, train = self._losses(predictions, self._score_rows), self._losses(seen, self._seen_rows)
        floors = [np.maximum(v, t) / MOST_RATIO for (_, v, _), (_, t, _) in zip(score, train, strict=True)]

        def relative(part: tuple[Array, Array, Array], floor: Array) -> Array:
            losses, mean, shares = part
            steady = mean <= floor  # such a mean counts as its floor, whatever its rows do
            return np.where(steady, 0.0, shares * (losses - mean) / np.where(steady, 1.0, mean))

        changes = np.nan_to_num(self._blank([relative(part, floor) for part, floor in zip(score, floors, strict=True)]))
        for rows, part, floor in zip(self._seen_rows, train, floors, strict=True):
            changes[..., np.searchsorted(self.rows, rows)] -= relative(part, floor) / len(self.folds)
        return changes

    @property
    def _score_rows(self) -> list[Array]:
        return [fold.rows.score for fold in self.folds]

    @cached_property
    def _seen_rows(self) -> list[Array]:
        return [curve_rows(fold)[0] for fold in self.folds]

    def _losses(self, predictions: Sequence[Array], rows: Sequence[Array]) -> list[tuple[Array, Array, Array]]:
        """Return for each fold the rows' losses, (..., n), their mean, (..., 1), and the rows' shares of it, (n,)."""
        name, parameter = self.loss
        found = []
        for fold, here, said in zip(self.folds, rows, predictions, strict=True):
            target = self.table.target[here]
            losses = row_losses(self.table.task, target, said, name, parameter, fold.target_scale).mean(axis=-2)
            weights = np.ones(len(here)) if fold.weights is None else fold.weights[here]
            shares = weights / max(weights.sum(), np.finfo(np.float64).tiny)
            found.append((losses, (losses * shares).sum(axis=-1, keepdims=True), shares))
        return found

    def _blank(self, parts: Sequence[Array]) -> Array:
        """Return what each fold's score rows do to its value, (..., n), as changes of the mean over folds."""
        found = np.full((*parts[0].shape[:-1], len(self.rows)), np.nan)
        for places, part in zip(self.scored, parts, strict=True):
            found[..., places] = part / len(parts)
        return found


def by_fold(histories: Sequence[Sequence[History]], name: str = "predictions") -> list[Array]:
    """Return a field of ``histories[k][s]`` per fold, (S, rows, k), with no rows where a seed has none."""
    found = [[getattr(history, name) for history in fold] for fold in histories]
    return [np.array(each) if len({a.shape for a in each}) == 1 else np.empty((len(each), 0, 1)) for each in found]
