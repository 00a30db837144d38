"""Elementary functions of vectors: polynomials after a reduction of the argument.

Each follows the standard scheme (Muller, 2016, "Elementary Functions", chapters 8 to 11); relative
errors are a few units of the last place, absolute ones for sine and cosine. Infinities and NaN
come out as they should.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ..polynomials import ATAN, COS, EXP, LN2, LOG, PARTS_LN2, PARTS_PI, SIN, SMALL, TANH
from .words import FREE, Value, Words

__all__ = ["FUNCTIONS", "exp_below_one"]


def _polynomial(w: Words, coefficients: Sequence[float], r: Value) -> Value:
    value = w.splat(coefficients[0])
    for c in coefficients[1:]:
        value = w.fma(value, r, w.splat(c))
    return value


def _nearest(w: Words, t: Value, factor: float, more: int = 0) -> tuple[Value, Value]:
    """The nearest integer of ``factor * t``, and bits whose last ones are those of it and ``more``."""
    magic = w.splat(1.5 * 2.0 ** (23 if w.bits == 32 else 52) + more)
    moved = w.fma(t, w.splat(factor), magic)
    return w.b.fsub(moved, magic), w.b.bitcast(moved, w.integers)


def _exp(w: Words, x: Value) -> Value:
    high = 88.8 if w.bits == 32 else 709.9
    return exp_below_one(w, w.choose("<", w.splat(high), x, w.splat(high), x))


def exp_below_one(w: Words, x: Value) -> Value:
    """Of what is never positive; zero below the smallest normal number."""
    low = -87.5 if w.bits == 32 else -708.6
    x = w.choose(">", w.splat(low), x, w.splat(low), x)
    places, bias = (23, 126) if w.bits == 32 else (52, 1022)
    whole, bits = _nearest(w, x, 1 / LN2, bias)
    for part in PARTS_LN2[w.bits]:
        x = w.fma(whole, w.splat(part), x)
    power = w.b.shl(bits, w.splat(places, w.integers))
    return w.b.fmul(w.b.bitcast(power, w.vector), _polynomial(w, EXP[w.bits], x))


def _log(w: Words, x: Value) -> Value:
    places, bias = (23, 127) if w.bits == 32 else (52, 1023)
    tiny = w.splat(2.0**-126 if w.bits == 32 else 2.0**-1022)
    scale = 2.0 ** (places + 1)
    small = w.b.fcmp_ordered("<", x, tiny)
    scaled = w.b.select(small, w.b.fmul(x, w.splat(scale)), x)
    bits = w.b.bitcast(scaled, w.integers)
    exponent = w.b.sub(w.b.lshr(bits, w.splat(places, w.integers)), w.splat(bias, w.integers))
    e = w.b.sitofp(exponent, w.vector)
    e = w.b.select(small, w.b.fsub(e, w.splat(places + 1.0)), e)
    mask, one = w.splat((1 << places) - 1, w.integers), w.splat(bias << places, w.integers)
    m = w.b.bitcast(w.b.or_(w.b.and_(bits, mask), one), w.vector)
    large = w.b.fcmp_ordered(">", m, w.splat(math.sqrt(2)))
    m = w.b.select(large, w.b.fmul(m, w.splat(0.5)), m)
    e = w.b.select(large, w.b.fadd(e, w.splat(1.0)), e)
    z = w.b.fdiv(w.b.fsub(m, w.splat(1.0)), w.b.fadd(m, w.splat(1.0)))
    tail = w.b.fmul(z, _polynomial(w, LOG[w.bits], w.b.fmul(z, z)))
    y = w.fma(e, w.splat(LN2), tail)
    zero = w.splat(0.0)
    other = w.choose("==", x, zero, w.splat(-math.inf), w.splat(math.nan))
    y = w.choose(">", x, zero, y, other)
    return w.choose("==", x, w.splat(math.inf), x, y)


def _circle(w: Words, x: Value, quarters: int) -> Value:
    """The sine of x and so many quarters of a turn; between -1 and 1 even where x has no digits left."""
    whole, bits = _nearest(w, x, 2 / math.pi)
    r = x
    for part in PARTS_PI[w.bits]:
        r = w.fma(whole, w.splat(part), r)
    square, n = w.b.fmul(r, r), w.b.add(bits, w.splat(quarters, w.integers))
    sin = w.b.fmul(r, _polynomial(w, SIN[w.bits], square))
    cos = _polynomial(w, COS[w.bits], square)
    odd = w.b.icmp_signed("!=", w.b.and_(n, w.splat(1, w.integers)), w.splat(0, w.integers))
    flip = w.b.shl(w.b.and_(n, w.splat(2, w.integers)), w.splat(w.bits - 2, w.integers))
    found = w.b.bitcast(w.b.select(odd, cos, sin), w.integers)
    value = w.b.bitcast(w.b.xor(found, flip), w.vector)
    value = w.choose("<", w.splat(1.0), value, w.splat(1.0), value)
    return w.choose(">", w.splat(-1.0), value, w.splat(-1.0), value)


def _atan(w: Words, x: Value) -> Value:
    one, a = w.splat(1.0), w.call("fabs", x)
    far = w.b.fcmp_ordered(">", a, one)
    a = w.b.select(far, w.b.fdiv(one, a), a)
    steep = w.b.fcmp_ordered(">", a, w.splat(math.tan(math.pi / 8)))
    turned = w.b.fdiv(w.b.fsub(a, one), w.b.fadd(a, one))
    a = w.b.select(steep, turned, a)
    y = w.b.fmul(a, _polynomial(w, ATAN[w.bits], w.b.fmul(a, a)))
    y = w.b.select(steep, w.b.fadd(y, w.splat(math.pi / 4)), y)
    y = w.b.select(far, w.b.fsub(w.splat(math.pi / 2), y), y)
    return w.call("copysign", y, x)


def _tanh(w: Words, x: Value) -> Value:
    one, a = w.splat(1.0), w.call("fabs", x)
    near = w.b.fmul(a, _polynomial(w, TANH[w.bits], w.b.fmul(a, a)))
    power = _exp(w, w.b.fadd(a, a))
    far = w.b.fsub(one, w.b.fdiv(w.splat(2.0), w.b.fadd(power, one)))
    return w.call("copysign", w.choose(">", a, w.splat(SMALL), far, near), x)


def _acos(w: Words, x: Value) -> Value:
    one = w.splat(1.0)
    ratio = w.b.fdiv(w.b.fsub(one, x), w.b.fadd(one, x))
    return w.b.fmul(w.splat(2.0), _atan(w, w.call("sqrt", ratio)))


def _atan2(w: Words, y: Value, x: Value) -> Value:
    zero = w.splat(0.0)
    angle = _atan(w, w.b.fdiv(y, w.choose("==", x, zero, zero, x)))  # of minus zero, too
    angle = w.choose("==", y, zero, zero, angle)
    turn = w.call("copysign", w.splat(math.pi), y)
    return w.b.fadd(angle, w.choose("<", x, zero, turn, zero))


def _rsqrt(w: Words, x: Value) -> Value:
    zero = w.splat(0.0)
    return w.choose("==", x, zero, zero, w.b.fdiv(w.splat(1.0), w.call("sqrt", x)))


def _sign(w: Words, x: Value) -> Value:
    negative = w.choose("<", x, w.splat(0.0), w.splat(-1.0), x)
    return w.choose(">", x, w.splat(0.0), w.splat(1.0), negative)


def _where(w: Words, sign: str, x: Value) -> Value:
    return w.choose(sign, x, w.splat(0.0), w.splat(1.0), w.splat(0.0))


FUNCTIONS: dict[str, Callable[..., Value]] = {
    "add": lambda w, a, b: w.b.fadd(a, b, flags=FREE),
    "sub": lambda w, a, b: w.b.fsub(a, b, flags=FREE),
    "mul": lambda w, a, b: w.b.fmul(a, b, flags=FREE),
    "div": lambda w, a, b: w.b.fdiv(a, b),
    "neg": lambda w, a: w.b.fneg(a),
    "exp": _exp,
    "log": _log,
    "sqrt": lambda w, a: w.call("sqrt", a),
    "rsqrt": _rsqrt,
    "abs": lambda w, a: w.call("fabs", a),
    "sign": _sign,
    "step": lambda w, a: _where(w, ">=", a),
    "iszero": lambda w, a: _where(w, "==", a),
    "floor": lambda w, a: w.call("floor", a),
    "round": lambda w, a: w.call("rint", a),
    "sin": lambda w, a: _circle(w, a, 0),
    "cos": lambda w, a: _circle(w, a, 1),
    "atan": _atan,
    "acos": _acos,
    "atan2": _atan2,
    "tanh": _tanh,
    "max": lambda w, a, b: w.choose("<", a, b, b, a),
    "ifelse": lambda w, c, a, b: w.choose(">=", c, w.splat(0.0), a, b),
}
