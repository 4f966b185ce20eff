"""Compare cocktails by cross-validation: one population, paired over folds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from wellfit.cocktail import Cocktail, EarlyStopping, Ingredient, as_cocktails
from wellfit.engines.base import Engine
from wellfit.errors import SettingError
from wellfit.evidence.metrics import Metric, as_metric
from wellfit.executors import Executor
from wellfit.executors.base import Progress
from wellfit.ledger import LedgerLike
from wellfit.nets import Network, NetworkLike, Training
from wellfit.population import advise, plan, train
from wellfit.records import Array, Comparison, Table, TrainingData
from wellfit.select.defaults import default_cocktails, default_training
from wellfit.select.reading import Asked, read
from wellfit.select.source import chosen_network, design, development_rows, question, read_source

if TYPE_CHECKING:
    from os import PathLike

    import pandas as pd

STOP_SHARE = 0.15  # of each fold's training rows, for cocktails that stop early
MAX_SEEDS = 1000


@question
def compare(
    source: Table | str | PathLike | pd.DataFrame | tuple,
    *,
    cocktails: str | Iterable[Cocktail | Ingredient | str | None] | None = None,
    network: NetworkLike | None = None,
    training: Training | None = None,
    seeds: int | Sequence[int] = 5,
    folds: int = 5,
    metric: str | Metric | None = None,
    seed: int = 0,
    rows: Array | None = None,
    quick: bool = False,
    engine: Engine | None = None,
    executor: Executor | None = None,
    ledger: LedgerLike | None = None,
    progress: Progress | None = None,
    **options: object,
) -> Comparison:
    """Train every cocktail on every fold with every seed, and return what the comparison shows.

    ``source`` is a `Table` or what `wellfit.data.load` reads with ``options``. ``cocktails`` is a list, or one text
    with ";" between them; "none", the reference, is put first where it is absent. Network, training and cocktails
    default to `wellfit.select.defaults` (``quick`` picks the short list); ``folds`` are fewer where there are fewer
    rows, groups or times than that. ``seed`` fixes the folds and the members'
    seeds: where ``seeds`` is a count these are ``1000 * seed + i``, so that they differ between comparisons; a list is
    taken as it is. ``rows`` are the rows to work on, (m,) indices; by default all that are not test rows.

    The winner has the best mean score among the cocktails without diverged members; ties go to the lower loss, then to
    fewer ingredients. It was chosen on the same folds, so its own score is a little too good.
    Raises `DataError` for the data, `SettingError` for settings, a metric undefined in every fold, and where every
    cocktail has diverged members (it then names the largest learning rate that holds, found by a few more trainings);
    `UnsupportedError` where the engine cannot train a cocktail.

    >>> from wellfit.nets import Training
    >>> found = compare("iris", cocktails="l2=0.01", network="8", training=Training(epochs=5), seeds=1, folds=2)
    >>> [r.cocktail for r in found.results], found.results[1].members
    (['none', 'l2=0.01'], 2)
    """
    member_seeds = seeds_of(seed, seeds)
    if isinstance(folds, bool) or not isinstance(folds, int | np.integer) or folds < 2:
        raise SettingError("select.bad_folds", value=folds)
    table = read_source(source, options)
    rows = development_rows(table, rows)
    measure = as_metric(metric, table.task)
    net = chosen_network(table, rows, network)
    recipe = default_training(table, rows, quick=quick, network=net) if training is None else training
    mixes = default_cocktails(quick=quick, network=net) if cocktails is None else as_cocktails(cocktails)
    if Cocktail() not in mixes:
        mixes = (Cocktail(), *mixes)
    stops = any(c.get(EarlyStopping) for c in mixes)
    data, count = cross_validation_data(table, rows, folds, seed, stops, net)
    members = plan(data, folds=count, cocktails=mixes, networks=(net,), trainings=(recipe,), seeds=member_seeds)
    histories = train(members, data, engine=engine, executor=executor, ledger=ledger, progress=progress)

    def advice() -> str:
        lost = [m for m, h in zip(members, histories, strict=True) if h.status == "diverged"]
        return advise(lost, data, engine=engine, executor=executor)

    return read(histories, data, Asked(table, mixes, net, recipe, measure, count, len(member_seeds), seed), advice)


def seeds_of(seed: int, seeds: int | Sequence[int]) -> tuple[int, ...]:
    """Return the members' seeds. Raises `SettingError` where there are none, too many, or two alike.

    >>> seeds_of(2, 3)
    (2000, 2001, 2002)
    """
    if not _whole(seed):
        raise SettingError("select.bad_seed", value=seed)
    if _whole(seeds):
        if not 1 <= seeds <= MAX_SEEDS:  # type: ignore[operator]  # _whole says it is a number
            raise SettingError("select.bad_seeds", value=seeds, top=MAX_SEEDS)
        # For the type checker: _whole says it is a number.
        return tuple(MAX_SEEDS * int(seed) + i for i in range(int(seeds)))  # type: ignore[arg-type]
    given = tuple(seeds) if isinstance(seeds, Iterable) and not isinstance(seeds, str) else ()
    if not given or len(set(given)) < len(given) or not all(map(_whole, given)):
        raise SettingError("select.bad_seeds", value=seeds, top=MAX_SEEDS)
    return tuple(int(s) for s in given)


def _whole(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value >= 0)


# The folds prepared last for a table and a kind of network: a run asks many questions of the same ones.
_PREPARED: WeakKeyDictionary[Table, dict[tuple, TrainingData]] = WeakKeyDictionary()


def cross_validation_data(
    table: Table, rows: Array, folds: int, seed: int, stops: bool, network: Network
) -> tuple[TrainingData, int]:
    """Prepare K folds and, where a cocktail stops early, the same K with stop rows; return them and K.

    K is less than asked where there are fewer rows, groups or times. See `wellfit.population.plan_fold`. The table is
    prepared for ``network``: see `wellfit.select.source.design`.
    """
    from wellfit.data import folds as cut
    from wellfit.data import prepare
    from wellfit.data.prepare import fingerprint

    parts = cut(table, rows, folds=folds, seed=seed)
    kept, asked = _PREPARED.setdefault(table, {}), design(network)
    key = tuple(asked.values())
    data = kept.get(key)
    # The fingerprint looks at the content: someone may have changed an array of the table.
    if data is None or data.fingerprint != fingerprint(table, parts, **asked):
        data = kept[key] = prepare(table, parts, **asked)
    count = len(data.folds)
    if stops:
        more = prepare(table, cut(table, rows, folds=folds, seed=seed, stop_share=STOP_SHARE), **asked)
        both = f"{data.fingerprint} {more.fingerprint}"
        data = replace(data, folds=data.folds + more.folds, fingerprint=both)
    return data, count
