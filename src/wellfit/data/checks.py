"""Checks of a table: what a user should know before believing a score. Nothing is changed, only reported."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from wellfit.data.encoded import Coded
from wellfit.data.image_checks import across, equal_inputs, inspect_inputs
from wellfit.data.leaks import find_leaks
from wellfit.data.raw import listing
from wellfit.messages import say
from wellfit.records import Array, Finding, Split, Table

# From this share of missing values on a column counts as nearly empty.
_NEARLY_EMPTY = 0.95
# A column of words is nearly unique from this share of different values on, in at least so many rows.
_NEARLY_UNIQUE, _FEWEST_WORDS = 0.95, 10
_LARGEST_WHOLE = 2.0**53
# Equal rows are worth a word where they are this many times more frequent than unrelated columns would make them.
_BEYOND_CHANCE = 10
_ROWS_FOR_CHANCE = 20_000


def inspect(table: Table, *, seed: int = 0) -> tuple[Finding, ...]:
    """Return what is odd about a table, by kind of finding:

    ``constant`` and ``empty`` columns; ``identifier`` columns (nearly unique words; whole numbers that never repeat
    although they stand so close that measurements would); ``duplicates`` (rows equal in features and target);
    ``duplicates_across`` and ``groups_across`` (test rows that came with the table and stand among the others too);
    ``leak`` columns (`wellfit.data.leaks` says what counts as one). Of inputs without columns, such as images, see
    `wellfit.data.image_checks.inspect_inputs`. ``columns`` names them and ``count`` counts them,
    or the rows. ``seed`` draws the rows that leaks are looked for in; test rows are never among them.

    >>> colours = np.array(["red", "green"] * 10, dtype=object)
    >>> table = Table("t", {"id": np.arange(20.0), "colour": colours, "one": np.ones(20)},
    ...               {"id": "numeric", "colour": "categorical", "one": "numeric"}, np.arange(20) % 2, "y", "binary")
    >>> [(finding.kind, finding.columns) for finding in inspect(table)]
    [('constant', ('one',)), ('identifier', ('id',)), ('leak', ('colour',))]
    """
    learn = np.arange(table.rows)
    test = learn[:0] if table.test_rows is None else np.asarray(table.test_rows)
    learn = np.setdiff1d(learn, test)
    if table.inputs is not None:
        return (*_groups_across(table, learn, test), *inspect_inputs(table, learn, test))
    equal = _equal_rows(table)
    return (
        *_columns(table),
        *_duplicates(table, equal),
        *_across(table, equal, learn, test),
        *find_leaks(table, learn, seed),
    )


def inspect_split(table: Table, split: Split) -> tuple[Finding, ...]:
    """Return what stands on both sides of a split that was made: ``duplicates_across`` and ``groups_across``."""
    learn = np.concatenate([split.train, split.validation])
    if table.inputs is not None:
        return (*_groups_across(table, learn, split.test), *across(equal_inputs(table.inputs), learn, split.test))
    return tuple(_across(table, _equal_rows(table), learn, split.test))


def _columns(table: Table) -> Iterator[Finding]:
    """Yield what can be seen in each column by itself."""
    constant, empty, identifiers = [], [], []
    for name, values in table.columns.items():
        codes = Coded.of(values).codes if values.dtype == object else None
        missing = np.isnan(values) if codes is None else codes < 0
        present = (values if codes is None else codes)[~missing]
        if missing.mean() >= _NEARLY_EMPTY:
            empty.append(name)
        elif (present == present[0]).all():
            if len(present) == len(values):
                constant.append(name)
        elif codes is not None:
            different = len(np.unique(present))
            if len(present) >= _FEWEST_WORDS and different >= _NEARLY_UNIQUE * len(present):
                identifiers.append(name)
        elif table.kinds[name] == "numeric" and len(table.columns) > 1 and _numbers_rows(present, len(table.columns)):
            identifiers.append(name)
    if constant:
        yield Finding("constant", say("checks.constant", columns=listing(constant)), tuple(constant), len(constant))
    if empty:
        text = say("checks.empty", columns=listing(empty), share=_NEARLY_EMPTY)
        yield Finding("empty", text, tuple(empty), len(empty))
    if identifiers:
        text = say("checks.identifier", columns=listing(identifiers))
        yield Finding("identifier", text, tuple(identifiers), len(identifiers))


def _numbers_rows(x: Array, columns: int) -> bool:
    """Do these numbers, (m,) without gaps, number the rows?

    Whole numbers drawn from a range of R values collide: m (m - 1) / 2R pairs are equal on average if all values are
    equally likely, more if they are not. Where ten or more are expected and hardly any are found (probability below
    e^-10 for one column; the number of columns is allowed for), the numbers were given out, not measured: 1 to m in
    any order, customer numbers, every tenth number. Incomes, prices and weights collide as they should.
    """
    m = len(x)
    if m < _FEWEST_WORDS or (np.abs(x) > _LARGEST_WHOLE).any() or (x != np.floor(x)).any():
        return False
    if m < 2 * _FEWEST_WORDS:
        return bool((np.diff(x) == 1).all())
    ordered = np.sort(x)
    steps = np.diff(ordered)
    repeated = int((steps == 0).sum())
    if repeated > 0.01 * m:
        return False
    step = int(np.gcd.reduce(steps.astype(np.int64)))
    spread = (ordered[-1] - ordered[0]) / step + 1
    expected = m * (m - 1) / 2 / spread
    return expected >= max(9.0, 7 + np.log(columns)) and repeated <= expected / 20


def _equal_rows(table: Table) -> Array:
    """Return (n,) int64 codes: rows with equal features and target have equal codes.

    A row is hashed to 64 bits column by column; unequal rows meet with a probability of about n^2 / 2^65.
    """
    made = np.zeros(table.rows, dtype=np.uint64)
    for values in (*table.columns.values(), table.target):
        if values.dtype == object:
            bits = Coded.of(values).codes.astype(np.int64).view(np.uint64)
        else:
            same = np.asarray(values, dtype=np.float64) + 0.0  # -0 becomes 0
            bits = np.where(np.isnan(same), np.nan, same).view(np.uint64)
        made = _mix(made ^ _mix(bits))
    return np.unique(made, return_inverse=True)[1].reshape(-1)


def _mix(x: Array) -> Array:
    """SplitMix64's output function (Steele, Lea & Flood, OOPSLA 2014), with its increment."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _duplicates(table: Table, equal: Array) -> Iterator[Finding]:
    counts = np.bincount(equal)
    repeated = int((counts - 1).sum())
    if repeated and _beyond_chance(table, float((counts * (counts - 1.0)).sum() / 2)):
        yield Finding("duplicates", say("checks.duplicates", count=repeated, rows=table.rows), count=repeated)


