"""What a diagnosis measures: members and references trained on the same folds, and the numbers read off them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from wellfit.cocktail import Cocktail, EarlyStopping
from wellfit.engines.base import Engine, Member
from wellfit.engines.choice import default_engine, exact_engine
from wellfit.errors import SettingError
from wellfit.evidence.diagnosis import UNEXPLAINED, Gain, Measured
from wellfit.evidence.diagnosis_bounds import nested
from wellfit.evidence.diagnosis_text import Look
from wellfit.evidence.metrics import Metric
from wellfit.executors import Executor, Threads
from wellfit.executors.base import Progress
from wellfit.ledger import LedgerLike
from wellfit.nets import MLP, Training
from wellfit.population import advise
from wellfit.records import Array, Fold, History, Table, TrainingData
from wellfit.select.compare import STOP_SHARE
from wellfit.select.diagnose_losses import Rows, Wide
from wellfit.select.diagnose_members import (
    Relative,
    Trainer,
    epochs_of,
    plain,
    relatives,
    same_steps,
    steps_of,
    subsets,
)
from wellfit.select.diagnose_references import Reference, references
from wellfit.select.reading import carried

CAP = 10.0  # so many times the loss of guessing a row counts at most where training failed: a mean that is too low


@dataclass(frozen=True, eq=False)
class Study:
    """One network, one cocktail, one table: K folds, S seeds. ``apart`` are validation rows that were given.

    ``data`` holds, in this order: K folds; the same K, scoring all rows (``wide``); the folds with fewer training rows.
    """

    table: Table
    rows: Array
    apart: Array
    network: MLP
    cocktail: Cocktail
    training: Training
    metric: Metric
    seeds: tuple[int, ...]
    seed: int
    parts: tuple[Fold, ...]
    wide: tuple[Fold, ...]
    places: tuple[tuple[int, ...], ...]
    data: TrainingData
    engine: Engine
    executor: Executor
    ledger: LedgerLike | None
    progress: Progress | None

    @classmethod
    def of(
        cls,
        table: Table,
        rows: Array,
        apart: Array,
        *,
        folds: int,
        seed: int,
        cocktail: Cocktail,
        engine: Engine | None,
        executor: Executor | None,
        threads: int | None,
        network: MLP,
        **given: object,
    ) -> Study:
        """Cut the folds and prepare them. Raises `DataError` for the data, `SettingError` for a cocktail that misfits.

        Other arguments are fields.
        """
        from wellfit.data import folds as cut
        from wellfit.data import prepare

        network.strengths(cocktail)
        share = STOP_SHARE if cocktail.get(EarlyStopping) is not None else 0.0
        parts = cut(table, rows, folds=folds, seed=seed, stop_share=share)
        # Where nothing stops early, the stop rows have no use, and their curve becomes that of the score rows.
        wide = [Fold(p.train, p.stop if share else p.score, _all(p, apart)) for p in parts]
        fewer, places = subsets(parts, seed)
        data = prepare(table, [*parts, *wide, *fewer], bent=not network.linear)
        return cls(
            table=table,
            rows=rows,
            apart=apart,
            network=network,
            cocktail=cocktail,
            seed=seed,
            parts=tuple(parts),
            wide=tuple(wide),
            places=tuple(tuple(2 * len(parts) + i for i in line) for line in places),
            data=data,
            engine=default_engine() if engine is None else engine,
            executor=Threads(threads) if executor is None else executor,
            **given,  # type: ignore[arg-type]  # fields, by name
        )

    @property
    def folds(self) -> int:
        """The count of folds K."""
        return len(self.parts)

    @cached_property
    def exact(self) -> bool:
        """Whether the network is linear and solved exactly: then epochs and seeds make no difference."""
        member = Member(self.network, self.cocktail, self.training, self.seeds[0], 0)
        return exact_engine(self.engine, member, self.data) is not None

    def members(self, relative: Relative, seeds: Sequence[int], places: Sequence[int] | None = None) -> list[Member]:
        """Return members of a relative, folds then seeds; ``places`` are the folds' indices, by default the first K."""
        where = range(self.folds) if places is None else places
        return [
            Member(relative.network, relative.cocktail, relative.training, seed, fold)
            for fold in where
            for seed in seeds
        ]

    @property
    def own(self) -> Relative:
        """The network under diagnosis itself."""
        return Relative(str(self.cocktail), "own", self.network, self.cocktail, self.training)


