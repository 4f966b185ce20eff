"""Splits: train, validation and test rows by the size of the data, and cross-validation folds.

The size rule: without validation 70/30; with it, validation and test each hold min(20% of n, max(10,000, 0.25% of n))
rows, which is the textbook's 60/20/20 for small data, 98/1/1 at a million rows and 99.5/0.25/0.25 at four million.
Every draw is a function of the seed and of what is drawn (`wellfit.rng`), so that asking for stop rows, say, moves no
score row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from wellfit.data import drawing
from wellfit.errors import DataError, SettingError
from wellfit.messages import join, say
from wellfit.records import Array, Finding, Fold, Split, Table
from wellfit.rng import SPLIT, generator

_HOLDOUT, _FOLDS, _STOP = 0, 1, 2
FEWEST_IN_CLASS = 5  # rows, or as many as there are folds where these are fewer


def sizes(n: int, *, validation: bool) -> tuple[int, int, int]:
    """Return how many of n rows train, validate and test, by the rule above, each rounded to the nearest row.

    Raises `DataError` where a part would have no row.

    >>> sizes(1000, validation=True), sizes(1_000_000, validation=True), sizes(4_000_000, validation=True)
    ((600, 200, 200), (980000, 10000, 10000), (3980000, 10000, 10000))
    >>> sizes(1000, validation=False)
    (700, 0, 300)
    """
    parts = 3 if validation else 2
    if n < parts:
        raise DataError("splits.too_few_rows", parts=parts, rows=n)
    if not validation:
        test = max(1, (3 * n + 5) // 10)
        return n - test, 0, test
    part = _part(n)
    return n - 2 * part, part, part


def _part(n: int) -> int:
    """min(20% of n, max(10,000, 0.25% of n)) in whole numbers, rounded half up, at least one."""
    return max(1, (min(80 * n, max(4_000_000, n)) + 200) // 400)


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows of a table with what a draw looks at: class, group and time codes, each (n,), made for these rows."""

    rows: Array
    labels: Array
    groups: Array | None
    times: Array | None

    @classmethod
    def of(cls, table: Table, rows: Array) -> _Rows:
        if table.groups is not None and table.times is not None:
            raise DataError("splits.group_and_time")
        if table.task == "regression":
            labels = np.zeros(len(rows), dtype=np.int64)
        else:
            labels = np.unique(table.target[rows], return_inverse=True)[1].reshape(-1)
        groups = None if table.groups is None else drawing.codes(table.groups[rows])
        return cls(rows, labels, groups, None if table.times is None else _ranks(table.times, rows))

    def only(self, positions: Array) -> _Rows:
        """Return these rows narrowed to ``positions``, with codes that count from 0 without gaps."""
        return _Rows(
            self.rows[positions],
            np.unique(self.labels[positions], return_inverse=True)[1].reshape(-1),
            None if self.groups is None else drawing.codes(self.groups[positions]),
            None if self.times is None else np.unique(self.times[positions], return_inverse=True)[1].reshape(-1),
        )

    @property
    def units(self) -> int:
        """How many pieces there are that a split may put on either side: rows, groups or moments."""
        codes = self.times if self.times is not None else self.groups
        return len(self.rows) if codes is None else int(codes.max(initial=-1)) + 1

    @property
    def first(self) -> int:
        """How many moments come before all folds: two where there are enough, so that stop rows can be later."""
        return 0 if self.times is None else 2 if self.units > 2 else 1

    def folds(self, asked: int) -> int:
        """Return how many folds there are where so many are asked for."""
        return min(asked, self.units - self.first)

    def need(self, parts: int) -> None:
        """Raise `DataError` unless there are at least ``parts`` rows, groups or moments."""
        if len(self.rows) < parts:
            raise DataError("splits.too_few_rows", parts=parts, rows=len(self.rows))
        if self.units < parts and self.times is not None:
            raise DataError("splits.too_few_times", parts=parts, times=self.units)
        if self.units < parts:
            raise DataError("splits.too_few_groups", parts=parts, groups=self.units)

    def parts(self, wanted: list[int], rng: np.random.Generator) -> list[Array]:
        """Draw disjoint sets of rows of the sizes wanted; by time, the first set is the latest."""
        if self.times is None and self.groups is None:
            return [self.rows[p] for p in drawing.stratified_parts(self.labels, wanted, rng)]
        drawn, rest = [], self
        for i, size in enumerate(wanted):
            leave = len(wanted) - i
            if rest.times is not None:
                taken = drawing.latest_part(rest.times, size, leave)
            else:
                assert rest.groups is not None
                taken = drawing.group_part(rest.groups, rest.labels, size, leave, rng)
            drawn.append(rest.rows[taken])
            rest = rest.only(np.setdiff1d(np.arange(len(rest.rows)), taken))
        return drawn


