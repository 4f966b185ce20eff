"""Problems and members to try an engine on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from wellfit import rng
from wellfit.cocktail import as_cocktail
from wellfit.engines.base import Engine, Member, State
from wellfit.nets import MLP, Training
from wellfit.records import Fold, FoldData, Task, TrainingData

TASKS: tuple[Task, ...] = ("binary", "multiclass", "regression")
OPTIMIZERS = {
    "gd": Training("gd", 0.1, 60, None),
    "sgd": Training("sgd", 0.02, 60, 16, momentum=0.9),
    "nesterov": Training("sgd", 0.02, 60, 16, momentum=0.9, nesterov=True),
    "adam": Training("adam", 0.01, 60, 16),
}


def make_data(task: Task, rows: int = 97, inputs: int = 5, seed: int = 0) -> TrainingData:
    """Return a small noisy problem with two folds, the second with stop rows."""
    draw = rng.generator(seed, rng.DATA)
    x = draw.normal(size=(rows, inputs))
    signal = x[:, 0] + x[:, 1] * x[:, 2] + draw.normal(size=rows) * 0.7
    if task == "binary":
        y = (signal > 0).astype(float)[:, None]
    elif task == "multiclass":
        y = np.eye(3)[np.digitize(signal, (-0.5, 0.5))]
    else:
        y = ((signal - signal.mean()) / signal.std())[:, None]
    order = draw.permutation(rows)
    none = order[:0]
    folds = (Fold(order[30:], none, order[:30]), Fold(order[45:], order[30:45], order[:30]))
    return TrainingData(task, y.shape[1], tuple(FoldData(x, y, f) for f in folds))


def weighted(data: TrainingData, seed: int = 0) -> TrainingData:
    """Return the same problem with a weight for each row, some of them 0."""
    weights = rng.generator(seed, rng.RESAMPLE).choice([0.0, 0.5, 1.0, 3.0], len(data.folds[0].y))
    return replace(data, folds=tuple(replace(f, weights=weights) for f in data.folds))


def assorted(task: Task) -> list[Member]:
    """Return members that differ in everything an engine lets differ."""
    cocktails = ["none", "l2=1e-2", "l1=1e-3", "dropout=0.3", "weight_decay=0.1 + dropout=(0.2, 0)", "elastic_net=1e-3"]
    networks = [MLP((8,)), MLP((7, 5), "tanh"), MLP((4, 6), "gelu"), MLP((33, 9), "silu"), MLP((12, 3)), MLP(())]
    trainings = [*OPTIMIZERS.values(), Training("adamw", 0.01, 20, 10, "cosine"), Training("gd", 0.1, 20, 25)]
    members = [
        Member(networks[i], as_cocktail(cocktails[i]), replace(trainings[i], epochs=20), seed=i * 2**33, fold=i % 2)
        for i in range(6)
    ]
    stopping = as_cocktail("l2=1e-3 + early_stopping=2")
    members.append(Member(MLP((9,)), stopping, Training("adam", 0.05, 40, 16), seed=3, fold=1))
    return [*members, *_mixed(task)]


def _mixed(task: Task) -> list[Member]:
    """Return members that hold the ingredients that disturb, bound, normalize and average, on schedules."""
    smooth = "label_smoothing=0.1:schedule=cosine + " if task != "regression" else ""
    cocktails = [
        "batch_norm + l2=0.01 + dropout=0.2",
        smooth + "mixup=0.3 + max_norm=(1, inf, 0.5)",
        "input_noise=0.3 + input_dropout=0.2 + gradient_clipping=0.3 + ema=0.9",
        "group_lasso=0.02:schedule=one_cycle + batch_norm + ema=0.8 + early_stopping=15:on="
        + ("loss" if task == "regression" else "score"),
        "weight_decay=0.3:schedule=flat_cosine + dropout=0.4:schedule=cosine + mixup=1:schedule=flat_cosine"
        " + batch_norm + max_norm=2:schedule=cosine + l1=0.002:schedule=one_cycle"
        " + gradient_clipping=1:schedule=cosine",
    ]
    weights = None if task == "regression" else "balanced"
    loss = "huber:0.7" if task == "regression" else "auto"
    trainings = [
        Training("adam", 0.01, 20, 16, "one_cycle"),
        Training("gd", 0.1, 20, None, class_weights=weights),
        Training("adam", 0.01, 20, 16, loss="absolute" if task == "regression" else "auto"),
        Training("sgd", 0.02, 20, 16, momentum=0.8, loss="quantile:0.8" if task == "regression" else "auto"),
        Training("adam", 0.01, 20, 10, "flat_cosine", loss=loss, class_weights=weights),
    ]
    networks = [MLP((8, 5)), MLP((7, 5), "leaky_relu"), MLP((9,)), MLP((6,), "tanh"), MLP((5, 4), "silu")]
    return [
        Member(network, as_cocktail(text), training, seed=7 + i, fold=i % 2 if "stopping" not in text else 1)
        for i, (network, text, training) in enumerate(zip(networks, cocktails, trainings, strict=True))
    ]


def same(a: State, b: State, tolerance: float) -> bool:
    """Return whether two states agree: bit for bit where ``tolerance`` is 0."""
    pairs = [(getattr(a, n), getattr(b, n)) for n in ("parameters", "moments", "best_parameters", "curves", "average")]
    plain = all(getattr(a, n) == getattr(b, n) for n in ("epoch", "step", "status", "best_epoch", "waited"))
    if tolerance == 0:
        return plain and all(np.array_equal(x, y, equal_nan=True) for x, y in pairs)
    return plain and all(np.allclose(x, y, rtol=tolerance, atol=tolerance, equal_nan=True) for x, y in pairs)


def finish(engine: Engine, members: list[Member], data: TrainingData) -> list[State]:
    """Train all members to their end."""
    return engine.advance(members, engine.init(members, data), [m.training.epochs for m in members], data)
