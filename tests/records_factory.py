"""Realistic `RunRecord`s without an engine: what a report shows, made from a seed.

Each cocktail gets a "pull" r: 0 leaves a network free to overfit, about 0.6 is right, above 1 underfits. Curves,
scores, weights and decision maps follow from it, so that a page made from these looks like a page made from a run.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from wellfit import rng
from wellfit.records import (
    Boundary,
    CocktailResult,
    Comparison,
    Difference,
    Finding,
    History,
    Interval,
    Portrait,
    RunRecord,
)

NAMES = (
    ("none", 0.0),
    ("l2=0.001", 0.25),
    ("l2=0.01", 0.6),
    ("l2=0.1", 1.25),
    ("dropout=0.2", 0.45),
    ("l2=0.003 + dropout=0.2", 0.65),
    ("l1=0.0003", 0.35),
    ("early_stopping=20", 0.3),
    ("weight_decay=10", 0.2),
)
HOSTILE = (
    "<script>alert(1)</script>",
    "\"quoted\" 'both' & <b>bold</b>",
    "x" * 10_000,
    "🦊 price in $x_1^2$ {0} {name} %s \\frac{",
    "‮שלום עולם‬ مرحبا",
    "tab\there\nline\x00nul\x1b[31m\ud800",
)
METRICS = {"binary": "accuracy", "multiclass": "balanced-accuracy", "regression": "rmse"}


def names(count: int) -> list[tuple[str, float]]:
    """Return ``count`` (cocktail, pull) pairs."""
    more = [
        (f"l2={s:.3g} + dropout={d:g}", 0.2 + 9 * s + d) for d in (0.1, 0.3, 0.5) for s in np.geomspace(1e-4, 1e-1, 16)
    ]
    return ([*NAMES, *more])[:count]


def curves(pull: float, seed: int, unit: float, c: int = 120) -> dict[str, np.ndarray]:
    """Return curves on ``c`` checkpoints: the less pull, the lower the train loss and the later rise in validation."""
    draw = rng.generator(seed, rng.DATA)
    t = np.linspace(0, 1, c)
    floor = 0.07 + 0.22 * pull
    train = floor + (0.69 - floor) * np.exp(-9 * t) + 0.004 * draw.standard_normal(c).cumsum() / np.sqrt(c)
    rise = 0.55 * max(0.0, 0.6 - pull) * np.clip(t - 0.12, 0, None)
    score = train + 0.06 + rise + 0.03 * (1 - np.exp(-4 * t))
    score[0] = train[0] + 0.01
    penalty = np.full(c, 0.02) * pull + 0.16 * pull * (1 - np.exp(-7 * t)) * np.exp(-1.2 * t)
    nothing = np.full(c, np.nan)
    accuracy = nothing if unit != 1 else 1 - 0.35 * train
    return {
        "train_loss": train * unit,
        "stop_loss": nothing,
        "score_loss": score * unit,
        "penalty": penalty * unit,
        "train_accuracy": accuracy,
        "stop_accuracy": nothing,
        "score_accuracy": nothing if unit != 1 else 1 - 0.35 * score,
    }


def interval(mean: float, half: float) -> Interval:
    """Return an interval of this half width."""
    return Interval(mean, mean - half, mean + half, "the mean over folds of networks trained like these")


def result(name: str, pull: float, *, seed: int, task: str, epochs: int, members: int) -> CocktailResult:
    """Return one cocktail's line; the first ("none") is the reference."""
    unit, sign = (1.0, 1) if task != "regression" else (2900.0, -1)
    lines = curves(pull, seed, unit)
    gain = 0.03 - 0.09 * (pull - 0.6) ** 2
    score = 0.905 + gain if unit == 1 else 55 - 150 * gain
    loss = float(lines["score_loss"][-1])
    scale = 1.0 if unit == 1 else 140.0
    change = (gain - (0.03 - 0.09 * 0.36)) * sign * scale
    fall = loss - float(curves(0.0, 1, unit)["score_loss"][-1])

    def word(good: float, half: float) -> str:
        if name == "none":
            return "reference"
        return "undecided" if abs(good) < half else ("better" if good > 0 else "worse")

    half, wide = 0.016 * scale, 0.09 * unit
    return CocktailResult(
        cocktail=name,
        members=members,
        diverged=0,
        train_loss=interval(float(lines["train_loss"][-1]), 0.03 * unit),
        loss=interval(loss, 0.07 * unit),
        score=interval(score, 0.02 * scale),
        loss_difference=Difference(interval(fall, 0.0 if name == "none" else wide), word(-fall, wide)),  # type: ignore[arg-type]
        score_difference=Difference(interval(change, 0.0 if name == "none" else half), word(sign * change, half)),  # type: ignore[arg-type]
        best_epoch=float(epochs if "early" not in name else epochs * 0.3),
        curves=lines,
        checkpoints=np.round(np.linspace(0, epochs, 120)).astype(np.int64),
    )


