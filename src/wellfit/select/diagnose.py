"""Diagnose a network on data: one population, references on the same folds, and the rules of the evidence room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from wellfit.cocktail import Cocktail, Ingredient, as_cocktails
from wellfit.engines.base import Engine
from wellfit.errors import DataError, SettingError
from wellfit.evidence.diagnosis import judge
from wellfit.evidence.diagnosis_text import evidence, next_steps, sentence
from wellfit.evidence.metrics import Metric, as_metric
from wellfit.executors import Executor
from wellfit.executors.base import Progress
from wellfit.ledger import LedgerLike
from wellfit.nets import MLP, NetworkLike, Training
from wellfit.records import Array, Diagnosis, Table
from wellfit.select.compare import seeds_of
from wellfit.select.defaults import FOLDS, default_training
from wellfit.select.source import chosen_network, development_rows, only_mlp, question, read_source

if TYPE_CHECKING:
    from os import PathLike

    import pandas as pd

    from wellfit.select.diagnose_study import Study

SEEDS = 2
# The default training is that of a population of so many members in so many seconds of two cores.
MEMBERS, SECONDS = 80, 7.0


@question
def diagnose(
    source: Table | str | PathLike | pd.DataFrame | tuple | None = None,
    *,
    history: object = None,
    validation: object = None,
    network: NetworkLike | None = None,
    cocktail: Cocktail | Ingredient | str | None = "none",
    training: Training | Mapping[str, Any] | None = None,
    metric: str | Metric | None = None,
    folds: int = FOLDS,
    seeds: int | Sequence[int] = SEEDS,
    seed: int = 0,
    rows: Array | None = None,
    threads: int | None = None,
    engine: Engine | None = None,
    executor: Executor | None = None,
    ledger: LedgerLike | None = None,
    progress: Progress | None = None,
    **options: object,
) -> Diagnosis:
    """Say what ails a network with a cocktail on these data, by which evidence, and what to do next.

    ``source`` is a `Table` or what `wellfit.data.load` reads with ``options``; its test rows are never looked at.
    ``validation`` is a set of rows of its own that is asked to be like the others: anything that `wellfit.data.load`
    takes for test rows, or with a `Table` the indices of rows, (v,). ``network`` and ``training`` default to
    `wellfit.select.defaults` (``training`` may be the fields by name in which it differs); ``cocktail`` defaults to
    none. Where ``history`` is given instead of a source, curves that a user already has are read: see
    `wellfit.evidence.from_history`.

    The verdict is a word of `wellfit.records.VERDICTS`; ``docs/evidence.md`` says what each stands on. What is trained,
    on the same ``folds``: the network (``seeds`` times) on to more epochs; regularized, smaller and
    larger relatives; the network on a quarter and on half of the rows; and references that are no networks. With times
    rows are scored by what was trained on earlier ones, groups stay whole.

    Raises `DataError` for the data, `SettingError` for settings and where the network itself diverges.

    >>> from wellfit.nets import Training
    >>> found = diagnose("iris", network="8", training=Training(epochs=20), folds=3, seeds=1)
    >>> found.verdict in ("undertrained", "undecided", "underfits"), found.evidence[0].name
    (True, 'validation_loss')
    """
    if history is not None:
        return _of_history(source, history)
    if source is None:
        raise SettingError("diagnose.no_source")
    from wellfit.select.diagnose_study import Study

    member_seeds = seeds_of(seed, seeds)
    if isinstance(folds, bool) or not isinstance(folds, int | np.integer) or folds < 2:
        raise SettingError("select.bad_folds", value=folds)
    table, rows, apart = _read(source, validation, rows, options)
    net = only_mlp(chosen_network(table, rows, network), table, "diagnose")
    [mix] = as_cocktails([cocktail])
    study = Study.of(
        table,
        rows,
        apart,
        network=net,
        cocktail=mix,
        training=_recipe(training, table, rows, net),
        metric=as_metric(metric, table.task),
        folds=int(folds),
        seeds=member_seeds,
        seed=seed,
        engine=engine,
        executor=executor,
        threads=threads,
        ledger=ledger,
        progress=progress,
    )
    return _answer(study)


def _answer(study: Study) -> Diagnosis:
    from wellfit.select.diagnose_study import measure

    look = measure(study)
    judged = judge(look.measured)
    return Diagnosis(
        verdict=judged.verdict,
        sentence=sentence(judged, look),
        evidence=evidence(judged, look),
        next_steps=next_steps(judged, look),
        data=study.table.name,
        task=study.table.task,
        network=str(study.network),
        cocktail=str(study.cocktail),
        training=str(study.training),
        metric=study.metric.name,
        folds=study.folds,
        seeds=len(study.seeds),
        seed=study.seed,
        learning_curve=look.curve,
        curves=look.curves,
        checkpoints=look.checkpoints,
    )


def _of_history(source: object, history: object) -> Diagnosis:
    """Return what curves that a user already has can tell."""
    if source is not None:
        raise SettingError("diagnose.both_sources")
    from wellfit.evidence.from_history import diagnose_history

    return diagnose_history(history)


def _read(
    source: Any, validation: Any, rows: Array | None, options: Mapping[str, object]
) -> tuple[Table, Array, Array]:
    """Return the table, the rows to work on and the validation rows that were given, which may be none."""
    if validation is None:
        table = read_source(source, options)
        return table, np.sort(development_rows(table, rows)), np.empty(0, dtype=np.int64)
    if not isinstance(source, Table):
        if options.get("test") is not None:
            raise SettingError("diagnose.test_and_validation")
        # Read as a test set is: columns by name, kinds as in the training rows. Test rows of the source stay unread.
        try:
            table = read_source(source, {**options, "test": validation})
        except DataError as error:
            if error.key != "data.missing_test":
                raise
            raise DataError("diagnose.no_validation", **error.values) from None
        apart = np.sort(np.asarray(table.test_rows))
        return table, np.sort(development_rows(table, rows)), apart
    table = read_source(source, options)
    apart = np.unique(np.asarray(validation)) if np.ndim(validation) == 1 else np.empty(0)
    if not len(apart) or apart.dtype.kind not in "iu" or apart[0] < 0 or apart[-1] >= table.rows:
        raise SettingError("diagnose.validation_rows", last=table.rows - 1)
    chosen = np.setdiff1d(development_rows(table, rows), apart)
    return table, development_rows(table, chosen), apart


def _recipe(training: Training | Mapping[str, Any] | None, table: Table, rows: Array, network: MLP) -> Training:
    if isinstance(training, Training):
        return training
    from dataclasses import replace

    usual = default_training(table, rows, network=network, members=MEMBERS, seconds=SECONDS)
    return replace(usual, **(training or {}))
