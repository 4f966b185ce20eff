"""Rows to look at: near-duplicates that disagree, copies on both sides of a fold, labels that everything contradicts.

The error of the nearest neighbour bounds what any classifier can reach, with many rows: the lowest possible error lies
between (k - 1)/k (1 - sqrt(1 - k/(k - 1) R)) and R for k classes (T. Cover and P. Hart, *Nearest neighbor pattern
classification*, IEEE Trans. Inf. Theory 13, 1967). In regression half the mean squared difference of neighbours is at
least the noise variance, and comes near it as rows grow dense.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wellfit.records import Array, Table
from wellfit.rng import RESAMPLE, generator
from wellfit.select.diagnose_losses import Rows

MOST_ASKED, MOST_ROWS, BLOCK = 2_000, 20_000, 256
# Near-duplicates: root mean square distance over standardized columns, as a share of that of typical neighbours.
NEAR = 0.05
# A label is contradicted where every reference gives it less than this chance; a number where it lies this many robust
# standard deviations from all of them.
UNLIKELY, FAR = 0.1, 6.0
MOST_LISTED = 20


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Nearest neighbours: of ``asked`` rows (r,), each one's nearest other row, and the root of their squared distance.

    ``differ`` (r,) is 0 or 1 for classes, half the squared difference in regression.
    """

    asked: Array
    nearest: Array
    distance: Array
    differ: Array


def neighbours(table: Table, rows: Array, ready: Array, seed: int) -> Neighbours:
    """Return the nearest neighbours among ``rows`` (m,) of a sample of them, in the design matrix ``ready`` (n, d)."""
    draw = generator(seed, RESAMPLE + (4 << 32))
    pool = np.sort(draw.permutation(rows)[:MOST_ROWS])
    asked = np.sort(draw.permutation(pool)[:MOST_ASKED])
    x, squares = ready[pool], (ready[pool] ** 2).sum(1)
    nearest, distance = np.empty(len(asked), dtype=np.int64), np.empty(len(asked))
    for start in range(0, len(asked), BLOCK):
        here = asked[start : start + BLOCK]
        apart = squares + (ready[here] ** 2).sum(1)[:, None] - 2 * ready[here] @ x.T
        apart[np.arange(len(here)), np.searchsorted(pool, here)] = np.inf
        at = apart.argmin(1)
        nearest[start : start + BLOCK] = pool[at]
        distance[start : start + BLOCK] = np.sqrt(np.maximum(apart[np.arange(len(here)), at], 0.0))
    ours, theirs = table.target[asked], table.target[nearest]
    differ = (ours - theirs) ** 2 / 2 if table.task == "regression" else (ours != theirs).astype(np.float64)
    return Neighbours(asked, nearest, distance, np.asarray(differ, dtype=np.float64))


def lowest_error(disagreement: float, classes: int) -> float:
    """Return Cover and Hart's lower bound of the lowest possible error, from the nearest neighbour's.

    >>> round(lowest_error(0.18, 2), 3), lowest_error(0.0, 3)
    (0.1, 0.0)
    """
    most = (classes - 1) / classes
    return float(most * (1 - np.sqrt(max(0.0, 1 - disagreement / most))))


def disagreeing(table: Table, found: Neighbours) -> Array:
    """Return the rows that nearly repeat another row and have another label: see `NEAR`."""
    typical = float(np.median(found.distance))
    near = found.distance <= NEAR * typical
    if table.task == "regression":
        rest = table.target[found.asked] - table.target[found.nearest]
        spread = 1.4826 * float(np.median(np.abs(table.target - np.median(table.target)))) or 1.0
        wrong = np.abs(rest) > spread
    else:
        wrong = found.differ > 0
    return found.asked[near & wrong]


def contradicted(rows: Rows, predictions: Sequence[Sequence[Array]]) -> Array:
    """Return the rows whose target every reference contradicts out of fold, the least likely first.

    ``predictions[r][k]`` are reference r's for fold k's score rows. Chance alone makes no row such: even of pure noise
    a calibrated reference gives less than `UNLIKELY` to a tenth of the rows at most, and then not to the label it
    cannot know; where more than a twentieth of the rows are found, the references are wrong and none is returned.
    """
    table = rows.table
    scores = np.array([rows.scored(found) / np.maximum(rows.weights, 1e-12) for found in predictions])
    if table.task == "regression":
        errors = np.sqrt(np.maximum(scores, 0)) if rows.loss == "squared" else scores
        typical = 1.4826 * np.median(errors, axis=1, keepdims=True)
        lowest = (errors / np.where(typical > 0, typical, np.inf)).min(0)
        limit = FAR
    else:
        lowest, limit = scores.min(0), -np.log(UNLIKELY)
    found = np.flatnonzero(lowest > limit)
    if len(found) > 0.05 * len(rows.rows):
        return rows.rows[:0]
    return rows.rows[found[np.argsort(-lowest[found], kind="stable")]][:MOST_LISTED]


def copied(table: Table, rows: Rows, ready: Array) -> Array:
    """Return which scored rows have an exact copy, target included, among their fold's training rows, (m,) bool."""
    everything = np.column_stack([ready, table.target])
    _, codes = np.unique(everything, axis=0, return_inverse=True)
    codes = codes.reshape(-1)
    out = np.zeros(len(rows.rows), dtype=bool)
    for part in rows.parts:
        out[np.searchsorted(rows.rows, part.score)] = np.isin(codes[part.score], codes[part.train])
    return out
