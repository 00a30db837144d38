"""Which tile for which sum: a few shapes, chosen by counting instructions (benchmarks/gpu).

Large sums may take one of a few others, by a clock; see :mod:`.card.tuning`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

__all__ = [
    "CROWDED", "LISTED", "LOW_DIMENSION", "ROOTED", "Shape", "candidates", "columns_at_once", "shape_of",
    "warps_of_kept",
]  # fmt: skip

# Up to this dimension squares are taken from differences of coordinates. At 7, products of matrices give
# twice the pairs a second; at 4 one and a half times, for some digits less.
LOW_DIMENSION = 6
HOISTED = (
    6,
    16,
)  # coordinates of rows that fit into registers beside a large tile, and a smaller one
LISTED = 16, 32  # least and largest side of a tile of kept blocks
FEW, MOST = 4, 32  # right-hand sides as multiples of the entries, and as columns of one product
ROOTED = 8  # warps of a tile in double precision where roots are taken
CROWDED = (
    4  # coordinates, above which sums that come with what moves them have a smaller share of a tile
)


class Shape(NamedTuple):
    """Rows and columns of a tile, the warps that share it, and what each takes of a coordinate."""

    rows: int
    columns: int
    warps: int
    width: int  # to which coordinates are filled up
    step: int  # how many of them are taken at a time


def shape_of(dtype: torch.dtype, dimension: int, products: bool, wide: bool, listed: bool) -> Shape:
    """The tile of a sum; ``wide`` where many right-hand sides are multiplied as matrices."""
    if products:
        step = next(size for size in (16, 32, 64) if dimension <= size or size == 64)
        return Shape(128, 32 if wide else 64, 8, -(-dimension // step) * step, step)
    hoisted = HOISTED[0] if dtype == torch.float64 else 8 if wide else HOISTED[1]
    step = dimension if dimension <= hoisted else 1
    if listed:
        return Shape(LISTED[1], LISTED[1], 2 if dtype == torch.float32 else 4, dimension, step)
    if dtype == torch.float64:
        return Shape(32, 32, 4, dimension, step)
    rows = 32 if step > HOISTED[0] and not wide else 64
    return Shape(rows, 32 if wide else 64, 8, dimension, step)


def candidates(default: Shape, held: bool = False, full: bool = False) -> list[Shape]:
    """Tiles that may be faster on some card, the default first; none spills (benchmarks/gpu).

    Halves of a tile have half of the threads, and fewer of them wait for each other.

    Args:
        default: the usual tile.
        held: whether its columns are as many as products of matrices take at once.
        full: whether no registers are left, so that nothing else would fit.
    """
    half = default._replace(warps=default.warps // 2)
    halves = [half._replace(rows=half.rows // 2), half._replace(columns=half.columns // 2)]
    return [default] if full else [default, *halves[: 1 if held else 2]]


def warps_of_kept(dtype: torch.dtype, side: int) -> list[Shape]:
    """The tiles of kept blocks, which are as they are, shared by some warps; the usual number first."""
    few, many = (2, 4) if dtype == torch.float32 else (4, 8)
    return [Shape(side, side, warps, 0, 0) for warps in (few, many)]


def columns_at_once(count: int, dtype: torch.dtype, products: bool) -> tuple[int, bool]:
    """How many of so many right-hand sides one program takes, and whether as columns of a product."""
    if dtype == torch.float64 or count <= (1 if products else FEW):
        return min(FEW, 1 << (count - 1).bit_length()), False
    return min(MOST, max(16, 1 << (count - 1).bit_length())), True
