"""Derivatives of expressions are expressions: reverse mode on the tree.

The rules give the cotangents of the arguments from that of the result. Where two points meet, the
square root has derivative zero; steps have none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .algebra import (
    ONE,
    ZERO,
    add,
    concat,
    div,
    expand,
    extract,
    function,
    mul,
    neg,
    split,
    sub,
    total,
)
from .expressions import Expr, const, ordered

__all__ = ["gradients"]

Rule = Callable[..., tuple[Expr | None, ...]]


def _product(g: Expr, o: Expr, a: Expr, b: Expr) -> tuple[Expr | None, ...]:
    if a is b:
        return mul(const(2), mul(g, a)), None
    return mul(g, b), mul(g, a)


def _larger(g: Expr, o: Expr, a: Expr, b: Expr) -> tuple[Expr | None, ...]:
    first = function("step", sub(a, b))
    return mul(g, first), mul(g, sub(ONE, first))


def _chosen(g: Expr, o: Expr, c: Expr, a: Expr, b: Expr) -> tuple[Expr | None, ...]:
    first = function("step", c)
    return None, mul(g, first), mul(g, sub(ONE, first))


def _angle(g: Expr, o: Expr, y: Expr, x: Expr) -> tuple[Expr | None, ...]:
    scaled = div(g, add(mul(x, x), mul(y, y)))
    return mul(scaled, x), neg(mul(scaled, y))


def _padded(g: Expr, o: Expr, a: Expr) -> tuple[Expr | None, ...]:
    sides = (o.attr, a.dim - o.attr - o.dim)
    before, after = ([expand(ZERO, n)] if n else [] for n in sides)
    return (concat(*before, g, *after),)


def _parted(g: Expr, o: Expr, *parts: Expr) -> tuple[Expr | None, ...]:
    return tuple(extract(g, first, part.dim) for first, part in split(parts))


def _none(g: Expr, o: Expr, *args: Expr) -> tuple[Expr | None, ...]:
    return (None,) * len(args)


RULES: dict[str, Rule] = {
    "add": lambda g, o, a, b: (g, g),
    "sub": lambda g, o, a, b: (g, neg(g)),
    "neg": lambda g, o, a: (neg(g),),
    "mul": _product,
    "div": lambda g, o, a, b: (div(g, b), neg(div(mul(g, o), b))),
    "exp": lambda g, o, a: (mul(g, o),),
    "log": lambda g, o, a: (div(g, a),),
    "sqrt": lambda g, o, a: (mul(const(0.5), mul(g, function("rsqrt", a))),),
    "rsqrt": lambda g, o, a: (mul(const(-0.5), mul(g, mul(o, mul(o, o)))),),
    "abs": lambda g, o, a: (mul(g, function("sign", a)),),
    "sin": lambda g, o, a: (mul(g, function("cos", a)),),
    "cos": lambda g, o, a: (neg(mul(g, function("sin", a))),),
    "atan": lambda g, o, a: (div(g, add(ONE, mul(a, a))),),
    "acos": lambda g, o, a: (neg(mul(g, function("rsqrt", mul(sub(ONE, a), add(ONE, a))))),),
    "atan2": _angle,
    "tanh": lambda g, o, a: (mul(g, sub(ONE, mul(o, o))),),
    "max": _larger,
    "ifelse": _chosen,
    "sum": lambda g, o, a: (expand(g, a.dim),),
    "expand": lambda g, o, a: (total(g),),
    "extract": _padded,
    "concat": _parted,
    **dict.fromkeys(("sign", "step", "floor", "round", "iszero"), _none),
}


def gradients(
    outputs: Sequence[Expr], cotangents: Sequence[Expr], leaves: Iterable[Expr]
) -> list[Expr]:
    """The derivatives of ``sum of <cotangent, output>`` in each leaf, a vector of its length."""
    found: dict[Expr, Expr] = {}
    below = _that_lead_to(set(leaves), outputs)

    def give(e: Expr, g: Expr) -> None:
        g = total(g) if g.dim > e.dim else expand(g, e.dim)
        found[e] = add(found[e], g) if e in found else g

    for e, g in zip(outputs, cotangents, strict=True):
        give(e, g)
    for e in reversed(ordered(*outputs)):
        if e in found and e in below and e.op in RULES:
            given: Any = RULES[e.op](found[e], e, *e.args)
            for a, g in zip(e.args, given, strict=True):
                if g is not None and a in below:
                    give(a, g)
    return [found.get(leaf, expand(ZERO, leaf.dim)) for leaf in leaves]


def _that_lead_to(leaves: set[Expr], outputs: Sequence[Expr]) -> set[Expr]:
    """The nodes that depend on one of the leaves."""
    below: set[Expr] = set()
    for e in ordered(*outputs):
        if e in leaves or any(a in below for a in e.args):
            below.add(e)
    return below
