"""Bias and variance, measured: resamples x seeds (x strengths of an ingredient) are the members of one population."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from wellfit.cocktail import Cocktail, EarlyStopping, Ingredient, as_cocktail
from wellfit.engines.base import Engine, Member
from wellfit.engines.choice import default_engine, exact_engine
from wellfit.errors import SettingError
from wellfit.executors import Executor
from wellfit.executors.base import Progress
from wellfit.ledger import LedgerLike
from wellfit.nets import MLP, Network, NetworkLike, Training, as_network
from wellfit.population import advise, train
from wellfit.records import Array, BiasVariance, History, Table, TrainingData
from wellfit.select.axes import Over, as_over
from wellfit.select.bias_variance_data import (
    SCORE_ROWS,
    TRAIN_ROWS,
    Generator,
    Resamples,
    bootstrapped,
    generated,
)
from wellfit.select.bias_variance_reading import diverged, lowest, read_parts
from wellfit.select.compare import seeds_of
from wellfit.select.defaults import default_training
from wellfit.select.path import count_points
from wellfit.select.source import chosen_network, design, development_rows, question, read_source
from wellfit.select.strengths import strengths_along

if TYPE_CHECKING:
    from os import PathLike

    import pandas as pd


POINTS = 10
MOST_RESAMPLES, MOST_SEEDS, MOST_ROWS = 10_000, 1000, 10_000_000
SECONDS, QUICK_SECONDS = 15.0, 7.0  # of training, on two cores, for the default recipe
_END_FOLDS = 3  # resamples on which the end of a path is looked for


@question
def bias_variance(
    source: Table | str | PathLike | pd.DataFrame | tuple | None = None,
    *,
    generator: Generator | None = None,
    over: type[Ingredient] | Ingredient | str | None = None,
    points: int | Sequence[float] = POINTS,
    cocktail: Cocktail | Ingredient | str | None = None,
    network: NetworkLike | None = None,
    training: Training | Mapping[str, Any] | None = None,
    resamples: int = 50,
    seeds: int = 4,
    seed: int = 0,
    train_rows: int = TRAIN_ROWS,
    score_rows: int = SCORE_ROWS,
    rows: Array | None = None,
    quick: bool = False,
    engine: Engine | None = None,
    executor: Executor | None = None,
    ledger: LedgerLike | None = None,
    progress: Progress | None = None,
    **options: object,
) -> BiasVariance:
    """Split a network's expected error into bias, variance and, where the truth is known, noise.

    With a ``source`` (as in `wellfit.compare`) one third of the rows that are not test rows is held out, ``resamples``
    bootstrap resamples of the others are trained on with ``seeds`` seeds each (every member has a seed of its own),
    and all are scored on the held-out rows. Bias and noise cannot be told apart then, and variance is that of training
    sets drawn *from these rows*, at bootstrap sample size: a resample holds about 63% of the different rows, so a
    network on all rows does a little better. With a ``generator`` (see `Generator`) resamples are fresh draws of
    ``train_rows`` rows, scored on ``score_rows`` fresh ones, and noise is a part of its own.

    ``over`` turns an ingredient up, as in `wellfit.path`, at ``points`` strengths, on top of ``cocktail``: the same
    resamples and seeds at each. A linear network is solved exactly, knows no seed, and has one member a resample.

    Regression splits the squared error; classification the log-loss (Heskes 1998), the Brier score and the 0-1 loss
    (Domingos 2000): see `wellfit.evidence.decomposition`. Intervals are over resamples and scored rows.

    Raises `SettingError` for settings, an ingredient that cannot be turned up here, and where members diverged at
    every strength; `DataError` for the data; `UnsupportedError` where the engine cannot train the cocktail.

    >>> found = bias_variance("football", network="linear", resamples=10)
    >>> list(found.parts), found.seeds, found.parts["brier"][0].seed.mean
    (['log-loss', 'brier', '0-1'], 1, 0.0)
    """
    resamples, seeds = _count("resamples", resamples, 2, MOST_RESAMPLES), _count("seeds", seeds, 1, MOST_SEEDS)
    seeds_of(seed, 1)  # refuses what is no seed
    along = None if over is None else turned_up(over, cocktail)
    base = as_cocktail(cocktail) if along is None else along.base
    count = 1 if along is None else count_points(points)
    net = None if network is None else as_network(network)
    shape = {"stops": base.get(EarlyStopping) is not None, **design(MLP() if net is None else net)}
    if generator is not None:
        if source is not None or options:
            raise SettingError("bias_variance.two_sources")
        sizes = _count("train_rows", train_rows, 2, MOST_ROWS), _count("score_rows", score_rows, 1, MOST_ROWS)
        given = generated(generator, resamples, seed, *sizes, **shape)
    elif source is None:
        raise SettingError("bias_variance.no_source")
    else:
        table = read_source(source, options)
        given = bootstrapped(table, development_rows(table, rows), resamples, seed, **shape)
    net = chosen_network(given.table, np.arange(given.table.rows), net)
    recipe = _recipe(training, given, net, resamples * seeds * count, quick)
    chosen = default_engine() if engine is None else engine
    place = _Place(chosen, executor, ledger, progress)
    return _measured(along, points, Member(net, base, recipe, 0, 0), given, resamples, seeds, seed, place)


def turned_up(over: object, cocktail: object) -> Over:
    """Return what to turn up, as `wellfit.path` reads it. Raises `SettingError` where it cannot be turned up here."""
    along = as_over(over, cocktail)
    if along.axis.spacing == "epochs":
        raise SettingError("bias_variance.no_epochs")
    return along


@dataclass(frozen=True, eq=False)
class _Place:
    """Where members are trained."""

    engine: Engine
    executor: Executor | None
    ledger: LedgerLike | None
    progress: Progress | None

    def train(self, members: Sequence[Member], data: TrainingData) -> list[History]:
        """Train members; what the ledger holds is not trained again."""
        return train(
            members, data, engine=self.engine, executor=self.executor, ledger=self.ledger, progress=self.progress
        )


def _measured(
    along: Over | None,
    points: int | Sequence[float],
    sample: Member,
    given: Resamples,
    resamples: int,
    seeds: int,
    seed: int,
    place: _Place,
) -> BiasVariance:
    """Train members like the ``sample`` on every resample, at every strength, and read what they did."""
    probe = sample if along is None else replace(sample, cocktail=along.cocktail(0.5))
    solver = exact_engine(place.engine, probe, given.data)
    seeds = 1 if solver else seeds
    members = [
        replace(sample, seed=(seed << 24) + MOST_SEEDS * r + s, fold=r) for r in range(resamples) for s in range(seeds)
    ]
    strengths, end = np.zeros(1), ""
    if along is not None:
        ends = members[::seeds][:_END_FOLDS]
        strengths, end = strengths_along(
            along, points, ends, given.data, lambda asked: place.train(asked, given.data), place.engine
        )
    mixes = [sample.cocktail if along is None else along.cocktail(float(s)) for s in strengths]
    asked = [replace(m, cocktail=mix) for mix in mixes for m in members]
    histories = place.train(asked, given.data)
    size = len(members)
    by_point = [histories[p * size : (p + 1) * size] for p in range(len(mixes))]
    lost = np.array([diverged(point) for point in by_point])
    if lost.all():
        gone = [m for m, h in zip(asked, histories, strict=True) if h.status == "diverged"]
        advice = advise(gone, given.data, engine=place.engine, executor=place.executor)
        raise SettingError("bias_variance.all_diverged", rate=f"{sample.training.learning_rate:g}", advice=advice)
    read = [
        None if lost[p] else read_parts(point, resamples, seeds, given, solver is not None, seed)
        for p, point in enumerate(by_point)
    ]
    losses = next(part for part in read if part is not None)
    parts = {loss: tuple(None if part is None else part[loss] for part in read) for loss in losses}
    return BiasVariance(
        data=given.table.name,
        task=given.table.task,
        network=str(sample.network),
        training=str(sample.training),
        base=str(sample.cocktail),
        over="" if along is None else along.name,
        end=end,
        known=given.truth is not None,
        exact=solver is not None,
        train_rows=given.train_rows,
        rows=len(given.target),
        resamples=resamples,
        seeds=seeds,
        seed=seed,
        strengths=strengths,
        cocktails=tuple(map(str, mixes)),
        parts=parts,
        diverged=lost,
        best=lowest(next(iter(parts.values()))),
    )


def _recipe(
    asked: Training | Mapping[str, Any] | None, given: Resamples, net: Network, members: int, quick: bool
) -> Training:
    if isinstance(asked, Training):
        return asked
    rows = given.data.folds[0].rows.train
    seconds = QUICK_SECONDS if quick else SECONDS
    default = default_training(given.table, rows, quick=quick, network=net, members=members, seconds=seconds)
    return replace(default, **(asked or {}))


def _count(name: str, value: object, low: int, top: int) -> int:
    if isinstance(value, int | np.integer) and not isinstance(value, bool) and low <= value <= top:
        return int(value)
    raise SettingError("bias_variance.bad_count", name=name, value=value, low=low, top=top)
