"""Intervals over folds, and the words for differences: part of `interval_coverage`.

- ``folds``: `fold_interval` of loss and scores, `trained_interval`, `difference` to none, `ratio_interval` (gap and
  rise), from 5 folds, with the rows of `RowChanges` as a comparison has them. The truth is the expected figure of the
  *training procedure* on training sets of that size, over new training sets: the mean over 2,000 other repetitions (of
  the rise: from the epoch whose expected loss is lowest, which no single table knows). The
  oracle knows the standard deviation of the estimate: its width is 2 x 1.96 of it, over those same repetitions.
- ``words``: where there is no difference at all (exchangeable cocktails, each trained with its own noise on the
  inputs), how often "better" or "worse" is said, of one pair and of any in a family of 13; and of one pair that differs
  in everything but its expected loss (ridge at the strength whose expected loss is that of none).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from wellfit.evidence import difference, fold_interval, ratio_interval, rise_interval, trained_interval
from wellfit.evidence.intervals import RowError, family
from wellfit.evidence.metrics import METRICS
from wellfit.nets import Training
from wellfit.records import Array, Fold, FoldData, Interval, Table
from wellfit.select.reading import lowest_and_last
from wellfit.select.row_changes import RowChanges

FOLDS, TRUTH = 5, 2000
Z = 1.959963984540054
NO_ROWS = np.empty(0, dtype=np.int64)


@dataclass
class Line:
    """What was measured of one interval."""

    what: str
    problem: str
    coverage: float
    width: float  # median width over the oracle's
    below: float  # share of intervals wholly below the truth
    above: float


def line(what: str, problem: str, found: list[tuple[float, float]], truth: Array | float, spread: float) -> Line:
    low, high = np.array(found).T
    truth = np.broadcast_to(truth, low.shape)
    sound = np.isfinite(low) & np.isfinite(high)
    inside = sound & (low <= truth) & (truth <= high)
    width = float(np.median((high - low)[sound]) / (2 * Z * spread))
    return Line(what, problem, float(inside.mean()), width, float((high < truth).mean()), float((low > truth).mean()))


# Folds ----------------------------------------------------------------------------------------------------------------


def ridge(x: Array, y: Array, strength: float) -> tuple[Array, float]:
    """Minimize mean (y - x w - b)^2 + strength/2 w^2: weights and intercept."""
    centre, mean = x.mean(0), y.mean()
    z = x - centre
    w = np.linalg.solve(z.T @ z + strength * len(x) / 2 * np.eye(x.shape[1]), z.T @ (y - mean))
    return w, mean - centre @ w


def logistic(x: Array, y: Array, strength: float) -> tuple[Array, float]:
    """Minimize mean log-loss + strength/2 w^2 by Newton's steps."""
    one = np.column_stack([x, np.ones(len(x))])
    penalty = strength * np.append(np.ones(x.shape[1]), 0.0)
    w = np.zeros(one.shape[1])
    for _ in range(25):
        p = expit(one @ w)
        slope = one.T @ (p - y) / len(y) + penalty * w
        step = np.linalg.solve((one.T * (p * (1 - p))) @ one / len(y) + np.diag(penalty + 1e-9), slope)
        w -= step
        if np.abs(step).max() < 1e-9:
            break
    return w[:-1], w[-1]


EPOCHS = 10.0 ** np.linspace(1, -3, 5)  # the strength of an equivalent penalty falls as training goes on


@dataclass(frozen=True)
class Problem:
    name: str
    task: str
    rows: int
    features: int
    noise: float
    strength: float
    shake: float = 0.0  # noise on the training inputs, another for each fold: trainings that chance tells apart

    def draw(self, draw: np.random.Generator, rows: int) -> tuple[Array, Array]:
        x = draw.normal(size=(rows, self.features))
        signal = x @ np.linspace(1, 0, self.features)
        if self.task == "regression":
            return x, signal + self.noise * draw.normal(size=rows)
        return x, (draw.random(rows) < expit(signal)).astype(np.int64)

    def fit(self, x: Array, y: Array, strength: float) -> tuple[Array, float]:
        return ridge(x, y, strength) if self.task == "regression" else logistic(x, y, strength)

    def outputs(self, model: tuple[Array, float], x: Array) -> Array:
        """Values, or the probability of class 1, (n, 1)."""
        out = x @ model[0] + model[1]
        return (out if self.task == "regression" else expit(out))[:, None]


