"""What indices mean for the formula of a tensor of pairs: in brackets, and as letters of ``torch.einsum``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import mul
from typing import Any

from .algebra import concat, extract
from .axes import COORDINATES, SINGLE, Axes, Axis, Untraceable
from .expressions import Expr

__all__ = ["contracted", "coordinates", "indexed"]


def coordinates(e: Expr) -> list[Expr]:
    """Each coordinate of a vector."""
    return [extract(e, k, 1) for k in range(e.dim)]


def indexed(tree: Expr, axes: Axes, key: Any) -> tuple[Expr, Axes]:
    """A formula and its axes after ``[key]``: new axes, some coordinates, and whole axes."""
    keys = list(key) if isinstance(key, tuple) else [key]
    count = sum(k is not None and k is not Ellipsis for k in keys)
    if not any(k is Ellipsis for k in keys):
        keys.append(Ellipsis)
    whole = [slice(None)] * (len(axes) - count)
    place = next(n for n, k in enumerate(keys) if k is Ellipsis)
    given, kept = iter(axes), list[Axis]()
    for k in (*keys[:place], *whole, *keys[place + 1 :]):
        axis = SINGLE if k is None else next(given)
        if k is None or k == slice(None):
            kept.append(axis)
        elif axis.role == COORDINATES:
            tree, chosen = _chosen(tree, k)
            kept += chosen
        elif axis != SINGLE or k not in (0, -1):
            raise Untraceable(f"it takes the {axis.role} {k}")
    return tree, tuple(kept)


def _chosen(tree: Expr, key: Any) -> tuple[Expr, list[Axis]]:
    """Some coordinates, and their axis; none for a single one."""
    dim = tree.dim
    if isinstance(key, int) and not isinstance(key, bool):
        if not -dim <= key < dim:
            raise Untraceable(f"it asks for coordinate {key} of {dim}")
        return extract(tree, key % dim, 1), []
    if isinstance(key, slice) and key.step in (None, 1):
        start, stop, _ = key.indices(dim)
        if stop > start:
            return extract(tree, start, stop - start), [Axis(COORDINATES, stop - start)]
    if isinstance(key, list) and key and all(type(k) is int and -dim <= k < dim for k in key):
        parts = [extract(tree, k % dim, 1) for k in key]
        return concat(*parts), [Axis(COORDINATES, len(key))]
    raise Untraceable(f"it takes the coordinates {key}")


def contracted(equation: str, operands: Sequence[Any]) -> Any:
    """``torch.einsum`` of stand-ins: their product on common axes, summed over those without a place in the end."""
    inputs, arrow, kept = equation.replace(" ", "").partition("->")
    names = inputs.split(",")
    together = "".join(names)
    if not arrow or "." in equation:
        raise Untraceable(f"it leaves letters of einsum to be guessed, {equation!r}")
    order = kept + "".join(dict.fromkeys(letter for letter in together if letter not in kept))
    if len(names) != len(operands) or not set(kept) <= set(together):
        raise Untraceable(f"einsum's {equation!r} does not fit what it is given")
    factors = []
    for letters, operand in zip(names, operands, strict=True):
        if len(letters) != operand.dim() or len(set(letters)) < len(letters):
            raise Untraceable(f"einsum's {letters!r} is no name of {operand.dim()} axes")
        there = sorted(letters, key=order.index)
        factor = operand.permute([letters.index(letter) for letter in there])
        for place, letter in enumerate(order):
            factor = factor if letter in letters else factor.unsqueeze(place)
        factors.append(factor)
    product = reduce(mul, factors)
    for _ in order[len(kept) :]:
        product = product.sum(-1)
    return product
