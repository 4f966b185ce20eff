"""Losses of the outputs: gradients for training, sums for curves.

Outputs Z and targets Y are (k, m), one example a column.
"""

from __future__ import annotations

import math

from wellfit.engines.compiled import elementary
from wellfit.engines.compiled.jit import kernel
from wellfit.engines.compiled.lowlevel import piece

SIGMOID, SOFTMAX, SQUARED = range(3)
LOSS_OF_TASK = {"binary": SIGMOID, "multiclass": SOFTMAX, "regression": SQUARED}


@kernel
def loss_gradient(code, z, y, k, m, count, top, total):
    """Z <- dJ/dZ for the mean loss over the first ``count`` columns; the padding columns get 0.

    Sigmoid and softmax cross-entropy: (p - y) / count. Squared error: 2 (z - y) / count. ``top`` and ``total`` are
    work rows of m.
    """
    inverse = z.dtype.type(1.0 / count)
    if code == SIGMOID:
        for i in range(k * m):
            z[i] = (elementary.sigmoid(z[i]) - y[i]) * inverse
    elif code == SOFTMAX:
        _softmax(z, k, m, top, total)
        for i in range(k * m):
            z[i] = (z[i] - y[i]) * inverse
    else:
        for i in range(k * m):
            z[i] = (z[i] + z[i] - y[i] - y[i]) * inverse
    if count < m:
        for r in range(k):
            for c in range(count, m):
                z[r * m + c] = 0


@kernel
def _softmax(z, k, m, top, total):
    for c in range(m):
        top[c] = z[c]
        total[c] = 0
    for r in range(1, k):
        row = piece(z, r * m, m)
        for c in range(m):
            top[c] = row[c] if row[c] > top[c] else top[c]
    for r in range(k):
        row = piece(z, r * m, m)
        for c in range(m):
            row[c] = elementary.exp(row[c] - top[c])
            total[c] += row[c]
    for r in range(k):
        row = piece(z, r * m, m)
        for c in range(m):
            row[c] /= total[c]


@kernel
def loss_sum(code, z, y, k, m, count):
    """Return (sum of losses, number classified right) over the first ``count`` columns, in float64 from logits."""
    loss, right = 0.0, 0
    for c in range(count):
        if code == SIGMOID:
            x = float(z[c])
            # softplus(x) - y x, the cross-entropy from logits: finite where the textbook's log(a) is not
            loss += max(x, 0.0) + math.log1p(math.exp(-abs(x))) - float(y[c]) * x
            right += (x > 0) == (y[c] > 0.5)
        elif code == SOFTMAX:
            best, true = 0, 0
            for r in range(1, k):
                best = r if z[r * m + c] > z[best * m + c] else best
                true = r if y[r * m + c] > y[true * m + c] else true
            peak, total, score = float(z[best * m + c]), 0.0, 0.0
            for r in range(k):
                total += math.exp(float(z[r * m + c]) - peak)
                score += float(y[r * m + c]) * (float(z[r * m + c]) - peak)
            loss += math.log(total) - score
            right += best == true
        else:
            for r in range(k):
                gap = float(z[r * m + c]) - float(y[r * m + c])
                loss += gap * gap
    return loss, right
