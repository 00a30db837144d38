"""Vectors of two cache lines as a type of Numba's: 32 floats or 16 doubles, held in registers.

Loops over arrays are vectorised by LLVM too, but it cannot know that arrays do not overlap, so
that sums go through memory at each step. With vectors that have names they stay in registers,
which more than doubles the speed of sums over tiles. LLVM cuts the vectors into registers of the
machine at hand, whatever their width.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from .exponentials import COEFFICIENTS_32, COEFFICIENTS_64

__all__ = [
    "accumulate",
    "add",
    "exp2",
    "fma",
    "highest",
    "inverse",
    "load",
    "maximum",
    "mul",
    "spread",
    "sqrt",
    "store",
    "sub",
    "zeros",
]

BITS = 1024


class Lanes(types.Type):
    """The type of a vector of numbers of one kind."""

    def __init__(self, real: Any) -> None:
        self.real = real
        super().__init__(name=f"Lanes({real})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, lanes: Lanes) -> None:
        super().__init__(manager, lanes, vector(lanes.real))


def vector(real: Any) -> ir.VectorType:
    kind = ir.FloatType() if real == types.float32 else ir.DoubleType()
    return ir.VectorType(kind, BITS // real.bitwidth)


def bits_of(kind: ir.VectorType) -> int:
    return BITS // int(kind.count)


def intrinsic_of(builder: Any, name: str, *args: Any) -> Any:
    """An intrinsic of LLVM whose arguments and result are vectors of one kind."""
    kind = args[0].type
    signature = ir.FunctionType(kind, [kind] * len(args))
    full = f"llvm.{name}.v{kind.count}f{bits_of(kind)}"
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, full), args)


def constant(kind: ir.VectorType, number: float) -> ir.Constant:
    return ir.Constant(kind, [ir.Constant(kind.element, number)] * kind.count)


def pointer(context: Any, builder: Any, kind: Any, array: Any, value: Any, place: Any) -> Any:
    """Where the numbers begin: ``place`` counts those of the contiguous array before them."""
    data = context.make_array(array)(context, builder, value).data
    return builder.bitcast(builder.gep(data, [place]), kind.as_pointer())


@intrinsic
def load(typing: Any, array: Any, place: Any) -> Any:
    """The numbers of a contiguous array from ``place`` on."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = vector(array.dtype)
        found = builder.load(pointer(context, builder, kind, array, *args))
        found.align = bits_of(kind) // 8
        return found

    return Lanes(array.dtype)(array, types.uint64), codegen


@intrinsic
def store(typing: Any, array: Any, place: Any, lanes: Any) -> Any:
    """Writes the numbers to a contiguous array from ``place`` on."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = args[2].type
        at = pointer(context, builder, kind, array, *args[:2])
        builder.store(args[2], at).align = bits_of(kind) // 8
        return context.get_dummy_value()

    return types.void(array, types.uint64, lanes), codegen


@intrinsic
def accumulate(typing: Any, array: Any, place: Any, lanes: Any) -> Any:
    """Adds the numbers to those of a contiguous array of float64 from ``place`` on."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.VectorType(ir.DoubleType(), args[2].type.count)
        at = pointer(context, builder, kind, array, *args[:2])
        added = args[2] if args[2].type == kind else builder.fpext(args[2], kind)
        before = builder.load(at)
        before.align = 8
        builder.store(builder.fadd(before, added), at).align = 8
        return context.get_dummy_value()

    return types.void(array, types.uint64, lanes), codegen


@intrinsic
def spread(typing: Any, number: Any) -> Any:
    """One number in all places."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = vector(number)
        nothing, index = ir.Constant(kind, ir.Undefined), ir.IntType(32)
        first = builder.insert_element(nothing, args[0], ir.Constant(index, 0))
        everywhere = ir.Constant(ir.VectorType(index, kind.count), [0] * kind.count)
        return builder.shuffle_vector(first, nothing, everywhere)

    return Lanes(number)(number), codegen


@intrinsic
def zeros(typing: Any, number: Any) -> Any:
    """Zeros of the type of this number."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return constant(vector(number), 0.0)

    return Lanes(number)(number), codegen


@intrinsic
def add(typing: Any, a: Any, b: Any) -> Any:
    """``a + b``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fadd(*args)

    return a(a, a), codegen


@intrinsic
def sub(typing: Any, a: Any, b: Any) -> Any:
    """``a - b``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fsub(*args)

    return a(a, a), codegen


@intrinsic
def mul(typing: Any, a: Any, b: Any) -> Any:
    """``a * b``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fmul(*args)

    return a(a, a), codegen


@intrinsic
def sqrt(typing: Any, a: Any) -> Any:
    """The square root."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return intrinsic_of(builder, "sqrt", *args)

    return a(a), codegen


@intrinsic
def inverse(typing: Any, a: Any, least: Any) -> Any:
    """``1 / a``, and zero where a does not exceed ``least``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = args[0].type
        quotient = builder.fdiv(constant(kind, 1.0), args[0])
        beyond = builder.fcmp_ordered(">", *args)
        return builder.select(beyond, quotient, constant(kind, 0.0))

    return a(a, a), codegen


@intrinsic
def maximum(typing: Any, a: Any, b: Any) -> Any:
    """The larger one in each place."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", *args), *args)

    return a(a, a), codegen


@intrinsic
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """``a * b + c``, rounded once where the machine can."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return intrinsic_of(builder, "fmuladd", *args)

    return a(a, a, a), codegen


@intrinsic
def highest(typing: Any, a: Any) -> Any:
    """The largest of the numbers."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = args[0].type
        full = f"llvm.vector.reduce.fmax.v{kind.count}f{bits_of(kind)}"
        reduce = ir.FunctionType(kind.element, [kind])
        function = cgutils.get_or_insert_function(builder.module, reduce, full)
        return builder.call(function, args, fastmath=("nnan",))

    return a.real(a), codegen


@intrinsic
def exp2(typing: Any, t: Any) -> Any:
    """``2**t`` for t clamped to where it is a normal number and sums of it are finite."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = args[0].type
        single = t.real == types.float32
        whole = ir.VectorType(ir.IntType(32 if single else 64), kind.count)
        exponent = args[0]
        for side, bound in ((">", -126.0 if single else -1022.0), ("<", 100.0)):
            limit = constant(kind, bound)
            exponent = builder.select(builder.fcmp_ordered(side, exponent, limit), exponent, limit)
        near = intrinsic_of(builder, "rint", exponent)
        rest = builder.fsub(exponent, near)
        coefficients: tuple[float, ...] = COEFFICIENTS_32 if single else COEFFICIENTS_64
        power = constant(kind, coefficients[0])
        for c in (*coefficients[1:], 1.0):
            power = intrinsic_of(builder, "fmuladd", power, rest, constant(kind, c))
        shift = ir.Constant(whole, [ir.Constant(whole.element, 23 if single else 52)] * kind.count)
        scale = builder.shl(builder.fptosi(near, whole), shift)
        return builder.bitcast(builder.add(builder.bitcast(power, whole), scale), kind)

    return t(t), codegen
