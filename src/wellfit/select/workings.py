"""Why it works, shown: a path's members are trained, kept whole, and looked into.

The measurements are `wellfit.evidence.workings`; here is what needs members: the networks along the path, the same with
disturbed targets (generalized degrees of freedom), and one step with and without the ingredient (shrinkage).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from wellfit import rng
from wellfit.cocktail import Cocktail, EarlyStopping, Ingredient
from wellfit.engines.base import Engine, Member, State
from wellfit.engines.choice import by_steps, default_engine, exact_engine
from wellfit.errors import SettingError
from wellfit.evidence import workings as look
from wellfit.executors import Executor, Threads
from wellfit.executors.base import Progress
from wellfit.nets import MLP, NetworkLike, Training
from wellfit.nets.fitted import Fitted
from wellfit.nets.network import link
from wellfit.population import check, plan, train
from wellfit.records import Array, FoldData, History, Path, Table, TrainingData, Workings
from wellfit.select.axes import Over, as_over
from wellfit.select.compare import cross_validation_data, seeds_of
from wellfit.select.defaults import default_training
from wellfit.select.looking import NOISE, Seen, of_model, read
from wellfit.select.path import count_points
from wellfit.select.source import chosen_network, development_rows, only_mlp, question, read_source
from wellfit.select.strengths import strengths_along
from wellfit.select.watched import Watched

if TYPE_CHECKING:
    from os import PathLike

    import pandas as pd

    from wellfit.engines.convex import ConvexEngine

POINTS, FOLDS, QUICK_POINTS, QUICK_FOLDS = 8, 5, 6, 3
DIRECTIONS, DISTURBANCE = 4, 0.25  # of targets: see `perturbed_freedom`
SHRINKING = ("l1", "l2", "elastic_net", "group_lasso", "weight_decay", "max_norm")


@question
def workings(
    source: Table | str | PathLike | pd.DataFrame | tuple,
    over: type[Ingredient] | Ingredient | str | Path | None = None,
    *,
    model: Fitted | None = None,
    points: int | Sequence[float] | None = None,
    folds: int | None = None,
    cocktail: Cocktail | Ingredient | str | None = None,
    network: NetworkLike | None = None,
    training: Training | Mapping[str, Any] | None = None,
    seed: int = 0,
    rows: Array | None = None,
    quick: bool = False,
    engine: Engine | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
    **options: object,
) -> Workings:
    """Look into the networks along one ingredient's path, or into one fitted network, and return what is found.

    ``over`` is as in `wellfit.path`, or a `Path` that was found: its strengths, network, base and folds are then those
    looked at (give the ``training`` it had where that was not the default). With ``model`` instead, that network alone
    is measured on the table's development rows. One seed is trained on each of ``folds`` folds. Other arguments are as
    in `wellfit.path`. Raises `SettingError` for impossible settings, `DataError` for the data.

    >>> from wellfit.nets import Training
    >>> found = workings("iris", "l2", points=[0.1], network="4", training=Training(epochs=3), folds=2)
    >>> found.cocktails, bool(found.weight_norms[1, 0] < found.weight_norms[0, 0])
    (('none', 'l2=0.1'), True)
    """
    table = read_source(source, options)
    rows = development_rows(table, rows)
    if (over is None) == (model is None):
        raise SettingError("workings.over_or_model")
    if model is not None:
        return of_model(table, rows, model, seed)
    given = over if isinstance(over, Path) else None
    if given is not None:
        along, points, network = as_over(given.over, given.base), list(given.strengths), network or given.network
        folds = given.folds if folds is None else folds
    else:
        along = as_over(over, cocktail)
    folds = (QUICK_FOLDS if quick else FOLDS) if folds is None else folds
    if isinstance(folds, bool) or not isinstance(folds, int | np.integer) or folds < 2:
        raise SettingError("select.bad_folds", value=folds)
    points = (QUICK_POINTS if quick else POINTS) if points is None else points
    count = count_points(points if given is None else len(given.strengths))
    net = only_mlp(chosen_network(table, rows, network), table, "workings")
    members = folds * (given.seeds if given is not None else 1) * count
    recipe = _recipe(training, given, table, rows, net, members=members, quick=quick)
    stops = along.base.get(EarlyStopping) is not None
    data, folds = cross_validation_data(table, rows, folds, seed, stops, net)
    [first, *_] = seeds_of(seed, 1)
    engine = default_engine() if engine is None else engine
    work = _Work(along, data, folds, first, net, recipe, engine, executor or Threads(), progress)
    names = _names(table, data.folds[0], not net.linear)
    return replace(_looked_into(work, work.strengths(points), table, names), seed=seed)


def _recipe(
    asked: Training | Mapping[str, Any] | None,
    given: Path | None,
    table: Table,
    rows: Array,
    net: MLP,
    *,
    members: int,
    quick: bool,
) -> Training:
    """Return the training. Raises `SettingError` where a given path had another one."""
    recipe = asked
    if not isinstance(recipe, Training):
        default = default_training(table, rows, quick=quick, network=net, members=members)
        recipe = replace(default, **(recipe or {}))
    if given is not None and str(recipe) != given.training:
        raise SettingError("workings.other_training", path=given.training, here=recipe)
    return recipe


@dataclass(frozen=True, eq=False)
class _Work:
    """What is trained, and with what."""

    over: Over
    data: TrainingData
    folds: int
    seed: int
    network: MLP
    training: Training
    engine: Engine
    executor: Executor
    progress: Progress | None

    @property
    def along_epochs(self) -> bool:
        return self.over.axis.spacing == "epochs"

    def members(self, cocktail: Cocktail) -> list[Member]:
        return plan(
            self.data,
            folds=self.folds,
            cocktails=(cocktail,),
            networks=(self.network,),
            trainings=(self.training,),
            seeds=(self.seed,),
        )

    def strengths(self, points: int | Sequence[float]) -> Array:
        """Return the strengths, (P,), the weakest first."""
        base = self.members(self.over.base)
        return strengths_along(self.over, points, base, self.data, self.train, self.engine)[0]

    def exact(self, member: Member) -> ConvexEngine | None:
        """Return the engine that solves this member exactly, or None where it is trained."""
        return None if self.along_epochs else exact_engine(self.engine, member, self.data)

    def train(self, members: Sequence[Member]) -> list[History]:
        return train(members, self.data, engine=self.engine, executor=self.executor, progress=self.progress)

    def states(self, strengths: Array, members: Sequence[Member], data: TrainingData) -> list[list[State]]:
        """Return the states of ``members`` (of the base cocktail) at each strength: one list a point."""
        if self.along_epochs:
            epochs = [int(e) for e in strengths[::-1]]
            watched = Watched(by_steps(self.engine), epochs)
            ended = self._run(watched, members, data, epochs[-1])
            taken = [watched.taken(m, s) for m, s in zip(members, ended, strict=True)]
            return [[t[epoch] for t in taken] for epoch in epochs[::-1]]
        mixes = [self.over.cocktail(float(s)) for s in strengths]
        every = [replace(m, cocktail=mix) for mix in mixes for m in members]
        check(every, data, self.engine)
        ended = self._run(self.engine, every, data)
        size = len(members)
        return [ended[i * size : (i + 1) * size] for i in range(len(mixes))]

    def _run(
        self, engine: Engine, members: Sequence[Member], data: TrainingData, last: int | None = None
    ) -> list[State]:
        until = None if last is None else [last] * len(members)
        ended = dict(self.executor.run(engine, members, data, until=until, progress=self.progress))
        return [ended[i] for i in range(len(members))]


def _looked_into(work: _Work, strengths: Array, table: Table, names: tuple[str, ...]) -> Workings:
    base = work.members(work.over.base)
    states = work.states(strengths, base, work.data)
    cocktails = [work.over.cocktail(float(s)) for s in strengths]
    seen = [
        [Seen.of(replace(m, cocktail=c), s, work.data) for m, s in zip(base, point, strict=True)]
        for c, point in zip(cocktails, states, strict=True)
    ]
    freedom, error = _freedom(work, strengths, cocktails, states)
    shrink, formula = _shrinkage(work, cocktails, states)
    fold = work.data.folds[0]
    return Workings(
        data=table.name,
        task=table.task,
        network=str(work.network),
        training=str(work.training),
        base=str(work.over.base),
        over=work.over.name,
        folds=work.folds,
        seed=work.seed,
        strengths=strengths,
        cocktails=tuple(str(c) for c in cocktails),
        shrink=shrink,
        formula=formula,
        freedom=freedom,
        freedom_error=error,
        parameters=work.network.size(fold.x.shape[1], work.data.outputs),
        names=names,
        noise=np.array(NOISE),
        **read(seen),
    )


def _freedom(
    work: _Work, strengths: Array, cocktails: Sequence[Cocktail], states: Sequence[Sequence[State]]
) -> tuple[Array, Array]:
    """Return the effective number of parameters on the first fold and its standard error, (P,) each."""
    [member, *_] = work.members(cocktails[-1])
    if (exact := work.exact(member)) is not None:
        found = []
        for cocktail, point in zip(cocktails, states, strict=True):
            found.append(exact_freedom(exact.problem(member, work.data), point[0], cocktail))
        return np.array(found), np.zeros(len(found))
    fold, outputs = work.data.folds[member.fold], work.data.outputs
    rows = fold.rows.train
    signs = np.array([_signs(work.seed, m, len(rows) * outputs) for m in range(DIRECTIONS)])
    directions = signs.reshape(DIRECTIONS, len(rows), outputs)
    disturbed = []
    for direction in directions:
        for sign in (1, -1):
            y = fold.y.copy()
            y[rows] += sign * DISTURBANCE * direction
            disturbed.append(replace(fold, y=y))
    mark = f"{work.data.fingerprint} disturbed {work.seed}"
    data = TrainingData(work.data.task, outputs, tuple(disturbed), mark)
    base = work.members(work.over.base)[0]
    every = work.states(strengths, [replace(base, fold=f) for f in range(len(disturbed))], data)
    both = []
    for point in every:
        fits = np.array([_fit(work, s, fold.x[rows]) for s in point]).reshape(DIRECTIONS, 2, len(rows), outputs)
        freedom, error = look.perturbed_freedom(fits[:, 0] - fits[:, 1], directions, DISTURBANCE)
        both.append((freedom, error))
    values = np.array(both)
    return values[:, 0], values[:, 1]


def _signs(seed: int, m: int, count: int) -> Array:
    return np.where(rng.uniform(seed, rng.RESAMPLE, count, epoch=m, step=1) < 0.5, -1.0, 1.0)


def _fit(work: _Work, state: State, x: Array) -> Array:
    if state.status == "diverged":
        return np.full((len(x), work.data.outputs), np.nan)
    plain = work.network.fold(state.kept.astype(np.float64), x.shape[1], work.data.outputs)
    return link(work.data.task, work.network.forward(plain, x, work.data.outputs))


def exact_freedom(problem: Any, state: State, cocktail: Cocktail) -> float:
    """Return the trace of a linear model's hat matrix, biases counted; see `Problem.freedom`."""
    from wellfit.engines.convex.solve import Solution

    outputs, inputs = problem.y.shape[1], problem.x.shape[1]
    [(weights, bias)] = MLP(()).unpack(state.kept.astype(np.float64), inputs, outputs)
    biases = outputs - (problem.task == "multiclass")  # of several classes only differences count
    return problem.freedom(Solution(weights, bias), cocktail.resolve(1).l2[0]) + biases