PROBLEMS = (
    Problem("ridge, 60 rows", "regression", 60, 15, 2.0, 1.0),
    Problem("ridge, 60 rows, 30 columns", "regression", 60, 30, 2.0, 1.0),
    Problem("ridge, 300 rows", "regression", 300, 15, 2.0, 0.3),
    Problem("noisy training, 100 rows", "regression", 100, 15, 2.0, 0.3, 0.7),
    Problem("logistic, 100 rows", "binary", 100, 5, 0.0, 0.1),
    Problem("logistic, 400 rows", "binary", 400, 10, 0.0, 0.05),
)
SCORES = {"regression": ("rmse", "r2"), "binary": ("accuracy", "auc")}
Values = dict[str, Array]  # (K,) each
Looks = dict[str, RowError | None]


class Cut:
    """A table cut into folds, as a comparison has it."""

    def __init__(self, task: str, x: Array, y: Array, fold: Array) -> None:
        self.task, self.y = task, y
        table = Table("drawn", {}, {}, y, "y", task, () if task == "regression" else ("a", "b"))
        parts = [Fold(np.flatnonzero(fold != k), NO_ROWS, np.flatnonzero(fold == k)) for k in range(FOLDS)]
        self.folds = [FoldData(x, y[:, None].astype(float), part) for part in parts]
        self.looks = {m: RowChanges(table, self.folds, Training(), METRICS[m]) for m in SCORES[task]}
        self.rows = next(iter(self.looks.values()))

    def losses(self, said: list[Array], trained: bool = False) -> Array:
        metric = METRICS["rmse" if self.task == "regression" else "log-loss"].function
        rows = [f.rows.train if trained else f.rows.score for f in self.folds]
        found = np.array([metric(self.task, self.y[r], p) for r, p in zip(rows, said, strict=True)])
        return found**2 if self.task == "regression" else found

    def scores(self, metric: str, said: list[Array]) -> Array:
        rows = [f.rows.score for f in self.folds]
        return np.array([METRICS[metric].function(self.task, self.y[r], p) for r, p in zip(rows, said, strict=True)])


def cross_validated(problem: Problem, seed: list[int], look: bool = True) -> tuple[Values, Looks]:
    """Figures of each fold of none (nearly) and of the cocktail, and what their rows tell."""
    draw = np.random.default_rng(seed)
    x, y = problem.draw(draw, problem.rows)
    cut = Cut(problem.task, x, y, np.random.default_rng(0).permutation(problem.rows) % FOLDS)
    said: dict[str, list[Array]] = defaultdict(list)
    seen: dict[str, list[Array]] = defaultdict(list)
    curves = []
    for fold in cut.folds:
        train, held = fold.rows.train, fold.rows.score
        shaken = x[train] + problem.shake * draw.normal(size=(len(train), problem.features))
        for name, strength in (("none", 1e-4), ("cocktail", problem.strength)):
            model = problem.fit(shaken, y[train], strength)
            said[name].append(problem.outputs(model, x[held]))
            seen[name].append(problem.outputs(model, x[train]))
        if problem.task == "regression":
            along = [problem.outputs(ridge(x[train], y[train], s), x[held])[:, 0] for s in EPOCHS]
            curves.append([((y[held] - out) ** 2).mean() for out in along])
    values, looks = _figures(cut, said, (seen["none"], seen["cocktail"]), look)
    if curves:
        values["curves"] = np.array(curves)  # (K, epochs)
        values["lowest"], values["last"] = lowest_and_last(values["curves"])
    return values, looks


def _figures(cut: Cut, said: dict[str, list[Array]], seen: tuple[list[Array], ...], look: bool) -> tuple[Values, Looks]:
    none, cocktail = said["none"], said["cocktail"]
    values = {"loss": cut.losses(none), "cocktail loss": cut.losses(cocktail), "train": cut.losses(seen[0], True)}
    for metric in SCORES[cut.task]:
        values |= {metric: cut.scores(metric, none), f"cocktail {metric}": cut.scores(metric, cocktail)}
    if not look:
        return values, {}
    one, other, learnt, more = ([p[None] for p in some] for some in (none, cocktail, *seen))  # a seed each
    looks = {"gap": cut.rows.gap_error(one, learnt), "train": cut.rows.trained_error(cut.rows.of_training(learnt))}
    found = {"loss": [cut.rows.of_loss(one, learnt), cut.rows.of_loss(other, more)]}
    found |= {metric: [rows.of_score(one, learnt), rows.of_score(other, more)] for metric, rows in cut.looks.items()}
    for name, (ours, theirs) in found.items():
        looks[name] = cut.rows.error(ours)
        looks[f"{name} difference"] = cut.rows.error(theirs - ours, paired=True)
    return values, looks


