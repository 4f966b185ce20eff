"""The regularization path of a network along one ingredient: all points, folds and seeds are one population."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from wellfit.cocktail import Cocktail, EarlyStopping, Ingredient
from wellfit.engines.base import Engine, Member
from wellfit.engines.choice import default_engine, exact_engine
from wellfit.errors import SettingError
from wellfit.evidence.metrics import Metric, as_metric
from wellfit.executors import Executor, Threads
from wellfit.executors.base import Progress, member_steps
from wellfit.ledger import LedgerLike
from wellfit.nets import Network, NetworkLike, Training
from wellfit.population import check, plan, train
from wellfit.records import Array, History, Path, Table, TrainingData
from wellfit.select.axes import Over, as_over
from wellfit.select.coefficients import coefficients
from wellfit.select.compare import cross_validation_data, seeds_of
from wellfit.select.defaults import default_training
from wellfit.select.path_reading import PathAsked, read_members, read_path, read_warm
from wellfit.select.source import chosen_network, development_rows, question, read_source
from wellfit.select.stacked import Solved
from wellfit.select.strengths import strengths_along
from wellfit.select.watched import Moments, snapshots

if TYPE_CHECKING:
    from os import PathLike

    import pandas as pd

    from wellfit.engines.convex import ConvexEngine

MIN_POINTS, MAX_POINTS = 3, 200


@question
def path(
    source: Table | str | PathLike | pd.DataFrame | tuple,
    over: type[Ingredient] | Ingredient | str,
    *,
    points: int | Sequence[float] = 30,
    folds: int = 5,
    seeds: int | Sequence[int] = 3,
    cocktail: Cocktail | Ingredient | str | None = None,
    network: NetworkLike | None = None,
    training: Training | Mapping[str, Any] | None = None,
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
    mixup at 32. Along ``early_stopping`` the points are epochs, from all down to 0, at the checkpoints of curves.

    Every point is trained on each of ``folds`` folds with each of ``seeds`` seeds; members are independent. With
    ``warm`` a second population starts each point where the next weaker one ended (as LassoNet's path does: Lemhadri
    et al. 2021), and the result says how the two differ; along epochs there is nothing to start warm, and exact
    solutions (linear networks) do not depend on where one starts: there ``warm`` changes nothing. ``training`` is
    a recipe, or the fields by name in which it differs from the default. Other arguments are as in `wellfit.compare`.
    What ``ledger`` holds is not trained again; warm starts hang together, and count there once all have ended.
    A narrow least-squares path is solved here in a moment and troubles no executor, unless a ledger is to hold it.

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
    count = count_points(points)
    table = read_source(source, options)
    rows = development_rows(table, rows)
    measure = as_metric(metric, table.task)
    net = chosen_network(table, rows, network)
    along_epochs = along.axis.spacing == "epochs"
    members = (1 if along_epochs else count) * folds * len(member_seeds)
    recipe = _recipe(training, table, rows, net, members, quick)
    stops = along.base.get(EarlyStopping) is not None
    data, folds = cross_validation_data(table, rows, folds, seed, stops, net)
    _check_weights(data, folds)
    if engine is None:
        engine = default_engine()
    work = _Work(along, data, folds, member_seeds, net, recipe, engine, executor or Threads(), ledger, progress)
    if work.exact:  # seeds make no difference
        work = replace(work, seeds=member_seeds[:1])
    strengths, end = work.strengths(points)
    mixes = [along.cocktail(float(s)) for s in strengths]
    asked = PathAsked(table, along, strengths, mixes, end, net, recipe, measure, folds, len(work.seeds), seed)
    solved, exact = work.solved(mixes), work.exact
    if solved is None:
        found = read_path(work.histories(strengths, mixes), data, asked)
    else:
        found = read_members(solved, data, asked)
    if exact and table.inputs is None:  # pixels have no names
        return replace(found, linear=coefficients(table, rows, mixes, recipe, exact, work.executor))
    if warm and not along_epochs and not exact:
        found = replace(found, warm=read_warm(work.warm(strengths), found, data))
    return found


def count_points(points: object) -> int:
    """Return how many points are asked for. Raises `SettingError` for what is neither a count nor a list of numbers."""
    if isinstance(points, int | np.integer) and not isinstance(points, bool):
        if not MIN_POINTS <= points <= MAX_POINTS:
            raise SettingError("path.bad_points", value=points, low=MIN_POINTS, top=MAX_POINTS)
        return int(points)
    given = tuple(points) if isinstance(points, Sequence | np.ndarray) and not isinstance(points, str) else ()
    if not 1 <= len(given) <= MAX_POINTS or not all(isinstance(p, Real) for p in given):
        raise SettingError("path.bad_points", value=points, low=MIN_POINTS, top=MAX_POINTS)
    return len(given)


def _check_weights(data: TrainingData, folds: int) -> None:
    """Raise `SettingError` where a fold has no loss to measure: points could not be compared on it."""
    for k, fold in enumerate(data.folds[:folds]):
        if fold.weights is not None and not fold.weights[fold.rows.score].any():
            raise SettingError("path.no_weight", fold=k + 1, folds=folds)


def _recipe(
    given: Training | Mapping[str, Any] | None, table: Table, rows: Array, net: Network, members: int, quick: bool
) -> Training:
    if isinstance(given, Training):
        return given
    default = default_training(table, rows, quick=quick, network=net, members=members)
    return replace(default, **(given or {}))


@dataclass(frozen=True, eq=False)
class _Work:
    """What a path is trained with."""

    over: Over
    data: TrainingData
    folds: int
    seeds: tuple[int, ...]
    network: Network
    training: Training
    engine: Engine
    executor: Executor
    ledger: LedgerLike | None
    progress: Progress | None

    def strengths(self, points: int | Sequence[float]) -> tuple[Array, str]:
        """Return the strengths, (P,), the weakest first, and why they end there."""
        members = self._members(self.over.base)[:: len(self.seeds)]
        return strengths_along(self.over, points, members, self.data, self.train, self.engine)

    @property
    def exact(self) -> ConvexEngine | None:
        """The engine that solves the path exactly, or None where it is trained."""
        if self.over.axis.spacing == "epochs" or not self.network.linear:
            return None
        [member, *_] = self._members(self.over.cocktail(0.5))
        return exact_engine(self.engine, member, self.data)

    def solved(self, cocktails: Sequence[Cocktail]) -> Solved | None:
        """Return what exact solutions show that take no time to speak of; None where a population is to be trained.

        A ledger is for what takes time, but who gives one wants to find everything there.
        """
        from wellfit.engines.convex import penalty

        exact = self.exact if self.ledger is None else None
        if exact is None:
            return None
        members = self._members(cocktails[-1])
        if not exact.at_once(members, len(cocktails), self.data):
            return None
        check(members + self._members(cocktails[0]), self.data, self.engine)
        total = len(cocktails) * sum(member_steps(member, self.data) for member in members)
        if self.progress is not None:
            self.progress(0, total)
        penalties = [penalty(cocktail) for cocktail in cocktails]
        found = Solved(exact, members, penalties, self.data)
        if self.progress is not None:
            self.progress(total, total)
        return found

    def train(self, members: Sequence[Member]) -> list[History]:
        """Train members that depend on nothing."""
        return train(
            members,
            self.data,
            engine=self.engine,
            executor=self.executor,
            ledger=self.ledger,
            progress=self.progress,
        )

    def histories(self, strengths: Array, cocktails: Sequence[Cocktail]) -> list[list[History]]:
        """Return the histories of each point: folds, then seeds."""
        if self.over.axis.spacing == "epochs":
            epochs = [int(epoch) for epoch in strengths[::-1]]
            return snapshots(
                self._members(self.over.base),
                self.data,
                epochs,
                engine=self.engine,
                executor=self.executor,
                ledger=self.ledger,
                progress=self.progress,
            )[::-1]
        found = self.train([m for c in cocktails for m in self._members(c)])
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

    def warm(self, strengths: Array) -> list[list[History]]:
        """Return each point's histories, each member trained from the parameters of its weaker neighbour."""
        steps = [self._members(self.over.cocktail(float(s))) for s in strengths]
        names = [f"warm from {[f'{s:g}' for s in strengths[:p]]}" for p in range(len(strengths))]
        moments = Moments(self.engine, self.data, self.ledger)
        known = [[moments.recalled(m, [name]) for m in members] for members, name in zip(steps, names, strict=True)]
        if all(found is not None for point in known for found in point):
            return [[found[0] for found in point if found] for point in known]
        total = sum(member_steps(m, self.data) for ms in steps for m in ms)
        parameters: list[Array] = []
        found: list[list[History]] = []
        for p, (members, name) in enumerate(zip(steps, names, strict=True)):
            states = self.engine.init(members, self.data)
            if p:
                states = [s.with_parameters(w) for s, w in zip(states, parameters, strict=True)]
            begun = [s.parameters for s in states]
            done = total * p // len(steps)
            ends = dict(
                self.executor.run(self.engine, members, self.data, states=states, progress=self._after(done, total))
            )
            ended = [ends[i] for i in range(len(members))]
            parameters = [s.kept if s.status != "diverged" else b for s, b in zip(ended, begun, strict=True)]
            found.append([moments.record(m, s, name) for m, s in zip(members, ended, strict=True)])
        return found

    def _after(self, before: int, total: int) -> Progress | None:
        """Return a progress that counts on from ``before`` to ``total``."""
        report = self.progress
        return None if report is None else lambda done, _: report(before + done, total)
