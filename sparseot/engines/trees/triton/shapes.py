"""Which tile for which formula: the largest whose numbers fit into registers, counted beforehand.

A thread has one of 32 columns, and each row of as many as there are warps. Large reductions may take one of two
halves of it, by a clock; see :mod:`...triton.card.tuning`.
"""

from __future__ import annotations

from typing import NamedTuple

from .sources import Kernel

__all__ = ["MOST_SLOTS", "Shape", "halves", "shape_of"]

ROOM = 200  # registers of a thread for numbers; some fifty hold addresses
FEW = 6  # registers of a row that fit beside 16 slots, where one warp has all rows
MOST_SLOTS = 64  # smallest values that stay in registers


class Shape(NamedTuple):
    """Rows and columns of a tile, and the warps that share it."""

    rows: int
    columns: int
    warps: int


SHAPES = [Shape(64, 64, 8), Shape(32, 64, 8), Shape(32, 32, 8), Shape(16, 32, 8)]

MULTIPLIED = Shape(32, 32, 8)  # whose totals of 64 columns fit beside parts of both vectors


def shape_of(kernel: Kernel, bits: int, slots: int = 1) -> Shape:
    """The tile of a kernel that keeps so many slots of smallest values."""
    if kernel.multiplied:
        return MULTIPLIED
    if slots > 1:
        return Shape(16, 64, _warps(kernel.rows * (bits // 32), slots, bits))
    for shape in SHAPES:
        pairs = shape.rows * shape.columns // (32 * shape.warps)
        rows = max(1, shape.rows // shape.warps)
        numbers = kernel.rows * rows + kernel.held * pairs
        if numbers * (bits // 32) <= ROOM:
            return shape
    return SHAPES[-1]


def halves(shape: Shape, kernel: Kernel, slots: int = 1) -> list[Shape]:
    """Tiles that may be faster on some card, the usual one first: halves with half of the threads.

    Columns on matrix units, slots and formulas of many numbers leave no room to others; scalar products there leave
    it to all rows.
    """
    if kernel.multiplied or slots > 1 or shape.rows < 32 or shape.columns < 64:
        return [shape]
    half = shape._replace(warps=shape.warps // 2)
    narrow, short = half._replace(columns=shape.columns // 2), half._replace(rows=shape.rows // 2)
    return [shape, narrow] if "inner(" in kernel.text else [shape, short, narrow]


def _warps(numbers: int, slots: int, bits: int) -> int:
    """Those that share 16 rows with their slots, of so many registers a row."""
    if slots <= 16 and numbers <= FEW and bits == 32:
        return 1
    return 4 if numbers <= 16 else 8
