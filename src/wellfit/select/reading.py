"""Read a comparison off the histories of its population.

Axes: C cocktails, K folds, S seeds, c checkpoints. Seeds are averaged inside each fold before any interval.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from wellfit.cocktail import Cocktail
from wellfit.engines.base import CURVES
from wellfit.errors import SettingError
from wellfit.evidence.intervals import (
    RowError,
    difference,
    family,
    fold_interval,
    ratio_interval,
    rise_interval,
    trained_interval,
)
from wellfit.evidence.metrics import Metric, metric_said
from wellfit.messages import say
from wellfit.nets import Network, Training
from wellfit.nets.training import checkpoints
from wellfit.population.plan import plan_fold
from wellfit.records import Array, CocktailResult, Comparison, Difference, History, Interval, Table, TrainingData
from wellfit.select.row_changes import Look, RowChanges, by_fold


@dataclass(frozen=True, eq=False)
class Asked:
    """The question of a comparison, and the table it was asked of."""

    table: Table
    cocktails: tuple[Cocktail, ...]
    network: Network
    training: Training
    metric: Metric
    folds: int
    seeds: int
    seed: int


@dataclass(frozen=True, eq=False)
class _Line:
    """One cocktail's histories, ``histories[k][s]``, and its figures, (K,) each, seeds averaged; NaN if diverged.

    ``lowest`` and ``last`` are validation losses along the training: see `lowest_and_last`. ``looks`` are what the
    rows tell of ``loss`` and ``score``, ``errors`` of ``train_loss`` and ``gap``: see `RowChanges`.
    """

    cocktail: Cocktail
    histories: list[list[History]]
    diverged: int
    train_loss: Array
    loss: Array
    score: Array
    lowest: Array
    last: Array
    looks: Mapping[str, Look | None] = field(default_factory=dict)
    errors: Mapping[str, RowError | None] = field(default_factory=dict)


def read(
    histories: Sequence[History], data: TrainingData, asked: Asked, advice: Callable[[], str] | None = None
) -> Comparison:
    """Return the comparison. ``histories`` are in the order of `wellfit.population.plan`: cocktails, folds, seeds.

    Raises `SettingError` where the metric is defined in no fold, and where every cocktail has diverged members: then
    ``advice()`` says what to do, by default to try a tenth of the learning rate.
    """
    per_cocktail = asked.folds * asked.seeds
    lines = []
    for i, cocktail in enumerate(asked.cocktails):
        mine = histories[i * per_cocktail : (i + 1) * per_cocktail]
        of_folds = [list(mine[k * asked.seeds : (k + 1) * asked.seeds]) for k in range(asked.folds)]
        lines.append(_line(cocktail, of_folds, data, asked))
    winner = _winner(lines, asked, advice)
    none = next(line for line in lines if not line.cocktail.ingredients)
    rows = np.sort(np.concatenate([fold.rows.score for fold in data.folds[: asked.folds]]))
    return Comparison(
        data=asked.table.name,
        task=asked.table.task,
        metric=asked.metric.name,
        higher_is_better=asked.metric.higher_is_better,
        network=str(asked.network),
        training=str(asked.training),
        folds=asked.folds,
        seeds=asked.seeds,
        seed=asked.seed,
        results=_adjusted([_result(line, none, data, asked) for line in lines]),
        winner=str(winner.cocktail),
        rows=rows,
        out_of_fold={str(line.cocktail): _out_of_fold(line, rows, data) for line in lines},
    )


def _line(cocktail: Cocktail, histories: list[list[History]], data: TrainingData, asked: Asked) -> _Line:
    diverged = sum(h.status == "diverged" for fold in histories for h in fold)
    if diverged:
        lost = np.full(asked.folds, np.nan)
        return _Line(cocktail, histories, diverged, lost, lost, lost, lost, lost)

    def kept(name: str) -> Array:
        return np.array([np.mean([kept_value(h, name) for h in fold]) for fold in histories])

    scores = np.empty((asked.folds, asked.seeds))
    for k, fold in enumerate(histories):
        target = asked.table.target[data.folds[k].rows.score]
        scores[k] = [asked.metric.function(asked.table.task, target, h.predictions) for h in fold]
    count = len(checkpoints(asked.training.epochs))
    curves = np.array([np.mean([carried(h, "score_loss", count) for h in fold], axis=0) for fold in histories])
    rows = _rows(cocktail, data, asked)
    said, seen = by_fold(histories), by_fold(histories, "seen")
    trained = rows.of_training(seen)
    looks = {"loss": rows.of_loss(said, seen), "score": rows.of_score(said, seen)}
    errors = {"train_loss": rows.trained_error(trained), "gap": rows.gap_error(said, seen)}
    # A sample of the training rows, another in each fold, would add its own noise.
    train_loss = trained.values if trained is not None and rows.sampled else kept("train_loss")
    figures = train_loss, kept("score_loss"), scores.mean(1), *lowest_and_last(curves)
    return _Line(cocktail, histories, 0, *figures, looks, errors)


def _rows(cocktail: Cocktail, data: TrainingData, asked: Asked) -> RowChanges:
    """Return the rows of a cocktail's folds: the same in all, but what stops early trains on fewer of them."""
    first = plan_fold(cocktail, 0, asked.folds, data)
    return RowChanges(asked.table, data.folds[first : first + asked.folds], asked.training, asked.metric)


def kept_value(history: History, name: str) -> float:
    """Return a curve's value at the epoch whose weights are kept."""
    return float(history.curves[name][np.searchsorted(history.checkpoints, history.best_epoch, side="right") - 1])


