"""A small comparison on the NumPy engine with all that it was read from: for plain recounts of its figures."""

from __future__ import annotations

from typing import NamedTuple

from numpy_engine import NumpyEngine, make_data

from wellfit.cocktail import Cocktail, as_cocktails
from wellfit.engines.base import Member
from wellfit.evidence import METRICS
from wellfit.evidence.metrics import Metric
from wellfit.nets import MLP, Training
from wellfit.population import plan, train
from wellfit.records import Array, Comparison, History, Table, Task, TrainingData
from wellfit.select.reading import Asked, read


class Recounted(NamedTuple):
    """A comparison and what it was read from; the target is in a table's codes or in its unit."""

    found: Comparison
    mixes: tuple[Cocktail, ...]
    members: list[Member]
    histories: list[History]
    data: TrainingData
    target: Array
    metric: Metric


def small_comparison(task: Task, *, rows: int, folds: int, seeds: int) -> Recounted:
    """Three cocktails on one small network; the early stopping one is trained on the folds with stop rows."""
    data = make_data(task, rows=rows, folds=folds, stop=True)
    slow = Training("gd", 0.2, epochs=12, batch_size=None)
    target = {
        "binary": lambda y: y[:, 0].astype(int),
        "multiclass": lambda y: y.argmax(1),
        "regression": lambda y: y[:, 0] * 2 + 1,
    }[task](data.folds[0].y)
    table = Table("t", {}, {}, target, "y", task, () if task == "regression" else ("a", "b", "c"))
    mixes = as_cocktails("none; l2=0.3; early_stopping=2")
    members = plan(data, folds=folds, cocktails=mixes, networks=(MLP((5,)),), trainings=(slow,), seeds=range(seeds))
    histories = train(members, data, engine=NumpyEngine())
    metric = METRICS["rmse" if task == "regression" else "log-loss"]
    found = read(histories, data, Asked(table, mixes, MLP((5,)), slow, metric, folds, seeds, 0))
    return Recounted(found, mixes, members, histories, data, target, metric)