def points(values: Values) -> dict[str, float]:
    """The estimates, ratios as logarithms."""
    names = [name for name in values if f"cocktail {name}" in values]
    found = {name: values[name].mean() for name in (*names, "train")}
    found |= {f"{name} difference": (values[f"cocktail {name}"] - values[name]).mean() for name in names}
    found["gap"] = np.log(values["loss"] / values["train"]).mean()
    if "last" in values:
        found["rise"] = np.log(values["last"] / values["lowest"]).mean()
    return found


def intervals(values: Values, looks: Looks, rows: dict) -> dict[str, Interval]:
    """What wellfit says of the same."""
    names = [name for name in values if f"cocktail {name}" in values]
    bounds = {name: (METRICS[name].lowest, METRICS[name].highest) for name in names if name in METRICS}
    found = {
        name: fold_interval(values[name], rows=looks[name], bounds=bounds.get(name, (0.0, np.inf)), **rows)
        for name in names
    }
    found["train"] = trained_interval(values["train"], estimates="", rows=looks["train"])
    for name in names:
        pair, look = (values[f"cocktail {name}"], values[name]), looks[f"{name} difference"]
        found[f"{name} difference"] = difference(*pair, higher_is_better=False, rows=look, **rows).interval
    found["gap"] = ratio_interval(values["loss"], values["train"], rows=looks["gap"], **rows)
    if "last" in values:
        found["rise"] = rise_interval(values["last"], values["lowest"], **rows)
    return found


