"""Kept pairs by compiled loops: views of tensors on a CPU, and rows shared among our threads."""

from __future__ import annotations

from dataclasses import fields
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..base import KEPT_BLOCK
from ..kept import KEPT_GROUP, RANGES, Blocks, Boxes, TileLoops, TileRows
from ..openmp import thread_count
from ..threads import share

__all__ = ["NumbaLoops"]

LOOPS = {2: "kept_compiled"}  # by the power of the distance
BOXES = 1 << 15  # pairs that are worth a thread: some tenths of a millisecond

Array = np.ndarray[Any, Any]


class NumbaLoops(TileLoops):
    """The compiled functions for a cost, which are written in :mod:`.kept_compiled` and its like."""

    def __init__(self, power: int = 2) -> None:
        self.name = LOOPS[power]  # not the module, which cannot be copied or pickled

    @property
    def loops(self) -> ModuleType:
        """Where the compiled functions are."""
        return import_module(f"{__package__}.{self.name}")

    def screen(
        self, rows: Boxes, cols: Boxes, threshold: float, near: TileRows | None = None
    ) -> tuple[TileRows, Tensor]:
        count = len(rows)
        if near is None:  # one group of all
            where = np.zeros(count, np.int64), np.array([0, 1]), np.zeros(1, np.int32)
            ends = np.array([0, len(cols)])
        else:
            where = np.arange(count) // KEPT_GROUP, near.starts.numpy(), near.blocks.numpy()
            ends = np.arange(len(cols) // KEPT_GROUP + 1) * KEPT_GROUP
        boxes = int(np.diff(where[1])[where[0]].sum()) * int(np.diff(ends).max())
        shares = max(1, min(count, RANGES * thread_count(), boxes // BOXES))
        edges = [count * k // shares for k in range(shares + 1)]
        counts, omitted = np.zeros(count, np.int64), np.zeros(count)
        args = _arrays(rows), _arrays(cols), *where, ends, threshold, counts, omitted
        found: list[Any] = [None] * shares

        def part(k: int, _: int) -> None:
            found[k] = self.loops.screen(*args, edges[k], edges[k + 1])

        share(part, range(shares + 1))
        blocks = torch.from_numpy(np.concatenate(found))
        return TileRows.of(torch.from_numpy(counts), blocks), torch.from_numpy(omitted)

    def sums(self, tiles: TileRows, rows: Blocks, cols: Blocks) -> tuple[Tensor, Tensor]:
        out = torch.empty(rows.bias.shape, dtype=torch.float64)
        peaks = torch.empty(len(tiles), dtype=rows.bias.dtype)
        self._run(self.loops.sums, tiles, rows, cols, out, peaks)
        return out, peaks

    def products(self, tiles: TileRows, rows: Blocks, cols: Blocks, v: Tensor) -> Tensor:
        shape = len(rows.bias), v.shape[1], KEPT_BLOCK
        out = torch.empty(shape, dtype=torch.float64)
        self._run(self.loops.products, tiles, rows, cols, v.contiguous(), out)
        return out

    def transpose(self, tiles: TileRows, columns: int) -> tuple[TileRows, Tensor]:
        starts, blocks = tiles.starts.numpy(), tiles.blocks.numpy()
        counts = np.bincount(blocks, minlength=columns)
        begins = np.concatenate(([0], np.cumsum(counts)))
        rows, places = np.empty_like(blocks), np.empty(len(blocks), np.int64)
        self.loops.transpose(starts, blocks, begins[:-1].copy(), rows, places)
        found = TileRows(torch.from_numpy(begins), torch.from_numpy(rows))
        return found, torch.from_numpy(places)

    def _run(self, loop: Any, tiles: TileRows, rows: Blocks, cols: Blocks, *more: Tensor) -> None:
        """Shares the row blocks among threads."""
        args = tiles.starts.numpy(), tiles.blocks.numpy(), *_arrays(rows), *_arrays(cols)
        share(loop, tiles.ranges, *args, *(t.numpy() for t in more))


def _arrays(data: Blocks | Boxes) -> tuple[Array, ...]:
    """Views, in the layout that the loops are compiled for."""
    return tuple(getattr(data, field.name).contiguous().numpy() for field in fields(data))
