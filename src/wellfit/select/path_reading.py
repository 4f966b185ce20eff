"""Read a path off the histories of its population. Axes: P points, K folds, S seeds, c checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from wellfit.cocktail import Cocktail
from wellfit.engines.base import CURVES
from wellfit.errors import SettingError
from wellfit.evidence.diagnosis_bounds import regression_losses
from wellfit.evidence.intervals import RowError, difference, fold_intervals, trained_intervals
from wellfit.evidence.metrics import Metric, metric_said
from wellfit.messages import say
from wellfit.nets import Network, Training
from wellfit.nets.training import checkpoints
from wellfit.population.plan import plan_fold
from wellfit.records import Array, Difference, History, Interval, Path, Table, TrainingData, WarmStarts
from wellfit.select.axes import Over
from wellfit.select.reading import kept_value
from wellfit.select.row_changes import RowChanges, stacked
from wellfit.select.stacked import Readings, Stacked


@dataclass(frozen=True, eq=False)
class PathAsked:
    """The question of a path, and the table it was asked of; along epochs all ``cocktails`` are the base."""

    table: Table
    over: Over
    strengths: Array
    cocktails: Sequence[Cocktail]
    end: str
    network: Network
    training: Training
    metric: Metric
    folds: int
    seeds: int
    seed: int


def read_path(histories: Sequence[Sequence[History]], data: TrainingData, asked: PathAsked) -> Path:
    """Return the path. ``histories[p]`` are point p's: folds, then seeds. Raises as `read_members`."""
    return read_members(Stacked([h for point in histories for h in point], asked.folds, asked.seeds), data, asked)


def read_members(members: Readings, data: TrainingData, asked: PathAsked) -> Path:
    """Return the path from the readings of its members. Raises `SettingError` where every point has diverged ones."""
    shape = (len(asked.cocktails), asked.folds, asked.seeds)
    diverged = members.diverged.reshape(shape)
    if diverged.any(axis=(1, 2)).all():
        rate = f"{asked.training.learning_rate:g}"
        raise SettingError("path.all_diverged", points=shape[0], ingredient=asked.over.name, rate=rate)

    def over_members(values: Sequence[float] | Array) -> Array:
        """Return one number or row per member as (P, K, S, ...), NaN where the member diverged."""
        found = np.array(values, dtype=np.float64)
        found = found.reshape(shape + found.shape[1:])
        found[diverged] = np.nan
        return found

    def mean(values: Array) -> Array:
        return over_members(values).mean(axis=(1, 2))

    losses = over_members(members.kept("score_loss"))
    scores, rows, out_of_fold = _predicted(members, diverged, data, asked)
    train_losses = over_members(members.kept("train_loss"))
    best, strongest, error, right = one_standard_error(losses)
    grid = checkpoints(asked.training.epochs)
    ahead = np.minimum(np.arange(len(grid)), members.longest - 1)
    rows_of, trained = _row_errors(members, data, asked)
    return Path(
        data=asked.table.name,
        task=asked.table.task,
        metric=asked.metric.name,
        higher_is_better=asked.metric.higher_is_better,
        network=str(asked.network),
        training=str(asked.training),
        base=str(asked.over.base),
        over=asked.over.name,
        folds=asked.folds,
        seeds=asked.seeds,
        seed=asked.seed,
        strengths=asked.strengths,
        cocktails=tuple(map(str, asked.cocktails)),
        losses=losses,
        train_losses=train_losses,
        scores=scores,
        loss=_intervals(losses, data, asked, "loss", rows_of["loss"]),
        train_loss=_intervals(
            train_losses if trained is None else trained, data, asked, "train_loss", rows_of["train_loss"]
        ),
        score=_intervals(scores, data, asked, "score", rows_of["score"]),
        standard_error=error,
        best=best,
        one_standard_error=strongest,
        right=right,
        diverged=diverged.sum(axis=(1, 2)),
        weight_norms=mean(members.norms),
        zeros=mean(members.zeros),
        inputs_used=mean(members.used),
        inputs=max(fold.x.shape[1] for fold in data.folds[: asked.folds]),
        units=mean(members.units),
        curves={name: mean(members.curves(name))[:, ahead] for name in CURVES},
        checkpoints=grid,
        chance=_chance(data, asked),
        end=asked.end,
        rows=rows,
        out_of_fold=out_of_fold,
    )


