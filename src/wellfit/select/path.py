"""The regularization path of a network along one ingredient: all points, folds and seeds are one population."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from wellfit.cocktail import Cocktail, EarlyStopping, Ingredient
from wellfit.engines.base import Engine, Member, State, history
from wellfit.errors import SettingError
from wellfit.evidence.metrics import Metric, as_metric
from wellfit.executors import Executor, Threads
from wellfit.executors.base import Progress
from wellfit.ledger import LedgerLike
from wellfit.nets import MLP, Training, as_network
from wellfit.population import check, plan, plan_fold, train
from wellfit.records import Array, History, Path, Table, TrainingData
from wellfit.select.axes import Over, as_over, grid
from wellfit.select.compare import cross_validation_data, seeds_of
from wellfit.select.defaults import default_network, default_training
from wellfit.select.path_reading import PathAsked, read_path, read_warm
from wellfit.select.source import development_rows, read_source

if TYPE_CHECKING:
    from os import PathLike

    import pandas as pd

MIN_POINTS, MAX_POINTS = 3, 200


def path(
    source: Table | str | PathLike | pd.DataFrame | tuple,
    over: type[Ingredient] | Ingredient | str,
    *,
    points: int | Sequence[float] = 30,
    folds: int = 5,
    seeds: int | Sequence[int] = 3,
    cocktail: Cocktail | Ingredient | str | None = None,
    network: MLP | str | tuple[int, ...] | None = None,
    training: Training | None = None,
    metric: str | Metric | None = None,
    warm: bool = False,
    seed: int = 0,
    rows: Array | None = None,
    quick: bool = False,
    engine: Engine | None = None,
    executor: Executor | None = None,
    ledger: LedgerLike | None = None,
    progress: Progress | None = None,
    **options: object,
) -> Path:
    """Turn one ingredient up from none to the end of its range, and return what happens to the network.

    ``over`` is the ingredient: its class, an example whose options count (``wf.ElasticNet(1, l1_ratio=0.9)``), or its
    name; ``cocktail`` is what it is added to, by default none. ``points`` is how many strengths, none included, or
    the strengths themselves. A penalty's end is where the network predicts the mean, found by a few trainings; l2 and
    weight decay end at the latest where learning rate times strength is 1, dropout at 0.95, label smoothing at 1,
    mixup at 32. Along ``early_stopping`` the points are epochs, from all down to 0.

    Every point is trained on each of ``folds`` folds with each of ``seeds`` seeds; members are independent. With
    ``warm`` a second population starts each point where the next weaker one ended (as LassoNet's path does: Lemhadri
    et al. 2021), and the result says how the two differ. Other arguments are as in `wellfit.compare`; the curves of
    the result have bands over folds and seeds.
    Raises `SettingError` for an ingredient without a path or impossible settings, and where every point has diverged
    members; `DataError` for the data; `UnsupportedError` where the engine cannot train the ingredient.

    >>> from wellfit.nets import Training
    >>> found = path("iris", "l2", points=4, network="8", training=Training(epochs=5), seeds=1, folds=2)
    >>> len(found.strengths), float(found.strengths[0]), found.cocktails[0]
    (4, 0.0, 'none')
    """
    member_seeds = seeds_of(seed, seeds)
    if isinstance(folds, bool) or not isinstance(folds, int | np.integer) or folds < 2:
        raise SettingError("select.bad_folds", value=folds)
    along = as_over(over, cocktail)
    count = _count(points)
    table = read_source(source, options)
    rows = development_rows(table, rows)
    measure = as_metric(metric, table.task)
    net = default_network(table) if network is None else as_network(network)
    members = count * folds * len(member_seeds)
    recipe = training or default_training(table, rows, quick=quick, network=net, members=members)
    data, folds = cross_validation_data(table, rows, folds, seed, along.base.get(EarlyStopping) is not None)
    if engine is None:
        from wellfit.engines.compiled import CompiledEngine

        engine = CompiledEngine()
    work = _Work(along, data, folds, member_seeds, net, recipe, engine, executor or Threads(), ledger, progress)
    strengths, end = work.strengths(points)
    asked = PathAsked(table, along, strengths, end, net, recipe, measure, folds, len(member_seeds), seed)
    found = read_path(work.histories(strengths), data, asked)
    if warm and along.axis.spacing != "epochs":
        found = replace(found, warm=read_warm(work.warm(strengths), found, data))
    return found


def _count(points: object) -> int:
    if isinstance(points, int | np.integer) and not isinstance(points, bool):
        if not MIN_POINTS <= points <= MAX_POINTS:
            raise SettingError("path.bad_points", value=points, low=MIN_POINTS, top=MAX_POINTS)
        return int(points)
    given = tuple(points) if isinstance(points, Sequence | np.ndarray) and not isinstance(points, str) else ()
    if not 1 <= len(given) <= MAX_POINTS:
        raise SettingError("path.bad_points", value=points, low=MIN_POINTS, top=MAX_POINTS)
    return len(given)


@dataclass(frozen=True, eq=False)
class _Work:
    """What a path is trained with."""

    over: Over
    data: TrainingData
    folds: int
    seeds: tuple[int, ...]
    network: MLP
    training: Training
    engine: Engine
    executor: Executor
    ledger: LedgerLike | None
    progress: Progress | None

    def strengths(self, points: int | Sequence[float]) -> tuple[Array, str]:
        """Return the strengths, (P,), the weakest first, and why they end there."""
        if not isinstance(points, int | np.integer):
            return self._given(points)
        fold = plan_fold(self.over.base, 0, self.folds, self.data)
        first = Member(self.network, self.over.base, self.training, self.seeds[0], fold)
        check([replace(first, cocktail=self.over.cocktail(0.5))], self.data, self.engine)

        def probe(members: Sequence[Member]) -> list[History]:
            return train(members, self.data, engine=self.engine, executor=self.executor, ledger=self.ledger)

        return grid(self.over, int(points), first, self.data, probe)

    def _given(self, points: Sequence[float]) -> tuple[Array, str]:
        from wellfit.messages import say

        strengths = np.unique(np.asarray(points, dtype=np.float64))
        none = {"bound": np.inf, "epochs": float(self.training.epochs)}.get(self.over.axis.spacing, 0.0)
        for strength in strengths:
            self.over.cocktail(float(strength))  # refuses impossible ones by name
        strengths = np.unique(np.append(strengths, none))
        if self.over.axis.spacing in ("bound", "epochs"):
            strengths = strengths[::-1]
        if self.over.axis.spacing == "epochs":
            strengths = np.unique(np.clip(np.round(strengths), 0, none))[::-1]
        return strengths, say("path.end_given")

    def histories(self, strengths: Array) -> list[list[History]]:
        """Return the histories of each point: folds, then seeds."""
        if self.over.axis.spacing == "epochs":
            return list(self._snapshots([int(epoch) for epoch in strengths[::-1]]))[::-1]
        cocktails = [self.over.cocktail(float(s)) for s in strengths]
        members = [m for c in cocktails for m in self._members(c)]
        found = train(
            members,
            self.data,
            engine=self.engine,
            executor=self.executor,
            ledger=self.ledger,
            progress=self.progress,
        )
        size = self.folds * len(self.seeds)
        return [found[i * size : (i + 1) * size] for i in range(len(cocktails))]

    def _members(self, cocktail: Cocktail) -> list[Member]:
        return plan(
            self.data,
            folds=self.folds,
            cocktails=(cocktail,),
            networks=(self.network,),
            trainings=(self.training,),
            seeds=self.seeds,
        )

    def _snapshots(self, epochs: Sequence[int]) -> Iterator[list[History]]:
        """Yield the members' histories at each of the epochs, which ascend: one training serves them all."""
        members = self._members(self.over.base)
        check(members, self.data, self.engine)
        states = self.engine.advance(members, self.engine.init(members, self.data), [0] * len(members), self.data)
        for epoch in epochs:
            states = self._run(members, states, epoch)
            yield [self._history(m, s) for m, s in zip(members, states, strict=True)]

    def _run(self, members: Sequence[Member], states: Sequence[State], until: int) -> list[State]:
        ended = dict(
            self.executor.run(
                self.engine, members, self.data, states=states, until=[until] * len(members), progress=self.progress
            )
        )
        return [ended[i] for i in range(len(members))]

    def _history(self, member: Member, state: State) -> History:
        with np.errstate(all="ignore"):  # a diverged member's predictions overflow: its status says so
            return history(member, state, self.data)

    def warm(self, strengths: Array) -> Iterator[list[History]]:
        """Yield each point's histories, each member trained from the parameters of its weaker neighbour."""
        kept: list[Array] = []
        for strength in strengths:
            members = self._members(self.over.cocktail(float(strength)))
            states = self.engine.init(members, self.data)
            if kept:
                states = [s.with_parameters(p) for s, p in zip(states, kept, strict=True)]
            ended = self._run(members, states, self.training.epochs)
            kept = [
                s.kept if s.status != "diverged" else old
                for s, old in zip(ended, kept or [s.parameters for s in states], strict=True)
            ]
            yield [self._history(m, s) for m, s in zip(members, ended, strict=True)]
