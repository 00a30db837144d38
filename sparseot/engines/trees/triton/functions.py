"""Elementary functions that Triton's interpreter and its compiler both know, beside those of ``tl``.

They follow the same schemes as those of compiled programs; see :mod:`..llvm.functions`. What a
compiler brings for sine and cosine has a branch for large arguments that takes memory of its own.
"""

from __future__ import annotations

import math

import triton
import triton.language as tl

from ..polynomials import ATAN, COS, LN2, PARTS_PI, SIN, SMALL, TANH

__all__ = [
    "angle",
    "arccosine",
    "arctangent",
    "cosine",
    "exponential",
    "hyperbolic_tangent",
    "nearest",
    "sign",
    "sine",
]

SIN32, SIN64 = tl.constexpr(tuple(SIN[32])), tl.constexpr(tuple(SIN[64]))
COS32, COS64 = tl.constexpr(tuple(COS[32])), tl.constexpr(tuple(COS[64]))
ATAN32, ATAN64 = tl.constexpr(tuple(ATAN[32])), tl.constexpr(tuple(ATAN[64]))
TANH32, TANH64 = tl.constexpr(tuple(TANH[32])), tl.constexpr(tuple(TANH[64]))
PARTS32, PARTS64 = tl.constexpr(PARTS_PI[32]), tl.constexpr(PARTS_PI[64])
PI, QUARTERS, STEEP = (tl.constexpr(v) for v in (math.pi, 2 / math.pi, math.tan(math.pi / 8)))
LOG2E, NEAR = tl.constexpr(1 / LN2), tl.constexpr(SMALL)
MAGIC32, MAGIC64 = tl.constexpr(1.5 * 2.0**23), tl.constexpr(1.5 * 2.0**52)


@triton.jit
def _polynomial(r, COEFFICIENTS: tl.constexpr, DEGREE: tl.constexpr):
    value = r * COEFFICIENTS[0] + COEFFICIENTS[1]
    for k in tl.static_range(2, DEGREE + 1):
        value = value * r + COEFFICIENTS[k]
    return value


@triton.jit
def exponential(x, BITS: tl.constexpr):
    """The exponential; below the smallest normal number of single precision zero, which saves instructions."""
    return tl.exp2(x * LOG2E) if BITS == 32 else tl.exp(x)


@triton.jit
def sign(x):
    """-1, 0 or 1."""
    return tl.where(x > 0, 1.0, tl.where(x < 0, -1.0, x))


@triton.jit
def nearest(x, BITS: tl.constexpr):
    """The nearest integer, the even one of two; numbers so large that they are integers stay."""
    if BITS == 32:
        found = tl.where(tl.abs(x) < 2.0**22, (x + MAGIC32) - MAGIC32, x)
    else:
        found = tl.where(tl.abs(x) < 2.0**51, (x + MAGIC64) - MAGIC64, x)
    return found


@triton.jit
def _circle(x, TURN: tl.constexpr, BITS: tl.constexpr):
    """The sine of x and so many quarters of a turn; between -1 and 1 even where x has no digits left."""
    if BITS == 32:
        moved = x * QUARTERS + MAGIC32
        whole, n = moved - MAGIC32, moved.to(tl.int32, bitcast=True) + TURN
        r = ((x + whole * PARTS32[0]) + whole * PARTS32[1]) + whole * PARTS32[2]
        square = r * r
        sin, cos = r * _polynomial(square, SIN32, 4), _polynomial(square, COS32, 5)
    else:
        moved = x * QUARTERS + MAGIC64
        whole, n = moved - MAGIC64, moved.to(tl.int64, bitcast=True) + TURN
        r = ((x + whole * PARTS64[0]) + whole * PARTS64[1]) + whole * PARTS64[2]
        square = r * r
        sin, cos = r * _polynomial(square, SIN64, 8), _polynomial(square, COS64, 8)
    value = tl.where((n & 1) != 0, cos, sin)
    value = tl.where((n & 2) != 0, -value, value)
    return tl.where(value > 1, 1.0, tl.where(value < -1, -1.0, value))


@triton.jit
def sine(x, BITS: tl.constexpr):
    """The sine."""
    return _circle(x, 0, BITS)


@triton.jit
def cosine(x, BITS: tl.constexpr):
    """The cosine."""
    return _circle(x, 1, BITS)


@triton.jit
def arctangent(x, BITS: tl.constexpr):
    """The arctangent."""
    a = tl.abs(x)
    far = a > 1
    a = tl.where(far, 1 / a, a)
    steep = a > STEEP
    a = tl.where(steep, (a - 1) / (a + 1), a)
    y = a * (_polynomial(a * a, ATAN32, 8) if BITS == 32 else _polynomial(a * a, ATAN64, 20))
    y = tl.where(steep, y + PI / 4, y)
    y = tl.where(far, -y + PI / 2, y)
    return tl.where(x < 0, -y, y)


@triton.jit
def arccosine(x, BITS: tl.constexpr):
    """The arccosine."""
    return 2 * arctangent(tl.sqrt((1 - x) / (1 + x)), BITS)


@triton.jit
def hyperbolic_tangent(x, BITS: tl.constexpr):
    """The hyperbolic tangent."""
    a = tl.abs(x)
    near = a * (_polynomial(a * a, TANH32, 6) if BITS == 32 else _polynomial(a * a, TANH64, 14))
    far = -2 / (exponential(2 * a, BITS) + 1) + 1
    y = tl.where(a > NEAR, far, near)
    return tl.where(x < 0, -y, y)


@triton.jit
def angle(y, x, BITS: tl.constexpr):
    """The angle of the point (x, y)."""
    below = y.to(tl.int32 if BITS == 32 else tl.int64, bitcast=True) < 0
    found = tl.where(y == 0, y * 0, arctangent(y / tl.where(x == 0, 0.0, x), BITS))
    turned = tl.where(below, found - PI, found + PI)
    return tl.where(x < 0, turned, found)
