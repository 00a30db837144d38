"""Expressions over numbered slots, which any target can print, and the tensors that fill the slots.

What depends on rows alone, on columns alone or on parameters alone is computed here, by torch and
with its graph, once a point instead of once a pair. Constants that may change from call to call
become parameters, so that one program serves all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .dense import values
from .expressions import Expr, I, J, P, make, ordered, rebuilt

__all__ = ["Variable", "hoisted", "leaves", "slot", "swapped", "variable"]

SIDES = {I: J, J: I, P: P}
FREE = ("expand", "extract", "concat", "neg")  # cheaper to print than to store
PLAIN = 64  # constants up to it that are multiples of a half are printed as they are


@dataclass(frozen=True, eq=False)
class Variable:
    """Numbers in a formula: ``(..., N, D)`` for rows, ``(..., M, D)`` for columns, ``(..., 1, D)``."""

    tensor: Tensor


def variable(tensor: Tensor, on: int) -> Expr:
    """A leaf that holds a tensor."""
    return make("leaf", attr=Variable(tensor), dim=tensor.shape[-1], on=on)


def slot(number: int, dim: int, on: int) -> Expr:
    """A leaf whose tensor is the ``number``-th of a list."""
    return make("leaf", attr=number, dim=dim, on=on)


def leaves(*roots: Expr) -> list[Expr]:
    """The leaves below expressions."""
    return [n for n in ordered(*roots) if n.op == "leaf"]


def swapped(roots: Sequence[Expr]) -> tuple[Expr, ...]:
    """The same expressions with rows and columns exchanged."""
    turned: dict[Expr, Expr] = {}
    for n in leaves(*roots):
        turned[n] = make("leaf", attr=n.attr, dim=n.dim, on=SIDES[n.on])
    return rebuilt(roots, turned)


def hoisted(
    roots: Sequence[Expr], like: Tensor
) -> tuple[tuple[Expr, ...], list[Expr], list[Tensor]]:
    """Expressions over slots, the slots in order, and their tensors ``(..., N or M or 1, D)``."""
    known = {n: n.attr.tensor for n in leaves(*roots)}
    wanted = _outermost_points(roots)
    tensors = [t if t.dim() > 1 else t[None] for t in values(wanted, known, like)]
    slots = [slot(k, n.dim, _side(n)) for k, n in enumerate(wanted)]
    replaced = dict(zip(wanted, slots, strict=True))
    numbers = [n for n in ordered(*rebuilt(roots, replaced)) if n.op == "const" and not _plain(n)]
    if numbers:
        given = [n.attr for n in numbers]
        place = slot(len(slots), len(numbers), P)
        slots.append(place)
        tensors.append(torch.tensor([given], dtype=like.dtype, device=like.device))
        for k, n in enumerate(numbers):
            replaced[n] = make("extract", place, attr=k, dim=1) if len(numbers) > 1 else place
    return rebuilt(roots, replaced), slots, tensors


def _side(n: Expr) -> int:
    return n.on & (I | J) or P


def _plain(n: Expr) -> bool:
    """Whether it is part of the formula, not a number that one may turn."""
    return abs(n.attr) <= PLAIN and float(2 * n.attr).is_integer()


def _outermost_points(roots: Sequence[Expr]) -> list[Expr]:
    """The largest subexpressions that depend on one side only; moves of coordinates stay outside."""
    found: dict[Expr, Any] = {}
    seen: set[Expr] = set()
    stack = list(roots)
    while stack:
        n = stack.pop()
        if n in seen or n.op == "const" or not n.on:
            continue
        seen.add(n)
        single = n.on & (I | J) in (0, I, J)
        if single and (n.op == "leaf" or n.op not in FREE):
            found[n] = None
        else:
            stack.extend(n.args)
    return sorted(found, key=lambda n: (n.on & (I | J), n.dim))
