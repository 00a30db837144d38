"""What powers of distances take beside :mod:`..lanes`: logarithms, and polynomials of numbers that are read."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..lanes import constant, intrinsic_of, pointer

__all__ = ["TERMS_32", "TERMS_64", "beyond", "log2", "polynomial"]

TERMS_32, TERMS_64 = 14, 29  # coefficients of :func:`polynomial`, by the precision

# log2(1 + f) / f at the Chebyshev nodes of [sqrt(1/2) - 1, sqrt(2) - 1], highest power first; the relative
# errors are 5e-9 and 9e-18.
LOGARITHM_32 = (
    -0.10749789418083205,
    0.1847603336518138,
    -0.1913883765667254,
    0.2048576477862193,
    -0.23960812190957284,
    0.28855256143746744,
    -0.3606965418075051,
    0.4808985203240642,
    -0.7213473544789053,
    1.4426950399991885,
)
LOGARITHM_64 = (
    0.03677416934714219,
    -0.08546741793954375,
    0.09414882662095735,
    -0.08234343834443268,
    0.08175306478371262,
    -0.0893036861956003,
    0.09643400946674259,
    -0.1031564771346186,
    0.11096631074823189,
    -0.12021762501443926,
    0.13115422276901945,
    -0.14426976700975894,
    0.16029945342821048,
    -0.1803368743615282,
    0.20609929137787664,
    -0.240449173549558,
    0.2885390081799428,
    -0.3606737602218718,
    0.4808983469629793,
    -0.7213475204444822,
    1.4426950408889634,
)
ROOT_32 = int(np.float32(0.5**0.5).view(np.int32))  # the bits of the square root of one half
ROOT_64 = int(np.float64(0.5**0.5).view(np.int64))


@intrinsic
def log2(typing: Any, t: Any) -> Any:
    """``log2(t)`` of positive numbers; of zero, some number below -125, or -1021 in double precision."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind, single = args[0].type, t.real == types.float32
        whole = ir.VectorType(ir.IntType(32 if single else 64), kind.count)

        def each(number: int) -> ir.Constant:
            return ir.Constant(whole, [ir.Constant(whole.element, number)] * kind.count)

        digits, bits = 23 if single else 52, builder.bitcast(args[0], whole)
        near = builder.ashr(builder.sub(bits, each(ROOT_32 if single else ROOT_64)), each(digits))
        rest = builder.bitcast(builder.sub(bits, builder.shl(near, each(digits))), kind)
        rest = builder.fsub(rest, constant(kind, 1.0))
        coefficients: tuple[float, ...] = LOGARITHM_32 if single else LOGARITHM_64
        ratio = constant(kind, coefficients[0])
        for c in coefficients[1:]:
            ratio = intrinsic_of(builder, "fmuladd", ratio, rest, constant(kind, c))
        return intrinsic_of(builder, "fmuladd", ratio, rest, builder.sitofp(near, kind))

    return t(t), codegen


@intrinsic
def polynomial(typing: Any, s: Any, coefficients: Any) -> Any:
    """The polynomial of these coefficients, highest power first, at s; there are as many as ``TERMS_32`` or 64 say."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = args[0].type
        terms = TERMS_32 if s.real == types.float32 else TERMS_64
        zero = ir.Constant(ir.IntType(64), 0)
        first = pointer(context, builder, kind.element, coefficients, args[1], zero)
        value = None
        for k in range(terms):
            number = builder.load(builder.gep(first, [ir.Constant(ir.IntType(64), k)]))
            nothing, index = ir.Constant(kind, ir.Undefined), ir.IntType(32)
            one = builder.insert_element(nothing, number, ir.Constant(index, 0))
            everywhere = ir.Constant(ir.VectorType(index, kind.count), [0] * kind.count)
            each = builder.shuffle_vector(one, nothing, everywhere)
            value = (
                each if value is None else intrinsic_of(builder, "fmuladd", value, args[0], each)
            )
        return value

    return s(s, coefficients), codegen


@intrinsic
def beyond(typing: Any, value: Any, a: Any, least: Any) -> Any:
    """The value where a exceeds ``least``, and zero elsewhere."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value, a, least = args
        above = builder.fcmp_ordered(">", a, least)
        return builder.select(above, value, constant(value.type, 0.0))

    return value(value, a, least), codegen
