"""What a search comes to: the best single candidate, the ensemble, its probabilities, and a score one can believe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from wellfit.engines.base import engine_of
from wellfit.evidence.calibration import temperature
from wellfit.evidence.corrected import corrected
from wellfit.evidence.metrics import Metric, log_loss, rmse
from wellfit.nets.ensemble import Ensemble
from wellfit.nets.fitted import Fitted
from wellfit.nets.network import apply_temperature
from wellfit.records import Array, Difference, Part, SearchRecord, Table, Trial
from wellfit.select.ensemble import blend, greedy
from wellfit.select.fitting import fitted
from wellfit.select.halving import Runner, Track

if TYPE_CHECKING:
    from wellfit.data import Preprocessor

# Snapshots that an ensemble may be made of: the best by their own loss. More only add chances to be lucky.
POOL = 40


@dataclass(frozen=True, eq=False)
class Asked:
    """The question of a search."""

    table: Table
    metric: Metric
    folds: int
    seed: int
    sampler: str
    budget: int
    bins: int
    bent: bool


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A candidate at a rung, with the runners of all its seeds that got there."""

    runners: tuple[Runner, ...]
    rung: int
    loss: float

    @property
    def number(self) -> int:
        """The trial's number."""
        return self.runners[0].number


@dataclass(frozen=True, eq=False)
class Outcome:
    """The choice, made on out-of-fold predictions: nothing here looks at other rows. ``made`` keeps preprocessors."""

    asked: Asked
    track: Track
    runners: Sequence[Runner]
    pool: tuple[Snapshot, ...]
    rows: Array
    predictions: Array
    shares: Array
    temperature: float
    made: dict[int, Preprocessor] = field(default_factory=dict)

    @property
    def best(self) -> Snapshot:
        """The best single snapshot."""
        return self.pool[0]

    @property
    def winner(self) -> Runner:
        """The best single candidate."""
        return self.best.runners[0]

    @property
    def winner_rung(self) -> int:
        """The rung at which it is best."""
        return self.best.rung

    def record(self, worth: Mapping[str, Difference], spent: int) -> SearchRecord:
        """Return what is told of the search."""
        asked, task, target = self.asked, self.asked.table.task, self.asked.table.target[self.rows]
        together = apply_temperature(task, blend(self.predictions, self.shares), self.temperature)
        single = self.predictions[0]
        epochs = self.track.epochs
        return SearchRecord(
            data=asked.table.name,
            task=task,
            metric=asked.metric.name,
            higher_is_better=asked.metric.higher_is_better,
            folds=asked.folds,
            seed=asked.seed,
            sampler=asked.sampler,
            budget=asked.budget,
            spent=spent,
            epochs=epochs,
            trials=_trials(self.runners, len(epochs)),
            winner=self.best.number,
            winner_epoch=epochs[self.best.rung],
            parts=tuple(
                Part(s.number, epochs[s.rung], float(share))
                for s, share in zip(self.pool, self.shares, strict=True)
                if share > 0
            ),
            temperature=self.temperature,
            single_loss=_loss(task, target, single),
            ensemble_loss=_loss(task, target, together),
            single_score=asked.metric.function(task, target, single),
            ensemble_score=asked.metric.function(task, target, together),
            score=corrected(
                task,
                target,
                self.predictions,
                asked.metric,
                fold=_fold_of(self.rows, self.track),
                select=lambda counts: _chosen(task, target, self.predictions, counts)[0],
                seed=asked.seed,
            ),
            worth=worth,
            rows=self.rows,
            out_of_fold=together,
        )

    def single(self) -> Ensemble:
        """Return the fold networks of the best single snapshot as a model, with a temperature of its own."""
        task, target = self.asked.table.task, self.asked.table.target[self.rows]
        alone = replace(
            self, shares=np.eye(len(self.pool))[0], temperature=temperature(task, target, self.predictions[0])
        )
        return alone.model()

    def model(self) -> Ensemble:
        """Return the ensemble of the chosen snapshots' fold networks: all folds and seeds of a snapshot count alike."""
        parts: list[Fitted] = []
        weights: list[float] = []
        for snapshot, share in zip(self.pool, self.shares, strict=True):
            if share > 0:
                networks = [f for r in snapshot.runners for f in self._fitted(r, snapshot.rung)]
                parts += networks
                weights += [float(share) / len(networks)] * len(networks)
        return Ensemble(tuple(parts), np.array(weights), self.temperature)

    def _preprocessor(self, fold: int) -> Preprocessor | None:
        """Return the preprocessing of a fold's columns, made once: the plain ones come first, then those with bins."""
        from wellfit.data import Preprocessor

        if self.asked.table.inputs is not None:
            return None
        if fold not in self.made:
            rows, binned = self.track.data.folds[fold].rows.train, fold >= self.track.folds
            asked = self.asked
            self.made[fold] = Preprocessor.fit(asked.table, rows, bins=asked.bins * binned, bent=asked.bent)
        return self.made[fold]

    def _fitted(self, runner: Runner, rung: int) -> list[Fitted]:
        track = self.track
        return [
            fitted(
                self.asked.table,
                member,
                kept,
                track.data.folds[member.fold],
                engine_of(track.engine, member, track.data),
                track.epochs[rung],
                self._preprocessor(member.fold),
            )
            for member, kept in zip(track.members(runner), track.parameters(runner, rung), strict=True)
        ]


