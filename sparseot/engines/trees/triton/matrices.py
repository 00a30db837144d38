"""What matrix units do in a formula: scalar products of long vectors, and sums of multiples of long columns.

Numbers of single precision are multiplied as parts of TF32, three products for one, whose error is about
that of single precision.
"""

from __future__ import annotations

from ....formulas.trees.algebra import mul, neg
from ....formulas.trees.expressions import AT, HERE, Expr, I, J, const

__all__ = ["ATTENTION", "STEP", "SUM", "WHOLE", "factored", "scalar_product", "step_of", "wide"]

SUM = """\
    e = tl.arange(0, {width})
    total = tl.zeros((BM, {width}), tl.float64)
    for run in range(first, last):
        begin, count = share(runs, run, part, parts, BN)
        for start in range(0, count, CHUNK * BN):
            stop = tl.minimum(start + CHUNK * BN, count)
            whole = stop // BN * BN
            some = tl.zeros((BM, {width}), REAL)
            for c in range(start, whole, BN):
                v0 = terms(xs, ys + begin + c, ps, tile, item, height, at, BM, BN)
                some = multiples(v0, ys + begin + c, height, {place}, at, BN, some, {dim}, {width}, BN)
            if whole < stop:
                v0 = terms(xs, ys + begin + whole, ps, tile, item, height, at, BM, BN)
                v0 = tl.where((whole + j < stop)[None, :], v0, 0.0)
                some = multiples(
                    v0, ys + begin + whole, height, {place}, at, stop - whole, some, {dim}, {width}, BN
                )
            total += some.to(tl.float64)
    tl.store(out + (place * {width} + e[None, :]) * BM + i[:, None], total)
"""
ATTENTION = """\
    e = tl.arange(0, {width})
    highest = tl.full((BM,), {lowest}, REAL)
    mass, total = tl.zeros((BM,), tl.float64), tl.zeros((BM, {width}), tl.float64)
    for run in range(first, last):
        begin, count = share(runs, run, part, parts, BN)
        for start in range(0, count, CHUNK * BN):
            stop = tl.minimum(start + CHUNK * BN, count)
            whole = stop // BN * BN
            top, less = highest, tl.zeros((BM,), REAL)
            some = tl.zeros((BM, {width}), REAL)
            for c in range(start, whole, BN):
                v0 = terms(xs, ys + begin + c, ps, tile, item, height, at, BM, BN)
                w, old, top = shifted(v0, top, BITS)
                less, some = less * old + tl.sum(w, 1), some * old[:, None]
                some = multiples(w, ys + begin + c, height, {place}, at, BN, some, {dim}, {width}, BN)
            if whole < stop:
                v0 = terms(xs, ys + begin + whole, ps, tile, item, height, at, BM, BN)
                v0 = tl.where((whole + j < stop)[None, :], v0, float("-inf"))
                w, old, top = shifted(v0, top, BITS)
                less, some = less * old + tl.sum(w, 1), some * old[:, None]
                some = multiples(
                    w, ys + begin + whole, height, {place}, at, stop - whole, some, {dim}, {width}, BN
                )
            old = exponential(highest - top, BITS).to(tl.float64)
            mass = mass * old + less.to(tl.float64)
            total = total * old[:, None] + some.to(tl.float64)
            highest = top
    tl.store(out + place * {more} * BM + i, highest)
    tl.store(out + (place * {more} + 1) * BM + i, mass)
    tl.store(out + (place * {more} + 2 + e[None, :]) * BM + i[:, None], total)
"""


STEP, WHOLE = 16, 64  # coordinates at a time: small steps, or all where a tile is small


def step_of(dim: int, most: int) -> int:
    """How many coordinates of a scalar product are multiplied at a time; more than all of a tile are too many."""
    return next((size for size in (16, 32, 64) if dim <= size <= most), STEP)


def wide(dim: int) -> int:
    """How many columns of a long vector one program takes."""
    return 32 if dim <= 32 else 64


def factored(body: Expr) -> tuple[Expr, Expr] | None:
    """A scalar of pairs and the coordinate of a vector of columns whose product a coordinate is, if it is one."""
    if body.op == "get":
        found = body.args[1:] == (HERE,) and body.args[0].on == J
        return (const(1.0), body) if found else None
    if body.op == "neg":
        inner = factored(body.args[0])
        return inner and (neg(inner[0]), inner[1])
    if body.op != "mul":
        return None
    for one, other in (body.args, body.args[::-1]):
        inner = None if one.on & AT else factored(other)
        if inner:
            return mul(one, inner[0]), inner[1]
    return None


def scalar_product(loop: Expr) -> tuple[Expr, Expr] | None:
    """The coordinates of rows and of columns whose products a loop adds up, if it does nothing else."""
    (e,) = loop.args
    if e.op != "mul" or any(a.op != "get" or a.args[1:] != (HERE,) for a in e.args):
        return None
    one, other = sorted(e.args, key=lambda a: a.args[0].on)
    return (one, other) if (one.args[0].on, other.args[0].on) == (I, J) else None