def folds(repetitions: int, seed: int) -> Iterator[Line]:
    for number, problem in enumerate(PROBLEMS):
        rows = {"train_rows": problem.rows * 4 // 5, "test_rows": problem.rows // 5, "estimates": ""}
        told: dict[str, list[tuple[float, float]]] = defaultdict(list)
        truth: dict[str, list[float]] = defaultdict(list)
        curves = []
        for i in range(TRUTH):
            values = cross_validated(problem, [seed, 1, number, i], look=False)[0]
            curves += [values["curves"]] if "curves" in values else []
            for name, value in points(values).items():
                truth[name].append(float(value))
        for i in range(repetitions):
            found = intervals(*cross_validated(problem, [seed, 2, number, i]), rows)
            for name, each in found.items():
                ends = each.low, each.high
                told[name].append(tuple(np.log(ends)) if name in ("gap", "rise") else ends)
        for name, ends in told.items():
            middle = true_rise(np.array(curves)) if name == "rise" else float(np.nanmean(truth[name]))
            yield line(name, problem.name, ends, middle, float(np.nanstd(truth[name])))


def true_rise(curves: Array) -> float:
    """The mean logarithm of the last loss over that at the epoch whose expected loss is lowest; (R, K, epochs)."""
    lowest = curves.mean(axis=(0, 1)).argmin()
    return float(np.log(curves[..., -1] / curves[..., lowest]).mean())


# Words ----------------------------------------------------------------------------------------------------------------


def alike(seed: list[int], rows: int, cocktails: int, noise: float) -> tuple[Array, list[RowError | None]]:
    """Losses (cocktails, K) of linear models trained on the same folds, each with its own noise on the inputs.

    With them what the rows tell of each one's difference to the first.
    """
    draw = np.random.default_rng(seed)
    problem = Problem("", "regression", rows, 10, 2.0, 0.0)
    x, y = problem.draw(draw, rows)
    cut = Cut("regression", x, y, np.arange(rows) % FOLDS)
    models = [
        [ridge(x[rows] + noise * draw.normal(size=(len(rows), 10)), y[rows], 0.01) for _ in range(cocktails)]
        for rows in (fold.rows.train for fold in cut.folds)
    ]
    return _losses_and_looks(cut, problem, x, models)


def _losses_and_looks(
    cut: Cut, problem: Problem, x: Array, models: list[list[tuple[Array, float]]]
) -> tuple[Array, list[RowError | None]]:
    """Losses (C, K) of each fold's C models, and what the rows tell of each one's difference to the first."""

    def said(name: str) -> list[Array]:
        pairs = zip(models, (getattr(fold.rows, name) for fold in cut.folds), strict=True)
        return [np.array([[problem.outputs(model, x[rows])] for model in some]) for some, rows in pairs]

    unseen = said("score")
    look = cut.rows.of_loss(unseen, said("train"))
    losses = np.array([cut.losses([fold[c, 0] for fold in unseen]) for c in range(len(models[0]))])
    return losses, [cut.rows.error(look[c] - look[0], paired=True) for c in range(len(losses))]


def scored_alike(seed: list[int], rows: int, metric: str) -> str:
    """The word for the difference in a score of two classifiers that differ by noise on their training inputs."""
    draw = np.random.default_rng(seed)
    problem = Problem("", "binary", rows, 5, 0.0, 0.1)
    x, y = problem.draw(draw, rows)
    cut = Cut("binary", x, y, np.arange(rows) % FOLDS)
    said: tuple[list[Array], list[Array]] = [], []
    seen: tuple[list[Array], list[Array]] = [], []
    for fold in cut.folds:
        train, held = fold.rows.train, fold.rows.score
        for which in (0, 1):
            model = problem.fit(x[train] + 0.5 * draw.normal(size=(len(train), 5)), y[train], 0.1)
            said[which].append(problem.outputs(model, x[held]))
            seen[which].append(problem.outputs(model, x[train]))
    rows_of = cut.looks[metric]
    one, other = (
        rows_of.of_score([p[None] for p in unseen], [p[None] for p in known])
        for unseen, known in zip(said, seen, strict=True)
    )
    if one is None or other is None:
        return "undecided"
    counts = {"train_rows": rows * 4 // 5, "test_rows": rows // 5, "estimates": "", "higher_is_better": True}
    look = rows_of.error(one - other, paired=True)
    return difference(*(cut.scores(metric, some) for some in said), rows=look, **counts).word


def words(repetitions: int, seed: int) -> dict[str, float]:
    found = {}
    for metric in SCORES["binary"]:
        for rows in (60, 300):
            told = [scored_alike([seed, 6, rows, i], rows, metric) != "undecided" for i in range(repetitions)]
            found[f"one pair, exchangeable, {metric}, {rows} rows"] = float(np.mean(told))
    for rows in (60, 300):
        counts = {"train_rows": rows * 4 // 5, "test_rows": rows // 5, "estimates": "", "higher_is_better": False}
        one = unadjusted = adjusted = 0
        for i in range(repetitions):
            losses, looks = alike([seed, 3, rows, i], rows, 14, 0.5)
            pairs = zip(losses[1:], looks[1:], strict=True)
            told = [difference(own, losses[0], rows=look, **counts) for own, look in pairs]
            one += told[0].word != "undecided"
            unadjusted += any(d.word != "undecided" for d in told)
            adjusted += any(d is not None and d.word != "undecided" for d in family(told))
        found[f"one pair, exchangeable, {rows} rows"] = one / repetitions
        found[f"any of 13, exchangeable, not adjusted, {rows} rows"] = unadjusted / repetitions
        found[f"any of 13, exchangeable, adjusted by Holm, {rows} rows"] = adjusted / repetitions
        found[f"one pair, ridge as good as none, {rows} rows"] = _as_good(rows, 10, counts, repetitions, seed)
        if rows == 60:
            said = _as_good(rows, 30, counts, repetitions, seed)
            found["one pair, ridge as good as none, 60 rows, 30 columns"] = said
    return found


def _as_good(rows: int, features: int, counts: dict, repetitions: int, seed: int) -> float:
    """How often a word is said of ridge at the strength at which its expected loss is that of no penalty."""

    def pair(strength: float, stream: int, i: int) -> tuple[Array, list[RowError | None]]:
        problem = Problem("", "regression", rows, features, 2.0, strength)
        x, y = problem.draw(np.random.default_rng([seed, stream, rows, features, i]), rows)
        cut = Cut("regression", x, y, np.arange(rows) % FOLDS)
        parts = [fold.rows.train for fold in cut.folds]
        models = [[ridge(x[rows], y[rows], s) for s in (0.0, strength)] for rows in parts]
        return _losses_and_looks(cut, problem, x, models)

    low, high = 0.05, 200.0
    for _ in range(11):  # the excess grows with the strength, on the same 500 tables each time
        middle = (low * high) ** 0.5
        above = np.mean([np.subtract(*pair(middle, 4, i)[0][::-1]).mean() for i in range(500)]) > 0
        low, high = (low, middle) if above else (middle, high)
    said = 0
    for i in range(repetitions):
        losses, looks = pair((low * high) ** 0.5, 5, i)
        said += difference(losses[1], losses[0], rows=looks[1], **counts).word != "undecided"
    return said / repetitions