def _ranks(times: Array, rows: Array) -> Array:
    """Return the rank of each row's time among the different times, (n,). Raises `DataError` for missing times."""
    import pandas as pd

    here = np.asarray(times)[rows]
    missing = np.asarray(pd.isna(here))
    if missing.any():
        first = int(rows[np.argmax(missing)]) + 1
        raise DataError("splits.missing_time", count=int(missing.sum()), row=first)
    return np.unique(here, return_inverse=True)[1].reshape(-1)


def _generator(seed: int, purpose: int, fold: int = 0) -> np.random.Generator:
    return generator(seed, SPLIT + (purpose << 32) + (fold << 40))


def _how(table: Table, seed: int) -> str:
    if table.times is not None:
        return say("splits.how_time")
    if table.groups is not None:
        return say("splits.how_groups", groups=len(set(drawing.codes(table.groups).tolist())), seed=seed)
    return say("splits.how_random" if table.task == "regression" else "splits.how_classes", seed=seed)


def _given(table: Table) -> tuple[Array, Array]:
    """Return (rows to divide, test rows that came with the table), both sorted."""
    everything = np.arange(table.rows, dtype=np.int64)
    if table.test_rows is None:
        return everything, everything[:0]
    test = np.unique(table.test_rows).astype(np.int64)
    if len(test) != len(table.test_rows) or (len(test) and (test[0] < 0 or test[-1] >= table.rows)):
        raise DataError("splits.bad_test_rows", top=table.rows - 1)
    if len(test) == table.rows:
        raise DataError("splits.only_test_rows", rows=table.rows)
    return np.setdiff1d(everything, test), test


def holdout(table: Table, *, seed: int, validation: bool = False) -> Split:
    """Divide the rows into train, (validation) and test by the size rule; row indices come sorted.

    Classes keep their proportions and every class keeps a training row where it has one to spare; groups stay whole;
    with times the latest rows are test, the ones before them validation. Test rows that came with the table are the
    test rows, and n is then the count of the others. Raises `DataError` where there are too few rows, groups or
    times.
    """
    rows, test = _given(table)
    if len(test) and not validation:
        rule = say("splits.given_two_parts", test=len(test), train=len(rows))
        return Split(rows, rows[:0], test, rule)
    here = _Rows.of(table, rows)
    here.need(2 if len(test) or not validation else 3)
    if len(test):
        (part,) = here.parts([_part(len(rows))], _generator(seed, _HOLDOUT))
        key = "splits.given_three_parts"
    elif validation:
        _, middle, last = sizes(len(rows), validation=True)
        test, part = here.parts([last, middle], _generator(seed, _HOLDOUT))
        key = "splits.three_parts"
    else:
        (test,) = here.parts([sizes(len(rows), validation=False)[2]], _generator(seed, _HOLDOUT))
        part, key = test[:0], "splits.two_parts"
    train = np.setdiff1d(rows, np.concatenate([part, test]))
    counts = {"rows": len(rows), "train": len(train), "validation": len(part), "test": len(test)}
    return Split(train, part, test, say(key, how=_how(table, seed), **counts))


def cross_validation_split(table: Table, *, seed: int) -> Split:
    """Hold out the test rows alone, min(20% of n, max(10,000, 0.25% of n)); cross-validation divides the rest.

    Otherwise as `holdout`; ``validation`` is empty. Raises `DataError` where there are too few rows, groups or times.
    """
    rows, test = _given(table)
    if len(test):
        return Split(rows, rows[:0], test, say("splits.given_held_out", test=len(test), train=len(rows)))
    here = _Rows.of(table, rows)
    here.need(2)
    (test,) = here.parts([_part(len(rows))], _generator(seed, _HOLDOUT))
    train = np.setdiff1d(rows, test)
    rule = say("splits.held_out", rows=len(rows), train=len(train), test=len(test), how=_how(table, seed))
    return Split(train, rows[:0], test, rule)


