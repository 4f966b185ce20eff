"""A batch: rows copied as columns, and what disturbs them in training: mixup, noise, input dropout, smoothing."""

from __future__ import annotations

import numpy as np

from wellfit import rng
from wellfit.engines.compiled.draws import add_gaussian, mixing
from wellfit.engines.compiled.jit import inlined, kernel
from wellfit.engines.compiled.lowlevel import piece
from wellfit.engines.compiled.masks import drop, kept_of
from wellfit.engines.compiled.plan import INPUT_DROPOUT, INPUT_NOISE, MIXUP, SMOOTHING, WHOLE
from wellfit.engines.compiled.registers import BYTES, load_square
from wellfit.engines.compiled.tiles import LANES

_NOISE, _MIXUP, _INPUT_DROPOUT = rng.NOISE, rng.MIXUP, rng.INPUT_DROPOUT


@kernel
def columns_of(count):
    """``count`` rounded up to whole vectors."""
    return (count + LANES - 1) // LANES * LANES


@kernel
def load(values, d, order, start, count, m, x):
    """Copy ``count`` rows of d values as columns of x (d, m); padding columns are 0."""
    lanes, i = BYTES // values.itemsize, 0
    while d >= lanes and i + lanes <= count:
        first = 0
        while first < d:
            # The last square overlaps the one before where d is no multiple of the lanes.
            here = min(first, d - lanes)
            load_square(values, d, order, start + i, here, x, here * m + i, m)
            first += lanes
        i += lanes
    for row in range(i, count):
        source, out = piece(values, order[start + row] * d, d), piece(x, row, d * m - row)
        # An unsigned index is not looked at for being negative.
        at = np.uint64(0)
        for j in range(d):
            out[at] = source[j]
            at += np.uint64(m)
    if count < m:
        for j in range(d):
            row = piece(x, j * m + count, m - count)
            for i in range(row.size):
                row[i] = 0


@inlined
def disturb(plan, layout, work, k, d, m, count, epoch, batch):
    """Mixup of inputs, targets and weights; noise on inputs; input dropout; smoothing of targets. In this order."""
    at = WHOLE * (layout.widths.size - 1)
    now, x, y, cast = work.now, work.x, work.y, work.x.dtype.type
    k0, k1 = np.uint32(plan.key0), np.uint32(plan.key1)
    if now[at + MIXUP] > 0:
        drawn, distance = mixing(count, layout.quantiles, k0, k1, _MIXUP, epoch, batch)
        # A schedule moves the coefficient towards 1, which is no mixing.
        share = cast(now[at + MIXUP] * (1.0 - drawn))
        for j in range(d):
            _mix(piece(x, j * m, m), count, distance, share, work.rows)
        for j in range(k):
            _mix(piece(y, j * m, m), count, distance, share, work.rows)
        if work.weights.size > 0:
            _mix(work.weights, count, distance, share, work.rows)
    if now[at + INPUT_NOISE] > 0:
        add_gaussian(x, d * m, now[at + INPUT_NOISE], k0, k1, _NOISE, epoch, batch)
    if now[at + INPUT_DROPOUT] > 0:
        drop(x, piece(x, 0, 0), d * m, kept_of(now[at + INPUT_DROPOUT]), k0, k1, _INPUT_DROPOUT, epoch, batch)
    if now[at + SMOOTHING] > 0:
        rest = cast(1.0 - now[at + SMOOTHING])
        even = cast(now[at + SMOOTHING] / max(k, 2))
        for i in range(k * m):
            y[i] = rest * y[i] + even


@kernel
def _mix(row, count, distance, share, before):
    """row[i] <- (1 - share) row[i] + share row[i + distance], around the end."""
    for i in range(count):
        before[i] = row[i]
    for i in range(count):
        j = i + distance
        row[i] += share * (before[j if j < count else j - count] - before[i])