def outcome(runners: Sequence[Runner], track: Track, asked: Asked) -> Outcome:
    """Choose among the snapshots: all rungs but the first, and the first of those that went no further is left out.

    Selection looks at out-of-fold predictions only: the best single snapshot by its mean validation loss; the ensemble
    by greedy selection; the temperature by the log-loss of the ensemble.
    """
    pool = _pool(runners, len(track.epochs))
    rows = np.sort(np.concatenate([fold.rows.score for fold in track.data.folds[: track.folds]]))
    predictions = np.stack([_out_of_fold(s, rows, track) for s in pool])
    task, target = asked.table.task, asked.table.target[rows]
    _, shares, heat = _chosen(task, target, predictions, None)
    return Outcome(asked, track, runners, tuple(pool), rows, predictions, shares, heat)


def _pool(runners: Sequence[Runner], rungs: int) -> list[Snapshot]:
    """Return the snapshots to choose from, the best first."""
    found = []
    first = min(1, rungs - 1)
    for number in sorted({r.number for r in runners}):
        mine = [r for r in runners if r.number == number]
        for rung in range(first, rungs):
            here = tuple(r for r in mine if rung in r.rungs)
            if here:
                loss = _mean_loss(here, rung)
                if not np.isnan(loss):
                    found.append(Snapshot(here, rung, loss))
    return sorted(found, key=lambda s: (s.loss, s.number, s.rung))[:POOL]


def _out_of_fold(snapshot: Snapshot, rows: Array, track: Track) -> Array:
    """Return the snapshot's predictions for rows, (rows, k), averaged over its seeds."""
    found = np.empty((len(rows), track.data.outputs))
    for k in range(track.folds):
        place = np.searchsorted(rows, track.data.folds[k].rows.score)
        found[place] = np.mean([r.rungs[snapshot.rung][k].predictions for r in snapshot.runners], axis=0)
    return found


def _chosen(task: str, target: Array, predictions: Array, counts: Array | None) -> tuple[Array, Array, float]:
    """Return what the whole selection picks on rows that count so often: predictions (rows, k), shares, temperature."""
    shares = greedy(task, target, predictions, weights=counts)  # type: ignore[arg-type]  # a task
    together = blend(predictions, shares)
    heat = temperature(task, target, together, counts)  # type: ignore[arg-type]  # a task
    return apply_temperature(task, together, heat), shares, heat


def _loss(task: str, target: Array, predictions: Array) -> float:
    if task == "regression":
        return rmse("regression", target, predictions) ** 2
    return log_loss(task, target, predictions)  # type: ignore[arg-type]  # a task


def _fold_of(rows: Array, track: Track) -> Array:
    """Return the fold that scored each row, (rows,)."""
    found = np.empty(len(rows), dtype=np.int64)
    for k in range(track.folds):
        found[np.searchsorted(rows, track.data.folds[k].rows.score)] = k
    return found


def _mean_loss(runners: Sequence[Runner], rung: int) -> float:
    """Return the validation loss at a rung, the mean over the seeds that got there."""
    return float(np.mean([r.loss(rung) for r in runners if rung in r.rungs]))


def _trials(runners: Sequence[Runner], rungs: int) -> tuple[Trial, ...]:
    found = []
    for number in sorted({r.number for r in runners}):
        mine = [r for r in runners if r.number == number]
        first = mine[0]
        training = first.candidate.training
        found.append(
            Trial(
                number=number,
                source=first.source,
                cocktail=str(first.candidate.cocktail),
                network=str(first.candidate.network),
                learning_rate=training.learning_rate,
                batch_size=training.batch_size,
                losses=tuple(_mean_loss(mine, rung) for rung in range(rungs) if rung in first.rungs),
                seeds=len({r.seed for r in mine}),
                binned=first.candidate.binned,
            )
        )
    return tuple(found)
