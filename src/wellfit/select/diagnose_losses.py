"""From predictions to losses row by row: what every comparison of a diagnosis stands on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wellfit.evidence.diagnosis_bounds import Bound, bound, row_losses
from wellfit.evidence.intervals import RowError
from wellfit.evidence.rows import gap_error, row_error, shared_error
from wellfit.nets import Training
from wellfit.records import Array, Fold, History, Table


@dataclass(frozen=True, eq=False)
class Rows:
    """The m rows that the folds score, in ascending order, and how their losses are measured.

    ``rows`` (m,) are indices into the table, ``fold`` (m,) says which fold scores each, ``weights`` (m,) have mean 1.
    ``units`` (m,) are codes of groups, None where every row stands alone.
    """

    table: Table
    parts: tuple[Fold, ...]
    rows: Array
    fold: Array
    weights: Array
    units: Array | None
    loss: str
    parameter: float

    @classmethod
    def of(cls, table: Table, parts: Sequence[Fold], training: Training) -> Rows:
        """Return the rows that ``parts`` score."""
        rows = np.concatenate([part.score for part in parts])
        fold = np.repeat(np.arange(len(parts)), [len(part.score) for part in parts])
        order = np.argsort(rows, kind="stable")
        rows, fold = rows[order], fold[order]
        units = None
        if table.groups is not None:
            units = np.unique(np.asarray(table.groups)[rows].astype(str), return_inverse=True)[1].reshape(-1)
        loss, parameter = training.loss_and_parameter(table.task)
        # Huber's unit differs from fold to fold: what such a network aims at is a small error all the same.
        loss = "squared" if loss == "huber" else loss
        return cls(table, tuple(parts), rows, fold, _weights(table, rows), units, loss, parameter)

    @property
    def folds(self) -> int:
        """The count of folds."""
        return len(self.parts)

    @property
    def sizes(self) -> dict[str, Any]:
        """The counts of rows that each fold learns from and scores, (K,) each, as intervals over folds take them."""
        train_rows = np.array([len(part.train) + len(part.stop) for part in self.parts])
        return {"train_rows": train_rows, "test_rows": np.array([len(part.score) for part in self.parts])}

    def of_rows(self, rows: Array, predictions: Array) -> Array:
        """Return the unweighted losses of these rows of the table, (r,)."""
        return row_losses(self.table.task, self.table.target[rows], predictions, self.loss, self.parameter)

    def scored(self, predictions: Sequence[Array]) -> Array:
        """Return the loss of each row, (m,), from each fold's predictions of its score rows."""
        out = np.full(len(self.rows), np.nan)
        for part, found in zip(self.parts, predictions, strict=True):
            out[np.searchsorted(self.rows, part.score)] = self.of_rows(part.score, found)
        return out * self.weights

    def members(self, histories: Sequence[History], seeds: int = 1) -> Array | None:
        """Return the loss of each row, (m,), averaged over the seeds, or None where a member diverged.

        ``histories`` are folds, then seeds.
        """
        if any(h.status == "diverged" for h in histories):
            return None
        lines = [self.scored([h.predictions for h in histories[s::seeds]]) for s in range(seeds)]
        return np.mean(lines, axis=0)

    def bound(self, values: Array) -> Bound:
        """Return the mean of values, (m,) or those of some rows with NaN elsewhere, and its bounds."""
        defined = ~np.isnan(values)
        units = None if self.units is None else self.units[defined]
        return bound(values[defined], folds=self.folds, units=units)

    def error(self, values: Array) -> RowError | None:
        """Return the standard error that values (m,) of rows left out give their mean over folds."""
        rows = self._row_error(values)
        share = float((self.sizes["test_rows"] / self.sizes["train_rows"]).mean())
        return None if rows is None else shared_error(by_fold(self, values), rows, share)

    def gap_error(self, gaps: Array) -> RowError | None:
        """Return the same of what rows lose more where they are left out than where they are trained on, (m,)."""
        rows = self._row_error(gaps)
        share = float((self.sizes["test_rows"] / self.sizes["train_rows"]).mean())
        return None if rows is None else gap_error(rows, self.folds, share)

    def _row_error(self, values: Array) -> RowError | None:
        if self.folds < 2 or np.isnan(values).any():
            return None
        sizes = np.bincount(self.fold, minlength=self.folds)
        return row_error(
            (values - by_fold(self, values)[self.fold]) / (self.folds * sizes[self.fold]), self.folds, self.units
        )

    def guesses(self) -> Array:
        """Return the loss of each row where nothing but the target of the training rows is known, (m,)."""
        return self.scored([self._guess(part) for part in self.parts])

    def _guess(self, part: Fold) -> Array:
        target = self.table.target[part.train]
        if self.table.task != "regression":
            width = max(2, len(self.table.classes))
            counts = np.bincount(target, minlength=width) + 0.5
            shares = counts / counts.sum()
            return np.tile(shares[1:] if self.table.task == "binary" else shares, (len(part.score), 1))
        if self.loss == "absolute":
            value = np.median(target)
        else:
            value = np.quantile(target, self.parameter) if self.loss == "quantile" else target.mean()
        return np.full((len(part.score), 1), value)


def _weights(table: Table, rows: Array) -> Array:
    if table.weights is None:
        return np.ones(len(rows))
    weights = np.asarray(table.weights, dtype=np.float64)[rows]
    return weights / weights.mean() if weights.any() else np.ones(len(rows))


@dataclass(frozen=True, eq=False)
class Wide:
    """The network under diagnosis at one epoch, its losses on all rows: S seeds, K folds.

    ``unseen`` (m,) is each row's loss by the networks that did not see it, ``seen`` (m,) by those that did, NaN where
    there are none, and ``elsewhere`` (v,) that of the given validation rows, by all networks. Seeds are averaged.
    """

    unseen: Array
    seen: Array
    elsewhere: Array

    @classmethod
    def of(cls, rows: Rows, histories: Sequence[History], wide: Sequence[Fold], validation: Array) -> Wide:
        """Read the histories, folds then seeds, whose members predicted all ``wide[k].score`` rows."""
        seeds = len(histories) // rows.folds
        size = len(rows.rows)
        unseen, total, count = np.zeros(size), np.zeros(size), np.zeros(size)
        elsewhere = np.zeros(len(validation))
        for i, found in enumerate(histories):
            part, everything = rows.parts[i // seeds], wide[i // seeds].score
            losses = rows.of_rows(everything, found.predictions)

            def at(asked: Array, everything: Array = everything, losses: Array = losses) -> Array:
                return losses[np.searchsorted(everything, asked)]

            unseen[np.searchsorted(rows.rows, part.score)] += at(part.score) / seeds
            here = np.intersect1d(part.train, rows.rows)
            place = np.searchsorted(rows.rows, here)
            total[place] += at(here)
            count[place] += 1
            elsewhere += at(validation) / len(histories)
        seen = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        return cls(unseen * rows.weights, seen * rows.weights, elsewhere)


def by_fold(rows: Rows, values: Array) -> Array:
    """Return the mean of values (m,) in each fold, (K,), NaN left out."""
    return np.array([_mean(values[rows.fold == k]) for k in range(rows.folds)])


def _mean(values: Array) -> float:
    kept = values[~np.isnan(values)]
    return float(kept.mean()) if len(kept) else float("nan")
