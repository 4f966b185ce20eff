"""Matrix products of small matrices, kept in vector registers.

All matrices are row-major pieces of flat arrays; columns are examples, padded to whole vectors (`padded`). OpenBLAS
packs its operands and pays per call; at a layer's usual size a block of a few rows by two vectors accumulated in
registers is 1.5 to 3 times faster (see docs/engine.md).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from wellfit.engines.compiled.jit import kernel
from wellfit.engines.compiled.lowlevel import either, piece
from wellfit.engines.compiled.registers import BYTES, Emitter, constant, pack

LANES = 16  # float32 lanes in a vector; columns are padded to this for both types
# From this many multiplications on, over an inner size of at least so many, the BLAS, which blocks for the outer
# caches, is faster (measured, see docs/engine.md).
BLAS_FROM, BLAS_INNER = 1 << 25, 64
# Columns this far apart fall on the same few places of the first cache: a strip of them is packed first, if it is used
# by so many rows.
_PACK_FROM, _PACK_ROWS = 96, 16


def _product_block(rows: int, vectors: int, gated: bool) -> Callable:
    """Return a block of Z <- max(W A + b, limit): ``rows`` rows by ``vectors`` vectors of columns, summed over n.

    A ``gated`` block is Z <- limit (W A + b) where Z is above 0, and 0 elsewhere.
    """

    @intrinsic
    def block(_, w, w_at, w_row, w_col, a, a_at, a_row, n, b, b_at, limit, z, z_at, z_row):
        i64 = types.int64
        signature = types.void(w, i64, i64, i64, a, i64, i64, i64, b, i64, b.dtype, z, i64, i64)

        def generate(context, builder, signature, args):
            w, w_at, w_row, w_col, a, a_at, a_row, n, b, b_at, limit, z, z_at, z_row = args
            kinds = signature.args
            emit = Emitter(context, builder, kinds[0].dtype)
            w, a, b, z = (emit.pointer(kinds[i], v) for i, v in ((0, w), (4, a), (8, b), (11, z)))
            biases = [emit.splat(builder.load(emit.at(b, b_at, constant(1), r))) for r in range(rows)]
            sums, limit = emit.accumulators(biases, vectors), emit.splat(limit)
            with cgutils.for_range(builder, n) as loop:
                a_here = builder.add(a_at, builder.mul(loop.index, a_row))
                w_here = builder.add(w_at, builder.mul(loop.index, w_col))
                columns = [emit.load(emit.at(a, a_here, constant(emit.lanes), v)) for v in range(vectors)]
                for r in range(rows):
                    weight = emit.splat(builder.load(emit.at(w, w_here, w_row, r)))
                    for v in range(vectors):
                        emit.multiply_add(sums[r][v], weight, columns[v])
            for r in range(rows):
                row = builder.add(z_at, builder.mul(z_row, constant(r)))
                for v in range(vectors):
                    value, place = builder.load(sums[r][v]), emit.at(z, row, constant(emit.lanes), v)
                    value = emit.gated(value, emit.load(place), limit) if gated else emit.at_least(value, limit)
                    emit.store(value, place)
            return context.get_dummy_value()

        return signature, generate

    return block


def _outer_block(rows: int, columns: int) -> Callable:
    """Return a block of G = D A^T: ``rows`` rows of D against ``columns`` rows of A, summed over m examples."""

    @intrinsic
    def block(_, d, d_at, a, a_at, m, g, g_at, g_row):
        i64 = types.int64
        signature = types.void(d, i64, a, i64, i64, g, i64, i64)

        def generate(context, builder, signature, args):
            d, d_at, a, a_at, m, g, g_at, g_row = args
            kinds = signature.args
            emit = Emitter(context, builder, kinds[0].dtype)
            d, a, g = (emit.pointer(kinds[i], v) for i, v in ((0, d), (2, a), (5, g)))
            sums = emit.accumulators([emit.zeros()] * rows, columns)
            with cgutils.for_range(builder, builder.sdiv(m, constant(emit.lanes))) as loop:
                here = builder.mul(loop.index, constant(emit.lanes))
                a_here, d_here = builder.add(a_at, here), builder.add(d_at, here)
                inputs = [emit.load(emit.at(a, a_here, m, c)) for c in range(columns)]
                for r in range(rows):
                    delta = emit.load(emit.at(d, d_here, m, r))
                    for c in range(columns):
                        emit.multiply_add(sums[r][c], delta, inputs[c])
            # As many rows at once as their sums fit a vector.
            step = min(rows, max(1, emit.lanes // columns))
            for first in range(0, rows, step):
                group = sums[first : first + step]
                totals = emit.totals([builder.load(place) for row in group for place in row])
                for r in range(step):
                    part = emit.shuffle(totals, totals, range(r * columns, (r + 1) * columns))
                    emit.store(part, builder.gep(g, [builder.add(g_at, builder.mul(g_row, constant(first + r)))]))
            return context.get_dummy_value()

        return signature, generate

    return block


def _sums_block(rows: int) -> Callable:
    """Return a block of g = the sums of ``rows`` rows of D over m columns."""

    @intrinsic
    def block(_, d, d_at, m, g, g_at):
        i64 = types.int64
        signature = types.void(d, i64, i64, g, i64)

        def generate(context, builder, signature, args):
            d, d_at, m, g, g_at = args
            emit = Emitter(context, builder, signature.args[0].dtype)
            d, g = emit.pointer(signature.args[0], d), emit.pointer(signature.args[3], g)
            sums = [places[0] for places in emit.accumulators([emit.zeros()] * rows, 1)]
            with cgutils.for_range(builder, builder.sdiv(m, constant(emit.lanes))) as loop:
                here = builder.add(d_at, builder.mul(loop.index, constant(emit.lanes)))
                for r, place in enumerate(sums):
                    builder.store(builder.fadd(builder.load(place), emit.load(emit.at(d, here, m, r))), place)
            totals = emit.totals([builder.load(place) for place in sums])
            emit.store(emit.shuffle(totals, totals, range(rows)), builder.gep(g, [g_at]))
            return context.get_dummy_value()

        return signature, generate

    return block


_sums4, _sums1 = _sums_block(4), _sums_block(1)
_SIZES = ((8, 2), (4, 2), (4, 1), (1, 2), (1, 1))
_PLAIN, _GATED = ([_product_block(*size, gated=gated) for size in _SIZES] for gated in (False, True))
_o44, _o42, _o41, _o24, _o14, _o11 = (_outer_block(*size) for size in ((4, 4), (4, 2), (4, 1), (2, 4), (1, 4), (1, 1)))


def padded(columns: int) -> int:
    """Return ``columns`` rounded up to whole vectors."""
    return -(-columns // LANES) * LANES


def _product_tiles(blocks: list[Callable]) -> Callable:
    """Return the kernel of a whole product from its blocks."""
    b82, b42, b41, b12, b11 = blocks

    @kernel
    def tiles(w, w_at, w_row, w_col, o, n, a, b, b_at, limit, z, m, strip):
        lanes = BYTES // w.itemsize
        packed = m >= _PACK_FROM and o >= _PACK_ROWS
        c = 0
        while c < m:
            wide = c + 2 * lanes <= m
            if wide and packed:
                pack(strip, a, c, m, n)
            source = either(wide and packed, strip, a)
            at, row = (0, 2 * lanes) if wide and packed else (c, m)
            r = 0
            while wide and r + 8 <= o:
                b82(w, w_at + r * w_row, w_row, w_col, source, at, row, n, b, b_at + r, limit, z, r * m + c, m)
                r += 8
            while r + 4 <= o:
                if wide:
                    b42(w, w_at + r * w_row, w_row, w_col, source, at, row, n, b, b_at + r, limit, z, r * m + c, m)
                else:
                    b41(w, w_at + r * w_row, w_row, w_col, source, at, row, n, b, b_at + r, limit, z, r * m + c, m)
                r += 4
            while r < o:
                if wide:
                    b12(w, w_at + r * w_row, w_row, w_col, source, at, row, n, b, b_at + r, limit, z, r * m + c, m)
                else:
                    b11(w, w_at + r * w_row, w_row, w_col, source, at, row, n, b, b_at + r, limit, z, r * m + c, m)
                r += 1
            c += 2 * lanes if wide else lanes

    return tiles


_plain_tiles, _gated_tiles = _product_tiles(_PLAIN), _product_tiles(_GATED)


@kernel
def product(p, w_at, o, n, a, b_at, floor, z, m, strip):
    """Z (o, m) = max(W (o, n) A (n, m) + b, floor), with W and b at ``w_at`` and ``b_at`` of the parameter vector p.

    A floor of 0 is ReLU; minus infinity is none. ``strip`` has room for 2 vectors times max(n, o).
    """
    if o * n * m < BLAS_FROM or n < BLAS_INNER:
        _plain_tiles(p, w_at, n, 1, o, n, a, p, b_at, floor, z, m, strip)
        return
    np.dot(p[w_at : w_at + o * n].reshape(o, n), a[: n * m].reshape(n, m), z[: o * m].reshape(o, m))
    for r in range(o):
        bias, row = p[b_at + r], piece(z, r * m, m)
        for c in range(m):
            value = row[c] + bias
            row[c] = floor if value < floor else value


@kernel
def back_product(p, w_at, o, n, d, zeros, e, m, strip):
    """E (n, m) = W^T (n, o) D (o, m), with W (o, n) at ``w_at`` of ``p``; ``zeros`` has n zeros."""
    if o * n * m < BLAS_FROM or o < BLAS_INNER:
        _plain_tiles(p, w_at, 1, n, n, o, d, zeros, 0, p.dtype.type(-np.inf), e, m, strip)
    else:
        np.dot(p[w_at : w_at + o * n].reshape(o, n).T, d[: o * m].reshape(o, m), e[: n * m].reshape(n, m))


@kernel
def back_product_through_relu(p, w_at, o, n, d, zeros, z, scale, m, strip, e):
    """Z (n, m) <- scale W^T D where Z is above 0, and 0 elsewhere: the error before a ReLU takes its output's place."""
    if o * n * m < BLAS_FROM or o < BLAS_INNER:
        _gated_tiles(p, w_at, 1, n, n, o, d, zeros, 0, scale, z, m, strip)
        return
    back_product(p, w_at, o, n, d, zeros, e, m, strip)
    zero = p.dtype.type(0)
    for i in range(n * m):
        z[i] = scale * e[i] if z[i] > zero else zero


