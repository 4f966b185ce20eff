"""Strong references on the same folds: how low the loss can be brought without the network under diagnosis.

Five kinds, each strong on other data: the linear model, exact; the additive one, exact too (a broken line for each
column; Hastie & Tibshirani 1986); the quadratic one where columns are few, exact (squares and products of two, the
response surface of Box & Wilson 1951); a smooth bent one, exact (a linear model on
radial bumps around `BUMPS` training rows, the low-rank kernel of Williams & Seeger 2001); trees: extremely
randomized ones (Geurts, Ernst & Wehenkel 2006), boosted ones where rows are many. Strengths are candidates side by
side: the reader of these losses chooses among them on the other folds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from wellfit.cocktail import Cocktail
from wellfit.engines.base import Engine, Member
from wellfit.errors import UnsupportedError
from wellfit.executors import Executor
from wellfit.nets import MLP, Training
from wellfit.population import train
from wellfit.records import Array, Fold, FoldData, Table, TrainingData
from wellfit.rng import RESAMPLE, generator

LINEAR_STRENGTHS = (1e-4, 1e-2, 1e-1, 1.0)
BUMPS, MOST_WEIGHTS = 100, 300  # bumps, and bumps times outputs
BINS = 8  # of each column, for the additive model
WIDTHS, BUMP_STRENGTHS = (1.0, 3.0), (1e-4, 1e-3, 1e-2, 1e-1)
MOST_LINEAR = 400  # columns times outputs for exact models
TREES, LEAF, ROUNDS, LEAVES, RATE = 30, 3, 40, 8, 0.15
MOST_WORK = 3e8  # training rows times the square of columns times outputs, for exact models
MOST_TREE_ROWS = 20_000
MANY_ROWS = 2_000  # from here on trees are boosted: stronger, and a fold takes longer than of randomized ones


@dataclass(frozen=True, eq=False)
class Reference:
    """A model that is no network: ``predictions[k]`` is (rows of fold k's score set, outputs)."""

    name: str
    less_flexible: bool
    predictions: tuple[Array, ...]


def references(
    table: Table, bent: TrainingData, straight: TrainingData, folds: int, seed: int, engine: Engine, executor: Executor
) -> list[Reference]:
    """Return the references on the first ``folds`` folds of both data; ``straight`` has unbent columns."""
    from wellfit.data import prepare

    bumps = _with_bumps(bent, folds, seed)
    found = _exact(straight, folds, LINEAR_STRENGTHS, "linear", True, engine, executor)
    for width, data in bumps:
        found += _exact(data, folds, BUMP_STRENGTHS, f"smooth_{width:g}", False, engine, executor)
    additive = prepare(table, [fold.rows for fold in bent.folds[:folds]], bins=BINS)
    found += _exact(additive, folds, BUMP_STRENGTHS, "additive", False, engine, executor)
    if (products := _with_products(bent, folds)) is not None:
        found += _exact(products, folds, BUMP_STRENGTHS, "quadratic", False, engine, executor)
    return found + _trees(table, bent, folds, seed)


def _exact(
    data: TrainingData,
    folds: int,
    strengths: Sequence[float],
    name: str,
    simple: bool,
    engine: Engine,
    executor: Executor,
) -> list[Reference]:
    """Return linear models of these L2 strengths, solved exactly; none where the data have too many columns."""
    if data.folds[0].x.shape[1] * data.outputs > MOST_LINEAR:
        return []
    data = _lighter(data, folds)
    mixes = tuple(Cocktail.parse(f"l2={strength:g}") for strength in strengths)
    members = [Member(MLP(()), mix, Training(), 0, fold) for mix in mixes for fold in range(folds)]
    try:
        histories = train(members, data, engine=engine, executor=executor)
    except UnsupportedError:
        return []
    out = []
    for i in range(len(mixes)):
        mine = histories[i * folds : (i + 1) * folds]
        if all(h.status != "diverged" for h in mine):
            out.append(Reference(name, simple, tuple(h.predictions for h in mine)))
    return out


def _lighter(data: TrainingData, folds: int) -> TrainingData:
    """Return the data with evenly fewer training rows where an exact solution would take long, else as they are."""
    most = int(MOST_WORK / (data.folds[0].x.shape[1] * data.outputs) ** 2)
    if max(len(fold.rows.train) for fold in data.folds[:folds]) <= most:
        return data
    made = []
    for fold in data.folds[:folds]:
        kept = fold.rows.train[:: -(-len(fold.rows.train) // most)]
        made.append(replace(fold, rows=replace(fold.rows, train=kept)))
    return replace(data, folds=tuple(made))


def _with_bumps(data: TrainingData, folds: int, seed: int) -> list[tuple[float, TrainingData]]:
    """Return the data with radial bumps around some training rows beside the columns, for each width."""
    many = min(BUMPS, MOST_WEIGHTS // data.outputs)
    if data.folds[0].x.shape[1] + many > MOST_LINEAR:
        return []
    return [
        (width, replace(data, folds=tuple(_bumps(data.folds[k], k, seed, many, width) for k in range(folds))))
        for width in WIDTHS
    ]


def _with_products(data: TrainingData, folds: int) -> TrainingData | None:
    """Return the data with squares and products of two beside the columns, or None where these are too many."""
    columns = data.folds[0].x.shape[1]
    if columns * (columns + 3) // 2 * data.outputs > MOST_WEIGHTS:
        return None
    made = []
    for fold in data.folds[:folds]:
        first, second = np.triu_indices(fold.x.shape[1])
        products = fold.x[:, first] * fold.x[:, second]
        made.append(replace(fold, x=np.hstack([fold.x, _standardized(products, fold.rows.train)])))
    return replace(data, folds=tuple(made))


def _standardized(columns: Array, rows: Array) -> Array:
    """Return columns with mean 0 and spread 1 over some rows; constant ones as 0."""
    mean, scale = columns[rows].mean(0), columns[rows].std(0)
    return (columns - mean) / np.where(scale > 1e-12, scale, np.inf)


def _bumps(fold: FoldData, k: int, seed: int, many: int, width: float) -> FoldData:
    draw = generator(seed, RESAMPLE + (k << 40) + (1 << 32))
    own = fold.rows.train
    centres = fold.x[np.sort(draw.permutation(own)[: max(1, min(many, len(own) // 2))])]
    squares = (fold.x**2).sum(1)[:, None] + (centres**2).sum(1) - 2 * fold.x @ centres.T
    typical = float(np.median(squares[own])) or 1.0
    bumps = np.exp(-np.maximum(squares, 0) / (width**2 * typical))
    return replace(fold, x=np.hstack([fold.x, _standardized(bumps, own)]))


def _trees(table: Table, data: TrainingData, folds: int, seed: int) -> list[Reference]:
    """Return extremely randomized or boosted trees, on one thread: the answer must not depend on their number."""
    from sklearn import ensemble
    from threadpoolctl import threadpool_limits

    kind = "Regressor" if table.task == "regression" else "Classifier"
    leaf: dict[str, Any] = {"n_estimators": TREES, "min_samples_leaf": LEAF, "n_jobs": 1, "random_state": seed % 2**32}
    slow = {"max_iter": ROUNDS, "max_leaf_nodes": LEAVES, "learning_rate": RATE, "early_stopping": False}
    settings: dict[str, tuple[str, dict[str, Any]]] = {
        "trees": ("ExtraTrees", leaf),
        "boosting": ("HistGradientBoosting", {**slow, "random_state": seed % 2**32}),
    }
    name = "trees" if sum(len(fold.rows.score) for fold in data.folds[:folds]) < MANY_ROWS else "boosting"
    family, chosen = settings[name]
    made = getattr(ensemble, family + kind)
    with threadpool_limits(1):
        predictions = tuple(_tree(made(**chosen), table, data, data.folds[k].rows, k, seed) for k in range(folds))
    return [Reference(name, False, predictions)]


def _tree(model: Any, table: Table, data: TrainingData, rows: Fold, k: int, seed: int) -> Array:
    x, weights = data.folds[k].x, data.folds[k].weights
    own = np.concatenate([rows.train, rows.stop])
    if len(own) > MOST_TREE_ROWS:
        own = np.sort(generator(seed, RESAMPLE + (k << 40) + (2 << 32)).permutation(own)[:MOST_TREE_ROWS])
    target = table.target[own]
    if table.task == "regression":
        model.fit(x[own], target, sample_weight=None if weights is None else weights[own])
        return model.predict(x[rows.score])[:, None]
    if len(np.unique(target)) == 1:  # one class alone: there is nothing to fit
        return _probabilities(np.ones((len(rows.score), 1)), target[:1], data, len(own))
    model.fit(x[own], target, sample_weight=None if weights is None else weights[own])
    return _probabilities(model.predict_proba(x[rows.score]), model.classes_, data, len(own))


def _probabilities(found: Array, classes: Array, data: TrainingData, rows: int) -> Array:
    """Return probabilities in this program's form, held off 0 and 1 by half a row: trees say both too easily."""
    width = 2 if data.task == "binary" else data.outputs
    out = np.zeros((len(found), width))
    out[:, np.asarray(classes, dtype=np.int64)] = found
    out = (out * rows + 0.5) / (rows + 0.5 * width)
    return out[:, 1:] if data.task == "binary" else out
