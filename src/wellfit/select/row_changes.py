"""What the rows tell of figures read off a population: of losses, scores, gaps and differences over folds.

Axes: K folds, S seeds (averaged), N rows that some fold trains on or scores. See `wellfit.evidence.rows`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from wellfit.engines.base import curve_rows, seen_rows
from wellfit.evidence.diagnosis_bounds import row_losses
from wellfit.evidence.intervals import MOST_RATIO, RowError
from wellfit.evidence.metrics import Metric
from wellfit.evidence.rows import (
    MOST_STRETCH,
    TWICE,
    Kind,
    gap_error,
    influences,
    kind_of,
    row_errors,
    shared_error,
    stretch,
    tells,
    trained_error,
    unseen_error,
)
from wellfit.nets import Training
from wellfit.records import Array, FoldData, History, Table


@dataclass(frozen=True, eq=False)
class Learnt:
    """A figure on training rows, ``values`` (..., K), and its ``changes`` (..., N), NaN for rows without a say.

    ``stretch`` (...) says how much more networks err on rows left out.
    """

    values: Array
    changes: Array
    stretch: Array

    def __sub__(self, other: Learnt) -> Learnt:
        stretch = np.maximum(self.stretch, other.stretch)
        return Learnt(self.values - other.values, _less(self.changes, other.changes), stretch)

    def __getitem__(self, place: int | None) -> Learnt:
        return Learnt(self.values[place], self.changes[place], self.stretch[place])


@dataclass(frozen=True, eq=False)
class Look:
    """A figure on rows left out, ``values`` (..., K), and its ``changes`` (..., N), NaN for rows without a say.

    ``learnt`` is the same figure on training rows, None where these are not known, and ``kind`` the figure's.
    """

    values: Array
    changes: Array
    learnt: Learnt | None = None
    kind: Kind = "smooth"

    def __sub__(self, other: Look) -> Look:
        learnt = None if self.learnt is None or other.learnt is None else self.learnt - other.learnt
        return Look(self.values - other.values, _less(self.changes, other.changes), learnt, self.kind)

    def __getitem__(self, place: int | None) -> Look:
        """Return one of many looks, or with None many that are this one."""
        learnt = None if self.learnt is None else self.learnt[place]
        return Look(self.values[place], self.changes[place], learnt, self.kind)


class RowChanges:
    """The rows of K folds, and what they do to figures over these folds.

    Predictions are given per fold, (..., S, rows, k) as in `wellfit.records.History`: ``predictions`` on the rows left
    out, ``seen`` on those of `wellfit.engines.base.seen_rows`.
    """

    def __init__(self, table: Table, folds: Sequence[FoldData], training: Training, metric: Metric | None = None):
        self.table, self.folds, self.metric = table, folds, metric
        self.loss = training.loss_and_parameter(table.task)
        parts = [fold.rows for fold in folds]
        self._left_out = [part.score for part in parts]
        self._share = float(np.mean([len(p.score) / (len(p.train) + len(p.stop)) for p in parts]))

    @cached_property
    def rows(self) -> Array:
        """All rows of the folds, (N,), sorted."""
        parts = [fold.rows for fold in self.folds]
        return np.unique(np.concatenate([rows for p in parts for rows in (p.train, p.stop, p.score)]))

    @cached_property
    def sampled(self) -> bool:
        """Whether curves are measured on a sample of the training rows that are seen."""
        return any(0 < len(curve_rows(fold)[0]) < len(rows) for fold, rows in zip(self.folds, self._seen, strict=True))

    @cached_property
    def _seen(self) -> list[Array]:
        return [seen_rows(fold, fold.y.shape[1]) for fold in self.folds]

    @cached_property
    def _units(self) -> Array | None:
        groups = self.table.groups
        if groups is None:
            return None
        return np.unique(np.asarray(groups)[self.rows].astype(str), return_inverse=True)[1].reshape(-1)

    def of_loss(self, predictions: Sequence[Array], seen: Sequence[Array] = ()) -> Look:
        """Return the look at the validation loss."""
        found, trained = self._look(self._losses(predictions, self._left_out), self._left_out), self.of_training(seen)
        return found if trained is None else _with(found, trained, stretch(found.values, trained.values))

    def of_score(self, predictions: Sequence[Array], seen: Sequence[Array] = ()) -> Look | None:
        """Return the look at the score; None for a metric of one's own, and where it is undefined in some fold."""
        assert self.metric is not None
        found = self._scores(predictions, self._left_out)
        if found is None or any(np.isnan(values).any() for values, _ in found):
            return None
        kind = kind_of(self.metric.name)
        look = replace(self._look(found, self._left_out), kind=kind)
        trained = self._scores(seen, self._seen) if kind != "counts" and _known(seen) else None
        if trained is None:
            return look
        lost = [self._means(said, rows) for said, rows in ((predictions, self._left_out), (seen, self._seen))]
        return _with(look, self._look(trained, self._seen), stretch(*lost))

    def loss_errors(self, predictions: Sequence[Array], seen: Sequence[Array] = ()) -> list[RowError | None]:
        """Return the standard error of each of P validation losses; predictions are (P, S, rows, k) a fold."""
        if _known(seen) or not self._once:
            return self.errors(self.of_loss(predictions, seen))
        return self._fold_by_fold(self._losses(predictions, self._left_out))

    def score_errors(self, predictions: Sequence[Array], seen: Sequence[Array] = ()) -> list[RowError | None]:
        """Return the standard error of each of P scores, None for all where `of_score` knows nothing."""
        if not _known(seen) and self._once:
            found = self._scores(predictions, self._left_out)
            known = found is not None and not any(np.isnan(values).any() for values, _ in found)
            return self._fold_by_fold(found) if known and found else [None] * len(predictions[0])
        look = self.of_score(predictions, seen)
        return [None] * len(predictions[0]) if look is None else self.errors(look)

    @cached_property
    def _once(self) -> bool:
        """Whether each row is left out once at most, and stands alone."""
        count = sum(map(len, self._left_out))
        return self._units is None and len(np.unique(np.concatenate(self._left_out))) == count

    def _fold_by_fold(self, parts: Sequence[tuple[Array, Array]]) -> list[RowError | None]:
        """Return what `errors` does, without laying the changes of all rows side by side."""
        values, folds = np.stack([means for means, _ in parts], axis=-1), len(parts)
        count = sum(part.shape[-1] for _, part in parts)
        if folds < 2 or not tells(count, folds):
            return [None] * len(values)
        freedom = count - folds
        squares = sum(np.einsum("pn,pn->p", part, part) for _, part in parts) / folds**2
        errors = np.sqrt(squares * ((freedom + folds) / freedom)).tolist()
        pairs = zip(values, errors, strict=True)
        return [shared_error(own, RowError(error, freedom), self._share) for own, error in pairs]

    def error(self, look: Look | None, *, paired: bool = False) -> RowError | None:
        """Return the standard error of a figure, or of a ``paired`` difference; None where the rows are too few."""
        return None if look is None else self.errors(look[None], paired=paired)[0]

    def errors(self, looks: Look, *, paired: bool = False) -> list[RowError | None]:
        """Return the `error` of each of P figures."""
        rows = self._row_errors(looks.changes)
        learnt = looks.learnt
        if learnt is None or (looks.kind == "ranks" and not paired):
            alone, pairs = paired and looks.kind == "counts", zip(looks.values, rows, strict=True)
            return [
                None if row is None else shared_error(values, row, self._share, rows_alone=alone)
                for values, row in pairs
            ]
        trained = self._row_errors(learnt.changes)
        gaps = self._row_errors(np.nan_to_num(looks.changes) - np.nan_to_num(learnt.changes))
        stretched = learnt.stretch if paired else np.full(len(learnt.stretch), MOST_STRETCH)
        counted = (stretched * (TWICE if looks.kind == "smooth" else 1.0)).tolist()
        return [
            None if row is None or gap is None else unseen_error(values, row, gap, counted=times, paired=paired)
            for values, row, gap, times in zip(learnt.values, trained, gaps, counted, strict=True)
        ]

    def of_training(self, seen: Sequence[Array]) -> Look | None:
        """Return the look at the training loss, on all training rows; None where they are not ``seen``."""
        return self._look(self._losses(seen, self._seen), self._seen) if _known(seen) else None

    def trained_error(self, look: Look | None) -> RowError | None:
        """Return the standard error of a training loss."""
        return None if look is None else self.trained_errors(look[None])[0]

    def trained_errors(self, looks: Look) -> list[RowError | None]:
        """Return the `trained_error` of each of P training losses."""
        pairs = zip(looks.values, self._row_errors(looks.changes), strict=True)
        return [None if rows is None else trained_error(values, rows) for values, rows in pairs]

    def gap_error(self, predictions: Sequence[Array], seen: Sequence[Array]) -> RowError | None:
        """Return the standard error of the mean logarithm of validation loss over training loss."""
        if not _known(seen) or len(self.folds) < 2:
            return None
        score, train = self._losses(predictions, self._left_out), self._losses(seen, self._seen)
        floors = [np.maximum(v, t) / MOST_RATIO for (v, _), (t, _) in zip(score, train, strict=True)]
        above, below = (
            self._look([_relative(*part, floor) for part, floor in zip(parts, floors, strict=True)], rows).changes
            for parts, rows in ((score, self._left_out), (train, self._seen))
        )
        [rows] = self._row_errors((np.nan_to_num(above) - np.nan_to_num(below))[None])
        return None if rows is None else gap_error(rows, len(self.folds), self._share)

    def _row_errors(self, changes: Array) -> list[RowError | None]:
        """Return what changes (P, N) make; rows without a say in any of the P figures are left out."""
        if len(self.folds) < 2:
            return [None] * len(changes)
        known = ~np.isnan(changes).all(axis=0)
        return row_errors(changes[:, known], len(self.folds), None if self._units is None else self._units[known])

    def _losses(self, predictions: Sequence[Array], rows: Sequence[Array]) -> list[tuple[Array, Array]]:
        """Return for each fold the weighted mean loss of its rows, (...), and what each row does to it, (..., n)."""
        name, parameter = self.loss
        found = []
        for fold, here, said in zip(self.folds, rows, predictions, strict=True):
            target = self.table.target[here]
            losses = over_seeds(row_losses(self.table.task, target, said, name, parameter, fold.target_scale))
            if fold.weights is None:
                means = losses.mean(axis=-1)
                found.append((means, (losses - means[..., None]) / len(here)))
                continue
            weights = fold.weights[here]
            shares = weights / max(weights.sum(), np.finfo(np.float64).tiny)
            means = (losses * shares).sum(axis=-1)  # a product of matrices would depend on what else is in them
            found.append((means, shares * (losses - means[..., None])))
        return found

    def _means(self, predictions: Sequence[Array], rows: Sequence[Array]) -> Array:
        """Return the folds' losses, (..., K)."""
        return np.stack([means for means, _ in self._losses(predictions, rows)], axis=-1)

    def _scores(self, predictions: Sequence[Array], rows: Sequence[Array]) -> list[tuple[Array, Array]] | None:
        found = []
        for here, said in zip(rows, predictions, strict=True):
            assert self.metric is not None
            part = influences(self.metric, self.table.task, self.table.target[here], said)
            if part is None:
                return None
            found.append((part[0].mean(axis=-1), over_seeds(part[1]) / max(1, len(here))))
        return found

    def _look(self, parts: Sequence[tuple[Array, Array]], rows: Sequence[Array]) -> Look:
        """Return the mean over folds of values (...) and what rows do to it; a row may be in several folds."""
        changes = np.full((*parts[0][0].shape, len(self.rows)), np.nan)
        for here, (_, part) in zip(rows, parts, strict=True):
            places = np.searchsorted(self.rows, here)
            changes[..., places] = np.nan_to_num(changes[..., places]) + part / len(parts)
        return Look(np.stack([values for values, _ in parts], axis=-1), changes)


