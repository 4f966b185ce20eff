"""The textbook's convolutional network on Fashion-MNIST, without regularization and with dropout.

    python examples/fashion_mnist.py                      # a fast recipe: some ten seconds a network on two cores
    python examples/fashion_mnist.py --out pictures       # and curves and a confusion matrix, PNG and SVG
    python examples/fashion_mnist.py --recipe normalized  # with batch normalization: better, from fewer images
    python examples/fashion_mnist.py --recipe original    # the tutorial's: batch 4, SGD 0.001, momentum 0.9, 5 epochs
    python examples/fashion_mnist.py --recipe strong      # a deeper one, augmented and normalized: some six minutes
    python examples/fashion_mnist.py --json               # the figures alone

Convolutions of 32 and 64 kernels, 128 hidden units, dropout 0.5 in front of the last layer, ten classes of clothing;
pixels are read from -1 to 1, that is less 0.5 and divided by 0.5. The networks train on all but 2,000 of the 60,000
training images; the curves are measured on those 2,000. The 10,000 test images are looked at once, at the end. Seconds
are those of each training; what PyTorch does once, when it first trains such a network, is done before.

The data: the folder fashion-mnist of the environment variable WELLFIT_DATA, or of ``--data``; else it is downloaded
once, and checked. The recipe normalized learns from 50,000 images, the others from all; ``--rows`` decides otherwise.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import wellfit as wf
from wellfit.engines.base import Member
from wellfit.evidence import as_metric, test_interval
from wellfit.records import Array, Fold, History, Interval, Table
from wellfit.select.fitting import fit_members
from wellfit.select.source import thinned

VALIDATION, SEED = 2_000, 0
LEAST_ROWS = 50  # five images of each class


@dataclass(frozen=True)
class Recipe:
    """What is trained: the cocktails by name, and how."""

    training: wf.Training
    cocktails: dict[str, str]
    network: str = "cnn"
    rows: int | None = None  # images to learn from, where not all: time goes with them, accuracy hardly


BOTH = {"none": "none", "dropout": "dropout=0.5"}
RECIPES = {
    "fast": Recipe(wf.Training("adamw", 5e-3, 2, 128, "flat_cosine", precision="bfloat16"), BOTH),
    "normalized": Recipe(
        wf.Training("adamw", 7e-3, 2, 256, "flat_cosine", precision="bfloat16"),
        {"normalized": "batch_norm"},
        rows=50_000,
    ),
    # As the tutorial has it, in float32 and at a constant rate.
    "original": Recipe(wf.Training("sgd", 1e-3, 5, 4, momentum=0.9), BOTH),
    "strong": Recipe(
        wf.Training("adamw", 4e-3, 16, 128, "one_cycle", precision="bfloat16"),
        {
            "strong": "batch_norm + augment=1:horizontal_flip=0.5:crop=0.07 + dropout=0.2 + weight_decay=0.05",
        },
        "deep-cnn",
    ),
}


@dataclass(frozen=True)
class Trained:
    """One network: its curves, its test accuracy and interval, its confusion matrix and the seconds it took."""

    cocktail: str
    history: History
    accuracy: Interval
    confusion: Array
    seconds: float


def cut(table: Table, rows: int | None = None) -> Fold:
    """Return the images to learn from, ``rows`` of them or all, less those that the curves are measured on."""
    learned = np.setdiff1d(np.arange(table.rows), table.test_rows)
    learned = learned if rows is None else thinned(table, learned, rows, SEED)
    held = thinned(table, learned, min(VALIDATION, len(learned) // 5), SEED)
    return Fold(np.setdiff1d(learned, held), held[:0], held)


def train(table: Table, recipe: Recipe, part: Fold, seed: int = SEED) -> dict[str, Trained]:
    """Train the recipe's networks one after another, and look at the test images. Raises `wf.WellfitError`."""
    assert table.inputs is not None
    assert table.test_rows is not None
    network = wf.module(recipe.network).bound(table.inputs.shape[1:], len(table.classes))
    metric, target = as_metric("accuracy", table.task), table.target[table.test_rows]
    _warm_up(table, part, network, recipe)
    found = {}
    for name, mix in recipe.cocktails.items():
        member = Member(network, wf.Cocktail.parse(mix), recipe.training, seed, 0)
        began = time.perf_counter()
        [(history, model)] = fit_members(table, [part], [member])
        seconds = time.perf_counter() - began
        outputs = model.outputs_on(table, table.test_rows)
        confusion = np.zeros((len(table.classes),) * 2, dtype=int)
        np.add.at(confusion, (target, outputs.argmax(1)), 1)
        found[name] = Trained(mix, history, test_interval(metric, target, outputs, SEED), confusion, seconds)
    return found


def _warm_up(table: Table, part: Fold, network: wf.Network, recipe: Recipe) -> None:
    """Train on two batches, so that the first network does not pay for what is loaded and set up once."""
    few = Fold(part.train[: 2 * recipe.training.batch_size], part.stop, part.score[:2])
    training = replace(recipe.training, epochs=1)
    for mix in recipe.cocktails.values():
        fit_members(table, [few], [Member(network, wf.Cocktail.parse(mix), training, SEED, 0)])