def folds(table: Table, rows: Array, *, folds: int, seed: int, stop_share: float = 0.0) -> list[Fold]:
    """Divide ``rows`` (indices into the table) into cross-validation folds; each fold's indices come sorted.

    Every row is scored once, classes in proportion and groups whole; with times, fold i trains on the rows before its
    score rows (forward chaining, a growing window), so that the first rows are never scored. Where there are fewer
    rows, groups or times than folds, there are fewer folds (`fold_rule` says so). ``stop_share`` of each fold's
    training rows become its stop rows, drawn by the same principle (the latest, with times); score rows do not depend
    on it. Raises `DataError` where not even two folds (with times: one) are possible or stop rows cannot be had,
    `SettingError` for impossible numbers.
    """
    if folds != int(folds) or folds < 2:
        raise SettingError("splits.bad_folds", value=folds)
    if not 0 <= stop_share < 1:
        raise SettingError("splits.bad_stop_share", value=stop_share)
    here = _Rows.of(table, np.sort(np.asarray(rows, dtype=np.int64)))
    here.need(2)
    made = _chained(here, folds) if here.times is not None else _dealt(here, folds, seed)
    if not stop_share:
        return made
    return [_with_stop(table, fold, stop_share, _generator(seed, _STOP, i)) for i, fold in enumerate(made)]


def _dealt(here: _Rows, asked: int, seed: int) -> list[Fold]:
    count, rng = here.folds(asked), _generator(seed, _FOLDS)
    if here.groups is None:
        owner = drawing.deal(here.labels, count, rng)
    else:
        owner = drawing.deal_groups(here.groups, here.labels, count, rng)
    return [Fold(here.rows[owner != i], here.rows[:0], here.rows[owner == i]) for i in range(count)]


def _chained(here: _Rows, asked: int) -> list[Fold]:
    assert here.times is not None
    count = here.folds(asked)
    chunk = drawing.time_chunks(here.times, count + 1, here.first)
    return [Fold(here.rows[chunk <= i], here.rows[:0], here.rows[chunk == i + 1]) for i in range(count)]


def _with_stop(table: Table, fold: Fold, share: float, rng: np.random.Generator) -> Fold:
    here = _Rows.of(table, fold.train)
    if here.units < 2:
        raise DataError("splits.too_few_to_stop", rows=len(fold.train))
    size = min(max(1, round(share * len(fold.train))), len(fold.train) - 1)
    (stop,) = here.parts([size], rng)
    return replace(fold, train=np.setdiff1d(fold.train, stop), stop=stop)


def inspect_folds(table: Table, rows: Array, *, folds: int) -> tuple[Finding, ...]:
    """Return what is odd about so many folds of these rows: ``fewer_folds`` than asked for, and ``few_in_class``.

    >>> target = np.array([0] * 7 + [1] * 2)
    >>> table = Table("t", {"a": np.arange(9.0)}, {"a": "numeric"}, target, "y", "binary", ("n", "p"))
    >>> [(f.kind, f.count) for f in inspect_folds(table, np.arange(9), folds=20)]
    [('fewer_folds', 9), ('few_in_class', 1)]
    """
    here = _Rows.of(table, np.sort(np.asarray(rows, dtype=np.int64)))
    found = []
    count = here.folds(folds)
    if 0 < count < folds:
        found.append(Finding("fewer_folds", say("splits.fewer_folds", asked=folds, folds=count), count=count))
    if table.task != "regression" and len(here.rows):
        sizes = np.bincount(here.labels)
        few = int((sizes < min(folds, FEWEST_IN_CLASS)).sum())
        if few:
            values = {"count": few, "all": len(sizes), "folds": min(folds, FEWEST_IN_CLASS), "least": sizes.min()}
            found.append(Finding("few_in_class", say("splits.few_in_class", **values), count=few))
    return tuple(found)


def fold_rule(table: Table, made: list[Fold], *, asked: int, seed: int) -> str:
    """Return the sentence that states how the folds were made, and that they are fewer than asked where they are."""
    if table.times is not None:
        kind = "time"
    elif table.groups is not None:
        kind = "groups"
    else:
        kind = "random" if table.task == "regression" else "classes"
    rule = say(f"splits.folds_{kind}", folds=len(made), seed=seed)
    if len(made) >= asked:
        return rule
    return join([rule, say("splits.fewer_folds", asked=asked, folds=len(made))], "sentences")