@kernel
def outer_product(d, o, a, n, m, g, g_at):
    """G (o, n) = D (o, m) A^T (m, n), written at ``g_at`` of the gradient vector ``g``."""
    if o * n * m >= BLAS_FROM and n >= BLAS_INNER:
        np.dot(d[: o * m].reshape(o, m), a[: n * m].reshape(n, m).T, g[g_at : g_at + o * n].reshape(o, n))
        return
    r = 0
    while r + 4 <= o:
        k = 0
        while k + 4 <= n:
            _o44(d, r * m, a, k * m, m, g, g_at + r * n + k, n)
            k += 4
        if k + 2 <= n:
            _o42(d, r * m, a, k * m, m, g, g_at + r * n + k, n)
            k += 2
        if k < n:
            _o41(d, r * m, a, k * m, m, g, g_at + r * n + k, n)
        r += 4
    while r < o:
        two = r + 2 <= o
        k = 0
        while k + 4 <= n:
            if two:
                _o24(d, r * m, a, k * m, m, g, g_at + r * n + k, n)
            else:
                _o14(d, r * m, a, k * m, m, g, g_at + r * n + k, n)
            k += 4
        while k < n:
            for i in range(r, r + 2 if two else r + 1):
                _o11(d, i * m, a, k * m, m, g, g_at + i * n + k, n)
            k += 1
        r += 2 if two else 1


@kernel
def row_sums(d, o, m, g, g_at):
    """g (o,) = the sums of the rows of D (o, m): the gradient of a bias."""
    r = 0
    while r + 4 <= o:
        _sums4(d, r * m, m, g, g_at + r)
        r += 4
    while r < o:
        _sums1(d, r * m, m, g, g_at + r)
        r += 1
