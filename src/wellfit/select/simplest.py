"""Is a network needed at all? The linear model against the network, on the same folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from wellfit.cocktail import Cocktail, Dropout
from wellfit.engines.base import Engine
from wellfit.errors import SettingError
from wellfit.evidence.intervals import difference, fold_interval
from wellfit.evidence.metrics import Metric, as_metric, metric_said
from wellfit.executors import Executor
from wellfit.executors.base import Progress
from wellfit.ledger import LedgerLike
from wellfit.messages import say
from wellfit.nets import MLP, Network, NetworkLike, Training
from wellfit.records import Array, Difference, Interval, Path, Simplest, Table
from wellfit.select.defaults import FOLDS, can_have
from wellfit.select.path import path
from wellfit.select.source import chosen_network, development_rows, question, read_source

if TYPE_CHECKING:
    from os import PathLike

    import pandas as pd

# The ingredients along which each side may choose its strength.
LINEAR, NETWORK = ("l1", "l2"), ("l2", "dropout", "early_stopping")
POINTS = 12


@question
def simplest(
    source: Table | str | PathLike | pd.DataFrame | tuple,
    *,
    network: NetworkLike | None = None,
    training: Training | Mapping[str, Any] | None = None,
    points: int = POINTS,
    folds: int = FOLDS,
    seeds: int | Sequence[int] = 2,
    metric: str | Metric | None = None,
    seed: int = 0,
    rows: Array | None = None,
    quick: bool = False,
    engine: Engine | None = None,
    executor: Executor | None = None,
    ledger: LedgerLike | None = None,
    progress: Progress | None = None,
    **options: object,
) -> Simplest:
    """Say whether a network is better than a linear model, paired over folds, with the interval.

    Each side is regularized: the linear model along L1 and L2 (exact solutions), the network along L2, dropout and
    epochs (as in early stopping), ``points`` each; a module without dropout layers has the other two. On each fold a
    side takes the ingredient and strength that are best on the *other* folds, so that neither side's score is flattered
    by the choice. Other arguments are as in `wellfit.path`. Raises what that raises, and `SettingError` for a linear
    ``network``.

    >>> found = simplest("iris", network="8", training=Training(epochs=30), points=4, seeds=1, folds=3)
    >>> found.metric, found.linear_score.mean > 0.9, found.difference.word != "better"
    ('accuracy', True, True)
    """
    table = read_source(source, options)
    rows = development_rows(table, rows)
    net = chosen_network(table, rows, network)
    if net.linear:
        raise SettingError("simplest.linear")

    def along(names: Sequence[str], network: Network, members: int | Sequence[int]) -> list[Path]:
        return [
            path(
                table,
                name,
                points=points,
                folds=folds,
                seeds=members,
                network=network,
                training=training,
                metric=metric,
                seed=seed,
                rows=rows,
                quick=quick,
                engine=engine,
                executor=executor,
                ledger=ledger,
                progress=progress,
            )
            for name in names
        ]

    names = [name for name in NETWORK if name != "dropout" or can_have(net, Cocktail((Dropout(0.5),)))]
    return read_simplest(along(LINEAR, MLP(()), 1), along(names, net, seeds), table, rows)


def read_simplest(linear: Sequence[Path], network: Sequence[Path], table: Table, rows: Array) -> Simplest:
    """Return the answer from paths of both sides on the same folds of ``rows``, (m,)."""
    from wellfit.data import folds as cut

    first = linear[0]
    parts = cut(table, rows, folds=first.folds, seed=first.seed)
    counts: dict[str, Any] = {"train_rows": [len(p.train) for p in parts], "test_rows": [len(p.score) for p in parts]}
    measure = as_metric(first.metric, first.task)
    ours, theirs = _side(network), _side(linear)
    word = say("simplest.difference", metric=metric_said(first.metric))

    def score(values: Array) -> Interval:
        found = fold_interval(values, **counts, estimates=say("simplest.score", metric=metric_said(first.metric)))
        low, high = max(found.low, measure.lowest), min(found.high, measure.highest)
        return Interval(found.mean, low, high, found.estimates)

    against = difference(ours[1], theirs[1], **counts, higher_is_better=first.higher_is_better, estimates=word)
    by_loss = difference(ours[0], theirs[0], **counts, higher_is_better=False, estimates=say("simplest.loss"))
    chosen = [min(paths, key=lambda p: float(p.losses[p.best].mean())) for paths in (linear, network)]
    mixes = [p.cocktails[p.best] for p in chosen]
    low, high = score(theirs[1]), score(ours[1])
    return Simplest(
        metric=first.metric,
        linear=mixes[0],
        network=network[0].network,
        network_cocktail=mixes[1],
        linear_score=low,
        network_score=high,
        difference=against,
        loss_difference=by_loss,
        sentence=_sentence(metric_said(first.metric), mixes[0], low, high, against, by_loss),
    )


def _side(paths: Sequence[Path]) -> tuple[Array, Array]:
    """Return the loss and the score of each fold, (K,), at the point that is best on the other folds."""
    losses = np.concatenate([p.losses.mean(axis=2) for p in paths])
    scores = np.concatenate([p.scores.mean(axis=2) for p in paths])
    sound = ~np.isnan(losses).any(axis=1)
    losses, scores = losses[sound], scores[sound]
    folds = losses.shape[1]
    others = losses.sum(axis=1, keepdims=True) - losses if folds > 1 else losses
    at = others.argmin(axis=0), np.arange(folds)
    return losses[at], scores[at]


def _sentence(metric: str, linear: str, low: Interval, high: Interval, against: Difference, by_loss: Difference) -> str:
    key: str = against.word
    if key == "undecided" and by_loss.word in ("better", "worse"):
        key = f"loss_{by_loss.word}"
    difference = against.interval
    return say(
        f"simplest.{key}",
        metric=metric,
        cocktail=linear,
        linear=f"{low.mean:.3g}",
        network=f"{high.mean:.3g}",
        change=f"{difference.mean:+.2g}",
        low=f"{difference.low:+.2g}",
        high=f"{difference.high:+.2g}",
    )