def one_standard_error(losses: Array) -> tuple[int, int, float, Array]:
    """Return the best point, the strongest within one standard error, that error, and which points are within it.

    ``losses`` is (P, K, S), the weakest point first, NaN where a member diverged: such a point is never chosen. Seeds
    are averaged inside each fold; the error is that of the best point's mean over folds, S / sqrt(K) (Breiman et al.
    1984; Hastie, Tibshirani & Friedman 2009, 7.10). With one fold it is 0.

    >>> losses = np.array([[1.0, 1.2], [0.8, 1.0], [0.88, 1.05], [2.0, 2.0]])[:, :, None]
    >>> one_standard_error(losses)[:2]
    (1, 2)
    """
    by_fold = losses.mean(axis=2)
    means = by_fold.mean(axis=1)
    best = int(np.nanargmin(means))
    folds = by_fold.shape[1]
    error = float(by_fold[best].std(ddof=1) / np.sqrt(folds)) if folds > 1 else 0.0
    right = means <= means[best] + error  # False where NaN
    return best, int(np.flatnonzero(right)[-1]), error, right


def _predicted(members: Readings, diverged: Array, data: TrainingData, asked: PathAsked) -> tuple[Array, Array, Array]:
    """Return the scores, (P, K, S), the rows that are scored, sorted, and what each point says of them, (P, rows, k).

    That is averaged over the seeds that did not diverge; a diverged member's score is NaN. One fold after another is
    looked at, and what it says need not be kept.
    """
    metric, scored = asked.metric.function, [fold.rows.score for fold in data.folds[: asked.folds]]
    rows = np.concatenate(scored)
    order = np.argsort(rows)
    places = np.split(np.argsort(order), np.cumsum([len(score) for score in scored])[:-1])
    scores = np.full(diverged.shape, np.nan)
    found = np.empty((len(diverged), len(rows), data.outputs))
    for k, (score, place) in enumerate(zip(scored, places, strict=True)):
        target = asked.table.target[score]
        for p, by_seed in enumerate(members.predictions(k)):
            sound = [s for s in range(asked.seeds) if not diverged[p, k, s]]
            for s in sound:
                scores[p, k, s] = metric(asked.table.task, target, by_seed[s])
            said = _average([by_seed[s] for s in sound]) if sound else np.full((len(score), data.outputs), np.nan)
            for column in range(data.outputs):  # to write rows of one number takes twice as long
                found[p, :, column][place] = said[:, column]
    return scores, rows[order], found


def _average(several: Sequence[Array]) -> Array:
    return several[0] if len(several) == 1 else np.mean(several, axis=0)


def _counts(data: TrainingData, asked: PathAsked) -> dict[str, Array]:
    parts = [fold.rows for fold in data.folds[: asked.folds]]
    return {
        "train_rows": np.array([len(part.train) + len(part.stop) for part in parts]),
        "test_rows": np.array([len(part.score) for part in parts]),
    }


def _row_errors(
    members: Readings, data: TrainingData, asked: PathAsked
) -> tuple[dict[str, list[RowError | None]], Array | None]:
    """Return what the rows tell of each point's loss, training loss and score, P of each.

    With them the training losses, (P, K, 1), where curves have them on a sample of the training rows only.
    """
    first = plan_fold(asked.cocktails[0], 0, asked.folds, data)
    rows = RowChanges(asked.table, data.folds[first : first + asked.folds], asked.training, asked.metric)
    unseen = [stacked(members.predictions(k)) for k in range(asked.folds)]
    seen = [stacked(members.seen(k)) for k in range(asked.folds)]
    with np.errstate(all="ignore"):  # of a diverged member nothing is shown
        trained = rows.of_training(seen)
        unknown: list[RowError | None] = [None] * len(asked.cocktails)
        found = {
            "loss": rows.loss_errors(unseen, seen),
            "score": rows.score_errors(unseen, seen),
            "train_loss": unknown if trained is None else rows.trained_errors(trained),
        }
    return found, trained.values[:, :, None] if trained is not None and rows.sampled else None


def _intervals(
    values: Array, data: TrainingData, asked: PathAsked, what: str, rows: Sequence[RowError | None]
) -> tuple[Interval | None, ...]:
    """Return each point's mean and interval, None where a member diverged or nothing is defined."""
    metric, means = asked.metric, values.mean(axis=2)
    bounds = (metric.lowest, metric.highest) if what == "score" else (0.0, np.inf)
    # A score may be undefined in some folds; a loss is not a number only where a member diverged.
    unknown = np.isnan(means)
    known = np.flatnonzero(~(unknown.all(axis=1) if what == "score" else unknown.any(axis=1)))
    sentence = say(f"select.{what}", metric=metric_said(metric.name))
    looks = [rows[p] for p in known.tolist()]
    if what == "train_loss":
        intervals = trained_intervals(means[known], estimates=sentence, rows=looks)
    else:
        counts = _counts(data, asked)
        intervals = fold_intervals(means[known], **counts, estimates=sentence, rows=looks, bounds=bounds)
    found: list[Interval | None] = [None] * len(means)
    for p, interval in zip(known, intervals, strict=True):
        found[p] = interval
    return tuple(found)