def _all(part: Fold, apart: Array) -> Array:
    return np.sort(np.concatenate([part.train, part.stop, part.score, apart]))


@dataclass(frozen=True, eq=False)
class Trained:
    """All that was trained: ``at[epoch]`` are the network's histories (folds, then seeds) on the wide folds.

    ``others`` are relatives with their histories (K,), ``fewer`` those of the subsets, (G, K).
    """

    at: dict[int, list[History]]
    others: list[tuple[Relative, list[History]]]
    fewer: list[list[History]]


def trained(study: Study) -> Trained:
    """Train the population. Raises `SettingError` where the network itself diverges."""
    exact, usual = study.exact, study.training.epochs
    seeds = study.seeds[:1] if exact else study.seeds
    on_the_way = not exact and plain(study.cocktail, study.training)
    epochs, last = epochs_of(study.training, len(study.parts[0].train), both=on_the_way)
    longest = study.training if exact else replace(study.training, epochs=last)
    wide = range(study.folds, 2 * study.folds)
    kin = relatives(study.network, study.cocktail, study.training, exact=exact)
    rest = [m for r in kin for m in study.members(r, study.seeds[:1])]
    subset = [m for line in study.places for m in _on_fewer(study, line)]
    later = [] if on_the_way or exact else [last]
    own = study.members(replace(study.own, training=longest if on_the_way else study.training), seeds, wide)
    retrained = [m for e in later for m in study.members(replace(study.own, training=_epochs(study, e)), seeds, wide)]
    total = steps_of([*own, *retrained, *rest, *subset], study.data)

    def progress(before: int) -> Progress | None:
        report = study.progress
        return None if report is None else lambda done, _: report(before + done, total)

    trainer = Trainer(study.data, study.engine, study.executor, study.ledger, progress)
    first = trainer.snapshots(own, epochs) if on_the_way else [trainer.train(own)]
    at = dict(zip(epochs if on_the_way else [usual], first, strict=True))
    histories = trainer.train([*retrained, *rest, *subset], before=steps_of(own, study.data))
    _refuse_diverged(study, own, at[usual])
    size = len(own)
    at |= {e: histories[i * size : (i + 1) * size] for i, e in enumerate(later)}
    histories, k = histories[len(retrained) :], study.folds
    others = [(r, histories[i * k : (i + 1) * k]) for i, r in enumerate(kin)]
    histories = histories[len(rest) :]
    return Trained(at, others, [histories[i * k : (i + 1) * k] for i in range(len(study.places))])


def _epochs(study: Study, epochs: int) -> Training:
    return replace(study.training, epochs=epochs)


def _on_fewer(study: Study, places: Sequence[int]) -> list[Member]:
    """Return the network's members on smaller training sets, with as many steps."""
    out = []
    for k, place in enumerate(places):
        sizes = [len(study.data.folds[i].rows.train) for i in (k, place)]
        training = study.training if study.exact else same_steps(study.training, *sizes)
        out.append(Member(study.network, study.cocktail, training, study.seeds[0], place))
    return out


def _refuse_diverged(study: Study, members: Sequence[Member], histories: Sequence[History]) -> None:
    lost = [m for m, h in zip(members, histories, strict=True) if h.status == "diverged"]
    if lost:
        advice = advise(lost, study.data, engine=study.engine, executor=study.executor)
        raise SettingError("diagnose.diverged", diverged=len(lost), members=len(members), advice=advice)


@dataclass(frozen=True, eq=False)
class Alternative:
    """Something else that was tried, by its loss on each row, (m,); ``kind`` as in `Relative`, or reference."""

    name: str
    kind: str
    losses: Array


