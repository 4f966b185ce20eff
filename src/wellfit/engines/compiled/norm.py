"""Batch normalization (Ioffe & Szegedy 2015) of one hidden layer, and folding it into the weights for evaluation.

Behind the P weights and biases the parameter vector holds, for all H hidden units, scales, shifts, running means and
running variances: 4 H numbers, of which the first 2 H are learned.
"""

from __future__ import annotations

import numpy as np

from wellfit.engines.compiled.jit import kernel
from wellfit.engines.compiled.lowlevel import piece
from wellfit.nets.network import EPSILON, RUNNING


@kernel
def normalize(p, at, units, z, o, m, count, normed, spread, floor):
    """z (o, m) <- max(scale (z - mean) / sqrt(variance + epsilon) + shift, floor) over ``count`` columns, 0 beyond.

    ``at`` is the place of this layer's scales in p; ``units`` is H. Running averages move by 0.1, the variance's
    unbiased, as in PyTorch.
    """
    cast = z.dtype.type
    for r in range(o):
        row, out = piece(z, r * m, m), piece(normed, r * m, m)
        total = cast(0)
        for c in range(count):
            total += row[c]
        mean = total / cast(count)
        total = cast(0)
        for c in range(count):
            gap = row[c] - mean
            total += gap * gap
        inverse = cast(1) / np.sqrt(total / cast(count) + cast(EPSILON))
        spread[r] = inverse
        scale, shift = p[at + r], p[at + units + r]
        for c in range(count):
            out[c] = (row[c] - mean) * inverse
            value = scale * out[c] + shift
            row[c] = floor if value < floor else value
        for c in range(count, m):
            out[c] = 0
            row[c] = 0
        means, variances = at + 2 * units + r, at + 3 * units + r
        p[means] += cast(RUNNING) * (mean - p[means])
        p[variances] += cast(RUNNING) * (total / cast(max(count - 1, 1)) - p[variances])


@kernel
def normalize_back(p, at, units, e, o, m, count, normed, spread, g):
    """e (o, m) <- the error before normalization; the gradients of scales and shifts go into g. Padding gets 0."""
    cast = e.dtype.type
    for r in range(o):
        row, out = piece(e, r * m, m), piece(normed, r * m, m)
        by_scale, by_shift = cast(0), cast(0)
        for c in range(count):
            by_scale += row[c] * out[c]
            by_shift += row[c]
        g[at + r], g[at + units + r] = by_scale, by_shift
        factor, share = p[at + r] * spread[r], cast(1) / cast(count)
        for c in range(count):
            row[c] = factor * (row[c] - share * (by_shift + out[c] * by_scale))
        for c in range(count, m):
            row[c] = 0


@kernel
def fold(widths, p, folded):
    """folded <- the plain network's parameters that equal p in evaluation: see `MLP.fold`."""
    layers = widths.size - 1
    units, size = 0, 0
    for layer in range(layers):
        size += widths[layer + 1] * (widths[layer] + 1)
        units += widths[layer + 1] if layer < layers - 1 else 0
    at, scales = 0, size
    for j in range(size):
        folded[j] = p[j]
    for layer in range(layers - 1):
        n, o = widths[layer], widths[layer + 1]
        for r in range(o):
            mean, variance = p[scales + 2 * units + r], p[scales + 3 * units + r]
            factor = p[scales + r] / np.sqrt(variance + p.dtype.type(EPSILON))
            for j in range(at + r * n, at + (r + 1) * n):
                folded[j] *= factor
            bias = at + o * n + r
            folded[bias] = factor * (folded[bias] - mean) + p[scales + units + r]
        at += o * n + o
        scales += o
