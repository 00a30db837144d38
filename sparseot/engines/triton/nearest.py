"""Nearest points on a CUDA device, without a matrix of scores in memory."""

from __future__ import annotations

import torch
from torch import Tensor

from . import nearest_kernels
from .card import launches, tuning
from .packing import Layout, by_coordinates
from .shapes import HOISTED, Shape

__all__ = ["FAR", "nearest"]

FAR = 1e18  # where short blocks are filled up: coordinates are below 1e12
ROWS, COLUMNS, SLOTS = 16, 64, 16  # of a tile, and for each row at least


def nearest(x: Tensor, y: Tensor, width: int) -> Tensor:
    """Indices ``(N, width)`` of the nearest of the ``(M, D)`` points y, by squares in their precision.

    Args:
        x: ``(N, D)`` queries; ``width`` is at most M.
        y: ``(M, D)`` points, with coordinates below 1e12.
        width: how many.
    """
    slots = max(SLOTS, 1 << (width - 1).bit_length())
    shapes = candidates(slots)
    shape = shapes[0]
    if len(x) * len(y) >= tuning.ENOUGH:
        _, high, wide = tuning.strides(1, len(x), len(y), tuning.TRIED)
        kind = "nearest", x.shape[1], slots, str(x.dtype)
        shape = tuning.CHOICES.best(
            kind, shapes, lambda one: lambda: _slots(x[high], y[wide], slots, one), x.device
        )
    squares, indices = _slots(x, y, slots, shape)
    order = squares[: len(x)].topk(width, dim=1, largest=False).indices
    return indices[: len(x)].gather(1, order).long()


def candidates(slots: int) -> list[Shape]:
    """One tile, shared by some warps; the usual number first. Many slots leave no registers to others."""
    some = (1, 2) if slots == SLOTS else (4,)
    return [Shape(ROWS, COLUMNS, warps, 0, 0) for warps in some]


def _slots(x: Tensor, y: Tensor, slots: int, shape: Shape) -> tuple[Tensor, Tensor]:
    """So many of the smallest squares of each row, and their columns, in no order."""
    rows, cols = Layout.of(len(x), shape.rows), Layout.of(len(y), shape.columns)
    squares = x.new_empty(rows.blocks * shape.rows, slots)
    indices = torch.empty_like(squares, dtype=torch.int32)
    dim = x.shape[1]
    few = HOISTED[1] if x.dtype == torch.float32 else HOISTED[1] // 2
    far = cols.fill(y[None], FAR).mT.contiguous()
    launches.launch(
        nearest_kernels.nearest, (rows.blocks,), shape.warps,
        squares, indices, by_coordinates(x[None], rows), far, cols.blocks,
        D=dim, BM=shape.rows, BN=shape.columns, BK=dim if dim <= few else 1, R=slots,
        REAL=launches.real(x.dtype),
    )  # fmt: skip
    return squares, indices
