"""Losses of the outputs: gradients for training, sums for curves.

Outputs Z and targets Y are (k, m), one example a column.
"""

from __future__ import annotations

from wellfit.engines.compiled import elementary
from wellfit.engines.compiled.jit import kernel
from wellfit.engines.compiled.lowlevel import piece

SIGMOID, SOFTMAX, SQUARED, ABSOLUTE, HUBER, QUANTILE = range(6)
_REGRESSION = {"squared": SQUARED, "absolute": ABSOLUTE, "huber": HUBER, "quantile": QUANTILE}


def loss_code(task: str, loss: str) -> int:
    """Return the code of a loss as named by `Training.loss_and_parameter`."""
    return _REGRESSION[loss] if task == "regression" else (SIGMOID if task == "binary" else SOFTMAX)


@kernel
def loss_gradient(code, parameter, z, y, k, m, count, rows):
    """Z <- dJ/dZ for the mean loss over the first ``count`` columns; the padding columns get 0.

    Sigmoid and softmax cross-entropy: (p - y) / count. With r = z - y, squared error: 2 r / count, absolute: sign(r) /
    count, Huber: r cut to [-d, d] / count, quantile q: (1 - q where r > 0, -q where r < 0) / count. ``rows``
    has room for 2 m.
    """
    inverse = z.dtype.type(1.0 / count)
    if code == SIGMOID:
        for i in range(k * m):
            z[i] = (elementary.sigmoid(z[i]) - y[i]) * inverse
    elif code == SOFTMAX:
        _softmax(z, k, m, piece(rows, 0, m), piece(rows, m, m))
        for i in range(k * m):
            z[i] = (z[i] - y[i]) * inverse
    elif code == SQUARED:
        for i in range(k * m):
            z[i] = (z[i] + z[i] - y[i] - y[i]) * inverse
    else:
        # All three cut the residual to [-low, high] times a slope; the absolute loss and the quantile's are steep.
        cast = z.dtype.type
        one = cast(1)
        high = cast(parameter) if code == HUBER else (one if code == ABSOLUTE else one - cast(parameter))
        low = cast(parameter) if code == QUANTILE else high
        zero = z.dtype.type(0)
        for i in range(k * m):
            r = z[i] - y[i]
            if code != HUBER:
                r = high if r > zero else (-low if r < zero else zero)
            r = high if r > high else (-low if r < -low else r)
            z[i] = r * inverse
    if count < m:
        for r in range(k):
            row = piece(z, r * m + count, m - count)
            for c in range(row.size):
                row[c] = 0


@kernel
def weigh(z, k, m, weights):
    """Z <- Z times each column's weight."""
    for r in range(k):
        row = piece(z, r * m, m)
        for c in range(m):
            row[c] *= weights[c]


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
def loss_sum(code, parameter, z, y, k, m, count, weights, rows):
    """Return the sums over the first ``count`` columns, from logits: (losses, those right, weights), in float64.

    ``weights`` holds a weight for each column, or nothing where all are 1; ``rows`` has room for 2 m.
    """
    losses, right, cast = piece(rows, 0, m), piece(rows, m, m), z.dtype.type
    zero, half, one = cast(0), cast(0.5), cast(1)
    if code == SIGMOID:
        for c in range(count):
            x = z[c]
            size = abs(x)
            # softplus(x) - y x, the cross-entropy from logits: finite where the textbook's log(a) is not
            losses[c] = half * (x + size) + elementary.log1p(elementary.exp(-size)) - y[c] * x
            right[c] = one if (x > zero) == (y[c] > half) else zero
    elif code == SOFTMAX:
        _softmax_losses(z, y, k, m, count, losses, right)
    else:
        for c in range(count):
            losses[c] = zero
            right[c] = zero
        bound = cast(parameter)
        for r in range(k):
            for c in range(count):
                losses[c] += _residual_loss(code, bound, one - bound, half, z[r * m + c] - y[r * m + c])
    total_loss, total_right, total_weight = 0.0, 0.0, 0.0
    for c in range(count):
        weight = weights[c] if weights.size > 0 else 1.0
        total_loss += weight * losses[c]
        total_right += weight * right[c]
        total_weight += weight
    return total_loss, total_right, total_weight


@kernel
def _softmax_losses(z, y, k, m, count, losses, right):
    """Write the cross-entropy of each column and whether its largest logit is that of its class."""
    cast = z.dtype.type
    for c in range(count):
        best, true = 0, 0
        for r in range(1, k):
            best = r if z[r * m + c] > z[best * m + c] else best
            true = r if y[r * m + c] > y[true * m + c] else true
        top, rest = z[best * m + c], cast(0)
        for r in range(k):
            # Without the largest, whose part is 1, the sum stays exact where the network is sure.
            rest += elementary.exp(z[r * m + c] - top) if r != best else cast(0)
        losses[c] = elementary.log1p(rest) + top - z[true * m + c]
        right[c] = cast(1) if best == true else cast(0)


@kernel
def _residual_loss(code, bound, rest, half, r):
    size = abs(r)
    if code == SQUARED:
        return r * r
    if code == ABSOLUTE:
        return size
    if code == QUANTILE:
        return rest * size if r > 0 else bound * size
    return half * r * r if size <= bound else bound * (size - half * bound)
