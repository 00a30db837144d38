"""Functions of numbers and of vectors, made of the operations that printers know."""

from __future__ import annotations

import math
from collections.abc import Callable

from ...errors import bad_input
from . import algebra
from .algebra import ONE, ZERO, add, concat, div, extract, function, mul, sub, total
from .expressions import Expr, const

__all__ = ["FUNCTIONS", "divided", "equal", "matrix_vector", "power", "rounded", "smallest"]


def _named(op: str) -> Callable[[Expr], Expr]:
    return lambda a: function(op, a)


def _arcsine(a: Expr) -> Expr:
    root = function("sqrt", mul(sub(ONE, a), add(ONE, a)))  # exact near 1, as 1 - a is
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
    "tanh": (_named("tanh"), "The hyperbolic tangent."),
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


def equal(a: Expr, b: Expr) -> Expr:
    """One where two numbers are equal, else zero."""
    return function("iszero", sub(a, b))


def divided(what: str, size: int, by: int) -> int:
    """The rows of a matrix of so many numbers."""
    if size % by:
        raise bad_input(what, f"{size} numbers", f"a multiple of {by}, the vector's length")
    return size // by


def matrix_vector(m: Expr, x: Expr) -> Expr:
    """The product of a matrix, row after row, and a vector."""
    rows = divided("matvecmult", m.dim, x.dim)
    return concat(*(total(mul(extract(m, r * x.dim, x.dim), x)) for r in range(rows)))


def smallest(e: Expr) -> tuple[Expr, Expr]:
    """The smallest coordinate, and its place: the first where several are equal."""
    parts = [extract(e, k, 1) for k in range(e.dim)]
    low, place = parts[0], const(0)
    for k, part in enumerate(parts[1:], 1):
        smaller = sub(ONE, function("step", sub(part, low)))
        place = add(mul(smaller, const(k)), mul(sub(ONE, smaller), place))
        low = algebra.minimum(low, part)
    return low, place
