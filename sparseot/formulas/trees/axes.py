"""The axes of what is traced: each counts items of a batch, rows, columns or coordinates, or is of length one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import NamedTuple

__all__ = [
    "COLUMNS",
    "COORDINATES",
    "ITEMS",
    "ROWS",
    "SINGLE",
    "Axes",
    "Axis",
    "Untraceable",
    "joined",
    "of_numbers",
    "once",
]

ITEMS, ROWS, COLUMNS, COORDINATES, NONE = "a batch", "rows", "columns", "coordinates", "nothing"


class Untraceable(TypeError):
    """What a function does that no formula of two points says; the message ends a sentence about it."""


class Axis(NamedTuple):
    """What an axis counts, and how many there are."""

    role: str
    size: int


Axes = tuple[Axis, ...]
SINGLE = Axis(NONE, 1)


def joined(*given: Axes) -> Axes:
    """The axes of a result, as torch broadcasts: from the last one on.

    Raises:
        Untraceable: where two kinds stand on one axis, or one kind on two.
    """
    found: list[Axis] = []
    for met in zip_longest(*(axes[::-1] for axes in given), fillvalue=SINGLE):
        kept = SINGLE
        for axis in met:
            kept = _met(kept, axis)
        found.append(kept)
    return once(tuple(found[::-1]))


def once(axes: Axes) -> Axes:
    """The same axes, if each kind is there once."""
    roles = [axis.role for axis in axes if axis != SINGLE]
    for role in roles:
        if roles.count(role) > 1:
            raise Untraceable(f"it has {role} on two axes of a tensor")
    return axes


def of_numbers(shape: Sequence[int]) -> Axes:
    """Those of a tensor that the function holds: its numbers stand beside coordinates."""
    return once(tuple(Axis(COORDINATES, n) if n != 1 else SINGLE for n in shape))


def _met(a: Axis, b: Axis) -> Axis:
    if a.role == NONE or b.role == NONE:
        return b if a.role == NONE else a
    if a.role != b.role:
        for axis, other in ((a, b), (b, a)):
            if axis == Axis(COORDINATES, 1):
                return other
        raise Untraceable(f"{a.role} and {b.role} stand on one axis")
    if a.size != b.size and 1 not in (a.size, b.size):
        raise Untraceable(f"{a.size} and {b.size} {a.role} stand on one axis")
    return max(a, b)
