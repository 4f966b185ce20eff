"""The networks of a lesson: a path of built-in data, learning rates side by side, or samples of a known problem."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from wellfit import rng
from wellfit.cocktail import Cocktail
from wellfit.engines.base import Member
from wellfit.evidence.metrics import as_metric
from wellfit.executors import Executor
from wellfit.executors.base import Progress
from wellfit.messages import say
from wellfit.nets import MLP, as_network
from wellfit.population import plan, train
from wellfit.records import Array, Fold, Frames, History, Interval, Path, Samples, Table, Taught
from wellfit.report.lessons import Lesson, Resampled, Turn, cocktail_at
from wellfit.select.axes import as_over
from wellfit.select.fitting import everything, fit_members
from wellfit.select.frames import frames, frames_of
from wellfit.select.path import path
from wellfit.select.path_reading import PathAsked, one_standard_error, read_path
from wellfit.select.source import development_rows

# Of a lesson's progress; a part counts this much.
_WHOLE = 1000


def teach(lesson: Lesson, *, executor: Executor | None = None, progress: Progress | None = None) -> Taught:
    """Train all that a lesson shows. The same lesson gives the same networks, on one thread or many."""
    parts = 2 * sum(max(1, len(turn.rates)) for turn in lesson.turns)
    report = _Parts(progress, parts)
    if (turn := lesson.resampled) is not None:
        return _resampled(lesson, turn, executor, report)
    from wellfit.data import load

    table = load(lesson.turns[0].data)
    rows = development_rows(table)
    held_out = np.empty(0, dtype=np.int64) if table.test_rows is None else table.test_rows
    paths, shown = [], []
    for each in lesson.turns:
        make = _rates if each.rates else _path
        found, frame = make(table, rows, held_out, each, executor, report)
        paths.append(found)
        shown.append(frame)
    return Taught(lesson.name, table.task, len(rows), tuple(paths), tuple(shown))


class _Parts:
    """One bar for work in parts, some of whose lengths are known late: it never goes back."""

    def __init__(self, progress: Progress | None, parts: int) -> None:
        self.progress, self.parts, self.part, self.most = progress, parts, 0, 0

    def next(self) -> Callable[[int, int], None]:
        """Begin the next part, and return what tells of it."""
        before = self.part
        self.part += 1
        self.tell(before * _WHOLE)
        return lambda done, total: self.tell(before * _WHOLE + _WHOLE * done // max(1, total))

    def tell(self, done: int) -> None:
        """Report so many thousandths of a part."""
        self.most = max(self.most, min(done, self.parts * _WHOLE))
        if self.progress is not None:
            self.progress(self.most, self.parts * _WHOLE)


def _path(
    table: Table, rows: Array, held_out: Array, turn: Turn, executor: Executor | None, report: _Parts
) -> tuple[Path, Frames]:
    found = path(
        table,
        turn.over,
        points=turn.points,
        network=turn.network,
        training=turn.training,
        folds=turn.folds,
        seeds=turn.seeds,
        executor=executor,
        progress=report.next(),
    )
    network = as_network(turn.network)
    made = frames(table, rows, held_out, found, network, turn.training, executor=executor, progress=report.next())
    return found, made


def _rates(
    table: Table, rows: Array, held_out: Array, turn: Turn, executor: Executor | None, report: _Parts
) -> tuple[Path, Frames]:
    """Train without a cocktail at each learning rate, the highest first, for as many epochs."""
    trainings = [replace(turn.training, learning_rate=rate) for rate in turn.rates]
    each = [
        path(
            table, "l2", points=[0.0], network=turn.network, training=training, folds=turn.folds, seeds=turn.seeds,
            executor=executor, progress=report.next(),
        )
        for training in trainings
    ]  # fmt: skip
    found = _beside(each, turn)
    network = as_network(turn.network)
    members = [Member(network, Cocktail(), training, 0, 0) for training in trainings]
    fits = fit_members(table, [everything(rows)], members, executor=executor, progress=report.next())
    return found, frames_of(table, rows, held_out, fits, found.best)


def _beside(each: Sequence[Path], turn: Turn) -> Path:
    """Return paths of one point each as the points of one path along the learning rate, the highest first."""

    def joined(name: str) -> Array:
        return np.concatenate([getattr(one, name) for one in each])

    losses = joined("losses")
    best, rule, error, right = one_standard_error(losses)
    return replace(
        each[0],
        over=turn.over,
        strengths=np.array(turn.rates),
        cocktails=tuple(one.cocktails[0] for one in each),
        losses=losses,
        train_losses=joined("train_losses"),
        scores=joined("scores"),
        diverged=joined("diverged"),
        weight_norms=joined("weight_norms"),
        zeros=joined("zeros"),
        inputs_used=joined("inputs_used"),
        units=joined("units"),
        out_of_fold=joined("out_of_fold"),
        loss=tuple(one.loss[0] for one in each),
        train_loss=tuple(one.train_loss[0] for one in each),
        score=tuple(one.score[0] for one in each),
        standard_error=error,
        best=best,
        one_standard_error=rule,
        right=right,
        curves={name: np.concatenate([one.curves[name] for one in each]) for name in each[0].curves},
    )


def truth(x: Array) -> Array:
    """Return the truth behind the samples, sin(2 pi x), (n,)."""
    return np.sin(2 * np.pi * x)


def draws(turn: Resampled) -> tuple[Array, Array]:
    """Return the samples' inputs and targets, (samples, size) each: always the same."""
    draw = rng.generator(0, rng.DATA)
    x = draw.uniform(size=(turn.samples, turn.size))
    return x, truth(x) + turn.noise * draw.normal(size=x.shape)