def carried(history: History, name: str, count: int) -> Array:
    """Return a curve at all ``count`` checkpoints: a member that stopped carries its last value forward."""
    curve = history.curves[name]
    return np.concatenate([curve, np.repeat(curve[-1:], count - len(curve))])


def lowest_and_last(curves: Array) -> tuple[Array, Array]:
    """Return each fold's loss at the epoch where it is lowest and at the end, (K,) each, for curves of shape (K, c).

    The lowest point of a noisy curve is lower than the truth. So each fold's epoch of the lowest is read off the mean
    of the other folds' curves: chance then pulls neither way, and the last may lie below the "lowest".
    """
    others = curves.sum(0) - curves if len(curves) > 1 else curves
    return curves[np.arange(len(curves)), others.argmin(1)], curves[:, -1]


def _winner(lines: Sequence[_Line], asked: Asked, advice: Callable[[], str] | None) -> _Line:
    sound = [line for line in lines if not line.diverged]
    if not sound:
        lost, members = sum(line.diverged for line in lines), len(lines) * asked.folds * asked.seeds
        key = "select.all_diverged" if lost == members else "select.no_winner"
        counts = {"cocktails": len(lines), "diverged": lost, "members": members}
        told = say("population.try_tenth") if advice is None else advice()
        raise SettingError(key, rate=f"{asked.training.learning_rate:g}", advice=told, **counts)
    scored = [line for line in sound if not np.isnan(line.score).all()]
    if not scored:
        raise SettingError("select.undefined_metric", metric=asked.metric.name, hint=say("select.undefined_hint"))
    sign = -1 if asked.metric.higher_is_better else 1
    return min(
        scored, key=lambda line: (sign * np.nanmean(line.score), line.loss.mean(), len(line.cocktail.ingredients))
    )


def _result(line: _Line, none: _Line, data: TrainingData, asked: Asked) -> CocktailResult:
    # A member learns from its training and its stop rows, and both count as training rows here.
    parts = [fold.rows for fold in data.folds[: asked.folds]]
    train_rows = np.array([len(part.train) + len(part.stop) for part in parts])
    test_rows = np.array([len(part.score) for part in parts])
    counts = {"train_rows": train_rows, "test_rows": test_rows}
    metric, rows = asked.metric, _rows(line.cocktail, data, asked)

    def interval(values: Array, what: str, bounds: tuple[float, float] = (0.0, np.inf)) -> Interval | None:
        if line.diverged:
            return None
        sentence = say(f"select.{what}", metric=metric_said(metric.name))
        if what == "train_loss":
            return trained_interval(values, estimates=sentence, rows=line.errors[what])
        error = rows.error(line.looks[what])
        return fold_interval(values, **counts, estimates=sentence, rows=error, bounds=bounds)

    def against_none(what: str, higher: bool) -> Difference | None:
        if line.diverged or none.diverged:
            return None
        ours, theirs = line.looks[what], none.looks[what]
        found = difference(
            getattr(line, what),
            getattr(none, what),
            **counts,
            higher_is_better=higher,
            estimates=say(f"select.{what}_difference", metric=metric_said(metric.name)),
            rows=None if ours is None or theirs is None else rows.error(ours - theirs, paired=True),
        )
        return Difference(found.interval, "reference") if line is none else found

    gap = rise = None
    if not line.diverged:
        error = line.errors.get("gap")
        gap = ratio_interval(line.loss, line.train_loss, **counts, estimates=say("select.gap"), rows=error)
        # Rows have no say: what networks said of them is kept of one epoch only.
        rise = rise_interval(line.last, line.lowest, **counts, estimates=say("select.rise"))
    count = len(checkpoints(asked.training.epochs))
    flat = [h for fold in line.histories for h in fold]
    sound = [h for h in flat if h.status != "diverged"]
    return CocktailResult(
        cocktail=str(line.cocktail),
        members=len(flat),
        diverged=line.diverged,
        train_loss=interval(line.train_loss, "train_loss"),
        loss=interval(line.loss, "loss"),
        score=interval(line.score, "score", (metric.lowest, metric.highest)),
        loss_difference=against_none("loss", False),
        score_difference=against_none("score", metric.higher_is_better),
        best_epoch=float(np.mean([h.best_epoch for h in sound])) if sound else float("nan"),
        curves={name: np.mean([carried(h, name, count) for h in sound], axis=0) for name in CURVES if sound},
        checkpoints=checkpoints(asked.training.epochs) if sound else np.empty(0, dtype=np.int64),
        gap=gap,
        rise=rise,
        diverged_epoch=min((h.epochs for h in flat if h.status == "diverged"), default=0),
        unbounded=sum(h.status == "unbounded" for h in flat),
    )


def _adjusted(results: Sequence[CocktailResult]) -> tuple[CocktailResult, ...]:
    """Return the lines with their words adjusted for the number of cocktails, for the loss and for the score."""
    losses = family([r.loss_difference for r in results])
    scores = family([r.score_difference for r in results])
    return tuple(
        replace(result, loss_difference=loss, score_difference=score)
        for result, loss, score in zip(results, losses, scores, strict=True)
    )


def _out_of_fold(line: _Line, rows: Array, data: TrainingData) -> Array:
    """Return the predictions for ``rows``, (rows, k), averaged over the seeds that did not diverge, else NaN."""
    found = np.full((len(rows), data.outputs), np.nan)
    for k, fold in enumerate(line.histories):
        sound = [h.predictions for h in fold if h.status != "diverged"]
        if sound:
            found[np.searchsorted(rows, data.folds[k].rows.score)] = np.mean(sound, axis=0)
    return found
