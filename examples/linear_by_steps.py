"""Gradient steps reach the exact solution: a network without hidden layers, trained to the end, beside the solver.

    python examples/linear_by_steps.py             # the table
    python examples/linear_by_steps.py --json
    python examples/linear_by_steps.py --quick     # fewer steps: see how far each optimizer has come by then

A linear model's minimum is known exactly, so it shows whether an optimizer minimizes what it says. Here a one-layer
network is trained by the compiled engine, all rows at once and in float64, with L1 as a proximal step after each
gradient step (zeros are exact) and L2 in the gradient: least squares on ``diabetes``, logistic regression on
``breast-cancer``. `wellfit.engines.convex` solves the same objective. Both end at the same objective, and the same
weights are exactly 0.

The proximal step's threshold must be L1's strength times the optimizer's *own* step size for that weight (see
docs/objective.md): with the plain learning rate momentum 0.9 would land on the Lasso of a tenth of the strength. Adam's
rate falls along a half cosine: at a constant rate it leaves the minimum now and then for some hundred steps.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass

import numpy as np

import wellfit as wf
from wellfit.cocktail import as_cocktail
from wellfit.data import load, prepare
from wellfit.engines.base import Member
from wellfit.engines.compiled import CompiledEngine
from wellfit.engines.convex import Problem
from wellfit.executors import Threads
from wellfit.records import Fold, TrainingData

EPOCHS, QUICK = 10_000, 300
COCKTAILS = {"diabetes": ("l1=0.05", "l2=0.05"), "breast-cancer": ("l1=0.02", "l2=0.02")}
# As large as each problem lets it: the step is stable below 2 over the largest curvature.
RECIPES = {
    "diabetes": {
        "gradient descent": {"optimizer": "gd", "learning_rate": 0.1},
        "momentum 0.9": {"optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.9},
        "Adam": {"optimizer": "adam", "learning_rate": 0.03, "schedule": "cosine"},
    },
    "breast-cancer": {
        "gradient descent": {"optimizer": "gd", "learning_rate": 0.5},
        "momentum 0.9": {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9},
        "Adam": {"optimizer": "adam", "learning_rate": 0.03, "schedule": "cosine"},
    },
}


@dataclass(frozen=True)
class Reached:
    """Where one training ended: its objective over the exact one's, minus 1, and how its weights differ.

    ``zeros`` weights are exactly 0, ``exact_zeros`` at the solution, and ``same`` says whether they are the same ones;
    ``farthest`` is the largest difference of a weight.
    """

    data: str
    cocktail: str
    optimizer: str
    steps: int
    objective: float
    exact: float
    gap: float
    zeros: int
    exact_zeros: int
    weights: int
    same: bool
    farthest: float


def all_rows(name: str) -> TrainingData:
    """Return a built-in table, standardized, every row to train on."""
    table = load(name)
    rows = np.arange(table.rows)
    return prepare(table, [Fold(rows, rows[:0], rows[:0])], bent=False)


def objective(data: TrainingData, parameters: np.ndarray, l1: float, l2: float) -> float:
    """Return the mean loss + l1 sum|w| + l2/2 sum w^2 of flat parameters: the weights, then the bias."""
    [fold], weights = data.folds, parameters[:-1]
    z, y = fold.x @ weights + parameters[-1], fold.y[:, 0]
    losses = (z - y) ** 2 if data.task == "regression" else np.logaddexp(0, z) - y * z
    return float(losses.mean() + l1 * np.abs(weights).sum() + l2 / 2 * weights @ weights)


def reach(name: str, epochs: int = EPOCHS) -> list[Reached]:
    """Train every recipe on one table, side by side, and hold each to the solution."""
    data = all_rows(name)
    [fold] = data.folds
    problem = Problem(data.task, fold.x, fold.y)
    asked = [(text, title) for text in COCKTAILS[name] for title in RECIPES[name]]
    members = [
        Member(
            network=wf.MLP(()),
            cocktail=as_cocktail(text),
            training=wf.Training(epochs=epochs, batch_size=None, precision="float64", **RECIPES[name][title]),
            seed=0,
            fold=0,
        )
        for text, title in asked
    ]
    ended = dict(Threads().run(CompiledEngine(), members, data))
    return [
        compare(data, problem, name, title, member, ended[i].parameters)
        for i, (member, (_, title)) in enumerate(zip(members, asked, strict=True))
    ]


def compare(
    data: TrainingData, problem: Problem, name: str, title: str, member: Member, parameters: np.ndarray
) -> Reached:
    """Hold one training's parameters to the exact solution of its objective."""
    strengths = member.cocktail.resolve(1)
    l1, l2 = strengths.l1[0], strengths.l2[0]
    solution = problem.solve(l1, l2).parameters
    ours, exact = (objective(data, p, l1, l2) for p in (parameters, solution))
    zero, exact_zero = parameters[:-1] == 0, solution[:-1] == 0
    return Reached(
        data=name,
        cocktail=str(member.cocktail),
        optimizer=title,
        steps=member.training.epochs,
        objective=ours,
        exact=exact,
        gap=ours / exact - 1,
        zeros=int(zero.sum()),
        exact_zeros=int(exact_zero.sum()),
        weights=len(zero),
        same=bool((zero == exact_zero).all()),
        farthest=float(np.abs(parameters - solution).max()),
    )


def text(found: list[Reached]) -> str:
    """Return the table."""
    lines = [
        f"{'':15}{'':9}{'':18}{'steps':>7}{'objective':>13}{'exact':>12}{'apart':>9}{'zeros':>11}{'exact':>7}"
        f"{'':7}{'weights apart':>15}"
    ]
    for r in found:
        lines.append(
            f"{r.data:15}{r.cocktail:9}{r.optimizer:18}{r.steps:7}{r.objective:13.8f}{r.exact:12.8f}{r.gap:9.0e}"
            f"{f'{r.zeros} of {r.weights}':>11}{r.exact_zeros:7}{'same' if r.same else 'not':>7}{r.farthest:15.0e}"
        )
    lines.append("apart: the objective over the exact one, minus 1. Full batches, float64.")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the example; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print the figures as JSON, nothing else")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} steps: on the way, not at the end")
    options = parser.parse_args(arguments)
    found = [r for name in COCKTAILS for r in reach(name, QUICK if options.quick else EPOCHS)]
    print(json.dumps([asdict(r) for r in found], indent=1) if options.json else text(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