def _resampled(lesson: Lesson, turn: Resampled, executor: Executor | None, report: _Parts) -> Taught:
    """Train a network on each sample at each strength, and take what they say apart into bias and variance."""
    from wellfit.data import prepare

    x, y = draws(turn)
    grid = np.linspace(0, 1, turn.grid)
    size = turn.samples * turn.size
    table = Table(
        turn.data,
        {"x": np.append(x.ravel(), grid)},
        {"x": "numeric"},
        np.append(y.ravel(), truth(grid)),
        "y",
        "regression",
    )
    rows = np.arange(size).reshape(x.shape)
    asked = size + np.arange(turn.grid)
    data = prepare(table, [Fold(own, own[:0], asked) for own in rows])
    network = as_network(turn.network)
    assert isinstance(network, MLP)  # lessons are about those
    network = MLP(network.hidden, turn.activation)
    given = turn.points if isinstance(turn.points, tuple) else ()
    strengths = np.array([0.0, *given])
    mixes = tuple(cocktail_at(turn, float(s)) for s in strengths)
    members = plan(
        data, folds=turn.samples, cocktails=mixes, networks=(network,), trainings=(turn.training,), seeds=(0,)
    )
    histories = train(members, data, executor=executor, progress=report.next())
    by_point = [histories[i * turn.samples : (i + 1) * turn.samples] for i in range(len(strengths))]
    over, measure = as_over(turn.over), as_metric(None, "regression")
    along = [over.cocktail(float(s)) for s in strengths]
    question = PathAsked(
        table, over, strengths, along, say("path.end_given"), network, turn.training, measure, turn.samples, 1, 0
    )
    found = _with_noise(read_path(by_point, data, question), turn.noise**2)
    seen = [Member(network, mix, turn.training, 0, 0) for mix in mixes]
    fits = fit_members(table, [everything(rows[0])], seen, executor=executor, progress=report.next())
    samples = _taken_apart(by_point, grid, turn, x[0], y[0])
    shown = frames_of(table, rows[0], rows[0][:0], fits, found.best)
    return Taught(lesson.name, "regression", turn.size, (found,), (shown,), samples)


def _taken_apart(by_point: Sequence[Sequence[History]], grid: Array, turn: Resampled, x: Array, y: Array) -> Samples:
    """Return fits, squared bias and variance (Geman, Bienenstock & Doursat 1992), means over the grid."""
    fits = np.array([[h.predictions[:, 0] for h in point] for point in by_point])
    told = truth(grid)
    return Samples(
        xs=grid,
        truth=told,
        fits=fits,
        bias=((fits.mean(axis=1) - told) ** 2).mean(axis=1),
        variance=fits.var(axis=1).mean(axis=1),
        noise=turn.noise**2,
        x=x,
        y=y,
    )


def _with_noise(found: Path, noise: float) -> Path:
    """Return the path of losses on new rows: what it has lacks the targets' noise, whose variance is known.

    Samples share no row, so the intervals are plain ones: 1.96 standard errors.
    """
    losses = found.losses + noise
    means = losses.mean(axis=(1, 2))
    errors = losses.mean(axis=2).std(axis=1, ddof=1) / np.sqrt(losses.shape[1])
    loss = tuple(
        Interval(float(m), float(m - 1.96 * e), float(m + 1.96 * e), said.estimates) if said else None
        for m, e, said in zip(means, errors, found.loss, strict=True)
    )
    curves = {**found.curves, "score_loss": found.curves["score_loss"] + noise}
    return replace(found, losses=losses, loss=loss, curves=curves, chance=found.chance + noise)
