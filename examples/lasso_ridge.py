"""Lasso and Ridge beside least squares: what shrinking does to one feature, and what it is for with a hundred.

    python examples/lasso_ridge.py                 # both tables
    python examples/lasso_ridge.py --out pictures  # and three pictures, PNG and SVG
    python examples/lasso_ridge.py --json          # the figures alone

Part 1, the tutorials' data: 100 points, x uniform between 0 and 1, y = 3x + noise of standard deviation 0.3, drawn with
NumPy's older generator at seed 0, first every x and then all the noise. Lasso with alpha 0.2 and Ridge with alpha 1 in
scikit-learn's meaning, on the column as it is. Both only pull the one slope towards 0, so neither seems good for
anything.

Part 2, what one feature cannot show: 100 rows of 100 features, of which 5 matter. How strong the penalty must be is
chosen by 10-fold cross-validation, the strongest within one standard error of the best. Lasso names the features that
matter and sets the others to exactly 0; Ridge uses all, and its predictions are the worse for it.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import wellfit as wf
from wellfit import records
from wellfit.cocktail.dialects import from_dialect
from wellfit.engines.convex import solve

POINTS, SLOPE, NOISE = 100, 3.0, 0.3
LASSO_ALPHA, RIDGE_ALPHA = 0.2, 1.0
FEATURES, FOLDS, FRESH = 100, 10, 10_000
MATTER = np.array([9, 29, 49, 69, 89])  # x10, x30, x50, x70 and x90
TRUE = np.array([3.0, -2.5, 2.0, -1.5, 1.0])  # their coefficients; the noise of y has standard deviation 1
TITLES = {
    "least_squares": "least squares",
    "lasso": f"Lasso, alpha {LASSO_ALPHA}",
    "ridge": f"Ridge, alpha {RIDGE_ALPHA}",
}


@dataclass(frozen=True)
class Line:
    """A model of one feature: y = coef x + intercept."""

    coef: float
    intercept: float


@dataclass(frozen=True)
class Many:
    """A model of the hundred features at the one-standard-error strength (none: least squares).

    ``features`` have a weight that is not 0: ``found`` of them matter, ``false`` do not. ``coefficients`` are those of
    the five that matter, ``error`` is the root mean squared error on fresh rows.
    """

    strength: float
    features: int
    found: int
    false: int
    coefficients: tuple[float, ...]
    largest_other: float
    error: float


# --- part 1: one feature


def points() -> tuple[np.ndarray, np.ndarray]:
    """Return the tutorials' data: x (100, 1) and y (100,)."""
    draws = np.random.RandomState(0)
    x = draws.rand(POINTS, 1)
    return x, SLOPE * x[:, 0] + NOISE * draws.randn(POINTS)


def lines(x: np.ndarray, y: np.ndarray) -> dict[str, Line]:
    """Fit the three models, each exactly. `from_dialect` says what scikit-learn's alpha is in wellfit's objective."""
    mixes = {
        "least_squares": wf.Cocktail(),
        "lasso": from_dialect("sklearn-lasso", alpha=LASSO_ALPHA),
        "ridge": from_dialect("sklearn-ridge", alpha=RIDGE_ALPHA, rows=len(y)),
    }
    found = {}
    for name, cocktail in mixes.items():
        strengths = cocktail.resolve(1)
        fit = solve(x, y, l1=strengths.l1[0], l2=strengths.l2[0])
        found[name] = Line(float(fit.weights[0, 0]), float(fit.bias[0]))
    return found


# --- part 2: a hundred features


