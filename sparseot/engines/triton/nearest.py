"""Nearest points on a CUDA device, without a matrix of scores in memory."""

from __future__ import annotations

import torch
from torch import Tensor

from . import nearest_kernels, reductions
from .packing import Layout, by_coordinates
from .shapes import HOISTED

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
    rows, cols = Layout.of(len(x), ROWS), Layout.of(len(y), COLUMNS)
    slots = max(SLOTS, 1 << (width - 1).bit_length())
    squares = x.new_empty(rows.blocks * ROWS, slots)
    indices = torch.empty_like(squares, dtype=torch.int32)
    dim = x.shape[1]
    few = HOISTED[1] if x.dtype == torch.float32 else HOISTED[1] // 2
    far = cols.fill(y[None], FAR).mT.contiguous()
    reductions.launch(
        nearest_kernels.nearest, (rows.blocks,), 1 if slots == SLOTS else 4,
        squares, indices, by_coordinates(x[None], rows), far, cols.blocks,
        D=dim, BM=ROWS, BN=COLUMNS, BK=dim if dim <= few else 1, R=slots,
        REAL=reductions.real(x.dtype),
    )  # fmt: skip
    order = squares[: len(x)].topk(width, dim=1, largest=False).indices
    return indices[: len(x)].gather(1, order).long()
