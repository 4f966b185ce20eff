"""Matrix products of small matrices, kept in vector registers.

All matrices are row-major pieces of flat arrays; columns are examples, padded to whole vectors (`padded`). OpenBLAS
packs its operands and pays per call; at a layer's usual size (20 x 32 times 64 examples) a block of 4 rows by two
vectors accumulated in registers is 1.5 to 3 times faster. The blocks are written as LLVM vector code, because
a loop vectorizer keeps accumulators in memory; LLVM lowers the 64-byte vectors to what the processor has.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from wellfit.engines.compiled.jit import kernel
from wellfit.engines.compiled.lowlevel import piece

BYTES = 64
LANES = 16  # float32 lanes in a vector; columns are padded to this for both types
_I64 = ir.IntType(64)
# Above this many multiplications the BLAS, which blocks for the outer caches, is faster (measured, see docs/engine.md).
BLAS_FROM = 1 << 19


def _constant(value: int) -> ir.Constant:
    return ir.Constant(_I64, value)


class _Emitter:
    """Emits vector loads, stores and fused multiply-adds for one element type."""

    def __init__(self, context, builder, dtype) -> None:
        self.context, self.builder = context, builder
        self.element, self.bits = context.get_data_type(dtype), dtype.bitwidth
        self.lanes = BYTES * 8 // self.bits
        self.vector = ir.VectorType(self.element, self.lanes)
        self.suffix = f"v{self.lanes}f{self.bits}"

    def pointer(self, array_type, value):
        return self.context.make_array(array_type)(self.context, self.builder, value).data

    def at(self, pointer, base, stride, times: int):
        """Return the address pointer + base + stride * times."""
        offset = self.builder.add(base, self.builder.mul(stride, _constant(times)))
        return self.builder.gep(pointer, [offset])

    def splat(self, scalar):
        index = ir.IntType(32)
        empty = ir.Constant(self.vector, ir.Undefined)
        first = self.builder.insert_element(empty, scalar, ir.Constant(index, 0))
        zeros = ir.Constant(ir.VectorType(index, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, empty, zeros)

    def load(self, address):
        value = self.builder.load(self.builder.bitcast(address, self.vector.as_pointer()))
        value.align = self.bits // 8
        return value

    def store(self, value, address) -> None:
        self.builder.store(value, self.builder.bitcast(address, self.vector.as_pointer())).align = self.bits // 8

    def accumulators(self, start: list, columns: int) -> list[list]:
        """Return rows of stack places (registers, once optimized) that start at the vectors ``start``."""
        rows = []
        for value in start:
            places = [cgutils.alloca_once(self.builder, self.vector) for _ in range(columns)]
            for place in places:
                self.builder.store(value, place)
            rows.append(places)
        return rows

    def multiply_add(self, place, x, y) -> None:
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        fma = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.fma.{self.suffix}")
        self.builder.store(self.builder.call(fma, [x, y, self.builder.load(place)]), place)

    def total(self, place):
        kind = ir.FunctionType(self.element, [self.element, self.vector])
        name = f"llvm.vector.reduce.fadd.{self.suffix}"
        reduce = cgutils.get_or_insert_function(self.builder.module, kind, name)
        zero = ir.Constant(self.element, 0.0)
        return self.builder.call(reduce, [zero, self.builder.load(place)], fastmath=("reassoc",))


def _product_block(rows: int, vectors: int) -> Callable:
    """Return a block of Z = W A + b: ``rows`` rows of Z by ``vectors`` vectors of columns, summed over n."""

    @intrinsic
    def block(_, w, w_at, w_row, w_col, a, a_at, a_row, n, b, b_at, z, z_at, z_row):
        i64 = types.int64
        signature = types.void(w, i64, i64, i64, a, i64, i64, i64, b, i64, z, i64, i64)

        def generate(context, builder, signature, args):
            w, w_at, w_row, w_col, a, a_at, a_row, n, b, b_at, z, z_at, z_row = args
            kinds = signature.args
            emit = _Emitter(context, builder, kinds[0].dtype)
            w, a, b, z = (emit.pointer(kinds[i], v) for i, v in ((0, w), (4, a), (8, b), (10, z)))
            biases = [emit.splat(builder.load(emit.at(b, b_at, _constant(1), r))) for r in range(rows)]
            sums = emit.accumulators(biases, vectors)
            with cgutils.for_range(builder, n) as loop:
                a_here = builder.add(a_at, builder.mul(loop.index, a_row))
                w_here = builder.add(w_at, builder.mul(loop.index, w_col))
                columns = [emit.load(emit.at(a, a_here, _constant(emit.lanes), v)) for v in range(vectors)]
                for r in range(rows):
                    weight = emit.splat(builder.load(emit.at(w, w_here, w_row, r)))
                    for v in range(vectors):
                        emit.multiply_add(sums[r][v], weight, columns[v])
            for r in range(rows):
                row = builder.add(z_at, builder.mul(z_row, _constant(r)))
                for v in range(vectors):
                    emit.store(builder.load(sums[r][v]), emit.at(z, row, _constant(emit.lanes), v))
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
            emit = _Emitter(context, builder, kinds[0].dtype)
            d, a, g = (emit.pointer(kinds[i], v) for i, v in ((0, d), (2, a), (5, g)))
            zero = ir.Constant(emit.vector, [ir.Constant(emit.element, 0.0)] * emit.lanes)
            sums = emit.accumulators([zero] * rows, columns)
            with cgutils.for_range(builder, builder.sdiv(m, _constant(emit.lanes))) as loop:
                here = builder.mul(loop.index, _constant(emit.lanes))
                a_here, d_here = builder.add(a_at, here), builder.add(d_at, here)
                inputs = [emit.load(emit.at(a, a_here, m, c)) for c in range(columns)]
                for r in range(rows):
                    delta = emit.load(emit.at(d, d_here, m, r))
                    for c in range(columns):
                        emit.multiply_add(sums[r][c], delta, inputs[c])
            for r in range(rows):
                row = builder.add(g_at, builder.mul(g_row, _constant(r)))
                for c in range(columns):
                    builder.store(emit.total(sums[r][c]), emit.at(g, row, _constant(1), c))
            return context.get_dummy_value()

        return signature, generate

    return block


_p42, _p41, _p22, _p21, _p12, _p11 = (_product_block(r, v) for r in (4, 2, 1) for v in (2, 1))
_o42, _o41, _o14, _o11 = (_outer_block(*size) for size in ((4, 2), (4, 1), (1, 4), (1, 1)))


def padded(columns: int) -> int:
    """Return ``columns`` rounded up to whole vectors."""
    return -(-columns // LANES) * LANES


@kernel
def _product_tiles(w, w_at, w_row, w_col, o, n, a, b, b_at, z, m):
    lanes = BYTES // w.itemsize
    c = 0
    while c < m:
        wide = c + 2 * lanes <= m
        r = 0
        while r + 4 <= o:
            if wide:
                _p42(w, w_at + r * w_row, w_row, w_col, a, c, m, n, b, b_at + r, z, r * m + c, m)
            else:
                _p41(w, w_at + r * w_row, w_row, w_col, a, c, m, n, b, b_at + r, z, r * m + c, m)
            r += 4
        if r + 2 <= o:
            if wide:
                _p22(w, w_at + r * w_row, w_row, w_col, a, c, m, n, b, b_at + r, z, r * m + c, m)
            else:
                _p21(w, w_at + r * w_row, w_row, w_col, a, c, m, n, b, b_at + r, z, r * m + c, m)
            r += 2
        if r < o:
            if wide:
                _p12(w, w_at + r * w_row, w_row, w_col, a, c, m, n, b, b_at + r, z, r * m + c, m)
            else:
                _p11(w, w_at + r * w_row, w_row, w_col, a, c, m, n, b, b_at + r, z, r * m + c, m)
        c += 2 * lanes if wide else lanes


@kernel
def product(p, w_at, o, n, a, b_at, z, m):
    """Z (o, m) = W (o, n) A (n, m) + b, with W and b at ``w_at`` and ``b_at`` of the parameter vector ``p``."""
    if o * n * m < BLAS_FROM:
        _product_tiles(p, w_at, n, 1, o, n, a, p, b_at, z, m)
        return
    np.dot(p[w_at : w_at + o * n].reshape(o, n), a[: n * m].reshape(n, m), z[: o * m].reshape(o, m))
    for r in range(o):
        bias, row = p[b_at + r], piece(z, r * m, m)
        for c in range(m):
            row[c] += bias


@kernel
def back_product(p, w_at, o, n, d, zeros, e, m):
    """E (n, m) = W^T (n, o) D (o, m), with W (o, n) at ``w_at`` of ``p``; ``zeros`` has n zeros."""
    if o * n * m < BLAS_FROM:
        _product_tiles(p, w_at, 1, n, n, o, d, zeros, 0, e, m)
    else:
        np.dot(p[w_at : w_at + o * n].reshape(o, n).T, d[: o * m].reshape(o, m), e[: n * m].reshape(n, m))


@kernel
def outer_product(d, o, a, n, m, g, g_at):
    """G (o, n) = D (o, m) A^T (m, n), written at ``g_at`` of the gradient vector ``g``."""
    if o * n * m >= BLAS_FROM:
        np.dot(d[: o * m].reshape(o, m), a[: n * m].reshape(n, m).T, g[g_at : g_at + o * n].reshape(o, n))
        return
    r = 0
    while r + 4 <= o:
        k = 0
        while k + 2 <= n:
            _o42(d, r * m, a, k * m, m, g, g_at + r * n + k, n)
            k += 2
        if k < n:
            _o41(d, r * m, a, k * m, m, g, g_at + r * n + k, n)
        r += 4
    while r < o:
        k = 0
        while k + 4 <= n:
            _o14(d, r * m, a, k * m, m, g, g_at + r * n + k, n)
            k += 4
        while k < n:
            _o11(d, r * m, a, k * m, m, g, g_at + r * n + k, n)
            k += 1
        r += 1


@kernel
def row_sums(d, o, m, g, g_at):
    """g (o,) = the sums of the rows of D (o, m): the gradient of a bias."""
    for r in range(o):
        row = piece(d, r * m, m)
        total = row[0] * 0
        for c in range(m):
            total += row[c]
        g[g_at + r] = total
