"""How often does each 95% interval hold the truth, how wide is it, and how often is a word false?

    python benchmarks/interval_coverage.py [--repetitions 1000] [--seed 1] [--json]
        [--only folds,words,test,decomposition]

Every repetition draws new data from a known generator and asks wellfit's own functions for the interval. Members are
linear models in closed form, or predictions drawn from a model, so that a thousand repetitions take minutes.

- ``folds``: `fold_interval` of loss and score, `difference` to none, `ratio_interval` (gap and rise), from 5 folds. The
  truth is the expected figure of the *training procedure* on training sets of that size, over new training sets: the
  mean over 2,000 other repetitions. The oracle knows the standard deviation of the estimate: its width is 2 x 1.96 of
  it, over those same repetitions.
- ``words``: where there is no difference at all (exchangeable cocktails, each trained with its own noise on the
  inputs), how often "better" or "worse" is said, of one pair and of any in a family of 13; and of one pair that differs
  in everything but its expected loss (ridge at the strength whose expected loss is that of none).
- ``test``: `test_interval`. The truth is the score of *this* predictor on endlessly many rows.
- ``decomposition``: `wellfit.evidence.decomposition` on 50 resamples. ``fresh`` truth: endlessly many training sets and
  rows. ``bootstrap`` truth: endlessly many resamples of *these* training rows, on endlessly many new rows.

Coverage of 0.95 measured 1,000 times has a standard error of 0.007.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, log_softmax

from wellfit.evidence import decomposition as parts_of
from wellfit.evidence import difference, fold_interval, ratio_interval, test_interval, trained_interval
from wellfit.evidence.intervals import family
from wellfit.evidence.metrics import METRICS
from wellfit.records import Array
from wellfit.select.reading import lowest_and_last

FOLDS, TRUTH = 5, 2000
Z = 1.959963984540054


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

    def figures(self, w: Array, b: float, x: Array, y: Array) -> tuple[float, float]:
        """Loss and score (rmse or accuracy)."""
        out = x @ w + b
        if self.task == "regression":
            loss = float(((y - out) ** 2).mean())
            return loss, loss**0.5
        loss = float(np.logaddexp(0, np.where(y == 1, -out, out)).mean())
        return loss, float(((out > 0) == y).mean())


PROBLEMS = (
    Problem("ridge, 60 rows", "regression", 60, 15, 2.0, 1.0),
    Problem("ridge, 300 rows", "regression", 300, 15, 2.0, 0.3),
    Problem("noisy training, 100 rows", "regression", 100, 15, 2.0, 0.3, 0.7),
    Problem("logistic, 100 rows", "binary", 100, 5, 0.0, 0.1),
    Problem("logistic, 400 rows", "binary", 400, 10, 0.0, 0.05),
)


def cross_validated(problem: Problem, seed: list[int], least: float = 1e-4, cut: int = 0) -> dict[str, Array]:
    """Figures of each fold, (K,): of none (nearly: ``least``) and of the cocktail."""
    draw = np.random.default_rng(seed)
    x, y = problem.draw(draw, problem.rows)
    fold = np.random.default_rng(cut).permutation(problem.rows) % FOLDS
    found: dict[str, list[float]] = defaultdict(list)
    curves = []
    for k in range(FOLDS):
        train, held = fold != k, fold == k
        shaken = x[train] + problem.shake * draw.normal(size=(train.sum(), problem.features))
        for name, strength in (("none", least), ("cocktail", problem.strength)):
            w, b = problem.fit(shaken, y[train], strength)
            loss, score = problem.figures(w, b, x[held], y[held])
            found[f"{name} loss"].append(loss)
            found[f"{name} score"].append(score)
            found[f"{name} train"].append(problem.figures(w, b, x[train], y[train])[0])
        if problem.task == "regression":
            along = [ridge(x[train], y[train], s) for s in EPOCHS]
            curves.append([problem.figures(w, b, x[held], y[held])[0] for w, b in along])
    if curves:
        lowest, last = lowest_and_last(np.array(curves))
        found["lowest"], found["last"] = list(lowest), list(last)
    return {name: np.array(values) for name, values in found.items()}


def asked(values: dict[str, Array]) -> dict[str, tuple[Array, Array | None, str]]:
    told: dict[str, tuple[Array, Array | None, str]] = {
        "loss": (values["none loss"], None, "mean"),
        "train loss": (values["none train"], None, "trained"),
        "score": (values["none score"], None, "mean"),
        "loss difference": (values["cocktail loss"], values["none loss"], "difference"),
        "score difference": (values["cocktail score"], values["none score"], "difference"),
        "gap": (values["none loss"], values["none train"], "gap"),
    }
    if "last" in values:
        told["rise"] = (values["last"], values["lowest"], "ratio")
    return told


def folds(repetitions: int, seed: int) -> Iterator[Line]:
    for number, problem in enumerate(PROBLEMS):
        rows = {"train_rows": problem.rows * 4 // 5, "test_rows": problem.rows // 5, "estimates": ""}
        told: dict[str, list[tuple[float, float]]] = defaultdict(list)
        points: dict[str, list[float]] = defaultdict(list)
        repeated: list[float] = []
        for i in range(TRUTH):
            for name, (a, b, kind) in asked(cross_validated(problem, [seed, 1, number, i])).items():
                value = a if b is None else np.log(a / b) if kind in ("ratio", "gap") else a - b
                points[name].append(float(value.mean()))
        for i in range(repetitions):
            for name, (a, b, kind) in asked(cross_validated(problem, [seed, 2, number, i])).items():
                if b is None:
                    interval = trained_interval(a, estimates="") if kind == "trained" else fold_interval(a, **rows)
                elif kind == "difference":
                    interval = difference(a, b, higher_is_better=False, **rows).interval
                else:
                    interval = ratio_interval(a, b, **rows)
                if name == "loss" and problem.task == "regression":  # four times five folds, each time cut anew
                    again = [cross_validated(problem, [seed, 2, number, i], cut=c)[f"none {name}"] for c in range(4)]
                    more = fold_interval(np.concatenate(again), **rows)
                    told["loss, 4 x 5 folds"].append((more.low, more.high))
                    repeated.append(more.mean)
                pair = interval.low, interval.high
                told[name].append(tuple(np.log(pair)) if kind in ("ratio", "gap") else pair)
        for name, found in told.items():
            mean, spread = float(np.mean(points[name.split(",")[0]])), float(np.std(points[name.split(",")[0]]))
            yield line(name, problem.name, found, mean, float(np.std(repeated)) if "," in name else spread)


# Words ----------------------------------------------------------------------------------------------------------------


def alike(seed: list[int], rows: int, cocktails: int, noise: float) -> Array:
    """Losses (cocktails, K) of linear models trained on the same folds, each with its own noise on the inputs."""
    draw = np.random.default_rng(seed)
    problem = Problem("", "regression", rows, 10, 2.0, 0.0)
    x, y = problem.draw(draw, rows)
    fold = np.arange(rows) % FOLDS
    found = np.empty((cocktails, FOLDS))
    for k in range(FOLDS):
        train, held = fold != k, fold == k
        for c in range(cocktails):
            w, b = ridge(x[train] + noise * draw.normal(size=(train.sum(), 10)), y[train], 0.01)
            found[c, k] = problem.figures(w, b, x[held], y[held])[0]
    return found


def words(repetitions: int, seed: int) -> dict[str, float]:
    found = {}
    for rows in (60, 300):
        counts = {"train_rows": rows * 4 // 5, "test_rows": rows // 5, "estimates": "", "higher_is_better": False}
        one = unadjusted = adjusted = 0
        for i in range(repetitions):
            losses = alike([seed, 3, rows, i], rows, 14, 0.5)
            told = [difference(own, losses[0], **counts) for own in losses[1:]]
            one += told[0].word != "undecided"
            unadjusted += any(d.word != "undecided" for d in told)
            adjusted += any(d is not None and d.word != "undecided" for d in family(told))
        found[f"one pair, exchangeable, {rows} rows"] = one / repetitions
        found[f"any of 13, exchangeable, not adjusted, {rows} rows"] = unadjusted / repetitions
        found[f"any of 13, exchangeable, adjusted by Holm, {rows} rows"] = adjusted / repetitions
        found[f"one pair, ridge as good as none, {rows} rows"] = _as_good(rows, counts, repetitions, seed)
    return found


def _as_good(rows: int, counts: dict, repetitions: int, seed: int) -> float:
    """How often a word is said of ridge at the strength at which its expected loss is that of no penalty."""

    def losses(strength: float, stream: int, i: int) -> Array:
        problem = Problem("", "regression", rows, 10, 2.0, strength)
        values = cross_validated_pair(problem, [seed, stream, rows, i])
        return values[1] - values[0]

    low, high = 0.05, 20.0
    for _ in range(9):  # the excess grows with the strength, on the same 500 tables each time
        middle = (low * high) ** 0.5
        above = np.mean([losses(middle, 4, i).mean() for i in range(500)]) > 0
        low, high = (low, middle) if above else (middle, high)
    said = 0
    for i in range(repetitions):
        change = losses((low * high) ** 0.5, 5, i)
        said += difference(change, np.zeros(FOLDS), **counts).word != "undecided"
    return said / repetitions


def cross_validated_pair(problem: Problem, seed: list[int]) -> tuple[Array, Array]:
    draw = np.random.default_rng(seed)
    x, y = problem.draw(draw, problem.rows)
    fold = np.arange(problem.rows) % FOLDS
    found = np.empty((2, FOLDS))
    for k in range(FOLDS):
        train, held = fold != k, fold == k
        for j, strength in enumerate((0.0, problem.strength)):
            found[j, k] = problem.figures(*ridge(x[train], y[train], strength), x[held], y[held])[0]
    return found[0], found[1]


# Test rows ------------------------------------------------------------------------------------------------------------


def classified(draw: np.random.Generator, rows: int, sharp: float) -> tuple[Array, Array]:
    """Targets and the chances of a predictor that is a little too sure of itself."""
    z = draw.normal(size=rows)
    return (draw.random(rows) < expit(sharp * z)).astype(np.int64), expit(1.3 * sharp * z)[:, None]


def regressed(draw: np.random.Generator, rows: int, freedom: float) -> tuple[Array, Array]:
    z = draw.normal(size=rows)
    return z + draw.standard_t(freedom, rows), z[:, None]


def test(repetitions: int, seed: int) -> Iterator[Line]:
    cases: list[tuple[str, Callable, float, tuple[str, ...]]] = [
        ("chances, good", classified, 2.0, ("accuracy", "balanced-accuracy", "auc", "log-loss")),
        ("chances, very good", classified, 6.0, ("accuracy", "auc", "log-loss")),
        ("values, normal noise", regressed, 1e9, ("rmse", "r2")),
        ("values, heavy tails", regressed, 5.0, ("rmse",)),
    ]
    for number, (name, make, setting, metrics) in enumerate(cases):
        task = "regression" if make is regressed else "binary"
        large = make(np.random.default_rng([seed, 6, number]), 2_000_000, setting)
        for rows in (30, 100, 300):
            drawn = [make(np.random.default_rng([seed, 7, number, rows, i]), rows, setting) for i in range(repetitions)]
            more = [make(np.random.default_rng([seed, 8, number, rows, i]), rows, setting) for i in range(1000)]
            for metric in metrics:
                score = METRICS[metric].function
                truth = score(task, *large)
                spread = float(np.nanstd([score(task, *one) for one in more]))
                found = []
                for i, one in enumerate(drawn):
                    interval = test_interval(metric, *one, seed=i)
                    found.append((interval.low, interval.high))
                yield line(f"test {metric}", f"{name}, {rows} rows", found, truth, spread)


# The decomposition ----------------------------------------------------------------------------------------------------

RESAMPLES, SEEDS, SCORED = 50, 4, 150


def fresh(draw: np.random.Generator, resamples: int, seeds: int, rows: int) -> tuple[Array, Array, Array]:
    """Logits (R, S, n, 3) of members whose weights differ by resample and by seed, targets (n,), true chances (n, 3).

    They are what linear members would say: weights = those of the mean + a draw for the resample + one for the seed.
    """
    base = np.array([[1.5, -1.0, 0.0], [0.0, 1.0, -1.5]])
    x = draw.normal(size=(rows, 2))
    weights = (
        0.8 * base + 0.6 * draw.normal(size=(resamples, 1, 2, 3)) + 0.3 * draw.normal(size=(resamples, seeds, 2, 3))
    )
    truth = np.exp(log_softmax(x @ base, axis=1))
    target = (draw.random(rows)[:, None] > truth.cumsum(1)).sum(1)
    return np.einsum("nd,rsdk->rsnk", x, weights), np.minimum(target, 2), truth


def estimates_of(logits: Array, target: Array, truth: Array | None) -> dict[str, parts_of.Estimate]:
    chances = np.exp(log_softmax(logits, axis=-1))
    found = {
        "log-loss": parts_of.estimates(parts_of.log_loss(chances, target, truth)),
        "brier": parts_of.estimates(parts_of.squared(chances, np.eye(3)[target], truth)),
        "0-1": parts_of.zero_one(logits.argmax(-1), target, 3, truth).estimates(),
    }
    return {f"{loss} {part}": value for loss, told in found.items() for part, value in told.items()}


def decomposition(repetitions: int, seed: int) -> Iterator[Line]:
    for known in (True, False):
        big = [fresh(np.random.default_rng([seed, 9, i]), 150, 8, 1500) for i in range(6)]
        truths = [estimates_of(a, b, c if known else None) for a, b, c in big]
        told: dict[str, list[tuple[float, float]]] = defaultdict(list)
        points: dict[str, list[float]] = defaultdict(list)
        for i in range(repetitions):
            a, b, c = fresh(np.random.default_rng([seed, 10, i]), RESAMPLES, SEEDS, SCORED)
            for name, value in estimates_of(a, b, c if known else None).items():
                interval = value.interval("")
                told[name].append((interval.low, interval.high))
                points[name].append(value.value)
        problem = "chances, truth known" if known else "chances, truth unknown"
        for name, found in told.items():
            truth = float(np.mean([t[name].value for t in truths]))
            yield line(name, problem, found, truth, float(np.std(points[name])))
    for resamples in (50, 10):
        yield from bootstrap(repetitions, seed, resamples)


def bootstrap(repetitions: int, seed: int, resamples: int) -> list[Line]:
    """Least squares on bootstrap resamples of 80 rows, scored on 40; the truth is that of these 80 rows, exactly."""
    problem = Problem("", "regression", 80, 6, 1.0, 0.0)
    beta = np.linspace(1, 0, 6)
    told: dict[str, list[tuple[float, float]]] = defaultdict(list)
    truths: dict[str, list[float]] = defaultdict(list)
    points: dict[str, list[float]] = defaultdict(list)
    for i in range(repetitions):
        draw = np.random.default_rng([seed, 11, resamples, i])
        x, y = problem.draw(draw, 80)
        one = np.column_stack([x, np.ones(80)])

        def fitted(count: int, draw: np.random.Generator = draw, one: Array = one, y: Array = y) -> Array:
            counts = draw.multinomial(80, np.full(80, 1 / 80), count).astype(float)
            left = np.einsum("bn,ni,nj->bij", counts, one, one, optimize=True) + 1e-9 * np.eye(7)
            return np.linalg.solve(left, ((counts * y) @ one)[..., None])[..., 0]

        many = fitted(1000)
        mean = many.mean(0)
        variance = float(((many - mean) ** 2).sum(1).mean() * 1000 / 999)
        off = float(((mean[:-1] - beta) ** 2).sum() + mean[-1] ** 2 - variance / 1000)
        new, known = problem.draw(draw, 40)
        members = np.einsum("nd,bd->bn", np.column_stack([new, np.ones(40)]), fitted(resamples))
        truth = {"bias": 1.0 + off, "variance": variance, "total": 1.0 + off + variance}
        for name, value in parts_of.estimates(parts_of.squared(members[:, None, :, None], known[:, None])).items():
            interval = value.interval("", logarithmic=True)
            told[name].append((interval.low, interval.high))
            truths[name].append(truth[name])
            points[name].append(value.value)
    return [
        line(f"squared {name}", f"bootstrap, {resamples} resamples", found, np.array(truths[name]),
             float(np.std(np.array(points[name]) - truths[name])))
        for name, found in told.items()
    ]  # fmt: skip


# ----------------------------------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="folds,words,test,decomposition")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    begun, lines, said = time.time(), [], {}
    parts = {"folds": folds, "test": test, "decomposition": decomposition}
    for name in given.only.split(","):
        if name == "words":
            said = words(given.repetitions, given.seed)
        else:
            for one in parts[name](given.repetitions, given.seed):
                lines.append(one)
                if not given.json:
                    show(one)
    if given.json:
        json.dump({"intervals": [vars(one) for one in lines], "words": said}, sys.stdout, indent=1)
        return
    for name, share in said.items():
        print(f"{name:60} {share:.3f}")
    print(f"{given.repetitions} repetitions, seed {given.seed}; {time.time() - begun:.0f} s")


def show(one: Line) -> None:
    mark = "" if one.coverage >= 0.93 and one.width <= 1.5 else "  <-"
    print(
        f"{one.what:28} {one.problem:32} coverage {one.coverage:.3f}  width {one.width:.2f}"
        f"  below {one.below:.3f}  above {one.above:.3f}{mark}",
        flush=True,
    )


if __name__ == "__main__":
    main()
