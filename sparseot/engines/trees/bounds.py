"""How large and how small a formula can be between boxes of points, by interval arithmetic (Moore, 1966)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ...formulas.trees.expressions import Expr, ordered

__all__ = ["Interval", "Unbounded", "interval"]

Interval = tuple[Tensor, Tensor]  # the least and the largest values, ``(..., D)``


class Unbounded(TypeError):
    """The name of an operation that has no bounds here."""


def interval(e: Expr, leaves: Mapping[Expr, Interval]) -> Interval:
    """Bounds of a formula where its leaves lie between theirs.

    A difference that is multiplied by itself counts as a square, so that bounds of a distance are those
    of the boxes.

    Raises:
        Unbounded: for an operation other than those of arithmetic, ``exp`` and ``sqrt``.
    """
    like = next(iter(leaves.values()))[0]
    done = dict(leaves)
    for n in ordered(e):
        if n in done:
            continue
        args = [done[a] for a in n.args]
        if n.op == "const":
            done[n] = (like.new_full((1,), n.attr),) * 2
        elif n.op == "mul" and n.args[0] is n.args[1]:
            done[n] = _square(*args)
        elif n.op in MONOTONE:
            low, high = args[0]
            done[n] = MONOTONE[n.op](low), MONOTONE[n.op](high)
        elif n.op in ("sum", "extract", "expand"):
            done[n] = _moved(n, args[0][0]), _moved(n, args[0][1])
        elif n.op in ARITHMETIC:
            done[n] = ARITHMETIC[n.op](*args)
        else:
            raise Unbounded(n.op)
    return done[e]


def _square(a: Interval, _: Interval) -> Interval:
    low, high = a
    nearest = torch.maximum(low, -high).clamp(min=0)
    return nearest.square(), torch.maximum(-low, high).square()


def _product(a: Interval, b: Interval) -> Interval:
    corners = [p * q for p in a for q in b]
    low = torch.minimum(torch.minimum(*corners[:2]), torch.minimum(*corners[2:]))
    return low, torch.maximum(torch.maximum(*corners[:2]), torch.maximum(*corners[2:]))


def _quotient(a: Interval, b: Interval) -> Interval:
    """Without bounds where the divisor may be zero."""
    low, high = _product(a, (1 / b[1], 1 / b[0]))
    safe = (b[0] > 0) | (b[1] < 0)
    return low.where(safe, -torch.inf), high.where(safe, torch.inf)


def _moved(n: Expr, a: Tensor) -> Tensor:
    long = a.expand(*a.shape[:-1], n.args[0].dim)
    if n.op == "sum":
        return long.sum(-1, keepdim=True)
    return (
        long[..., n.attr : n.attr + n.dim]
        if n.op == "extract"
        else long.expand(*long.shape[:-1], n.dim)
    )


MONOTONE: dict[str, Callable[[Tensor], Tensor]] = {
    "exp": torch.exp,
    "sqrt": torch.sqrt,  # NaN, which is no bound, where it may be that of a negative number
}
ARITHMETIC: dict[str, Callable[..., Interval]] = {
    "add": lambda a, b: (a[0] + b[0], a[1] + b[1]),
    "sub": lambda a, b: (a[0] - b[1], a[1] - b[0]),
    "neg": lambda a: (-a[1], -a[0]),
    "mul": _product,
    "div": _quotient,
}
