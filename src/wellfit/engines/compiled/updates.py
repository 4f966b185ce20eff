"""What follows the gradient within a step: clipping, the optimizer, proximal steps, norm bounds, averaging."""

from __future__ import annotations

import math

import numpy as np

from wellfit.cocktail import schedules
from wellfit.engines.compiled.jit import inlined, kernel
from wellfit.engines.compiled.lowlevel import piece
from wellfit.engines.compiled.optimizers import ADAM, BETA1, BETA2, SGD, step
from wellfit.engines.compiled.plan import AVERAGE, CLIPPING, COSINE, DECAY, FLAT_COSINE, GROUP_LASSO, MAX_NORM, WHOLE
from wellfit.engines.compiled.plan import L1 as ONES
from wellfit.engines.compiled.plan import L2 as SQUARES

_WARM_UP, _FIRST, _LAST = schedules.WARM_UP, schedules.FIRST, schedules.LAST


@kernel
def _between(start, end, share):
    return end + (start - end) * (1.0 + math.cos(math.pi * share)) / 2.0


@inlined
def set_strengths(plan, layout, work, done):
    """Set the factor of each schedule and the strengths for optimizer step number ``done`` + 1."""
    factors, now = work.factors, work.now
    progress = done / (plan.epochs * plan.batches)
    factors[0] = 1.0
    factors[COSINE] = _between(1.0, 0.0, progress)
    factors[FLAT_COSINE] = _between(1.0, 0.0, max(2.0 * progress - 1.0, 0.0))
    rising = progress < _WARM_UP
    start, end = _FIRST if rising else 1.0, 1.0 if rising else _LAST
    share = progress / _WARM_UP if rising else (progress - _WARM_UP) / (1.0 - _WARM_UP)
    factors[2] = _between(start, end, share)
    for i in range(now.size):
        now[i] = layout.base[i] * factors[layout.schedules[i]]


@kernel
def _clip(g, size, bound):
    """Scale g[:size] to at most this norm (Pascanu et al. 2013, algorithm 1)."""
    total = 0.0
    for j in range(size):
        total += float(g[j]) * float(g[j])
    if total > bound * bound:
        factor = g.dtype.type(bound / math.sqrt(total))
        for j in range(size):
            g[j] *= factor


@kernel
def _shrink_columns(w, o, n, threshold, norms):
    """The prox of threshold * sum_j ||W[:, j]|| (Parikh & Boyd 2014, section 6.5.4): each column shorter by that."""
    for j in range(n):
        norms[j] = 0
    for r in range(o):
        row = piece(w, r * n, n)
        for j in range(n):
            norms[j] += row[j] * row[j]
    for j in range(n):
        size = np.sqrt(norms[j])
        norms[j] = (size - threshold) / size if size > threshold else w.dtype.type(0)
    for r in range(o):
        row = piece(w, r * n, n)
        for j in range(n):
            row[j] *= norms[j]


@kernel
def _bound_rows(w, o, n, bound):
    """Scale each row of W to at most this norm."""
    for r in range(o):
        row, total = piece(w, r * n, n), w.dtype.type(0)
        for j in range(n):
            total += row[j] * row[j]
        size = np.sqrt(total)
        if size > bound:
            factor = bound / size
            for j in range(n):
                row[j] *= factor


@inlined
def update(plan, layout, p, moments, average, work, done):
    """Optimizer step number ``done`` + 1 on every piece: weights with their layer's strengths, the rest without any."""
    cast, now, g = p.dtype.type, work.now, work.gradient
    lr, momentum, none = cast(plan.learning_rate * work.factors[plan.schedule]), cast(plan.momentum), cast(0)
    correct1, correct2 = none, none
    if plan.optimizer == ADAM:
        correct1, correct2 = cast(1.0 / (1.0 - BETA1 ** (done + 1))), cast(1.0 / (1.0 - BETA2 ** (done + 1)))
    at, layers = 0, layout.widths.size - 1
    units = 2 * layout.units[layers - 1] if plan.batch_norm else 0
    whole = WHOLE * layers
    if now[whole + CLIPPING] > 0:
        _clip(g, p.size - units, 1.0 / now[whole + CLIPPING])
    for part in range(2 * layers + plan.batch_norm):
        layer, weights = part >> 1, part & 1 == 0 and part < 2 * layers
        size = units if part == 2 * layers else layout.widths[layer + 1] * (layout.widths[layer] if weights else 1)
        l1, l2, decay = none, none, none
        if weights:
            l1, l2 = cast(now[ONES * layers + layer]), cast(now[SQUARES * layers + layer])
            decay = cast(now[DECAY * layers + layer])
        w, gradient = piece(p, at, size), piece(g, at, size)
        u, v = piece(moments, at, size), piece(moments, p.size + at, size)
        step(plan.optimizer, w, gradient, u, v, lr, l1, l2, decay, momentum, plan.nesterov, correct1, correct2)
        if weights:
            n, o = layout.widths[layer], layout.widths[layer + 1]
            if layer == 0 and now[whole + GROUP_LASSO] > 0:
                eta = lr / (cast(1) - momentum) if plan.optimizer == SGD else lr
                _shrink_columns(w, o, n, eta * cast(now[whole + GROUP_LASSO]), work.norms)
            if now[MAX_NORM * layers + layer] > 0:
                _bound_rows(w, o, n, cast(1.0 / now[MAX_NORM * layers + layer]))
        at += size
    if plan.averaged:
        rest = cast(1.0 - min(now[whole + AVERAGE], (1.0 + done) / (10.0 + done)))
        for j in range(p.size):
            average[j] += rest * (p[j] - average[j])
