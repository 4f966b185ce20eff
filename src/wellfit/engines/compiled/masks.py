"""Inverted dropout in place, its random numbers drawn and used in vector registers."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from wellfit.engines.compiled.jit import kernel
from wellfit.engines.compiled.registers import Emitter, constant

# Philox passes the Crush batteries from 7 rounds on (Salmon et al. 2011, table 2); masks use 7, all else the usual 10.
MASK_ROUNDS = 7
_I16, _I32, _I64 = (ir.IntType(bits) for bits in (16, 32, 64))
_BLOCKS = 16  # Philox blocks side by side: 8 x 16 = 128 units a turn
# A word stands in the low half of 64 bits, so that one instruction multiplies eight of them in full; what is in the
# high half does not matter.
_WORDS, _HALVES = ir.VectorType(_I64, _BLOCKS // 2), ir.VectorType(_I16, 2 * _BLOCKS)


def _all(number: int) -> ir.Constant:
    return ir.Constant(_WORDS, [number] * _WORDS.count)


def _splat(builder, scalar, kind: ir.VectorType):
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.Constant(_I32, 0))
    return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(_I32, kind.count), [0] * kind.count))


def _philox(builder, c: list, key: list, rounds: int) -> list:
    """Return Philox4x32 of counters c, four vectors of words, under a key of two (see `wellfit.rng.philox4x32`)."""
    for turn in range(rounds):
        p0, p1 = (
            builder.mul(builder.and_(word, _all(0xFFFFFFFF)), _all(factor))
            for word, factor in ((c[0], 0xD2511F53), (c[2], 0xCD9E8D57))
        )
        k0, k1 = (
            builder.add(word, _all(weyl * turn)) for word, weyl in zip(key, (0x9E3779B9, 0xBB67AE85), strict=True)
        )
        c = [
            builder.xor(builder.xor(builder.lshr(p1, _all(32)), c[1]), k0),
            p1,
            builder.xor(builder.xor(builder.lshr(p0, _all(32)), c[3]), k1),
            p0,
        ]
    return c


def _words_of(builder, first, fixed: list, key: list) -> list:
    """Return the four words of 16 blocks from number ``first`` on, each word as 32 halves in the blocks' order."""
    drawn = []
    for odd in range(2):
        blocks = ir.Constant(_WORDS, list(range(odd, _BLOCKS, 2)))
        drawn.append(_philox(builder, [builder.add(_splat(builder, first, _WORDS), blocks), *fixed], key, MASK_ROUNDS))
    return [
        builder.bitcast(builder.or_(builder.and_(even, _all(0xFFFFFFFF)), builder.shl(odd, _all(32))), _HALVES)
        for even, odd in zip(*drawn, strict=True)
    ]


def _keep(emit: Emitter, pointer, at, scale, keep) -> None:
    """Multiply 16 numbers from ``at`` on by the scale where ``keep``, else by 0."""
    for part in range(0, _BLOCKS, emit.lanes):
        place = emit.builder.gep(pointer, [emit.builder.add(at, constant(part))])
        kept = emit.shuffle(keep, keep, range(part, part + emit.lanes))
        scaled = emit.builder.fmul(emit.load(place), scale)
        emit.store(emit.builder.select(kept, scaled, emit.zeros()), place)


@intrinsic
def _drop(_, z, slope, slopes, count, threshold, scale, k0, k1, stream, epoch, step):
    i64, u32 = types.int64, types.uint32
    signature = types.void(z, slope, types.boolean, i64, types.uint16, z.dtype, *[u32] * 5)

    def generate(context, builder, signature, args):
        z, slope, slopes, count, threshold, scale, k0, k1, stream, epoch, step = args
        emit = Emitter(context, builder, signature.args[0].dtype)
        z, slope = emit.pointer(signature.args[0], z), emit.pointer(signature.args[1], slope)
        scale, limit = emit.splat(scale), _splat(builder, threshold, _HALVES)
        key, fixed = (
            [_splat(builder, builder.zext(word, _I64), _WORDS) for word in given]
            for given in ((k0, k1), (step, epoch, stream))
        )
        tiles = builder.sdiv(builder.add(count, constant(127)), constant(128))
        with cgutils.for_range(builder, tiles) as loop:
            words = _words_of(builder, builder.mul(loop.index, constant(_BLOCKS)), fixed, key)
            for i, word in enumerate(words):
                keep = builder.icmp_unsigned("<=", word, limit)
                for half in range(2):
                    at = builder.add(builder.mul(loop.index, constant(128)), constant(32 * i + 16 * half))
                    here = emit.shuffle(keep, keep, range(16 * half, 16 * half + 16))
                    with builder.if_then(builder.icmp_signed("<", at, count), likely=True):
                        _keep(emit, z, at, scale, here)
                        with builder.if_then(slopes):
                            _keep(emit, slope, at, scale, here)
        return context.get_dummy_value()

    return signature, generate


@kernel
def kept_of(rate):
    """The share kept at a dropout rate, in 65536ths."""
    return max(1, round((1.0 - rate) * 65536.0))


@kernel
def drop(z, slope, count, threshold, k0, k1, stream, epoch, step):
    """z[:count] and slope[:count] (or an empty slope) times 0 or 1/keep: inverted dropout, keep = threshold / 65536.

    Element e takes 16 bits of the Philox block 16 (e // 128) + (e % 32) // 2: of its word (e % 128) // 32 the half
    e % 2, the low one first. ``count`` is a multiple of 16.
    """
    scale = z.dtype.type(65536.0 / threshold)
    _drop(z, slope, slope.size > 0, count, threshold - 1, scale, k0, k1, stream, epoch, step)
