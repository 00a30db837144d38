"""How large and how small a formula can be between boxes of points, by interval arithmetic (Moore, 1966)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...formulas.trees.expressions import Expr, I, J, P, ordered

__all__ = ["Interval", "Unbounded", "corners", "interval", "of_tiles"]

Interval = tuple[Tensor, Tensor]  # the least and the largest values, ``(..., D)``
Array = np.ndarray[Any, Any]
CHUNK = 1 << 17  # tiles that are bounded at once
SAFE = 1.001  # bounds are computed otherwise than entries
TINY, HUGE = 1e-37, 3e38  # below and above normal numbers of single precision


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


def corners(points: Array, starts: Array) -> Interval:
    """The boxes of runs of points that begin at ``starts``."""
    low, high = np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts)
    return torch.from_numpy(low), torch.from_numpy(high)


def of_tiles(
    formula: Expr,
    numbers: Mapping[Expr, Tensor],
    boxes: Mapping[int, Interval],
    tiles: tuple[Array, ...],
) -> tuple[Array, Array]:
    """The most and the least that the absolute value of an entry is, in each tile.

    Args:
        formula: between slots.
        numbers: of each slot, ``(1, N, D)``, ``(1, M, D)`` or ``(1, 1, D)``.
        boxes: of the numbers of rows and of columns, side by side, for each piece and each block.
        tiles: the owner of each piece; where the blocks of each owner begin; blocks; where tiles of each piece begin.
    """
    owners, starts, blocks, offsets = tiles
    most, least = (np.empty(offsets[-1], np.float32) for _ in range(2))
    pieces = np.unique(np.searchsorted(offsets, np.arange(0, offsets[-1], CHUNK)))
    for lo, hi in zip(pieces, [*pieces[1:], len(owners)], strict=True):
        counts = np.diff(offsets[lo : hi + 1])
        row = np.repeat(np.arange(lo, hi), counts)
        place = np.arange(offsets[lo], offsets[hi])
        met = place - np.repeat(offsets[lo:hi] - starts[owners[lo:hi]], counts)
        where = {I: torch.from_numpy(row), J: torch.from_numpy(blocks[met]).long()}
        given, used = {}, {I: 0, J: 0}
        for s, t in numbers.items():
            if s.on == P:
                given[s] = (t[0].double(),) * 2
                continue
            span = slice(used[s.on], used[s.on] + s.dim)
            used[s.on] += s.dim
            low, high = boxes[s.on]
            given[s] = low[where[s.on], span], high[where[s.on], span]
        low, high = (b.expand(len(row), 1)[:, 0] for b in interval(formula, given))
        large = torch.maximum(-low, high).nan_to_num(nan=torch.inf)
        small = torch.maximum(low, -high).clamp(min=0).nan_to_num(nan=0.0)
        most[place] = (large * SAFE).clamp(min=TINY).float().numpy()
        least[place] = (small / SAFE).clamp(max=HUGE).float().numpy()
    return most, least