def diverge(line: CocktailResult) -> CocktailResult:
    """Return the line as it reads when members diverged: no intervals, curves that end in the air."""
    cut = {k: np.where(np.arange(len(v)) < 9, v * np.linspace(1, 1e5, len(v)), np.nan) for k, v in line.curves.items()}
    return replace(
        line,
        diverged=line.members,
        train_loss=None,
        loss=None,
        score=None,
        loss_difference=None,
        score_difference=None,
        best_epoch=float("nan"),
        curves=cut,
    )


def comparison(
    task: str = "binary", *, cocktails: int = 9, diverged: bool = True, epochs: int = 3000, data: str = "football"
) -> Comparison:
    """Return a comparison whose last cocktail diverged where asked."""
    lines = [
        result(name, pull, seed=i + 1, task=task, epochs=epochs, members=25)
        for i, (name, pull) in enumerate(names(cocktails))
    ]
    if diverged and cocktails > 1:
        lines[-1] = diverge(lines[-1])
    sign = -1 if task == "regression" else 1
    winner = max((x for x in lines if x.score), key=lambda x: sign * x.score.mean).cocktail
    return Comparison(
        data=data,
        task=task,  # type: ignore[arg-type]
        metric=METRICS[task],
        higher_is_better=task != "regression",
        network="20,3",
        training=f"gd lr 0.3 constant, full batch, {epochs} epochs",
        folds=5,
        seeds=5,
        seed=0,
        results=tuple(lines),
        winner=winner,
        rows=np.arange(10),
        out_of_fold={},
    )


def boundary(
    pull: float, *, task: str = "binary", grid: int = 120, names: tuple[str, str] = ("x1", "x2"), classes: tuple = ()
) -> Boundary:
    """Return a decision map that follows the noise where the pull is low, with 211 train and 200 test points."""
    draw = rng.generator(11, rng.DATA)
    points = draw.uniform((-0.75, -0.65), (0.35, 0.65), (411, 2))
    edge = points[:, 1] - points[:, 0] - 0.2 + 0.25 * points[:, 0] ** 2
    held_out = np.arange(411) >= 211
    xs, ys = np.linspace(-0.82, 0.42, grid), np.linspace(-0.72, 0.72, grid)
    x, y = np.meshgrid(xs, ys)
    wave = max(0.0, 1 - pull) * 0.14 * (np.sin(17 * x) + np.cos(13 * y + 9 * x))
    slope = y - x - 0.2 + 0.25 * x**2 + wave
    if task == "regression":
        return Boundary(
            xs, ys, 150 + 90 * slope, points, 150 + 90 * edge + 12 * draw.standard_normal(411), held_out, names, ()
        )
    if task == "multiclass":
        ring = np.hypot(x + 0.2, y) + 0.4 * wave
        z = np.where(ring < 0.22, 2, (slope > 0).astype(int)).astype(float)
        labels = np.where(np.hypot(points[:, 0] + 0.2, points[:, 1]) < 0.22, 2, (edge > 0).astype(int))
        return Boundary(xs, ys, z, points, labels, held_out, names, classes or ("north", "south", "centre"))
    labels = (edge + 0.11 * draw.standard_normal(411) > 0).astype(np.int64)
    z = 1 / (1 + np.exp(-slope * (60 - 45 * min(1.0, pull))))
    return Boundary(xs, ys, z, points, labels, held_out, names, classes or ("0", "1"))


