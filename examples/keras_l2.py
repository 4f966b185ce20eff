"""L2, dropout, both or neither, on Keras's digits network: which is worth it, and does wellfit say the same?

    python examples/keras_l2.py             # two tables and what they show (about a minute on two cores)
    python examples/keras_l2.py --json      # the figures alone
    python examples/keras_l2.py --epochs 5 --folds 3 --seeds 1     # seconds

The network is the one that many Keras tutorials regularize: 64 inputs, 128 and 64 ReLU units, softmax over the ten
digits of scikit-learn's pictures, Adam, ``kernel_regularizer=l2(0.001)`` on the hidden layers, ``Dropout(0.3)`` after
them. One split of the rows shows little but luck; so every recipe is trained on the same folds from the same seeds, and
compared in pairs. Then the same comparison with wellfit alone, its strengths converted by `wellfit.cocktail.dialects`
(Keras's l2(l) is l sum W^2, wellfit's l2/2 sum W^2: twice the strength).

Keras runs on PyTorch (KERAS_BACKEND=torch): its models are ``nn.Module``, so ``wf.torch`` takes them as they come.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import wellfit as wf
from wellfit import MLP, Cocktail, Training
from wellfit.cocktail.dialects import from_dialect
from wellfit.data import folds as cut
from wellfit.data import prepare
from wellfit.evidence.intervals import difference, family, fold_interval
from wellfit.population import plan, train
from wellfit.records import Difference, FoldData, Interval, TrainingData

WIDTHS, RATE, BATCH, EPOCHS, FOLDS, SEEDS = (128, 64), 1e-3, 128, 25, 5, 2
L2, DROPOUT = 1e-3, 0.3
# In Keras's words: one strength per layer, the last layer free.
RECIPES: dict[str, dict[str, Any]] = {
    "none": {},
    "l2": {"l2": (L2, L2, 0.0)},
    "dropout": {"dropout": DROPOUT},
    "both": {"l2": (L2, L2, 0.0), "dropout": DROPOUT},
}


@dataclass(frozen=True, eq=False)
class Compared:
    """One library's accuracies: ``values[recipe]`` is (K,), one a fold, the seeds averaged; and what they show."""

    values: Mapping[str, np.ndarray]
    means: Mapping[str, Interval]
    gains: Mapping[str, Difference]


def digits(folds: int) -> tuple[TrainingData, np.ndarray]:
    """Return the folds, their inputs standardized by their training rows, and the digit of each row."""
    table = wf.load("digits")
    return prepare(table, cut(table, np.arange(table.rows), folds=folds, seed=0)), table.target


def cocktail_of(recipe: str) -> Cocktail:
    """Return the recipe in wellfit's words."""
    found = from_dialect("keras", **RECIPES[recipe])
    assert isinstance(found, Cocktail), found  # else it is the reason why there is none
    return found


# --- with Keras


def network(keras: Any, inputs: int, recipe: str) -> Any:
    """Return the Keras model, as a tutorial would write it."""
    arguments, layers = RECIPES[recipe], keras.layers
    parts = [keras.Input((inputs,))]
    for width, strength in zip(WIDTHS, arguments.get("l2", (0.0, 0.0)), strict=False):
        penalty = keras.regularizers.L2(strength) if strength else None
        parts.append(layers.Dense(width, activation="relu", kernel_regularizer=penalty))
        if "dropout" in arguments:
            parts.append(layers.Dropout(arguments["dropout"]))
    model = keras.Sequential([*parts, layers.Dense(10, activation="softmax")])
    model.compile(keras.optimizers.Adam(RATE), loss="sparse_categorical_crossentropy")
    return model


def keras_accuracy(keras: Any, fold: FoldData, target: np.ndarray, recipe: str, seed: int, epochs: int) -> float:
    """Train one network and return its accuracy on the fold's score rows."""
    keras.utils.set_random_seed(seed)
    x, rows = fold.x.astype(np.float32), fold.rows
    model = network(keras, x.shape[1], recipe)
    model.fit(x[rows.train], target[rows.train], batch_size=BATCH, epochs=epochs, verbose=0)
    guesses = np.array(model(x[rows.score]).argmax(dim=1).tolist())
    return float((guesses == target[rows.score]).mean())


def penalties(keras: Any, fold: FoldData) -> tuple[float, float]:
    """Return the penalty of one model twice: as Keras reckons it, and as ``wf.torch`` does from the cocktail."""
    keras.utils.set_random_seed(0)
    model = network(keras, fold.x.shape[1], "l2")
    return sum(model.losses).item(), wf.torch.penalty(model, cocktail_of("l2")).item()


def with_keras(keras: Any, data: TrainingData, target: np.ndarray, seeds: int, epochs: int) -> Compared:
    """Train every recipe with Keras on every fold from every seed."""
    values = {
        recipe: np.array(
            [
                np.mean([keras_accuracy(keras, fold, target, recipe, seed, epochs) for seed in range(seeds)])
                for fold in data.folds
            ]
        )
        for recipe in RECIPES
    }
    return compared(values, data)


# --- with wellfit


