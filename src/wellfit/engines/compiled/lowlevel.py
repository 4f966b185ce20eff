"""Two things Numba's Python cannot say: views that are not reference-counted, and flushing subnormal numbers."""

from __future__ import annotations

import platform

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_X86 = platform.machine().lower() in ("x86_64", "amd64")
_FLUSH_AND_ZERO = 0x8040  # MXCSR bits: flush results to zero, read subnormals as zero


@intrinsic
def piece(_, array, start, size):
    """Return array[start : start + size] of a flat array, without bounds and without counting references.

    A slice counts references by atomic operations, which at a small layer's size cost as much as its arithmetic. The
    caller keeps the array alive.
    """

    def generate(context, builder, signature, args):
        kind = signature.args[0]
        make = context.make_array(kind)
        source = make(context, builder, args[0])
        result = make(context, builder)
        itemsize = context.get_constant(types.intp, kind.dtype.bitwidth // 8)
        context_null = ir.Constant(result.meminfo.type, None)
        result.meminfo, result.parent = context_null, ir.Constant(source.parent.type, None)
        result.data = builder.gep(source.data, [args[1]])
        result.nitems, result.itemsize = args[2], itemsize
        result.shape = cgutils.pack_array(builder, [args[2]])
        result.strides = cgutils.pack_array(builder, [itemsize])
        return result._getvalue()

    return array(array, types.int64, types.int64), generate


@intrinsic
def either(_, flag, first, second):
    """Return one of two flat arrays, without counting references: see `piece`. Its size is the first's."""

    def generate(context, builder, signature, args):
        make = context.make_array(signature.args[1])
        first, second = (make(context, builder, value) for value in args[1:])
        first.meminfo = ir.Constant(first.meminfo.type, None)
        first.parent = ir.Constant(first.parent.type, None)
        first.data = builder.select(args[0], first.data, second.data)
        return first._getvalue()

    return first(types.boolean, first, second), generate


@intrinsic
def bare(_, arrays):
    """Return a named tuple of flat arrays as views that are not reference-counted: see `piece`."""

    def generate(context, builder, signature, args):
        kinds, result = signature.args[0], args[0]
        for i, kind in enumerate(kinds.types):
            array = context.make_array(kind)(context, builder, builder.extract_value(result, i))
            array.meminfo = ir.Constant(array.meminfo.type, None)
            array.parent = ir.Constant(array.parent.type, None)
            result = builder.insert_value(result, array._getvalue(), i)
        return result

    return arrays(arrays), generate


@intrinsic
def flush_subnormals(_):
    """Make this thread treat subnormal numbers as zero; return the control word before.

    Adam's second moments of dead units decay into subnormals, on which arithmetic is some fifty times slower. On
    processors other than x86-64 this does nothing.
    """

    def generate(context, builder, signature, args):
        word = ir.IntType(32)
        if not _X86:
            return ir.Constant(word, 0)
        place = cgutils.alloca_once(builder, word)
        _control(builder, "st", place)
        before = builder.load(place)
        builder.store(builder.or_(before, ir.Constant(word, _FLUSH_AND_ZERO)), place)
        _control(builder, "ld", place)
        return before

    return types.int32(), generate


@intrinsic
def restore_subnormals(_, before):
    """Set the control word back to what `flush_subnormals` returned."""

    def generate(context, builder, signature, args):
        if _X86:
            place = cgutils.alloca_once(builder, ir.IntType(32))
            builder.store(args[0], place)
            _control(builder, "ld", place)
        return context.get_dummy_value()

    return types.void(types.int32), generate


def _control(builder, verb: str, place) -> None:
    """Emit stmxcsr or ldmxcsr."""
    byte = ir.IntType(8).as_pointer()
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(ir.VoidType(), [byte]), f"llvm.x86.sse.{verb}mxcsr"
    )
    builder.call(function, [builder.bitcast(place, byte)])