def _across(table: Table, equal: Array, learn: Array, test: Array) -> Iterator[Finding]:
    if len(test) == 0:
        return
    yield from _groups_across(table, learn, test)
    counts = np.bincount(equal)
    seen = np.isin(equal[test], equal[learn])
    if seen.any() and _beyond_chance(table, float((counts * (counts - 1.0)).sum() / 2)):
        text = say("checks.duplicates_across", count=int(seen.sum()), rows=len(test))
        yield Finding("duplicates_across", text, count=int(seen.sum()))


def _groups_across(table: Table, learn: Array, test: Array) -> Iterator[Finding]:
    if table.groups is not None:
        both = len(set(Coded.of(table.groups[learn]).levels) & set(Coded.of(table.groups[test]).levels))
        if both:
            yield Finding("groups_across", say("checks.groups_across", count=both), count=both)


def _beyond_chance(table: Table, pairs: float) -> bool:
    """Are there far more pairs of equal rows than columns that have nothing to do with each other would make?

    A table of a few yes-or-no columns is full of equal rows by nature, and a split of it is none the worse.
    """
    rows = np.arange(table.rows)[:: -(-table.rows // _ROWS_FOR_CHANCE)]
    expected = table.rows * (table.rows - 1) / 2
    for values in (*table.columns.values(), table.target):
        here = values[rows]
        codes = Coded.of(here).codes + 1 if here.dtype == object else np.unique(here, return_inverse=True)[1]
        counts = np.bincount(codes.reshape(-1)).astype(np.float64)
        expected *= max((counts * (counts - 1)).sum(), 1.0) / (len(rows) * (len(rows) - 1.0))
    return pairs > _BEYOND_CHANCE * expected
