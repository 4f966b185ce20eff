"""Forward and backward pass of a batch through all layers."""

from __future__ import annotations

import numpy as np

from wellfit import rng
from wellfit.engines.compiled.activations import RELU, activate, through
from wellfit.engines.compiled.jit import inlined
from wellfit.engines.compiled.lowlevel import piece
from wellfit.engines.compiled.masks import drop, kept_of
from wellfit.engines.compiled.norm import normalize, normalize_back
from wellfit.engines.compiled.plan import DROPOUT
from wellfit.engines.compiled.tiles import back_product, back_product_through_relu, outer_product, product, row_sums

_DROPOUT = rng.DROPOUT


@inlined
def forward(plan, layout, p, x, work, m, count, training, epoch, batch):
    """Outputs of all layers for the batch x (d, m); z of the last layer holds logits or values.

    In training (``training`` is 1) units are dropped and batches normalized; in evaluation neither.
    """
    layers, cast = layout.widths.size - 1, p.dtype.type
    k0, k1 = np.uint32(plan.key0), np.uint32(plan.key1)
    zero, none = cast(0), cast(-np.inf)
    w_at, before = np.int64(0), x
    for layer in range(layers):
        n, o, here = layout.widths[layer], layout.widths[layer + 1], layout.at[layer]
        last, normal = layer == layers - 1, training > 0 and plan.batch_norm
        out = piece(work.z, here, o * m)
        floor = zero if plan.activation == RELU and not last and not normal else none
        product(p, w_at, o, n, before, w_at + o * n, floor, out, m, work.strip)
        if last:
            return
        w_at += o * n + o
        before = out
        slope = work.slope
        if normal:
            units = layout.units[layers - 1]
            first = layout.units[layer]
            normed, spread = piece(work.normed, here, o * m), piece(work.spread, first, o)
            least = zero if plan.activation == RELU else none
            normalize(p, p.size - 4 * units + first, units, out, o, m, count, normed, spread, least)
        if plan.activation != RELU:
            slope = piece(work.slope, here, o * m)
            activate(plan.activation, out, slope)
        if training > 0 and layout.base[DROPOUT * layers + layer] > 0:
            threshold = kept_of(work.now[DROPOUT * layers + layer])
            drop(out, slope, o * m, threshold, k0, k1, _DROPOUT + layer, epoch, batch)


@inlined
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
        # The error of the layer below takes the place of its output, which the outer product is the last to need.
        below, at = layout.at[layer - 1], DROPOUT * layers + layer - 1
        inputs, e = piece(work.z, below, n * m), piece(work.error, 0, n * m)
        outer_product(error, o, inputs, n, m, g, w_at)
        if plan.activation == RELU:
            scale = p.dtype.type(1)
            if layout.base[at] > 0:
                scale = p.dtype.type(65536.0 / kept_of(work.now[at]))
            back_product_through_relu(p, w_at, o, n, error, work.zeros, inputs, scale, m, work.strip, e)
        else:
            back_product(p, w_at, o, n, error, work.zeros, e, m, work.strip)
            through(e, piece(work.slope, below, n * m), inputs)
        if plan.batch_norm:
            first = layout.units[layer - 1]
            normed, spread = piece(work.normed, below, n * m), piece(work.spread, first, n)
            normalize_back(p, p.size - 4 * units + first, units, inputs, n, m, count, normed, spread, g)
        error = inputs
