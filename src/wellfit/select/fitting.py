"""Fit a chosen cocktail on all the rows that may be learned from: nothing is scored, so nothing is held back.

Only a cocktail that stops early keeps a part of the rows, to stop on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from wellfit.cocktail import Cocktail, EarlyStopping
from wellfit.engines.base import Engine, Member, State, engine_of, history
from wellfit.engines.choice import by_steps, default_engine, exact_engine
from wellfit.executors import Executor, Threads
from wellfit.executors.base import Progress
from wellfit.nets import Module, Network, Training
from wellfit.nets.fitted import Fitted
from wellfit.population import check
from wellfit.records import Array, Fold, FoldData, History, Table, TrainingData
from wellfit.select.watched import Watched

if TYPE_CHECKING:
    from wellfit.data import Preprocessor

# A fit that stops early keeps one part in so many of its rows to stop on: about a comparison's share.
STOP_PARTS = 7


def fit(
    table: Table,
    rows: Array,
    network: Network,
    cocktail: Cocktail,
    training: Training,
    seeds: int | Sequence[int],
    *,
    split_seed: int = 0,
    until: int | None = None,
    engine: Engine | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> list[tuple[History, Fitted]]:
    """Train the cocktail on ``rows`` (m,) once with each seed, and return each history and fitted network.

    An exact solution knows no seed, and comes once. Where the cocktail stops early, ``split_seed`` draws the stop rows,
    the same for all seeds. ``until`` is the epoch to end with, by default the training's last; schedules run over the
    training's epochs all the same. A diverged member's history says so. Raises as `fit_members`.

    >>> from wellfit.data import load
    >>> from wellfit.nets import MLP
    >>> training = Training(epochs=5)
    >>> [(record, model)] = fit(load("iris"), np.arange(150), MLP((8,)), Cocktail.parse("l2=0.01"), training, 3)
    >>> record.status, model.rows, model.seed
    ('finished', 150, 3)
    """
    chosen = (seeds,) if isinstance(seeds, int | np.integer) else tuple(seeds)
    stops = cocktail.get(EarlyStopping) is not None
    part = with_stop(table, rows, split_seed) if stops else everything(rows)
    engine = _engine(engine, until)
    data = _prepared(table, [part], network)
    members = [Member(network, cocktail, training, int(seed), 0) for seed in chosen]
    if members and exact_engine(engine, members[0], data) is not None:
        members = members[:1]
    return _fits(table, data, members, engine, until, executor, progress)


def fit_members(
    table: Table,
    parts: Sequence[Fold],
    members: Sequence[Member],
    *,
    until: int | None = None,
    engine: Engine | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> list[tuple[History, Fitted]]:
    """Train each member on the part that its ``fold`` names, and return its history and fitted network.

    ``parts`` have no score rows (see `everything` and `with_stop`), so histories hold no predictions. Raises
    `DataError` for the rows, `UnsupportedError` before any work where a member cannot be trained, and what the
    executor raises.
    """
    data = _prepared(table, parts, *{m.network for m in members})
    return _fits(table, data, members, _engine(engine, until), until, executor, progress)


def _engine(engine: Engine | None, until: int | None) -> Engine:
    """Return the engine of all questions for none; one that goes by epochs where one is to end with."""
    engine = default_engine() if engine is None else engine
    return engine if until is None else by_steps(engine)


def _prepared(table: Table, parts: Sequence[Fold], *networks: Network) -> TrainingData:
    from wellfit.data import prepare

    # Networks of different kinds on the same parts: what bends for one does for all.
    return prepare(
        table,
        parts,
        bent=any(not network.linear for network in networks),
        flat=not any(isinstance(network, Module) for network in networks),
    )


def _fits(
    table: Table,
    data: TrainingData,
    members: Sequence[Member],
    engine: Engine,
    until: int | None,
    executor: Executor | None,
    progress: Progress | None,
) -> list[tuple[History, Fitted]]:
    check(members, data, engine)
    states: list[State] | None = None
    ends: list[int] | None = None
    if until is not None:
        # Epoch 0 is measured even where it is the last.
        states = engine.advance(members, engine.init(members, data), [0] * len(members), data)
        ends = [until] * len(members)
    run = (Threads() if executor is None else executor).run
    ended = dict(run(engine, members, data, states=states, until=ends, progress=progress))
    return [_ended(table, member, ended[index], data, engine) for index, member in enumerate(members)]


def _ended(table: Table, member: Member, state: State, data: TrainingData, engine: Engine) -> tuple[History, Fitted]:
    """Return the history and the fitted network of a member that has got to a state."""
    with np.errstate(all="ignore"):  # a diverged member's curves overflow: its status says so
        record = history(member, state, data)
    own = engine_of(engine, member, data)
    return record, fitted(table, member, state.kept, data.folds[member.fold], own, record.best_epoch)


def fit_epochs(
    table: Table,
    part: Fold,
    member: Member,
    epochs: Sequence[int],
    *,
    engine: Engine | None = None,
    executor: Executor | None = None,
) -> list[tuple[History, Fitted]]:
    """Train one member on a part, and return its history and fitted network as they are at each of the epochs.

    ``epochs`` ascend. One training serves them all. Raises as `fit_members`.

    >>> from wellfit.data import load
    >>> from wellfit.nets import MLP
    >>> member = Member(MLP((8,)), Cocktail(), Training(epochs=5), 0, 0)
    >>> [record.epochs for record, _ in fit_epochs(load("iris"), everything(np.arange(150)), member, [0, 2, 5])]
    [0, 2, 5]
    """
    watched = Watched(_engine(engine, epochs[-1]), epochs)
    data = _prepared(table, [part], member.network)
    check([member], data, watched)
    place = Threads() if executor is None else executor
    [(_, last)] = place.run(watched, [member], data, until=[epochs[-1]])
    states = watched.taken(member, last)
    return [_ended(table, member, states[epoch], data, watched.engine) for epoch in epochs]


def everything(rows: Array) -> Fold:
    """Return the part that trains on all rows, (m,) indices."""
    return Fold(rows, rows[:0], rows[:0])


def with_stop(table: Table, rows: Array, seed: int) -> Fold:
    """Return the part whose stop rows are one part of a cross-validation's: by class, whole groups, the latest times.

    Raises `DataError` where ``rows`` (m,) cannot be divided.
    """
    from wellfit.data import folds

    stop = folds(table, rows, folds=STOP_PARTS, seed=seed)[-1].score
    return Fold(np.setdiff1d(rows, stop), stop, rows[:0])


def fitted(
    table: Table,
    member: Member,
    kept: Array,
    fold: FoldData,
    engine: Engine,
    epoch: int,
    preprocessor: Preprocessor | None = None,
) -> Fitted:
    """Return the fitted network of a member whose parameters, (T,), are those ``kept`` at an epoch.

    ``preprocessor`` is that of the fold's training rows, fitted here where it is not given.
    """
    from wellfit import __version__
    from wellfit.data import Preprocessor

    network = member.network.bound(fold.inputs, fold.y.shape[1])
    if preprocessor is None and table.inputs is None:
        preprocessor = Preprocessor.fit(table, fold.rows.train, bent=not network.linear)
    return Fitted(
        network=network,
        cocktail=member.cocktail,
        training=member.training,
        preprocessor=preprocessor,
        parameters=np.array(network.fold(kept, fold.inputs, fold.y.shape[1])),
        task=table.task,
        target_name=table.target_name,
        kinds={} if preprocessor is None else {name: table.kinds[name] for name in preprocessor.column_names},
        classes=table.classes,
        target_mean=fold.target_mean,
        target_scale=fold.target_scale,
        rows=len(fold.rows.train),
        stop_rows=len(fold.rows.stop),
        seed=member.seed,
        notes={
            "data": table.name,
            "engine": f"{engine.name} {engine.version}",
            "version": __version__,
            "best_epoch": str(epoch),
        },
        inputs=() if table.inputs is None else table.inputs.shape[1:],
        scale=table.scale,
        resized=table.resized,
    )