def with_wellfit(data: TrainingData, target: np.ndarray, seeds: int, epochs: int) -> Compared:
    """Train the same with wellfit, all at once."""
    cocktails = {recipe: cocktail_of(recipe) for recipe in RECIPES}
    members = plan(
        data,
        folds=len(data.folds),
        cocktails=tuple(cocktails.values()),
        networks=(MLP(WIDTHS),),
        trainings=(Training("adam", RATE, epochs, BATCH),),
        seeds=range(seeds),
    )
    values = {recipe: np.zeros(len(data.folds)) for recipe in RECIPES}
    names = {cocktail: recipe for recipe, cocktail in cocktails.items()}
    for member, history in zip(members, train(members, data), strict=True):
        right = history.predictions.argmax(axis=1) == target[data.folds[member.fold].rows.score]
        values[names[member.cocktail]][member.fold] += right.mean() / seeds
    return compared(values, data)


def compared(values: Mapping[str, np.ndarray], data: TrainingData) -> Compared:
    """Return means, paired gains over none, and words that hold together (Nadeau & Bengio 2003; Holm 1979)."""
    counts = {
        "train_rows": np.array([len(fold.rows.train) for fold in data.folds]),
        "test_rows": np.array([len(fold.rows.score) for fold in data.folds]),
    }
    means = {name: fold_interval(each, **counts, estimates="accuracy") for name, each in values.items()}
    others = [name for name in values if name != "none"]
    gains = family(
        [difference(values[name], values["none"], **counts, higher_is_better=True, estimates="gain") for name in others]
    )
    return Compared(values, means, {n: g for n, g in zip(others, gains, strict=True) if g is not None})


# --- what is shown


def sentence(keras: Compared, ours: Compared) -> str:
    """Return what the two tables show."""
    words = {name: (keras.gains[name].word, ours.gains[name].word) for name in keras.gains}
    decided = [
        f"{name} is {theirs} than none" for name, (theirs, mine) in words.items() if theirs == mine != "undecided"
    ]
    apart = [name for name, (theirs, mine) in words.items() if {theirs, mine} == {"better", "worse"}]
    first = f"In both libraries {' and '.join(decided)}." if decided else "No recipe is surely better or worse in both."
    opposed = (
        f"They contradict each other on {' and '.join(apart)}." if apart else "Nowhere do they contradict each other."
    )
    return f"{first} {opposed}"


def table(title: str, found: Compared) -> str:
    """Return one library's table."""
    lines = [f"{title:10}{'accuracy':>10}{'95% interval':>20}{'gain over none':>18}{'95% interval':>20}"]
    for name, mean in found.means.items():
        line = f"{name:10}{mean.mean:10.3f}{f'{mean.low:.3f} to {mean.high:.3f}':>20}"
        if name in found.gains:
            gain = found.gains[name].interval
            line += f"{gain.mean:+18.3f}{f'{gain.low:+.3f} to {gain.high:+.3f}':>20}  {found.gains[name].word}"
        lines.append(line)
    return "\n".join(lines)


def figures(found: Compared) -> dict[str, dict[str, object]]:
    """Return what ``--json`` prints of one library."""

    def numbers(interval: Interval) -> dict[str, float]:
        return {"mean": interval.mean, "low": interval.low, "high": interval.high}

    return {
        name: {"accuracy": numbers(mean), "folds": found.values[name].tolist()}
        | ({"gain": numbers(g.interval), "word": g.word} if (g := found.gains.get(name)) else {})
        for name, mean in found.means.items()
    }


def import_keras() -> Any:
    """Import Keras on PyTorch. Raises ``ImportError`` where either is absent, or Keras runs on another backend."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras
    import torch

    if keras.backend.backend() != "torch":
        raise ImportError(f"Keras runs on {keras.backend.backend()}: set KERAS_BACKEND=torch")
    torch.set_num_threads(1)  # for so small a network more threads only wait for each other
    return keras


def main(arguments: list[str] | None = None) -> int:
    """Run the example; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print the figures as JSON, nothing else")
    for name, default in (("epochs", EPOCHS), ("folds", FOLDS), ("seeds", SEEDS)):
        parser.add_argument(f"--{name}", type=int, default=default, help="default %(default)s")
    options = parser.parse_args(arguments)
    if options.epochs < 1 or options.folds < 2 or options.seeds < 1:
        parser.error("--epochs and --seeds must be at least 1, --folds at least 2")
    try:
        keras = import_keras()
    except ImportError as error:
        print(f"This example needs Keras on PyTorch (pip install keras 'wellfit[torch]'): {error}", file=sys.stderr)
        return 2
    data, target = digits(options.folds)
    theirs, own = penalties(keras, data.folds[0])
    found = with_keras(keras, data, target, options.seeds, options.epochs)
    ours = with_wellfit(data, target, options.seeds, options.epochs)
    if options.json:
        told = {"keras": figures(found), "wellfit": figures(ours), "penalty": {"keras": theirs, "wellfit": own}}
        settings = {"epochs": options.epochs, "folds": options.folds, "seeds": options.seeds}
        print(json.dumps({"settings": settings, **told, "sentence": sentence(found, ours)}, indent=1))
        return 0
    print(f"Digits: {options.folds} folds x {options.seeds} seeds, {options.epochs} epochs, network 64-128-64-10.\n")
    print(table("Keras", found), table("wellfit", ours), sentence(found, ours), sep="\n\n")
    print(f"\nThe penalty of one model with l2(0.001): {theirs:.6f} by Keras, {own:.6f} by wf.torch.penalty.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
