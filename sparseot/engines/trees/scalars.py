"""Vectors become scalars: short ones coordinate by coordinate, long ones as the body of a loop.

A coordinate is a number, or ``(HERE, offset)``: that of the loop around, moved. The nodes that are
made here are scalars: ``get`` fetches one number of a slot, ``loop`` adds up its argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...formulas.trees.algebra import add, again, split
from ...formulas.trees.expressions import HERE, Expr, make, ordered

__all__ = ["MOST", "UNROLL", "Unprintable", "bodies", "component", "outermost", "sign"]

UNROLL = 16  # vectors up to this length become scalars with names, longer ones become loops
MOST = 3000  # scalars: beyond them registers spill and LLVM takes seconds
Place = int | tuple[Expr, int]


class Unprintable(Exception):
    """A formula that cannot be a program of this kind; the message says why."""


def bodies(
    outputs: Sequence[Expr], memo: dict[Any, Expr], long: int = UNROLL + 1
) -> list[tuple[int, Expr]]:
    """The length and the body of each vector that is ``long``, one and the scalar of each coordinate of others.

    So are vectors of more than 16 coordinates, and others unless they join some.
    """
    found = []
    for e in outputs:
        body = _body(e, memo) if e.dim >= long else None
        if body is not None:
            found.append((e.dim, body))
        else:
            found += [(1, component(e, d, memo)) for d in range(e.dim)]
    return found


def _body(e: Expr, memo: dict[Any, Expr]) -> Expr | None:
    """The body of a vector, None for a joined one."""
    if e.op == "concat":
        return None
    try:
        return component(e, (HERE, 0), memo)
    except Unprintable:
        if e.dim > UNROLL or len(memo) > MOST:
            raise
        return None


def component(e: Expr, place: Place, memo: dict[Any, Expr]) -> Expr:
    """One coordinate of a vector; ``memo`` has what was made before.

    Raises:
        Unprintable: for joined vectors inside of a loop, and for too many nodes.
    """
    stack: list[tuple[Expr, Place]] = [(e, place)]
    while stack:
        key = stack[-1]
        needs = [] if key in memo else _needs(*key)
        missing = [need for need in needs if need not in memo]
        if missing:
            stack.extend(missing)
            continue
        stack.pop()
        if key not in memo:
            memo[key] = _made(*key, [memo[need] for need in needs])
            if len(memo) > MOST:
                raise Unprintable(f"it has more than {MOST:,} operations")
    return memo[e, place]


def _needs(e: Expr, place: Place) -> list[tuple[Expr, Place]]:
    """The components that this one is made of."""
    if e.dim == 1 and place != 0:
        return [(e, 0)]
    if e.op in ("const", "leaf"):
        return []
    if e.op == "sum":
        (a,) = e.args
        return [(a, d) for d in range(a.dim)] if a.dim <= UNROLL else [(a, (HERE, 0))]
    if e.op == "expand":
        return [(e.args[0], 0)]
    if e.op == "extract":
        return [(e.args[0], _moved(place, e.attr))]
    if e.op == "concat":
        if not isinstance(place, int):
            raise Unprintable("it joins long vectors")
        first, part = [pair for pair in split(e.args) if pair[0] <= place][-1]
        return [(part, place - first)]
    return [(a, place) for a in e.args]


def _made(e: Expr, place: Place, parts: list[Expr]) -> Expr:
    if e.dim == 1 and place != 0:
        return parts[0]
    if e.op == "const":
        return e
    if e.op == "leaf":
        if isinstance(place, int):
            return make("get", e, attr=place, dim=1, on=e.on)
        return make("get", e, HERE, attr=place[1], dim=1, on=e.on)
    if e.op == "sum":
        if len(parts) > 1:
            return _added(parts)
        return make("loop", parts[0], attr=e.args[0].dim, dim=1)
    if e.op in ("expand", "extract", "concat"):
        return parts[0]
    return again(e, tuple(parts))


def _moved(place: Place, by: int) -> Place:
    return place + by if isinstance(place, int) else (HERE, place[1] + by)


def _added(parts: list[Expr]) -> Expr:
    found = parts[0]
    for part in parts[1:]:
        found = add(found, part)
    return found


def sign(e: Expr) -> int:
    """1 for a scalar that is never negative, -1 for one that is never positive, else 0; NaN aside."""
    signs: dict[Expr, int] = {}
    for n in ordered(e):
        args = [signs[a] for a in n.args]
        if n.op == "const":
            signs[n] = 1 if n.attr >= 0 else -1
        elif n.op == "mul" and n.args[0] is n.args[1]:
            signs[n] = 1
        elif n.op in ("mul", "div"):
            signs[n] = args[0] * args[1]
        elif n.op in ("add", "loop"):
            signs[n] = args[0] if len(set(args)) == 1 else 0
        elif n.op == "sub":
            signs[n] = args[0] if args[0] == -args[1] else 0
        elif n.op == "neg":
            signs[n] = -args[0]
        elif n.op == "sqrt":  # of minus zero it is minus zero
            signs[n] = int(args[0] > 0)
        else:
            signs[n] = int(n.op in ("exp", "abs"))
    return signs[e]


def outermost(e: Expr, wanted: Any) -> list[Expr]:
    """The outermost nodes that fulfil a condition, but for those that are only fetched."""
    found: dict[Expr, None] = {}
    seen: set[Expr] = set()
    stack = [e]
    while stack:
        n = stack.pop()
        if n in seen or n.op in ("const", "leaf", "coordinate"):
            continue
        seen.add(n)
        if wanted(n):
            found[n] = None
        else:
            stack.extend(n.args)
    return list(found)[::-1]