def alternatives(study: Study, rows: Rows, found: Trained, refs: Sequence[Reference]) -> list[Alternative]:
    """Return all alternatives whose members are sound."""
    out = []
    for relative, histories in found.others:
        losses = rows.members(histories)
        if losses is not None:
            out.append(Alternative(relative.name, relative.kind, losses))
    for epoch, histories in found.at.items():
        sound = all(h.status != "diverged" for h in histories)
        if epoch < study.training.epochs and sound:
            losses = Wide.of(rows, histories, study.wide, study.apart).unseen
            out.append(Alternative(f"epochs {epoch}", "regular", losses))
    simple = not study.network.linear  # a linear model is less flexible than a network
    out += [
        Alternative(r.name, "regular" if r.less_flexible and simple else "reference", rows.scored(r.predictions))
        for r in refs
    ]
    return [a for a in out if np.isfinite(a.losses).all()]


def gain(rows: Rows, own: Array, tried: Sequence[Alternative]) -> Gain | None:
    """Return what the best of these saves, chosen for each fold on the others; None where there are none."""
    if not tried:
        return None
    chosen, picks = nested(np.array([a.losses for a in tried]), rows.fold)
    return Gain(rows.bound(own - chosen), tried[int(np.bincount(picks).argmax())].name)


def measure(study: Study) -> Look:
    """Train everything and return what was measured."""
    from wellfit.data import prepare
    from wellfit.select.diagnose_look import look

    rows = Rows.of(study.table, study.parts, study.training)
    found = trained(study)
    bent = study.data if not study.network.linear else prepare(study.table, study.parts, bent=True)
    straight = prepare(study.table, study.parts, bent=False) if not study.network.linear else study.data
    refs = references(study.table, bent, straight, study.folds, study.seed, study.engine, study.executor)
    own = Wide.of(rows, found.at[study.training.epochs], study.wide, study.apart)
    tried = alternatives(study, rows, found, refs)
    later = [
        (epoch, Wide.of(rows, histories, study.wide, study.apart))
        for epoch, histories in found.at.items()
        if epoch > study.training.epochs and all(h.status != "diverged" for h in histories)
    ]
    rose = _rose(found.at[study.training.epochs])
    measured = numbers(rows, own, later, tried, rose=rose)
    return look(study, rows, found, refs, own, tried, measured)


def _rose(histories: Sequence[History]) -> bool:
    """Return whether the training loss was ever above that before the first step: a network that is slow never is."""
    count = max(len(h.checkpoints) for h in histories)
    if not count:  # a linear model solved exactly
        return False
    curve = np.mean([carried(h, "train_loss", count) for h in histories], axis=0)
    return bool(curve.max() > curve[0])


def numbers(
    rows: Rows,
    own: Wide,
    later: Sequence[tuple[int, Wide]],
    tried: Sequence[Alternative],
    *,
    rose: bool = False,
) -> Measured:
    """Return the losses and gains; leaks, copies, shift and the learning curve are added by `diagnose_look`.

    ``rose`` tells whether the training loss was ever above that of the untrained network.
    """
    guesses = rows.guesses()
    best, bias, bias_later = gain(rows, own.unseen, tried), None, None
    if tried:
        lowest, _ = nested(np.array([a.losses for a in tried]), rows.fold)
        bias = rows.bound(own.seen - lowest)
        bias_later = rows.bound(later[-1][1].seen - lowest) if later else None
    longer = gain(rows, own.unseen, [Alternative(f"epochs {e}", "longer", w.unseen) for e, w in later])
    return Measured(
        rows=len(rows.rows),
        folds=rows.folds,
        guess=float(guesses.mean()) if len(np.unique(rows.table.target[rows.rows])) > 1 else 0.0,
        loss=rows.bound(own.unseen),
        train=rows.bound(own.seen),
        gap=rows.bound(own.unseen - own.seen),
        share=rows.bound(own.unseen - UNEXPLAINED * guesses),
        better=best,
        regular=gain(rows, own.unseen, [a for a in tried if a.kind == "regular"]),
        longer=longer,
        bias=bias,
        bias_later=bias_later,
        failed=rows.bound(np.minimum(own.seen, CAP * guesses.mean()) - guesses) if rose else None,
        learning=rows.bound(own.seen - later[-1][1].seen) if later else None,
    )
