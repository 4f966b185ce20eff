"""Curves: losses and shares classified right at checkpoints, in evaluation mode; early stopping; divergence."""

from __future__ import annotations

import math

import numpy as np

from wellfit.engines.compiled.batches import columns_of
from wellfit.engines.compiled.jit import inlined, kernel
from wellfit.engines.compiled.losses import loss_sum
from wellfit.engines.compiled.lowlevel import piece
from wellfit.engines.compiled.norm import fold
from wellfit.engines.compiled.passes import forward
from wellfit.engines.compiled.plan import (
    BEST_EPOCH,
    BLOCK,
    CHECKPOINT,
    DIVERGED,
    EPOCH,
    GROUP_LASSO,
    STATUS,
    STOPPED,
    WAITED,
    WHOLE,
)
from wellfit.engines.compiled.plan import L1 as ONES
from wellfit.engines.compiled.plan import L2 as SQUARES


@inlined
def _measure(plan, layout, p, rows, part, start, work):
    """Return (mean loss, share classified right) on a part of the curves' rows; NaN for no rows.

    ``start`` is the part's first column, padding counted.
    """
    loss, right, weight, done = 0.0, 0.0, 0.0, np.int64(0)
    last = layout.widths.size - 2
    d, k, n = layout.widths[0], layout.widths[last + 1], rows.counts[part]
    while done < n:
        count = min(BLOCK, n - done)
        m, at = columns_of(count), start + done
        x, y = piece(rows.curve_x, at * d, d * m), piece(rows.curve_y, at * k, k * m)
        weights = piece(rows.curve_weights, at, m) if rows.curve_weights.size > 0 else rows.curve_weights
        forward(plan, layout, p, x, work, m, count, np.int64(0), done, done)
        out = piece(work.z, layout.at[last], k * m)
        some = loss_sum(plan.loss, plan.loss_parameter, out, y, k, m, count, weights, work.rows)
        loss += some[0]
        right += some[1]
        weight += some[2]
        done += count
    if weight == 0:
        return np.nan, np.nan
    return loss / weight, right / weight


@inlined
def _penalty(layout, p, work):
    """Return sum over layers of l1 sum|W| + l2/2 sum W^2, and group lasso's sum of column norms, in float64."""
    total, at, layers, now = 0.0, 0, layout.widths.size - 1, work.now
    for layer in range(layers):
        n, o = layout.widths[layer], layout.widths[layer + 1]
        ones, squares = 0.0, 0.0
        for j in range(at, at + o * n):
            w = float(p[j])
            ones += abs(w)
            squares += w * w
        total += now[ONES * layers + layer] * ones + 0.5 * now[SQUARES * layers + layer] * squares
        at += o * n + o
    strength, n = now[WHOLE * layers + GROUP_LASSO], layout.widths[0]
    if strength > 0:
        for j in range(n):
            squares = 0.0
            for r in range(layout.widths[1]):
                squares += float(p[r * n + j]) * float(p[r * n + j])
            total += strength * math.sqrt(squares)
    return total


@inlined
def record(plan, layout, rows, progress, work):
    """Measure the curves at a checkpoint; keep the best weights and count patience where early stopping is on."""
    counts = progress.counts
    counted = progress.average if plan.averaged else progress.parameters
    p = counted
    if plan.batch_norm:
        fold(layout.widths, counted, work.folded)
        p = work.folded
    curve = piece(progress.curves, 7 * counts[CHECKPOINT], 7)
    start = np.int64(0)
    for part in range(3):
        curve[part], curve[4 + part] = _measure(plan, layout, p, rows, part, start, work)
        start += columns_of(rows.counts[part])
    curve[3] = _penalty(layout, counted, work)
    counts[CHECKPOINT] += 1
    if not math.isfinite(curve[0]):
        counts[STATUS] = DIVERGED
    elif plan.patience > 0:
        # A score is better the higher: its negative is watched.
        watched = -curve[5] if plan.on_score else curve[1]
        if watched < progress.best_loss[0] - plan.min_delta or counts[CHECKPOINT] == 1:
            progress.best_loss[0] = watched
            counts[BEST_EPOCH] = counts[EPOCH]
            counts[WAITED] = 0
            for j in range(counted.size):
                progress.best[j] = counted[j]
        else:
            counts[WAITED] += 1
            if counts[WAITED] >= plan.patience:
                counts[STATUS] = STOPPED


@kernel
def finite(p):
    """Return whether all parameters are finite: a ReLU can hide NaN from the loss, so the weights are asked."""
    total = p.dtype.type(0)
    for j in range(p.size):
        total += abs(p[j])
    return math.isfinite(total)
