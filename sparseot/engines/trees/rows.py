"""Tables of tiles: which rows stand in the lanes of each, and which runs of columns they meet."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from .base import Ranges

__all__ = ["Tiles", "tiles_of"]


@dataclass(frozen=True)
class Tiles:
    """Tiles of as many rows as a vector has lanes; lanes without a row repeat the last one.

    Attributes:
        rows: ``(tiles, lanes)``, numbers of rows among those of all items.
        true: ``(tiles, lanes)``, whether a lane has a row of its own.
        table: ``(tiles, 3)``, the first run, the one after the last, and the item.
        runs: ``(runs, 2)``, the first column and the one after the last, among those of all items.
    """

    rows: Tensor
    true: Tensor
    table: Tensor
    runs: Tensor

    def __len__(self) -> int:
        return len(self.table)


def tiles_of(items: int, n: int, m: int, lanes: int, ranges: Ranges | None) -> Tiles:
    """The tiles of all items, one item after the other."""
    return _all(items, n, m, lanes) if ranges is None else _tiles(items, n, m, lanes, ranges)


@lru_cache(8)
def _all(items: int, n: int, m: int, lanes: int) -> Tiles:
    return _tiles(items, n, m, lanes, None)


def _tiles(items: int, n: int, m: int, lanes: int, ranges: Ranges | None) -> Tiles:
    if ranges is None:
        blocks, runs = np.array([[0, n]]), np.array([[0, m]])
        opens, closes = np.array([0]), np.array([1])
    else:
        blocks, runs, opens, closes = ranges.rows, ranges.columns, ranges.opens, ranges.slices
    firsts = [np.arange(lo, hi, lanes) for lo, hi in blocks]
    counts = [len(first) for first in firsts]
    first = np.concatenate(firsts) if firsts else np.zeros(0, int)
    last, opens, closes = (np.repeat(v, counts) for v in (blocks[:, 1], opens, closes))
    rows = first[:, None] + np.arange(lanes)
    true = rows < last[:, None]
    rows = np.minimum(rows, last[:, None] - 1)
    item = np.arange(items)
    rows = rows + (item * n)[:, None, None]
    shifts = (item * len(runs))[:, None]
    table = np.stack(np.broadcast_arrays(opens + shifts, closes + shifts, item[:, None]), -1)
    runs = runs + (item * m)[:, None, None]
    found = (
        rows.reshape(-1, lanes),
        np.tile(true, (items, 1)),
        table.reshape(-1, 3),
        runs.reshape(-1, 2),
    )
    return Tiles(*(torch.from_numpy(np.ascontiguousarray(t)) for t in found))
