"""The rest of what a diagnosis looks at: leaks, copies, shifts, the learning curve, neighbours, figures for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from wellfit.engines.base import seen_rows
from wellfit.evidence.diagnosis import Measured, Shift
from wellfit.evidence.diagnosis_bounds import Bound, bound, nested
from wellfit.evidence.diagnosis_curve import change, halving, power_law
from wellfit.evidence.diagnosis_text import Look
from wellfit.evidence.intervals import RowError, fold_interval, trained_interval
from wellfit.evidence.metrics import metric_said
from wellfit.messages import say
from wellfit.nets import Training
from wellfit.population import train
from wellfit.records import Array, Finding, History, Interval, LearningCurve
from wellfit.select.diagnose_losses import Rows, Wide, by_fold
from wellfit.select.diagnose_members import steps_of
from wellfit.select.diagnose_references import Reference
from wellfit.select.diagnose_rows import contradicted, copied, disagreeing, lowest_error, neighbours
from wellfit.select.diagnose_shift import shift
from wellfit.select.reading import carried, kept_value
from wellfit.select.row_changes import RowChanges

if TYPE_CHECKING:
    from wellfit.select.diagnose_study import Alternative, Study, Trained

FEW_COPIES, COPIED_SHARE = 5, 0.02


def look(
    study: Study,
    rows: Rows,
    found: Trained,
    refs: Sequence[Reference],
    own: Wide,
    tried: Sequence[Alternative],
    measured: Measured,
) -> Look:
    """Return everything that was measured, for the rules and for people."""
    from wellfit.data import Preprocessor
    from wellfit.data.leaks import find_leaks
    from wellfit.select.diagnose_study import gain

    ready = Preprocessor.fit(study.table, study.rows).transform(study.table.columns)
    leaks = list(find_leaks(study.table, study.rows, study.seed))
    copies, count = _copies(study, rows, ready, own)
    curve, falling, more, halved = _learning_curve(study, rows, found, own)
    moved = _moved(study, rows, own, ready)
    names = tuple(dict.fromkeys(name for leak in leaks for name in leak.columns))
    measured = replace(measured, leaks=names, copies=copies, falling=falling, shift=moved)
    near = neighbours(study.table, study.rows, ready, study.seed) if len(study.rows) > 2 else None
    disagreement = None if near is None else bound(near.differ, folds=1, allowance=1.0)
    regression = study.table.task == "regression"
    said = _Said.of(study, rows, found)
    trained = said.rows.of_training(said.seen)
    learnt = trained.values if trained is not None and said.rows.sampled else _trained_losses(study, found)
    loss_error = said.rows.error(said.rows.of_loss(said.unseen, said.seen))
    floor = nested(np.array([a.losses for a in tried]), rows.fold)[0] if tried else None
    return Look(
        measured=measured,
        metric=study.metric.name,
        regression=regression,
        epochs=study.training.epochs,
        rate=study.training.learning_rate,
        train_loss=_over_folds(rows, learnt, "diagnose.estimates_train_loss", said.rows.trained_error(trained)),
        loss=_over_folds(rows, by_fold(rows, own.unseen), "diagnose.estimates_loss", loss_error),
        gap=_gap(rows, own, learnt),
        score=said.score(study, rows),
        floor=None
        if floor is None
        else _over_folds(rows, by_fold(rows, floor), "diagnose.estimates_floor", rows.error(floor)),
        flexible=gain(rows, own.unseen, [a for a in tried if a.kind == "flexible"]),
        reference=gain(rows, own.unseen, [a for a in tried if a.name.partition("_")[0] in _NAMES]),
        neighbours=_disagreement(disagreement, regression),
        lowest=0.0
        if disagreement is None or regression
        else lowest_error(disagreement.mean, max(2, len(study.table.classes))),
        more=more,
        halving=halved,
        without=_without(study, rows, own, names),
        leaks=tuple(_text(leak) for leak in leaks),
        disagree=() if near is None else tuple(int(r) for r in disagreeing(study.table, near)[:20]),
        contradicted=tuple(int(r) for r in contradicted(rows, [r.predictions for r in _strongest(rows, refs)])),
        copies=count,
        cost=_costs(study, found),
        curve=curve,
        **_curves(study, found),  # type: ignore[arg-type]  # two fields, by name
    )


def _moved(study: Study, rows: Rows, own: Wide, ready: Array) -> Shift | None:
    """Return how the validation rows that were given, or with times the latest ones, differ; None where there are none.

    The latest rows are scored by networks with more training rows than all others had: what they lose more is drift.
    """
    if len(study.apart):
        return shift(study.table, rows.rows, study.apart, own.unseen, own.elsewhere, study.seed, ready)
    if study.table.times is None or rows.folds < 2:
        return None
    last = rows.fold == rows.folds - 1
    earlier = np.setdiff1d(study.rows, rows.rows[last])
    return shift(study.table, earlier, rows.rows[last], own.unseen[~last], own.unseen[last], study.seed, ready)


_NAMES = ("linear", "additive", "quadratic", "smooth", "trees", "boosting")


def _text(leak: Finding) -> str:
    return leak.text


def _disagreement(found: Bound | None, regression: bool) -> Interval | None:
    if found is None:
        return None
    interval = found.interval(say("diagnose.estimates_neighbours"))
    return replace(interval, low=max(0.0, interval.low), high=interval.high if regression else min(1.0, interval.high))


def _over_folds(rows: Rows, values: Array, key: str, look: RowError | None = None) -> Interval:
    """Return the interval over folds of one value each, (K,); training losses have their own (`trained_interval`)."""
    if key == "diagnose.estimates_train_loss":
        return trained_interval(values, estimates=say(key), rows=look)
    return fold_interval(values, estimates=say(key), rows=look, bounds=(0.0, np.inf), **rows.sizes)


def _gap(rows: Rows, own: Wide, learnt: Array) -> Interval:
    """Return the mean over folds of the loss on rows left out less that on rows trained on, which is (K,)."""
    values, error = by_fold(rows, own.unseen) - learnt, rows.gap_error(own.unseen - own.seen)
    return fold_interval(values, estimates=say("diagnose.estimates_gap"), rows=error, **rows.sizes)


@dataclass(frozen=True, eq=False)
class _Said:
    """What the networks say of the rows left out, and of those trained on: (S, rows, k) of each fold."""

    rows: RowChanges
    unseen: list[Array]
    seen: list[Array]

    @classmethod
    def of(cls, study: Study, rows: Rows, found: Trained) -> _Said:
        histories = found.at[study.training.epochs]
        seeds, folds = len(histories) // rows.folds, study.data.folds[: rows.folds]

        def said(k: int, asked: Array) -> Array:
            here = np.searchsorted(study.wide[k].score, asked)
            return np.array([h.predictions[here] for h in histories[k * seeds : (k + 1) * seeds]])

        unseen = [said(k, fold.rows.score) for k, fold in enumerate(folds)]
        seen = [said(k, seen_rows(fold, study.data.outputs)) for k, fold in enumerate(folds)]
        training = replace(study.training, loss="squared") if rows.loss == "squared" else study.training
        return cls(RowChanges(study.table, folds, training, study.metric), unseen, seen)

    def score(self, study: Study, rows: Rows) -> Interval:
        """Return the interval of the metric over folds, seeds averaged inside."""
        metric, task = study.metric, study.table.task
        targets = [study.table.target[part.score] for part in rows.parts]
        scores = [
            np.mean([metric.function(task, target, each) for each in said])
            for target, said in zip(targets, self.unseen, strict=True)
        ]
        return fold_interval(
            scores,
            estimates=say("diagnose.estimates_score", metric=metric_said(metric.name)),
            rows=self.rows.error(self.rows.of_score(self.unseen, self.seen)),
            bounds=(metric.lowest, metric.highest),
            **rows.sizes,
        )


def _copies(study: Study, rows: Rows, ready: Array, own: Wide) -> tuple[Bound | None, int]:
    """Return how much worse rows without a copy among the training rows are scored than all, and the count of copies.

    None where there are few copies, or few other rows.
    """
    seen = copied(study.table, rows, ready)
    count = int(seen.sum())
    if count < max(FEW_COPIES, COPIED_SHARE * len(seen)) or (~seen).sum() < FEW_COPIES:
        return None, count
    # The mean over the others less that over all, written as a mean over all rows with the same spread.
    share = (~seen).mean()
    mean = float((own.unseen * (~seen / share - 1)).mean())
    centred = own.unseen * (~seen / share - 1) - mean * (~seen / share)
    return rows.bound(centred - centred.mean() + mean), count


def _learning_curve(
    study: Study, rows: Rows, found: Trained, own: Wide
) -> tuple[LearningCurve | None, Bound | None, Interval | None, Interval | None]:
    """Return the curve, the loss with half the rows less that with all, and what more rows would do."""
    lines = [(rows.members(histories), histories) for histories in found.fewer]
    if not lines or any(losses is None for losses, _ in lines):
        return None, None, None, None
    sound = [(losses, histories) for losses, histories in lines if losses is not None]
    full = float(np.mean([len(p.train) for p in rows.parts]))
    sizes = [float(np.mean([len(study.data.folds[i].rows.train) for i in line])) for line in study.places]
    losses = np.array([*(by_fold(rows, values) for values, _ in sound), by_fold(rows, own.unseen)])
    seen = [np.array([kept_value(h, "train_loss") for h in histories]) for _, histories in sound]
    train_losses = np.array([*seen, _trained_losses(study, found)])
    counts = np.array([*sizes, full])
    curve = LearningCurve(counts, train_losses, losses, power_law(counts, losses.mean(axis=1)))
    falling = rows.bound(sound[-1][0] - own.unseen)
    if len(counts) < 3:
        return curve, falling, None, None
    share = float(rows.sizes["test_rows"].mean()) / full
    more = change(counts, losses, 2.0, share, say("diagnose.estimates_more"))
    gaps = losses - train_losses
    return curve, falling, more, halving(counts, gaps, share, say("diagnose.estimates_halving"))


def _trained_losses(study: Study, found: Trained) -> Array:
    histories = found.at[study.training.epochs]
    return np.array([kept_value(h, "train_loss") for h in histories]).reshape(study.folds, -1).mean(axis=1)


def _strongest(rows: Rows, refs: Sequence[Reference]) -> list[Reference]:
    """Return the best reference of each kind."""
    best: dict[str, Reference] = {}
    for ref in sorted(refs, key=lambda r: -float(rows.scored(r.predictions).mean())):
        best[ref.name.partition("_")[0]] = ref
    return list(best.values())


def _costs(study: Study, found: Trained) -> dict[str, float]:
    """Return how many times the network's own weights and steps each relative takes."""
    base = steps_of([study.members(study.own, study.seeds[:1])[0]], study.data)
    outputs = study.data.outputs
    inputs = study.data.folds[0].x.shape[1]
    own = study.network.size(inputs, outputs)
    cost = {}
    for relative, _ in found.others:
        steps = steps_of([study.members(relative, study.seeds[:1])[0]], study.data)
        cost[relative.name] = steps / base * relative.network.size(inputs, outputs) / own
    return cost | {f"epochs {epoch}": epoch / study.training.epochs for epoch in found.at}


