"""The three ways from a table to fitted networks: a given cocktail, a path, a search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wellfit.cocktail import Cocktail, Ingredient, as_cocktail
from wellfit.errors import SettingError
from wellfit.evidence.metrics import Metric, as_metric
from wellfit.executors import Threads
from wellfit.messages import say
from wellfit.nets import Network, NetworkLike, Training
from wellfit.nets.ensemble import Ensemble
from wellfit.nets.fitted import Fitted
from wellfit.records import Array, Finding, History, Path, SearchRecord, Table
from wellfit.select.axes import as_over
from wellfit.select.compare import seeds_of
from wellfit.select.defaults import default_training
from wellfit.select.fitting import fit
from wellfit.select.source import chosen_network

POINTS = 30  # of a path
SEEDS = 3  # members that are averaged where nothing was asked for


@dataclass(frozen=True, eq=False)
class Settings:
    """What was asked for, in the words of `WellfitClassifier`; ``seed`` is ``random_state`` as a number."""

    cocktail: str | Cocktail | Ingredient | None
    path: str | Ingredient | type[Ingredient] | None
    budget: str | int
    network: NetworkLike | None
    training: Training | None
    metric: str | Metric | None
    folds: int
    seeds: int | Sequence[int] | None
    seed: int
    threads: int

    @property
    def searches(self) -> bool:
        """Whether the cocktail is to be searched for."""
        return self.path is None and self.automatic

    @property
    def automatic(self) -> bool:
        """Whether no cocktail was given."""
        return isinstance(self.cocktail, str) and self.cocktail.strip().lower() == "auto"

    @property
    def base(self) -> Cocktail:
        """The cocktail given; none where it is "auto"."""
        return Cocktail() if self.automatic else as_cocktail(self.cocktail)

    @property
    def member_seeds(self) -> tuple[int, ...]:
        """The members' seeds."""
        return seeds_of(self.seed, SEEDS if self.seeds is None else self.seeds)


@dataclass(frozen=True, eq=False)
class Chosen:
    """What came of it: a model, and the history of each of its networks where they were trained on all rows."""

    cocktail: Cocktail
    model: Fitted | Ensemble
    histories: tuple[History, ...] = ()
    path: Path | None = None
    search: SearchRecord | None = None
    findings: tuple[Finding, ...] = ()


def choose(table: Table, rows: Array, settings: Settings) -> Chosen:
    """Choose a cocktail as the settings say, and fit it on ``rows``, (m,) indices.

    Raises `SettingError` for impossible settings and where a network diverges, `DataError` for the data,
    `UnsupportedError` where the engine cannot train the cocktail.
    """
    if not isinstance(settings.training, Training | None):
        raise SettingError("estimators.bad_training", value=settings.training)
    as_metric(settings.metric, table.task)
    if settings.searches:
        return _search(table, rows, settings)
    return _given(table, rows, settings) if settings.path is None else _along(table, rows, settings)


def _given(table: Table, rows: Array, settings: Settings) -> Chosen:
    network = _network(table, settings)
    training = settings.training or default_training(table, rows, network=network)
    return _fitted(table, rows, settings, network, training, settings.base)


def _along(table: Table, rows: Array, settings: Settings) -> Chosen:
    """Fit the strongest point of the path whose validation loss lies within one standard error of the best."""
    from wellfit.select.path import path

    network, seeds, base = _network(table, settings), settings.member_seeds, settings.base
    epochs = as_over(settings.path, base).axis.spacing == "epochs"
    members = (1 if epochs else POINTS) * settings.folds * len(seeds)
    training = settings.training or default_training(table, rows, network=network, members=members)
    found = path(
        table,
        settings.path,  # type: ignore[arg-type]  # it is not None here
        points=POINTS,
        folds=settings.folds,
        seeds=seeds,
        cocktail=base,
        network=network,
        training=training,
        metric=settings.metric,
        seed=settings.seed,
        rows=rows,
        executor=Threads(settings.threads),
    )
    chosen = found.one_standard_error
    # Along early stopping the points are epochs, and all have the base cocktail.
    until = int(found.strengths[chosen]) if epochs else None
    cocktail = base if epochs else Cocktail.parse(found.cocktails[chosen])
    return _fitted(table, rows, settings, network, training, cocktail, until=until, path=found)


def _search(table: Table, rows: Array, settings: Settings) -> Chosen:
    from wellfit.select.search import search

    found = search(
        table,
        budget=settings.budget,
        folds=settings.folds,
        network=settings.network,
        training=settings.training,
        metric=settings.metric,
        seed=settings.seed,
        rows=rows,
        executor=Threads(settings.threads),
    )
    return Chosen(Cocktail.parse(found.winner), found.model, search=found.record)


def _network(table: Table, settings: Settings) -> Network:
    return chosen_network(table, np.arange(table.rows), settings.network)


def _fitted(
    table: Table,
    rows: Array,
    settings: Settings,
    network: Network,
    training: Training,
    cocktail: Cocktail,
    *,
    until: int | None = None,
    path: Path | None = None,
) -> Chosen:
    fits = fit(
        table,
        rows,
        network,
        cocktail,
        training,
        settings.member_seeds,
        split_seed=settings.seed,
        until=until,
        executor=Threads(settings.threads),
    )
    histories, models = zip(*fits, strict=True)
    lost = [history for history in histories if history.status == "diverged"]
    if lost:
        raise SettingError(
            "estimators.diverged",
            cocktail=cocktail,
            count=len(lost),
            members=len(fits),
            epoch=min(history.epochs for history in lost),
            rate=f"{training.learning_rate:g}",
        )
    unbounded = [history for history in histories if history.status == "unbounded"]
    counts = {"unbounded": len(unbounded), "members": len(fits)}
    findings = [Finding("unbounded", say("select.unbounded", cocktail=cocktail, **counts))] if unbounded else []
    model = models[0] if len(models) == 1 else Ensemble(models, np.full(len(models), 1 / len(models)))
    return Chosen(cocktail, model, histories, path, findings=tuple(findings))
