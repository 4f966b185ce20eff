"""The training sets of a bias-variance decomposition: bootstrap resamples of a table, or draws of a known generator.

Every resample is a fold: its training rows are its own, its score rows those of all.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from wellfit import rng
from wellfit.errors import SettingError
from wellfit.records import Array, Fold, Table, TrainingData

HELD_PARTS = 3  # one part in so many of the rows is held out, and scores every resample
STOP_PARTS = 7  # of a fresh draw, one part in so many is early stopping's
TRAIN_ROWS, SCORE_ROWS = 200, 1000


@runtime_checkable
class Generator(Protocol):
    """A source of data whose truth is known."""

    def draw(self, rows: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """Return fresh rows: x (rows, d) float and y (rows,), numbers in regression, class codes 0, 1, ... else."""

    def truth(self, x: Array) -> Array:
        """Return what y is on average at ``x`` (n, d): (n,) values in regression, else (n, K) chances of classes."""


@dataclass(frozen=True, eq=False)
class Resamples:
    """What is trained and scored. ``truth`` is None, or (n,) or (n, K) for the score rows; ``target`` is (n,)."""

    table: Table
    data: TrainingData
    target: Array
    train_rows: int
    truth: Array | None = None
    weights: Array | None = None
    groups: Array | None = None


def bootstrapped(
    table: Table, rows: Array, resamples: int, seed: int, *, stops: bool, bent: bool, flat: bool
) -> Resamples:
    """Hold out one part in `HELD_PARTS` of ``rows`` (m,), and draw resamples of the others with replacement.

    Held-out rows are drawn as a cross-validation's fold is: by class, whole groups, the latest times. With groups whole
    groups are drawn. Where a cocktail stops early, a resample's stop rows are the rows it did not draw. A resample
    depends on the seed and its number alone. Raises `DataError` where the rows cannot be divided, `SettingError` where
    a resample leaves no row to stop on.
    """
    from wellfit.data import folds as cut
    from wellfit.data import prepare

    held = cut(table, rows, folds=HELD_PARTS, seed=seed)[-1]
    groups = None if table.groups is None else np.unique(table.groups, return_inverse=True)[1].reshape(-1)
    parts = []
    for number in range(resamples):
        train = drawn(held.train, seed, number, None if groups is None else groups[held.train])
        stop = np.setdiff1d(held.train, train) if stops else train[:0]
        if stops and not len(stop):
            raise SettingError("bias_variance.no_stop_rows", rows=len(held.train))
        parts.append(Fold(train, stop, held.score))
    return Resamples(
        table,
        prepare(table, parts, bent=bent, flat=flat),
        table.target[held.score],
        len(held.train),
        weights=None if table.weights is None else table.weights[held.score],
        groups=None if groups is None else groups[held.score],
    )


def drawn(rows: Array, seed: int, number: int, groups: Array | None = None) -> Array:
    """Return a bootstrap resample of ``rows`` (m,), sorted: m rows, or with ``groups`` (m,) as many whole groups.

    >>> drawn(np.array([3, 5, 8]), seed=0, number=0)
    array([3, 3, 8])
    """
    draw = rng.generator(seed, rng.RESAMPLE + (number + 1 << 32))
    if groups is None:
        return np.sort(rows[draw.integers(0, len(rows), len(rows))])
    kinds = np.unique(groups)
    counts = np.bincount(draw.integers(0, len(kinds), len(kinds)), minlength=len(kinds))
    return np.sort(np.repeat(rows, counts[np.searchsorted(kinds, groups)]))


def generated(
    generator: Generator,
    resamples: int,
    seed: int,
    train_rows: int,
    score_rows: int,
    *,
    stops: bool,
    bent: bool,
    flat: bool,
) -> Resamples:
    """Draw ``resamples`` training sets of ``train_rows`` rows, and ``score_rows`` rows that score them all.

    Raises `SettingError` where the generator's shapes do not fit together or a class lacks in what it draws.
    """
    from wellfit.data import prepare

    x, y = _drawn(generator, score_rows, seed, 0)
    truth = np.asarray(generator.truth(x), dtype=np.float64)
    if truth.shape[:1] != (score_rows,) or truth.ndim not in (1, 2) or (truth.ndim == 2 and truth.shape[1] < 2):
        raise SettingError("bias_variance.bad_truth", given=truth.shape, rows=score_rows)
    classes = 0 if truth.ndim == 1 else truth.shape[1]
    here = train_rows + np.arange(score_rows)
    sets, name = [], type(generator).__name__
    for number in range(resamples):
        ours, known = _drawn(generator, train_rows, seed, number + 1)
        table = _table(name, np.concatenate([ours, x]), np.concatenate([known, y]), classes)
        stop = np.arange(train_rows)[: train_rows // STOP_PARTS if stops else 0]
        train = np.arange(len(stop), train_rows)
        sets.append(prepare(table, [Fold(train, stop, here)], bent=bent, flat=flat))
    text = hashlib.sha256(" ".join(part.fingerprint for part in sets).encode()).hexdigest()
    data = replace(sets[0], folds=tuple(part.folds[0] for part in sets), fingerprint=text)
    return Resamples(table, data, table.target[here], train_rows, truth)


def _drawn(generator: Generator, rows: int, seed: int, number: int) -> tuple[Array, Array]:
    x, y = (np.asarray(part) for part in generator.draw(rows, rng.generator(seed, rng.DATA + (number << 32))))
    if x.ndim != 2 or len(x) != rows or y.shape != (rows,):
        raise SettingError("bias_variance.bad_draw", x=x.shape, y=y.shape, rows=rows)
    return x.astype(np.float64), y


def _table(name: str, x: Array, y: Array, classes: int) -> Table:
    columns = {f"x{j + 1}": x[:, j] for j in range(x.shape[1])}
    kinds = dict.fromkeys(columns, "numeric")
    if not classes:
        return Table(name, columns, kinds, y.astype(np.float64), "y", "regression")  # type: ignore[arg-type]  # a Kind
    codes = y.astype(np.int64)
    if not np.array_equal(codes, y) or codes.min() < 0 or codes.max() >= classes:
        raise SettingError("bias_variance.bad_classes", classes=classes, last=classes - 1)
    names = tuple(map(str, range(classes)))
    task = "binary" if classes == 2 else "multiclass"
    return Table(name, columns, kinds, codes, "y", task, names)  # type: ignore[arg-type]  # kinds are of Kind
