"""Functions of one number, made of the operations that printers know."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..errors import bad_input
from ..formulas.trees import algebra
from ..formulas.trees.algebra import ONE, ZERO, add, div, function, mul, sub
from ..formulas.trees.expressions import Expr, const

__all__ = ["FUNCTIONS", "power", "rounded"]


def _named(op: str) -> Callable[[Expr], Expr]:
    return lambda a: function(op, a)


def _arcsine(a: Expr) -> Expr:
    root = function("sqrt", sub(ONE, mul(a, a)))
    return mul(const(2), function("atan", div(a, add(ONE, root))))


def _entropy(a: Expr) -> Expr:
    return mul(a, function("log", add(a, function("iszero", a))))


def _sine_quotient(a: Expr) -> Expr:
    zero = function("iszero", a)
    return div(add(function("sin", a), zero), add(a, zero))


FUNCTIONS: dict[str, tuple[Callable[[Expr], Expr], str]] = {
    "exp": (_named("exp"), "The exponential."),
    "log": (_named("log"), "The natural logarithm."),
    "sqrt": (_named("sqrt"), "The square root; its derivative at zero is zero."),
    "rsqrt": (_named("rsqrt"), "The inverse of the square root, zero at zero."),
    "sin": (_named("sin"), "The sine."),
    "cos": (_named("cos"), "The cosine."),
    "asin": (_arcsine, "The arcsine."),
    "acos": (_named("acos"), "The arccosine."),
    "atan": (_named("atan"), "The arctangent."),
    "abs": (_named("abs"), "The absolute value; its derivative at zero is zero."),
    "sign": (_named("sign"), "-1, 0 or 1."),
    "step": (_named("step"), "1 where it is not negative, else 0."),
    "relu": (lambda a: function("max", a, ZERO), "The positive part."),
    "square": (lambda a: mul(a, a), "The square."),
    "floor": (_named("floor"), "The largest integer below."),
    "xlogx": (_entropy, "``x log x``, zero at zero."),
    "sinxdivx": (_sine_quotient, "``sin(x) / x``, one at zero."),
    "sinc": (
        lambda a: _sine_quotient(mul(const(math.pi), a)),
        "``sin(pi x) / (pi x)``, one at zero.",
    ),
}


def power(a: Expr, b: Expr) -> Expr:
    """``a ** b``: by products for integers, by roots for halves, else ``exp(b log a)``."""
    if b.op == "const" and float(b.attr).is_integer() and abs(b.attr) <= 64:
        return algebra.power(a, int(b.attr))
    if b.op == "const" and float(2 * b.attr).is_integer() and abs(b.attr) <= 64:
        whole = math.floor(b.attr)
        if whole >= 0:
            return mul(algebra.power(a, whole), function("sqrt", a))
        return mul(algebra.power(a, whole + 1), function("rsqrt", a))
    return function("exp", mul(b, function("log", a)))


def rounded(a: Expr, digits: int) -> Expr:
    """Rounded to so many decimal places."""
    if isinstance(digits, bool) or not isinstance(digits, int):
        raise bad_input("digits", repr(digits), "an integer", kind=TypeError)
    scale = const(10.0**digits)
    return div(function("round", mul(a, scale)), scale)
