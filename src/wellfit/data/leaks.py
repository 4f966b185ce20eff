"""Columns that leak the target: copies, renamed ones, copies with noise added. Strong predictors are left in peace.

How close a column comes to the target cannot tell the two apart: a good predictor may be right in 99% of the rows. What
tells them apart is the rest of the column. A leak is *made from the target*: given the target, what is left of it
(its noise, its flipped labels) is unrelated to every other column. A measurement is made from the world: given the
target, it still goes with other measurements. So a column is reported where

1. alone it is near the target: as many levels as classes, right in about 95% or more; or a number that gathers in one
   tight heap per class, four standard deviations apart (a normal variable cut in two gives heaps 2.6 apart, a uniform
   one 3.5, whatever the noise); or a number that explains 99% of a regression target (`wellfit.data.near`); and
2. given the target it is unrelated to the other columns, in three tests by shuffling it among rows of equal target
   (`wellfit.data.related`); and
3. being unrelated means something: the other columns say something about the target, and are themselves related to each
   other given the target, as measurements are. Where they are not (an honest only predictor among noise, heaps of
   points whose coordinates are drawn independently), only columns closer still are reported.

An exact copy, under whatever names, is always reported. So is a column whose being empty, or whose most frequent
value, tells the target in 99% of the rows: such columns are often written after the fact.

The obvious alternative was to call a leak what predicts several times better than all others together. It misses
noisy copies wherever the others are good too, and it accuses the honest only predictor among noise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from wellfit.data.near import Closeness, missing_and_mode, nearness
from wellfit.data.raw import brief
from wellfit.data.related import World
from wellfit.messages import say
from wellfit.records import Array, Finding, Table
from wellfit.rng import RESAMPLE, generator

_MOST_ROWS, _MOST_CELLS = 5_000, 4_000_000
# Width over distance of the heaps of a leak that no other column bears witness against.
_TIGHT_AMONG_NOISE, _TIGHT_ALONE = 0.12, 0.06
_ROWS_FOR_RELATIONS = 2_000
# Fewer rows than this allow no statement about noise: exact copies only.
_ROWS_FOR_NOISE = 30


def find_leaks(table: Table, rows: Array, seed: int) -> Iterator[Finding]:
    """Yield a finding per leaking column of ``rows`` (training and validation rows; a sample of 5,000 is looked at)."""
    from threadpoolctl import threadpool_limits

    rng = generator(seed, RESAMPLE)
    most = max(500, min(_MOST_ROWS, _MOST_CELLS // len(table.columns)))
    rows = np.sort(rng.permutation(rows)[:most])
    if _by_chance(table, rows) > 1e-3:
        return
    if table.task == "regression":
        # In units of the largest magnitude no square overflows or vanishes.
        table = replace(table, target=table.target / np.abs(table.target).max())
    close = nearness(table, rows, rng)
    suspects = {name: c for name, c in close.items() if not c.exact and len(rows) >= _ROWS_FOR_NOISE}
    leaks = {name: c for name, c in close.items() if c.exact}
    if suspects:
        rows = np.sort(rng.permutation(rows)[:_ROWS_FOR_RELATIONS])
        plain = [name for name in table.columns if name not in close]
        # One thread: the products are small, and the result must not depend on how many cores there are.
        with threadpool_limits(1, user_api="blas"):
            for name in _unrelated(table, rows, suspects, plain, seed):
                leaks[name] = close[name]
    for name in table.columns:
        if name in leaks:
            yield _finding(table, name, leaks[name])
    if table.task == "binary" and len(rows) >= _ROWS_FOR_NOISE:
        for name, value, right in missing_and_mode(table, rows, skip=set(leaks)):
            yield _mark_finding(table, name, value, right)


def _by_chance(table: Table, rows: Array) -> float:
    """Return about how many columns would be copies of the target by chance: few rows can be arranged in few ways."""
    counts = np.unique(table.target[rows], return_counts=True)[1]
    names = math.log(2) if table.task == "regression" else math.lgamma(len(counts) + 1)
    ways = math.lgamma(len(rows) + 1) - sum(math.lgamma(c + 1) for c in counts) - names
    return len(table.columns) * math.exp(-ways)


def _unrelated(table: Table, rows: Array, suspects: Mapping[str, Closeness], others: list[str], seed: int) -> list[str]:
    """Return the suspects that, given the target, are unrelated to all columns that are not suspects.

    A suspect that is related to them is a measurement, joins them, and the rest is looked at again.
    """
    left, others = dict(suspects), list(others)
    while left:
        world = World.of(table, rows, others)
        rng = generator(seed, RESAMPLE + (1 << 32))
        cleared = [name for name in left if world.related(table.columns[name][rows], rng)]
        if not cleared:
            informative = world.informative(rng)
            if informative and world.connected(rng):
                return list(left)
            noise = bool(others) and not informative
            tight = 0.0 if len(left) > 1 else _TIGHT_AMONG_NOISE if noise else _TIGHT_ALONE
            return [name for name, close in left.items() if close.nearly or close.heap <= tight]
        left = {name: close for name, close in left.items() if name not in cleared}
        others += cleared
    return []


def _finding(table: Table, name: str, close: Closeness) -> Finding:
    key = "regression" if table.task == "regression" else "class"
    values = {"column": brief(name), "target": brief(table.target_name)}
    text = say("checks.leak_copy", **values) if close.exact else say(f"checks.leak_{key}", right=close.right, **values)
    return Finding("leak", text, (name,), 1)


def _mark_finding(table: Table, name: str, value: str | None, right: float) -> Finding:
    values = {"column": brief(name), "target": brief(table.target_name), "right": right}
    if value is None:
        return Finding("leak", say("checks.leak_missing", **values), (name,), 1)
    return Finding("leak", say("checks.leak_value", value=brief(value), **values), (name,), 1)
