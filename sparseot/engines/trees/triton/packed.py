"""Rows in tiles and columns by coordinates, as kernels read them; everything stays on the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ....formulas.trees.expressions import Expr
from ..base import Ranges, extent
from ..rows import Tiles, packed, tiles_of

__all__ = ["Packed", "Packing"]

SPARE = 64  # columns after the last one, which a tile may read


@dataclass(frozen=True)
class Packed:
    """What a kernel reads, and which rows stand where.

    Attributes:
        tiles: the table of tiles.
        xs: ``(tiles, coordinates, rows of a tile)``.
        ys: ``(coordinates, height)``.
        ps: ``(items, coordinates)``.
    """

    tiles: Tiles
    xs: Tensor
    ys: Tensor
    ps: Tensor


class Packing:
    """The numbers of one reduction, packed once for each size of a tile."""

    def __init__(
        self, slots: Sequence[Expr], tensors: Sequence[Tensor], ranges: Ranges | None
    ) -> None:
        self.slots, self.tensors, self.ranges = slots, tensors, ranges
        self.size = extent(slots, tensors)
        self.device = tensors[0].device
        self.known: dict[int, Packed] = {}

    def of(self, rows: int) -> Packed:
        """In tiles of so many rows."""
        if rows not in self.known:
            self.known[rows] = self._packed(rows)
        return self.known[rows]

    def _packed(self, rows: int) -> Packed:
        if self.ranges is None:
            tiles = _all_pairs(*self.size, rows, self.device, _stream(self.device))
        else:
            tiles = _there(tiles_of(*self.size, rows, self.ranges), self.device)
        xs, columns, ps = packed(self.slots, self.tensors, tiles.rows, self.size)
        height = -(-(len(columns) + SPARE) // SPARE) * SPARE
        ys = columns.new_zeros(columns.shape[1], height)
        ys[:, : len(columns)] = columns.mT
        return Packed(tiles, xs, ys, ps)


@lru_cache(16)
def _all_pairs(items: int, n: int, m: int, rows: int, device: torch.device, stream: int) -> Tiles:
    return _there(tiles_of(items, n, m, rows, None), device)


def _stream(device: torch.device) -> int:
    """Where kernels are queued: memory of one stream could be taken anew while another still reads it."""
    return int(torch.cuda.current_stream(device).cuda_stream) if device.type == "cuda" else 0


def _there(tiles: Tiles, device: torch.device) -> Tiles:
    return Tiles(*(t.to(device) for t in (tiles.rows, tiles.true, tiles.table, tiles.runs)))