def portrait(role: str, name: str, pull: float, *, task: str, epochs: int, map_: Boundary | None) -> Portrait:
    """Return one refitted network to look at."""
    draw = rng.generator(int(1000 * pull) + 5, rng.INIT)
    lines = curves(pull, int(100 * pull) + 3, 1.0 if task != "regression" else 2900.0)
    spread = 2.4 * np.exp(-3.2 * pull) + 0.12
    weights = tuple(draw.standard_normal(shape) * spread * (1 + 0.4 * i) for i, shape in enumerate((40, 60, 3)))
    if "l1" in name:
        weights = tuple(np.where(np.abs(w) < spread, 0.0, w) for w in weights)
    history = History(
        status="finished",
        epochs=epochs,
        best_epoch=epochs,
        steps=epochs,
        checkpoints=np.round(np.linspace(0, epochs, 120)).astype(np.int64),
        curves=lines,
        predictions=np.empty((0, 1)),
        weight_norms=tuple(float(np.linalg.norm(w)) for w in weights),
        zero_weights=sum(int((w == 0).sum()) for w in weights),
        weights=sum(w.size for w in weights),
    )
    return Portrait(role, name, history, weights, map_)


def run_record(
    task: str = "binary",
    *,
    cocktails: int = 9,
    features: int = 2,
    diverged: bool = True,
    hostile: bool = False,
    grid: int = 120,
    epochs: int = 3000,
) -> RunRecord:
    """Return the record of a run like ``wellfit run football``; ``hostile`` puts `HOSTILE` wherever a name stands."""
    data = HOSTILE[0] if hostile else "football"
    told = comparison(task, cocktails=cocktails, diverged=diverged, epochs=epochs, data=data)
    labels = (HOSTILE[3], HOSTILE[4]) if hostile else ("x1", "x2")
    classes = (HOSTILE[0], HOSTILE[2], HOSTILE[4]) if hostile else ()
    known = {name: pull for name, pull in names(cocktails)}
    wanted = {"none": "none", "l2": "l2=0.01", "dropout": "dropout=0.2", "winner": told.winner}

    def drawn(pull: float) -> Boundary | None:
        if features != 2:
            return None
        return boundary(pull, task=task, grid=grid, names=labels, classes=classes)

    portraits = tuple(
        portrait(role, name, known.get(name, 0.3), task=task, epochs=epochs, map_=drawn(known.get(name, 0.3)))
        for role, name in wanted.items()
    )
    best = next(r for r in told.results if r.cocktail == told.winner)
    plain = told.results[0]

    def part(line: CocktailResult, shift: float) -> dict:
        return {
            "loss": line.loss.mean,
            "score": line.score.mean - shift,
            "interval": [line.score.low - shift, line.score.high - shift],
        }

    findings = (
        Finding(
            "duplicates",
            "3 rows stand on both sides of the test split; they were kept in the training part only.",
            (),
            3,
        ),
        Finding(
            "identifier",
            "The column id looks like an identifier: it names a row and says nothing about it.",
            ("id",),
            1,
        ),
    )
    if hostile:
        findings = tuple(Finding("constant", f"The column {h} holds one value only.", (h,), 1) for h in HOSTILE)
    target = HOSTILE[1] if hostile else "the target"
    summary = {
        "task": task,
        "rows": 411,
        "features": features,
        "metric": told.metric,
        "cocktail": told.winner,
        "validation": part(best, 0),
        "test": part(best, 0.004),
        "none": {"validation": part(plain, 0), "test": part(plain, 0.002)},
        "members": cocktails * 25,
        "seconds": 8.4,
        "version": "0.1.0",
        "seed": 0,
    }
    head = f"Without regularization the network overfits{' ' + target if hostile else ''}"
    signs = (
        "its validation loss (0.445) is 0.38 above its training loss (0.066), 95% interval 0.31 to 0.44",
        "at the end of training the validation loss stood 0.19 above its lowest (0.12 to 0.26)",
        f"5 of 8 cocktails are better, the best of them {told.winner} (loss -0.147, -0.24 to -0.06)",
    )
    return RunRecord(
        summary=summary,
        verdict=f"{head}: {'; '.join(signs)}.",
        headline=f"{head}.",
        signs=signs,
        comparison=told,
        portraits=portraits,
        findings=findings,
        rules=(
            "The 200 test rows that came with the data were held out first and touched once, at the end.",
            "The other 211 rows were cut into 5 stratified folds; preprocessing saw each fold's training rows only.",
        ),
        command="wellfit run football --quick --seed 0" + (f" --target '{HOSTILE[0]}'" if hostile else ""),
        versions={"wellfit": "0.1.0", "numpy": "2.3.4", "numba": "0.62.1", "python": "3.12.3"},
    )
