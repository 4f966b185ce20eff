"""Compiled loops of the exact solver: what costs less than a call of NumPy. All in one file, as Numba's cache needs."""

from __future__ import annotations

import numpy as np

from wellfit.engines.compiled.jit import entry_kernel
from wellfit.records import Array

# The kernels call each other, and none is called for larger problems than this: there LAPACK is faster.
NARROW = 64
SWEEPS = 1000
# Coordinate descent stops at these shares of the gradient's scale; after each, and before the first, the rest is exact.
TOLERANCES = (1e-3, 1e-6, 1e-9, 1e-12)
# The optimality conditions hold where none is broken by more than this share.
SLACK = 1e-11
ALIKE = 1 + 1e-9
CHANGES = 30  # of the support, before coordinate descent is asked again
# A system is solved by its Cholesky factor where the factor's diagonal spans less than this.
SPAN = 1e-7


@entry_kernel
def descend(hessian: Array, slope: Array, l1: Array, v: Array, tolerance: float, sweeps: int) -> None:
    """Go round the coordinates until no step changes a gradient by more than ``tolerance``; v is changed in place."""
    m = v.size
    gradient = -slope.copy()
    for j in range(m):
        if v[j] != 0:
            for i in range(m):
                gradient[i] += hessian[j, i] * v[j]
    everywhere = True
    for _ in range(sweeps):
        largest = 0.0
        for j in range(m):
            curve = hessian[j, j]
            if curve <= 0 or (not everywhere and v[j] == 0):
                continue
            point = curve * v[j] - gradient[j]
            size = abs(point) - l1[j]
            new = 0.0
            if size > 0:
                new = size / curve if point > 0 else -size / curve
            step = new - v[j]
            if step != 0:
                v[j] = new
                for i in range(m):
                    gradient[i] += hessian[j, i] * step
                largest = max(largest, abs(step) * curve)
        if largest <= tolerance:
            if everywhere:
                return
            everywhere = True
        else:
            everywhere = False


@entry_kernel
def _factored(hessian: Array, at: Array, count: int, factor: Array) -> bool:
    """Write the lower Cholesky factor of some rows and columns of H; return whether they are regular."""
    low, high = np.inf, 0.0  # of none: regular
    for i in range(count):
        for j in range(i + 1):
            total = hessian[at[i], at[j]]
            for k in range(j):
                total -= factor[i, k] * factor[j, k]
            if i > j:
                factor[i, j] = total / factor[j, j]
            elif total > 0:
                factor[i, i] = np.sqrt(total)
                low, high = min(low, factor[i, i]), max(high, factor[i, i])
            else:
                return False
    return low >= SPAN * high


@entry_kernel
def _back_and_forth(factor: Array, count: int, b: Array) -> None:
    """Turn b into the solution of L L' v = b, in place."""
    for i in range(count):
        total = b[i]
        for k in range(i):
            total -= factor[i, k] * b[k]
        b[i] = total / factor[i, i]
    for i in range(count - 1, -1, -1):
        b[i] /= factor[i, i]
        for k in range(i):
            b[k] -= factor[i, k] * b[i]


@entry_kernel
def _solved_at(hessian: Array, goal: Array, at: Array, count: int, factor: Array, target: Array) -> bool:
    """Write the solution of H v = goal on some coordinates to ``target``; return whether the system is regular."""
    if not _factored(hessian, at, count, factor):
        return False
    target[:count] = goal[:count]
    _back_and_forth(factor, count, target)
    rest = np.empty(count)
    for i in range(count):  # one step of refinement
        total = goal[i]
        for j in range(count):
            total -= hessian[at[i], at[j]] * target[j]
        rest[i] = total
    _back_and_forth(factor, count, rest)
    for i in range(count):
        target[i] += rest[i]
    return True


@entry_kernel
def _cut(v: Array, signs: Array, there: Array, at: Array, target: Array) -> bool:
    """Move v towards the target up to where the first sign would change, and let that go; return whether one did."""
    share = 2.0
    for i in range(at.size):
        j = at[i]
        if target[i] * signs[j] < 0:
            share = min(share, v[j] / (v[j] - target[i]))
    for i in range(at.size):
        j = at[i]
        if share == 2.0:
            v[j] = target[i]
        elif target[i] * signs[j] < 0 and v[j] / (v[j] - target[i]) <= share:
            v[j], signs[j], there[j] = 0.0, 0.0, False
        else:
            v[j] += share * (target[i] - v[j])
    return share < 2.0


