"""How expressions are made: each function simplifies what it is given.

Constants are folded and gathered at the left of products, signs are moved outwards, and what is
linear is taken out of sums over coordinates, so that fewer operations are left for each pair.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate

from .expressions import Expr, const, make

__all__ = [
    "ONE",
    "ZERO",
    "add",
    "again",
    "concat",
    "div",
    "expand",
    "extract",
    "function",
    "is_const",
    "is_zero",
    "minimum",
    "mul",
    "neg",
    "power",
    "split",
    "sub",
    "times_exp",
    "total",
]

ZERO, ONE = const(0), const(1)


def is_const(e: Expr, value: float | None = None) -> bool:
    """Whether it is a number, or that number."""
    return e.op == "const" and value in (None, e.attr)


def is_zero(e: Expr) -> bool:
    """Whether it is zero, or a vector of zeros."""
    while e.op in ("expand", "neg"):
        e = e.args[0]
    return is_const(e, 0) or (e.op == "concat" and all(map(is_zero, e.args)))


def add(a: Expr, b: Expr) -> Expr:
    """``a + b``"""
    if is_const(a) and is_const(b):
        return const(a.attr + b.attr)
    if is_zero(a) and b.dim >= a.dim:
        return b
    if is_zero(b) and a.dim >= b.dim:
        return a
    if b.op == "neg":
        return sub(a, b.args[0])
    if a.op == "neg":
        return sub(b, a.args[0])
    return make("add", a, b)


def sub(a: Expr, b: Expr) -> Expr:
    """``a - b``"""
    if is_const(a) and is_const(b):
        return const(a.attr - b.attr)
    if is_zero(b) and a.dim >= b.dim:
        return a
    if is_zero(a) and b.dim >= a.dim:
        return neg(b)
    return add(a, b.args[0]) if b.op == "neg" else make("sub", a, b)


def neg(a: Expr) -> Expr:
    """``-a``"""
    if is_const(a):
        return const(-a.attr)
    if a.op == "neg":
        return a.args[0]
    if a.op == "mul" and is_const(a.args[0]):
        return mul(const(-a.args[0].attr), a.args[1])
    return sub(a.args[1], a.args[0]) if a.op == "sub" else make("neg", a)


def mul(a: Expr, b: Expr) -> Expr:
    """``a * b``"""
    if is_const(b) or (is_zero(b) and not is_zero(a)):
        a, b = b, a
    if is_zero(a):
        return expand(ZERO, max(a.dim, b.dim))
    if is_const(a):
        if is_const(b):
            return const(a.attr * b.attr)
        if a.attr in (1, -1):
            return b if a.attr == 1 else neg(b)
        if b.op == "mul" and is_const(b.args[0]):
            return mul(const(a.attr * b.args[0].attr), b.args[1])
    for u, v in ((a, b), (b, a)):
        if u.op == "neg":
            return neg(mul(u.args[0], v))
        if u.op == "expand":  # a product with a number for each pair stays one as long as it can
            short = mul(u.args[0], v)
            return expand(short, u.dim) if v.dim == 1 else short
        if u.op == "mul" and is_const(u.args[0]) and not is_const(v):
            return mul(u.args[0], mul(u.args[1], v))
    return make("mul", a, b)


def div(a: Expr, b: Expr) -> Expr:
    """``a / b``"""
    if is_const(b) and b.attr:
        return mul(const(1 / b.attr), a)
    if a.op == "neg":
        return neg(div(a.args[0], b))
    return expand(ZERO, max(a.dim, b.dim)) if is_zero(a) else make("div", a, b)


def power(a: Expr, n: int) -> Expr:
    """``a ** n`` for an integer, by products."""
    if n < 0:
        return div(ONE, power(a, -n))
    if n == 0:
        return expand(ONE, a.dim)
    if n == 1:
        return a
    half = power(a, n // 2)
    return mul(mul(half, half), a) if n % 2 else mul(half, half)


def total(a: Expr) -> Expr:
    """The sum of the coordinates."""
    if a.dim == 1:
        return a
    if a.op == "expand":
        return mul(const(a.dim), a.args[0])
    if a.op == "neg":
        return neg(total(a.args[0]))
    if a.op == "mul":
        for short, long in (a.args, a.args[::-1]):
            if short.dim == 1:
                return mul(short, total(long))
    return make("sum", a, dim=1)


def expand(a: Expr, dim: int) -> Expr:
    """One number as a vector."""
    return a if a.dim == dim else make("expand", a, dim=dim)


def extract(a: Expr, start: int, dim: int) -> Expr:
    """The ``dim`` coordinates from ``start`` on."""
    if start == 0 and dim == a.dim:
        return a
    if a.op == "expand":
        return expand(a.args[0], dim)
    if a.op == "extract":
        return extract(a.args[0], a.attr + start, dim)
    if a.op == "concat":
        for first, part in split(a.args):
            if first <= start and start + dim <= first + part.dim:
                return extract(part, start - first, dim)
    return make("extract", a, attr=start, dim=dim)


def concat(*parts: Expr) -> Expr:
    """Vectors one after the other."""
    return parts[0] if len(parts) == 1 else make("concat", *parts, dim=sum(p.dim for p in parts))


def split(parts: tuple[Expr, ...]) -> list[tuple[int, Expr]]:
    """The first coordinate of each part, and the part."""
    return list(zip(accumulate((p.dim for p in parts[:-1]), initial=0), parts, strict=True))


def minimum(a: Expr, b: Expr) -> Expr:
    """The smaller number."""
    return neg(make("max", neg(a), neg(b)))


def times_exp(a: Expr, exponent: Expr) -> Expr:
    """``a * exp(exponent)``; if a factor of a is an exponential, too, the sum of both exponents is taken."""
    found = _raised(a, exponent)
    return mul(a, function("exp", exponent)) if found is None else found


def _raised(a: Expr, exponent: Expr) -> Expr | None:
    if a.op == "exp":
        return function("exp", add(a.args[0], exponent))
    factors = {"neg": (a.args,), "mul": (a.args, a.args[::-1])}
    for v, *others in factors.get(a.op, ()):
        found = _raised(v, exponent)
        if found is not None:
            return mul(others[0], found) if others else neg(found)
    return None


def function(op: str, *args: Expr) -> Expr:
    """Any other operation, coordinate by coordinate."""
    return make(op, *args)


SIMPLE: dict[str, Callable[..., Expr]] = {
    "add": add,
    "sub": sub,
    "neg": neg,
    "mul": mul,
    "div": div,
    "concat": concat,
}


def again(n: Expr, args: tuple[Expr, ...]) -> Expr:
    """The operation of a node, of other arguments, simplified."""
    if n.op in SIMPLE:
        return SIMPLE[n.op](*args)
    if n.op == "sum":
        return total(*args)
    if n.op == "expand":
        return expand(args[0], n.dim)
    if n.op == "extract":
        return extract(args[0], n.attr, n.dim)
    return make(n.op, *args, attr=n.attr, dim=n.dim)