def _shrinkage(work: _Work, cocktails: Sequence[Cocktail], states: Sequence[Sequence[State]]) -> tuple[Array, Array]:
    """Return each layer's factor a step on the ingredient's account, measured and by the formula, (P, L) each."""
    data = work.data
    nothing = np.full((len(cocktails), work.network.layers), np.nan)
    base = work.members(work.over.base)
    if work.over.name not in SHRINKING or work.exact(replace(base[0], cocktail=cocktails[-1])) is not None:
        return nothing, nothing
    engine = by_steps(work.engine)
    step = replace(work.training, epochs=1, batch_size=None, schedule="constant", precision="float64")
    without = _unstopped(work.over.base)
    found, told = nothing.copy(), nothing.copy()
    for p, (cocktail, point) in enumerate(zip(cocktails, states, strict=True)):
        pairs = [[replace(m, cocktail=mix, training=step) for m in base] for mix in (_unstopped(cocktail), without)]
        after = []
        for members in pairs:
            begun = [_put(s, fresh) for s, fresh in zip(point, engine.init(members, data), strict=True)]
            after.append(engine.advance(members, begun, [1] * len(members), data))
        each = []
        for m, s, one, other in zip(base, point, *after, strict=True):
            inputs = data.folds[m.fold].x.shape[1]
            vectors = [v.parameters.astype(np.float64) for v in (s, one, other)]
            layers = [[w for w, _ in m.network.unpack(v, inputs, data.outputs)] for v in vectors]
            each.append([look.shrinkage(*three) for three in zip(*layers, strict=True)])
        found[p], told[p] = np.mean(each, axis=0), _formula(work, cocktail)
    return found, told