def _with(look: Look, trained: Look, stretched: Array) -> Look:
    return replace(look, learnt=Learnt(trained.values, trained.changes, stretched))


def over_seeds(values: Array) -> Array:
    """Return the mean over the seeds of values (..., S, n)."""
    return values[..., 0, :] if values.shape[-2] == 1 else values.mean(axis=-2)


def _less(ours: Array, theirs: Array) -> Array:
    """Return the difference of changes: a row without a say in one of them (it only stopped there) has the other's."""
    found = np.nan_to_num(ours) - np.nan_to_num(theirs)
    found[np.isnan(ours) & np.isnan(theirs)] = np.nan
    return found


def _known(seen: Sequence[Array]) -> bool:
    return len(seen) > 0 and all(said.shape[-2] for said in seen)


def _relative(means: Array, changes: Array, floor: Array) -> tuple[Array, Array]:
    """Return a value and its rows' changes on the logarithm's scale; one at its floor does not change."""
    steady = (means <= floor)[..., None]
    return means, np.where(steady, 0.0, changes / np.where(steady, 1.0, means[..., None]))


def by_fold(histories: Sequence[Sequence[History]], name: str = "predictions") -> list[Array]:
    """Return a field of ``histories[k][s]`` per fold, (S, rows, k), with no rows where a seed has none."""
    return [stacked([[getattr(history, name) for history in fold]])[0] for fold in histories]


def stacked(said: Sequence[Sequence[Array]]) -> Array:
    """Return (P, S, rows, k) from P points of S seeds, with no rows where not all have the same."""
    alike = len({one.shape for point in said for one in point}) == 1
    return np.array(said) if alike else np.empty((len(said), len(said[0]), 0, 1))