def rows(count: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Return ``count`` rows of independent standard normal features, and their y."""
    draws = np.random.RandomState(seed)
    x = draws.randn(count, FEATURES)
    names = [f"x{j + 1}" for j in range(FEATURES)]
    return pd.DataFrame(x, columns=names), x[:, MATTER] @ TRUE + draws.randn(count)


def paths() -> dict[str, records.Path]:
    """Return the paths along L1 and L2 of the linear model."""
    table = rows(POINTS, 0)
    return {
        name: wf.path(table, over, network="linear", folds=FOLDS) for name, over in (("lasso", "l1"), ("ridge", "l2"))
    }


def many(found: dict[str, records.Path]) -> dict[str, Many]:
    """Return each path's model at the one-standard-error strength, with least squares, the path without a penalty."""
    fresh = rows(FRESH, 1)
    return {
        "least_squares": model(found["ridge"], 0, *fresh),
        **{name: model(path, path.one_standard_error, *fresh) for name, path in found.items()},
    }


def model(path: records.Path, point: int, x: pd.DataFrame, y: np.ndarray) -> Many:
    """Return one point of a path as figures; x and y are the fresh rows."""
    assert path.linear is not None  # solved exactly, since the network is linear
    weights, intercept = path.linear.coefficients[point, 0], path.linear.intercepts[point, 0]
    used = weights != 0
    matters = np.isin(np.arange(FEATURES), MATTER)
    errors = y - x.to_numpy() @ weights - intercept
    return Many(
        strength=float(path.strengths[point]),
        features=int(used.sum()),
        found=int((used & matters).sum()),
        false=int((used & ~matters).sum()),
        coefficients=tuple(weights[matters].tolist()),
        largest_other=float(np.abs(weights[~matters]).max()),
        error=float(np.sqrt(np.mean(errors**2))),
    )


# --- text and pictures


def first_part(found: dict[str, Line]) -> str:
    """Return the table of the one feature."""
    text = [
        f"{POINTS} points, y = {SLOPE:g}x + noise of standard deviation {NOISE}",
        f"{'':24}{'coef':>10}{'intercept':>12}",
    ]
    text += [f"{TITLES[name]:24}{line.coef:10.6f}{line.intercept:12.6f}" for name, line in found.items()]
    text.append("Lasso takes the same off any slope, Ridge a share of it. With one feature that is all they can do.")
    return "\n".join(text)


def second_part(found: dict[str, Many]) -> str:
    """Return the table of the hundred features."""
    text = [
        f"{POINTS} rows of {FEATURES} features, of which {len(TRUE)} matter. Strengths by {FOLDS}-fold "
        "cross-validation, the",
        "one-standard-error rule (on standardized columns and target).",
        f"{'':16}{'strength':>10}{'features':>10}{'matter':>8}{'do not':>8}{'error':>8}   coefficients that matter",
        f"{'the truth':16}{'':10}{len(TRUE):10}{len(TRUE):8}{0:8}{1:8.2f}   {shown(TRUE)}",
    ]
    for name, m in found.items():
        strength = f"l{1 if name == 'lasso' else 2}={m.strength:.3g}" if m.strength else "none"
        counts = f"{m.features:10}{m.found:8}{m.false:8}{m.error:8.2f}"
        text.append(f"{name.replace('_', ' '):16}{strength:>10}{counts}   {shown(m.coefficients)}")
    lasso, ridge = found["lasso"], found["ridge"]
    text += [
        f"error: root mean squared, on {FRESH} fresh rows; the best possible is 1.",
        f"Lasso uses {lasso.features} features, {lasso.found} of the {len(TRUE)} that matter among them. Ridge uses "
        f"{ridge.features}; the largest",
        f"coefficient of one that does not matter is {ridge.largest_other:.2f} (Lasso: {lasso.largest_other:.2f}). "
        "Least squares fits the",
        f"{POINTS} rows without an error, noise and all.",
    ]
    return "\n".join(text)


def shown(values: object) -> str:
    return "  ".join(f"{value:+.2f}" for value in np.asarray(values))


def draw(found: dict[str, Line], along: dict[str, records.Path], folder: Path) -> list[Path]:
    """Write the pictures as PNG and SVG; return their paths."""
    from wellfit.report.theme import drawing

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with drawing():
        figures = {name: two_lines(found, name) for name in ("lasso", "ridge")} | {"features": coefficients(along)}
        for name, figure in figures.items():
            for suffix in ("png", "svg"):
                written.append(folder / f"{name}.{suffix}")
                figure.savefig(written[-1], dpi=160, metadata={"Date": None} if suffix == "svg" else None)
    return written


def two_lines(found: dict[str, Line], name: str):
    """Draw least squares and one penalized line, a panel each, over the same points."""
    from matplotlib.figure import Figure

    from wellfit.report.theme import LIGHT

    x, y = points()
    ends = np.array([0.0, 1.0])
    figure = Figure(figsize=(8.4, 3.4), layout="constrained")
    for axes, key in zip(figure.subplots(1, 2, sharex=True, sharey=True), ("least_squares", name), strict=True):
        axes.plot(x[:, 0], y, "o", color=LIGHT["muted"], markeredgecolor=LIGHT["paper"], markersize=4.5)
        colour = LIGHT["none"] if key == "least_squares" else LIGHT["validation"]
        line = found[key]
        axes.plot(ends, SLOPE * ends, color=LIGHT["ink"], linewidth=1, linestyle=(0, (4, 3)), label="the truth")
        axes.plot(ends, line.coef * ends + line.intercept, color=colour, linewidth=2.2, label="fitted")
        axes.set(title=f"{TITLES[key]}: y = {line.coef:.2f}x + {line.intercept:.2f}", xlabel="x")
        axes.label_outer()
    figure.axes[0].set_ylabel("y")
    figure.axes[0].legend(frameon=False, loc="upper left")
    return figure


def coefficients(along: dict[str, records.Path]):
    """Draw every coefficient at the one-standard-error strength, Lasso beside Ridge, with the truth."""
    from matplotlib.figure import Figure

    from wellfit.report.theme import LIGHT

    figure = Figure(figsize=(8.4, 3.4), layout="constrained")
    numbers = np.arange(1, FEATURES + 1)
    for axes, (name, path) in zip(figure.subplots(1, 2, sharex=True, sharey=True), along.items(), strict=True):
        assert path.linear is not None
        weights = path.linear.coefficients[path.one_standard_error, 0]
        used = weights != 0
        axes.axhline(0, color=LIGHT["rule"], linewidth=1)
        axes.vlines(numbers[used], 0, weights[used], color=LIGHT["validation"], linewidth=1.6)
        axes.plot(numbers[used], weights[used], "o", color=LIGHT["validation"], markersize=3.5, label="fitted")
        axes.plot(MATTER + 1, TRUE, "_", color=LIGHT["ink"], markersize=10, markeredgewidth=1.6, label="the truth")
        text = "Lasso" if name == "lasso" else "Ridge"
        axes.set(title=f"{text}: {used.sum()} of {FEATURES} features", xlabel="feature")
        axes.label_outer()
    figure.axes[0].set_ylabel("coefficient")
    figure.axes[0].legend(frameon=False, loc="lower right")
    return figure


def main(arguments: list[str] | None = None) -> int:
    """Run the example; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print the figures as JSON, nothing else")
    parser.add_argument("--out", type=Path, help="folder for the pictures; without it none are drawn")
    options = parser.parse_args(arguments)
    found, along = lines(*points()), paths()
    of_many = many(along)
    if options.json:
        part = {name: asdict(value) for name, value in of_many.items()}
        print(json.dumps({name: asdict(value) for name, value in found.items()} | {"hundred_features": part}, indent=1))
    else:
        print(first_part(found), second_part(of_many), sep="\n\n")
    if options.out:
        written = draw(found, along, options.out)
        if not options.json:
            print("\nPictures:", *written, sep="\n  ")
    return 0


if __name__ == "__main__":
    sys.exit(main())
