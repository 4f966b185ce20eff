"""Forward and backward pass of a batch through all layers."""

from __future__ import annotations

import numpy as np

from wellfit import rng
from wellfit.engines.compiled.activations import RELU, activate, activate_and_drop, rectify, through
from wellfit.engines.compiled.draws import keep_mask
from wellfit.engines.compiled.jit import kernel
from wellfit.engines.compiled.lowlevel import piece
from wellfit.engines.compiled.norm import normalize, normalize_back
from wellfit.engines.compiled.plan import DROPOUT
from wellfit.engines.compiled.tiles import back_product, outer_product, product, row_sums

_DROPOUT = rng.DROPOUT


@kernel
def forward(plan, layout, p, x, work, m, count, training, epoch, batch):
    """Outputs of all layers for the batch x (d, m); z of the last layer holds logits or values.

    In training (``training`` is 1) units are dropped and batches normalized; in evaluation neither.
    """
    layers = layout.widths.size - 1
    k0, k1 = np.uint32(plan.key0), np.uint32(plan.key1)
    w_at, before = np.int64(0), x
    for layer in range(layers):
        n, o, here = layout.widths[layer], layout.widths[layer + 1], layout.at[layer]
        out, slope = piece(work.z, here, o * m), piece(work.slope, here, o * m)
        product(p, w_at, o, n, before, w_at + o * n, out, m)
        w_at += o * n + o
        before = out
        if layer == layers - 1:
            return
        if training > 0 and plan.batch_norm:
            units = layout.units[layers - 1]
            first = layout.units[layer]
            normed, spread = piece(work.normed, here, o * m), piece(work.spread, first, o)
            normalize(p, p.size - 4 * units + first, units, out, o, m, count, normed, spread)
        rate = work.now[DROPOUT * layers + layer]
        if training > 0 and layout.base[DROPOUT * layers + layer] > 0:
            threshold = max(1, round((1.0 - rate) * 65536.0))
            keep_mask(work.mask, o * m, threshold, k0, k1, _DROPOUT + layer, epoch, batch)
            activate_and_drop(plan.activation, out, slope, work.mask)
        elif plan.activation == RELU:
            rectify(out)
        else:
            activate(plan.activation, out, slope)


@kernel
def backward(plan, layout, p, work, m, count):
    """The gradient of the mean loss into work.gradient; z of the last layer holds dJ/dZ on entry."""
    layers, g = layout.widths.size - 1, work.gradient
    units = layout.units[layers - 1]
    w_at = p.size - 4 * units if plan.batch_norm else p.size
    error = piece(work.z, layout.at[layers - 1], layout.widths[layers] * m)
    for layer in range(layers - 1, -1, -1):
        n, o = layout.widths[layer], layout.widths[layer + 1]
        w_at -= o * n + o
        if not plan.batch_norm or layer == layers - 1:
            row_sums(error, o, m, g, w_at + o * n)  # a normalized layer's bias has no effect: its gradient stays 0
        if layer == 0:
            outer_product(error, o, work.x, n, m, g, w_at)
            return
        below = layout.at[layer - 1]
        inputs, e = piece(work.z, below, n * m), piece(work.error, below, n * m)
        outer_product(error, o, inputs, n, m, g, w_at)
        back_product(p, w_at, o, n, error, work.zeros, e, m)
        dropped = layout.base[DROPOUT * layers + layer - 1] > 0
        through(plan.activation, e, piece(work.slope, below, n * m), inputs, dropped)
        if plan.batch_norm:
            first = layout.units[layer - 1]
            normed, spread = piece(work.normed, below, n * m), piece(work.spread, first, n)
            normalize_back(p, p.size - 4 * units + first, units, e, n, m, count, normed, spread, g)
        error = e