def _unstopped(cocktail: Cocktail) -> Cocktail:
    """Return the cocktail without early stopping: of one step nothing is to be stopped."""
    return Cocktail(tuple(i for i in cocktail.ingredients if not isinstance(i, EarlyStopping)))


def _put(state: State, fresh: State) -> State:
    """Return a state that has yet to take one step, from where another one is, its moments included."""
    kind = fresh.parameters.dtype
    average = state.parameters.astype(kind) if fresh.average.size else fresh.average
    moments = state.moments.astype(kind)
    return replace(fresh, parameters=state.parameters.astype(kind), moments=moments, average=average, step=state.step)


def _formula(work: _Work, cocktail: Cocktail) -> Array:
    """Return 1 - lr l2 (plain gradient descent) or 1 - lr weight_decay (any optimizer), (L,); NaN for others."""
    strengths, training = work.network.strengths(cocktail), work.training
    if work.over.name == "weight_decay":
        return 1 - training.learning_rate * np.array(strengths.weight_decay)
    plain = training.optimizer == "gd" or (training.optimizer == "sgd" and not training.momentum)
    if work.over.name == "l2" and plain and not strengths.batch_norm:
        return 1 - training.learning_rate * np.array(strengths.l2)
    return np.full(work.network.layers, np.nan)


def _names(table: Table, fold: FoldData, bent: bool) -> tuple[str, ...]:
    from wellfit.data import Preprocessor

    return tuple(Preprocessor.fit(table, fold.rows.train, bent=bent).feature_names)