@entry_kernel
def _enter(hessian: Array, slope: Array, l1: Array, v: Array, signs: Array, there: Array, slack: float) -> bool:
    """Let the coordinate in that breaks its condition most, if by more than ``slack``; return whether there is one."""
    worst, which, way = slack, -1, 0.0
    for j in range(v.size):
        if not there[j]:
            gradient = -slope[j]
            for i in range(v.size):
                gradient += hessian[j, i] * v[i]
            if abs(gradient) - l1[j] > worst * ALIKE:  # of columns that are alike the first
                worst, which, way = abs(gradient) - l1[j], j, -np.sign(gradient)
    if which >= 0:
        there[which], signs[which] = True, way
    return which >= 0


@entry_kernel
def _search(hessian: Array, slope: Array, l1: Array, v: Array, slack: float, room: tuple) -> bool:
    """Bring v to the minimum by feature-sign search, in place; return whether few changes of the support did it."""
    m = v.size
    at, signs, goal, target, factor = room
    there = np.empty(m, dtype=np.bool_)
    for j in range(m):
        there[j] = v[j] != 0 or l1[j] == 0
        signs[j] = np.sign(v[j]) if l1[j] > 0 else 0.0
    for _ in range(CHANGES):
        count = 0
        for j in range(m):
            if there[j]:
                at[count], goal[count] = j, slope[j] - l1[j] * signs[j]
                count += 1
        if not _solved_at(hessian, goal, at, count, factor, target):
            return False
        if not _cut(v, signs, there, at[:count], target) and not _enter(hessian, slope, l1, v, signs, there, slack):
            return True
    return False


@entry_kernel
def _room(m: int) -> tuple:
    return np.empty(m, dtype=np.int64), np.empty(m), np.empty(m), np.empty(m), np.empty((m, m))


@entry_kernel
def _minimized(hessian: Array, slope: Array, l1: Array, v: Array, room: tuple) -> bool:
    scale = max(np.abs(slope).max(), l1.max(), 1e-300)
    if _search(hessian, slope, l1, v, SLACK * scale, room):
        return True
    for tolerance in TOLERANCES:
        descend(hessian, slope, l1, v, tolerance * scale, SWEEPS)
        if _search(hessian, slope, l1, v, SLACK * scale, room):
            return True
    return False


@entry_kernel
def minimize_narrow(hessian: Array, slope: Array, l1: Array, v: Array) -> bool:
    """Bring v (m,) to the minimum as `quadratic.minimize` does, in place; return whether it was found exactly."""
    return _minimized(hessian, slope, l1, v, _room(v.size))


@entry_kernel
def minimize_along(hessian: Array, slope: Array, strengths: Array, found: Array, exact: Array) -> None:
    """Write to ``found`` (P, m) the minima for P pairs (l1, l2), each begun at the one before.

    The first begins at its own row of ``found``. ``exact`` (P,) becomes whether each was found exactly: the last step
    of one that was is the solution of the linear system that its signs pose, so that the way there has left no trace.
    """
    m = slope.size
    room = _room(m)
    curved, l1 = hessian.copy(), np.empty(m)
    for p in range(len(strengths)):
        if p:
            found[p] = found[p - 1]
        for j in range(m):
            l1[j] = strengths[p, 0]
            curved[j, j] = hessian[j, j] + strengths[p, 1]
        exact[p] = _minimized(curved, slope, l1, found[p], room)


@entry_kernel
def from_moments(hessian: Array, slope: Array, means: Array, spread: float, weights: Array, found: Array) -> None:
    """Write to ``found`` (P, 2), of weights (P, d): what they say at the ``means`` of columns, and their squared error.

    The error is ``spread - s'w + w'Hw / 2``.
    """
    for p in range(len(weights)):
        w = weights[p]
        middle, error = 0.0, spread
        for j in range(w.size):
            if w[j] != 0:
                middle += means[j] * w[j]
                along = 0.0
                for i in range(w.size):
                    along += hessian[j, i] * w[i]
                error += w[j] * (along / 2 - slope[j])
        found[p, 0], found[p, 1] = middle, error


@entry_kernel
def outputs_of(columns: Array, weights: Array, biases: Array, found: Array) -> None:
    """Write to ``found`` (P, n) what P linear models, weights (P, d), say of rows given by their columns (d, n)."""
    for p in range(len(weights)):
        row = found[p]
        for i in range(row.size):
            row[i] = biases[p]
        for j in range(len(columns)):
            w, column = weights[p, j], columns[j]
            if w != 0:
                for i in range(row.size):
                    row[i] += w * column[i]


@entry_kernel
def squared_losses(columns: Array, y: Array, shares: Array, weights: Array, biases: Array, losses: Array) -> None:
    """Write to ``losses`` (P,) the mean squared error of P linear models, weights (P, d), by columns (d, n) of rows."""
    said = np.empty((1, y.size))
    for p in range(len(weights)):
        outputs_of(columns, weights[p : p + 1], biases[p : p + 1], said)
        total = 0.0
        for i in range(y.size):
            total += shares[i] * (said[0, i] - y[i]) ** 2
        losses[p] = total
