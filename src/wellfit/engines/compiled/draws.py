"""Random draws inside kernels: the functions of `wellfit.rng`. Dropout masks are drawn in `masks`."""

from __future__ import annotations

import numpy as np

from wellfit.engines.compiled import elementary
from wellfit.engines.compiled.jit import kernel
from wellfit.engines.compiled.lowlevel import piece
from wellfit.engines.compiled.masks import MASK_ROUNDS

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint32(0x9E3779B9), np.uint32(0xBB67AE85)
_SHIFT = np.uint64(32)


@kernel
def philox(c0, c1, c2, c3, k0, k1, rounds):
    """Philox4x32 on one counter (four uint32) with a key of two uint32; four uint32 back."""
    for _ in range(rounds):
        p0, p1 = _M0 * np.uint64(c0), _M1 * np.uint64(c2)
        c0, c1, c2, c3 = (
            np.uint32(p1 >> _SHIFT) ^ c1 ^ k0,
            np.uint32(p1),
            np.uint32(p0 >> _SHIFT) ^ c3 ^ k1,
            np.uint32(p0),
        )
        k0, k1 = np.uint32(k0 + _W0), np.uint32(k1 + _W1)
    return c0, c1, c2, c3


@kernel
def shuffle(rows, order, k0, k1, stream, epoch):
    """order = rows permuted by `wellfit.rng.permutation` (seed key, stream, epoch); both (n,) int64."""
    n = rows.size
    for i in range(n):
        order[i] = rows[i]
    words = np.empty(4, np.uint32)
    block = -1
    for i in range(n - 1, 0, -1):
        if i >> 2 != block:
            block = i >> 2
            words[0], words[1], words[2], words[3] = philox(
                np.uint32(block), np.uint32(0), np.uint32(epoch), np.uint32(stream), k0, k1, 10
            )
        j = np.int64(np.uint64(words[i & 3]) * np.uint64(i + 1) >> _SHIFT)
        order[i], order[j] = order[j], order[i]


@kernel
def add_gaussian(x, count, scale, k0, k1, stream, epoch, step):
    """x[:count] += scale times `wellfit.rng.gaussian_noise`; ``x`` has room for count rounded up to 64."""
    cast = x.dtype.type
    unit, shift, quarter, half = cast(2.0**-31), np.uint32(1), cast(0.25), cast(2.0**-32)
    size = cast(scale)
    two = cast(-2)
    for tile in range((count + 63) // 64):
        out = piece(x, 64 * tile, 64)
        for lane in range(16):
            w0, w1, w2, w3 = philox(
                np.uint32(16 * tile + lane),
                np.uint32(step),
                np.uint32(epoch),
                np.uint32(stream),
                k0,
                k1,
                MASK_ROUNDS,
            )
            first = size * np.sqrt(two * elementary.log(cast(np.int32(w0 >> shift)) * unit + half))
            second = size * np.sqrt(two * elementary.log(cast(np.int32(w2 >> shift)) * unit + half))
            one, other = cast(np.int32(w1 >> shift)) * unit, cast(np.int32(w3 >> shift)) * unit
            out[lane] += first * elementary.sin_turns(one + quarter)
            out[16 + lane] += first * elementary.sin_turns(one)
            out[32 + lane] += second * elementary.sin_turns(other + quarter)
            out[48 + lane] += second * elementary.sin_turns(other)


@kernel
def mixing(count, quantiles, k0, k1, stream, epoch, step):
    """Return (Beta coefficient, distance) of this batch: see `wellfit.rng.mixup_draw` and `mixup_quantiles`."""
    first, second, _, _ = philox(np.uint32(0), np.uint32(step), np.uint32(epoch), np.uint32(stream), k0, k1, 10)
    place = (float(first) + 0.5) * 2.0**-32 * (quantiles.size - 1)
    at = int(place)
    share = place - at
    coefficient = quantiles[at] * (1.0 - share) + quantiles[at + 1] * share
    distance = np.int64(0)
    if count > 1:
        distance = 1 + np.int64(np.uint64(second) * np.uint64(count - 1) >> _SHIFT)
    return coefficient, distance