def _without(study: Study, rows: Rows, own: Wide, names: tuple[str, ...]) -> Interval | None:
    """Return how the loss changes where the leaking columns are dropped, by training without them."""
    if not names or set(names) == set(study.table.columns):
        return None
    from wellfit.data import prepare
    from wellfit.errors import DataError

    columns = {name: values for name, values in study.table.columns.items() if name not in names}
    table = replace(study.table, columns=columns, kinds={name: study.table.kinds[name] for name in columns})
    try:
        data = prepare(table, study.parts, bent=not study.network.linear)
    except DataError:  # nothing but constant columns is left
        return None
    members = study.members(study.own, study.seeds[:1])
    losses = rows.members(train(members, data, engine=study.engine, executor=study.executor))
    if losses is None:
        return None
    return rows.bound(losses - own.unseen).interval(say("diagnose.estimates_worth"))


def _curves(study: Study, found: Trained) -> dict[str, object]:
    """Return the mean curves of the longest training, losses on rows that trained and on rows that did not."""
    from wellfit.nets.training import checkpoints

    histories: list[History] = found.at[max(found.at)]
    training: Training = study.training if study.exact else replace(study.training, epochs=max(found.at))
    points = checkpoints(training.epochs)
    if study.exact:
        return {"curves": {}, "checkpoints": np.empty(0, dtype=np.int64)}
    sound = [h for h in histories if h.status != "diverged" and len(h.checkpoints)]
    if not sound:
        return {"curves": {}, "checkpoints": np.empty(0, dtype=np.int64)}
    # The score rows' curve was recorded as that of the stop rows: see `Study.of`.
    made = {
        "train_loss": np.mean([carried(h, "train_loss", len(points)) for h in sound], axis=0),
        "score_loss": np.mean([carried(h, "stop_loss", len(points)) for h in sound], axis=0),
    }
    return {"curves": made, "checkpoints": points}
