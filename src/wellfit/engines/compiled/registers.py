"""Vector code written out as LLVM instructions: loads, stores, multiply-adds, sums and transpositions in registers.

A loop vectorizer keeps accumulators in memory and gathers columns one number at a time. LLVM lowers the 64-byte vectors
used here to what the processor has.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

BYTES = 64
_I64, _I32 = ir.IntType(64), ir.IntType(32)


def constant(value: int) -> ir.Constant:
    """Return a 64-bit constant."""
    return ir.Constant(_I64, value)


class Emitter:
    """Emits vector instructions for one element type."""

    def __init__(self, context, builder, dtype) -> None:
        self.context, self.builder = context, builder
        self.element, self.bits = context.get_data_type(dtype), dtype.bitwidth
        self.lanes = BYTES * 8 // self.bits
        self.vector = ir.VectorType(self.element, self.lanes)
        self.suffix = f"v{self.lanes}f{self.bits}"

    def pointer(self, array_type, value):
        """Return the address of an array's first element."""
        return self.context.make_array(array_type)(self.context, self.builder, value).data

    def at(self, pointer, base, stride, times: int):
        """Return the address pointer + base + stride * times."""
        offset = self.builder.add(base, self.builder.mul(stride, constant(times)))
        return self.builder.gep(pointer, [offset])

    def shuffle(self, a, b, lanes: Sequence[int]):
        """Return the lanes of a and b, numbered through, in this order."""
        return self.builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_I32, len(lanes)), list(lanes)))

    def splat(self, scalar):
        """Return a vector with this number in every lane."""
        empty = ir.Constant(self.vector, ir.Undefined)
        first = self.builder.insert_element(empty, scalar, ir.Constant(_I32, 0))
        return self.shuffle(first, empty, [0] * self.lanes)

    def load(self, address):
        """Return the vector at this address, which need not be aligned."""
        value = self.builder.load(self.builder.bitcast(address, self.vector.as_pointer()))
        value.align = self.bits // 8
        return value

    def store(self, value, address) -> None:
        """Write a vector to this address."""
        self.builder.store(value, self.builder.bitcast(address, value.type.as_pointer())).align = self.bits // 8

    def zeros(self):
        """Return the vector of zeros."""
        return ir.Constant(self.vector, [ir.Constant(self.element, 0.0)] * self.lanes)

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
        """Add x times y to the vector at this place, rounding once."""
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        fma = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.fma.{self.suffix}")
        self.builder.store(self.builder.call(fma, [x, y, self.builder.load(place)]), place)

    def at_least(self, value, floor):
        """Return the larger of both, lane by lane; NaN stays."""
        return self.builder.select(self.builder.fcmp_ordered("<", value, floor), floor, value)

    def gated(self, value, gate, scale):
        """Return scale times the value where the gate is above 0, else 0, lane by lane."""
        zeros = self.zeros()
        return self.builder.select(self.builder.fcmp_ordered(">", gate, zeros), self.builder.fmul(value, scale), zeros)

    def totals(self, vectors: list):
        """Return the sum over the lanes of each of up to ``lanes`` vectors (a power of two), as one vector.

        Two vectors become one by adding the halves of each block of lanes that belongs to one sum, and so on: 3
        instructions a sum, where summing each vector by itself takes 8.
        """
        size, count = self.lanes, len(vectors)
        while len(vectors) > 1:
            vectors = [self._halve(a, b, size) for a, b in zip(vectors[::2], vectors[1::2], strict=True)]
            size //= 2
        [total] = vectors
        while size > 1:
            # Fewer sums than lanes: halve the blocks of the one vector.
            lanes = [i for i in range(size * count) if i % size < size // 2]
            low = self.shuffle(total, total, lanes)
            total = self.builder.fadd(low, self.shuffle(total, total, [i + size // 2 for i in lanes]))
            size //= 2
        return total

    def _halve(self, a, b, size: int):
        lanes = [i for i in range(2 * self.lanes) if i % size < size // 2]
        return self.builder.fadd(self.shuffle(a, b, lanes), self.shuffle(a, b, [i + size // 2 for i in lanes]))

    def transposed(self, rows: list) -> list:
        """Return the columns of a square of ``lanes`` vectors: at each step half of the lanes change places."""
        rows, step = list(rows), self.lanes // 2
        while step:
            for i in range(self.lanes):
                if not i & step:
                    a, b = rows[i], rows[i + step]
                    first = [j if not j & step else self.lanes + j - step for j in range(self.lanes)]
                    second = [j + step if not j & step else self.lanes + j for j in range(self.lanes)]
                    rows[i], rows[i + step] = self.shuffle(a, b, first), self.shuffle(a, b, second)
            step //= 2
        return rows


@intrinsic
def load_square(_, values, width, order, start, first, x, at, m):
    """Copy a square of rows ``order[start:]``, columns from ``first``, of values (rows, width) to x (., m) as columns.

    The square has as many rows and columns as a vector has lanes; its corner in x is at place ``at``.
    """
    i64 = types.int64
    signature = types.void(values, i64, order, i64, i64, x, i64, i64)

    def generate(context, builder, signature, args):
        values, width, order, start, first, x, at, m = args
        kinds = signature.args
        emit = Emitter(context, builder, kinds[0].dtype)
        values, order, x = (emit.pointer(kinds[i], v) for i, v in ((0, values), (2, order), (5, x)))
        rows = []
        for i in range(emit.lanes):
            row = builder.load(builder.gep(order, [builder.add(start, constant(i))]))
            rows.append(emit.load(builder.gep(values, [builder.add(builder.mul(row, width), first)])))
        for i, column in enumerate(emit.transposed(rows)):
            emit.store(column, emit.at(x, at, m, i))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def pack(_, strip, a, at, row, n):
    """strip (n, two vectors) <- two vectors of columns, from ``at`` on, of each of n rows of a."""
    i64 = types.int64
    signature = types.void(strip, a, i64, i64, i64)

    def generate(context, builder, signature, args):
        strip, a, at, row, n = args
        emit = Emitter(context, builder, signature.args[0].dtype)
        strip, a = (emit.pointer(kind, value) for kind, value in zip(signature.args[:2], (strip, a), strict=True))
        with cgutils.for_range(builder, n) as loop:
            here, there = builder.add(at, builder.mul(loop.index, row)), builder.mul(loop.index, constant(2))
            for v in range(2):
                value = emit.load(emit.at(a, here, constant(emit.lanes), v))
                place = builder.mul(builder.add(there, constant(v)), constant(emit.lanes))
                emit.store(value, builder.gep(strip, [place]))
        return context.get_dummy_value()

    return signature, generate