def text(found: dict[str, Trained], recipe: Recipe, classes: tuple[str, ...]) -> str:
    """Return the answer in lines."""
    lines = [str(recipe.training)]
    for name, one in found.items():
        interval = f"95% interval {one.accuracy.low:.4f} to {one.accuracy.high:.4f}"
        lines.append(f"{name:>8}: test accuracy {one.accuracy.mean:.4f} ({interval}), trained in {one.seconds:.1f} s")
    name, last = next(reversed(found.items()))
    wrong = last.confusion * (1 - np.eye(len(classes), dtype=int))
    at, taken = np.unravel_index(wrong.argmax(), wrong.shape)
    share = f"{wrong[at, taken]} of {last.confusion[at].sum():,}"
    lines.append(f"Most often wrong with {name}: {share} images of {classes[at]} are taken for {classes[taken]}.")
    return "\n".join(lines)


def draw(found: dict[str, Trained], classes: tuple[str, ...], folder: Path) -> list[Path]:
    """Draw the curves of all networks and the confusion matrix of the last one."""
    import matplotlib.pyplot as plt

    from wellfit.report.theme import drawing

    with drawing():
        figure, (curves, matrix) = plt.subplots(1, 2, figsize=(11, 4.6), constrained_layout=True)
        for (name, one), colour in zip(found.items(), ("C0", "C1"), strict=False):
            epochs = one.history.checkpoints
            curves.plot(
                epochs, one.history.curves["train_loss"], color=colour, linestyle="--", label=f"{name}, training"
            )
            curves.plot(epochs, one.history.curves["score_loss"], color=colour, label=f"{name}, validation")
        curves.set(xlabel="epoch", ylabel="loss", ylim=(0, 1), title="in evaluation mode, without any penalty")
        curves.legend(frameon=False)
        name, last = next(reversed(found.items()))
        matrix.imshow(np.sqrt(last.confusion), cmap="Blues")
        for (i, j), count in np.ndenumerate(last.confusion):
            if count:
                dark = count > last.confusion.max() / 4
                matrix.text(j, i, count, ha="center", va="center", fontsize=7, color="white" if dark else "black")
        ticks = range(len(classes))
        matrix.set_xticks(ticks, classes, rotation=45, ha="right")
        matrix.set_yticks(ticks, classes)
        matrix.set(xlabel="predicted", ylabel="true", title=f"{name}: test accuracy {last.accuracy.mean:.4f}")
        matrix.tick_params(length=0)
        written = [folder / f"fashion_mnist.{suffix}" for suffix in ("png", "svg")]
        for file in written:
            figure.savefig(file, dpi=160, metadata={"Date": None} if file.suffix == ".svg" else None)
        plt.close(figure)
    return written


def main(arguments: list[str] | None = None) -> int:
    """Run the example; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, help="the folder of the four IDX files (by default WELLFIT_DATA's)")
    parser.add_argument("--recipe", choices=tuple(RECIPES), default="fast", help="default %(default)s")
    parser.add_argument("--epochs", type=int, help="other than the recipe's")
    parser.add_argument(
        "--rows", type=int, help=f"learn from so many images, at least {LEAST_ROWS}; else as many as the recipe says"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON, nothing else")
    parser.add_argument("--out", type=Path, help="folder for the pictures; without it none is drawn")
    options = parser.parse_args(arguments)
    if options.rows is not None and options.rows < LEAST_ROWS:
        parser.error(f"argument --rows: at least {LEAST_ROWS} images are needed, not {options.rows}")
    recipe = RECIPES[options.recipe]
    try:
        if options.out:  # before the training, which would be lost
            options.out.mkdir(parents=True, exist_ok=True)
        if options.epochs is not None:
            recipe = replace(recipe, training=replace(recipe.training, epochs=options.epochs))
        table = wf.load("fashion-mnist" if options.data is None else options.data)
        if table.inputs is None or table.test_rows is None:
            print(f"{options.data} holds no images with test images: give a folder of IDX files.", file=sys.stderr)
            return 2
        found = train(table, recipe, cut(table, recipe.rows if options.rows is None else options.rows))
        written = draw(found, table.classes, options.out) if options.out else []
    except (wf.WellfitError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    if options.json:
        figures = {
            name: {
                "test_accuracy": one.accuracy.mean,
                "interval": [one.accuracy.low, one.accuracy.high],
                "seconds": round(one.seconds, 2),
                "cocktail": one.cocktail,
            }
            for name, one in found.items()
        }
        print(json.dumps(figures, indent=1))
    else:
        print(text(found, recipe, table.classes))
    if written and not options.json:
        print("Pictures:", *written, sep="\n  ")
    return 0


if __name__ == "__main__":
    sys.exit(main())