def _chance(data: TrainingData, asked: PathAsked) -> float:
    """Return the mean over folds of the validation loss of the one answer that suits the training rows best.

    That is the rows' mean, or their frequencies; for the losses ``absolute``, ``huber`` and ``quantile`` what they make
    of it. Unit and weights are those of curves.
    """
    found = []
    for fold in data.folds[: asked.folds]:
        train, score = fold.rows.train, fold.rows.score
        if fold.weights is None:
            weights = np.ones(len(fold.y))
        else:
            weights = fold.weights
            train, score = train[weights[train] > 0], score[weights[score] > 0]
        if not len(train) or not len(score):
            continue
        if data.task == "regression":
            name, parameter = asked.training.loss_and_parameter(data.task)
            centre = _centre(name, parameter, fold.y[train, 0], weights[train])
            losses = regression_losses(name, parameter, fold.y[score, 0] - centre)
            unit = fold.target_scale if name in ("absolute", "quantile") else fold.loss_unit
            found.append(float(np.average(losses, weights=weights[score]) * unit))
            continue
        eps = np.finfo(np.float64).eps
        chances = np.clip(np.average(fold.y[train], axis=0, weights=weights[train]), eps, 1 - eps)
        logs = fold.y[score] * np.log(chances)
        if data.task == "binary":
            logs = logs + (1 - fold.y[score]) * np.log(1 - chances)
        found.append(float(-np.average(logs.sum(axis=1), weights=weights[score])))
    return float(np.mean(found)) if found else np.nan


def _centre(name: str, parameter: float, y: Array, weights: Array) -> float:
    """Return the one number with the least loss on ``y``, (m,): the mean, a quantile, or what lies between."""
    if name == "squared":
        return float(np.average(y, weights=weights))
    if name in ("absolute", "quantile"):
        order = np.argsort(y)
        share = np.cumsum(weights[order]) / weights.sum()
        return float(y[order][np.searchsorted(share, 0.5 if name == "absolute" else parameter)])
    from scipy.optimize import minimize_scalar

    def cost(centre: float) -> float:
        return float(np.average(regression_losses(name, parameter, y - centre), weights=weights))

    return float(minimize_scalar(cost, bounds=(y.min(), y.max()), method="bounded").x)


def read_warm(histories: Iterable[Sequence[History]], path: Path, data: TrainingData) -> WarmStarts:
    """Return how the same points trained one from the other compare with independent members."""
    losses = np.full(path.losses.shape, np.nan)
    for p, point in enumerate(histories):
        values = [kept_value(h, "score_loss") if h.status != "diverged" else np.nan for h in point]
        losses[p] = np.array(values).reshape(path.folds, path.seeds)
    parts = [fold.rows for fold in data.folds[: path.folds]]
    differences: list[Difference | None] = []
    for ours, theirs in zip(losses.mean(axis=2), path.losses.mean(axis=2), strict=True):
        if np.isnan(ours).any() or np.isnan(theirs).any():
            differences.append(None)
            continue
        differences.append(
            difference(
                ours,
                theirs,
                train_rows=np.array([len(part.train) + len(part.stop) for part in parts]),
                test_rows=np.array([len(part.score) for part in parts]),
                higher_is_better=False,
                estimates=say("path.warm_difference"),
            )
        )
    apart = [d for d in differences[1:] if d is not None]  # the first point is the same training in both
    means = losses.mean(axis=(1, 2))
    if not apart or np.isnan(means).all():
        return WarmStarts(losses, tuple(differences), say("path.warm_none"))
    words = [d.word for d in apart]
    at = int(np.nanargmin(means))
    sentence = say(
        "path.warm",
        points=len(words),
        better=words.count("better"),
        worse=words.count("worse"),
        mean=f"{np.mean([d.interval.mean for d in apart]):+.2g}",
        best=f"{path.mean(path.losses)[path.best]:.3g}",
        warm_best=f"{means[at]:.3g}",
        at=path.cocktails[at],
    )
    return WarmStarts(losses, tuple(differences), sentence)
