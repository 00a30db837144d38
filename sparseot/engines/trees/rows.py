"""Programs work on tiles of rows: sums for columns are turned, numbers packed, and results unpacked.

A table says which rows stand in the lanes of each tile, and which runs of columns they meet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...formulas.trees.expressions import Expr, I, J, P
from ...formulas.trees.slots import swapped
from .base import Ranges, Reduction

__all__ = ["Tiles", "candidates", "expanded", "one_sided", "packed", "tiles_of", "unpacked"]

Array = np.ndarray[Any, Any]


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
    _known: dict[int, Tensor] = field(default_factory=dict, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.table)

    def groups(self, most: int) -> Tensor:
        """Where groups of tiles begin that meet the same columns, at most so many each, and the number of tiles."""
        if most not in self._known:
            table, n = self.table.numpy(), len(self)
            ends = [0, *np.flatnonzero((table[1:] != table[:-1]).any(1)) + 1, n]
            first = [k for lo, hi in pairwise(ends) for k in range(lo, hi, most)]
            self._known[most] = torch.tensor([*first, n])
        return self._known[most]


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


def packed(
    slots: Sequence[Expr],
    tensors: Sequence[Tensor],
    rows: Tensor,
    size: tuple[int, int, int],
    spare: int = 0,
    whole: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """The numbers of rows in tiles, ``(tiles, D, lanes)``, of columns and of parameters, each as one array.

    Args:
        slots: the leaves.
        tensors: their numbers.
        rows: ``(tiles, lanes)``, numbers of rows among those of all items.
        size: items, rows and columns.
        spare: zeros after the last column, which programs may read.
        whole: whether the tiles are those of all rows in their order.
    """
    items, n, m = size
    sides: dict[int, list[Tensor]] = {I: [], J: [], P: []}
    for s, t in zip(slots, tensors, strict=True):
        sides[s.on].append(t)

    def joined(side: int, height: int, more: int = 0) -> Tensor:
        parts = sides[side]
        if not more:
            return _joined(parts, items * height, tensors[0])
        found = tensors[0].new_empty(items * height + more, sum(t.shape[-1] for t in parts))
        found[items * height :] = 0
        if parts:
            torch.cat(parts, -1, out=found[: items * height].unflatten(0, (items, height)))
        return found

    xs = joined(I, n)
    tiles = _whole(xs, rows, items) if whole else xs[rows].transpose(1, 2).contiguous()
    return tiles, joined(J, m, spare).contiguous(), joined(P, 1).contiguous()


def _joined(parts: list[Tensor], height: int, like: Tensor) -> Tensor:
    """Numbers side by side, those of a single part where they are."""
    if not parts:
        return like.new_zeros(height, 0)
    return (parts[0] if len(parts) == 1 else torch.cat(parts, -1)).flatten(0, 1)


def _whole(xs: Tensor, rows: Tensor, items: int) -> Tensor:
    """Tiles of all rows, without a copy in between of those that are full."""
    n, each, lanes = len(xs) // items, len(rows) // items, rows.shape[1]
    full = n // lanes
    tiles = xs.new_empty(items, each, xs.shape[1], lanes)
    flat = xs.unflatten(0, (items, n))[:, : full * lanes]
    tiles[:, :full] = flat.unflatten(1, (full, lanes)).transpose(2, 3)
    tiles[:, full:] = xs[rows.view(items, each, lanes)[:, full:]].transpose(2, 3)
    return tiles.flatten(0, 1)


def unpacked(
    out: Tensor, rows: Tensor, items: int, n: int, unmet: float, whole: bool = False
) -> Tensor:
    """Numbers of tiles ``(tiles, R, lanes)`` as those of rows ``(B, N, R)``; ``whole`` as in :func:`packed`."""
    if whole:
        return out.unflatten(0, (items, len(out) // items)).transpose(2, 3).flatten(1, 2)[:, :n]
    flat = out.new_full((items * n, out.shape[1]), unmet)
    flat.index_copy_(0, rows.flatten(), out.transpose(1, 2).flatten(0, 1))
    return flat.view(items, n, -1)


@lru_cache(1024)
def one_sided(reduction: Reduction) -> list[tuple[Reduction, list[int], bool]]:
    """Sums for rows and parameters, and those for columns turned; their numbers; whether they are turned."""
    found = []
    for turned in (False, True):
        chosen = [k for k, side in enumerate(reduction.sides) if (side == J) is turned]
        if chosen:
            trees = (*(reduction.outputs[k] for k in chosen), *reduction.slots)
            trees = swapped(trees) if turned else trees
            one = Reduction("sum", trees[: len(chosen)], trees[len(chosen) :])
            found.append((one, chosen, turned))
    return found


def expanded(first: Array, last: Array) -> tuple[Array, Array]:
    """All integers from each first one to below its last one, and before them which they are of."""
    lengths = np.maximum(last - first, 0)
    owners = np.repeat(np.arange(len(first)), lengths)
    ends = np.cumsum(lengths)
    return owners, np.arange(len(owners)) + (first - (ends - lengths))[owners]


def candidates(ranges: Ranges, numbers: Mapping[int, int]) -> tuple[Array, Array]:
    """The blocks of columns that each block of rows meets, as a CSR matrix; they begin at places of ``numbers``."""
    first, last = (
        np.array([numbers[c] for c in ranges.columns[:, k].tolist()], np.int64) for k in (0, 1)
    )
    owners, runs = expanded(ranges.opens, ranges.slices)
    of, blocks = expanded(first[runs], last[runs])
    counts = np.bincount(owners[of], minlength=len(ranges.rows))
    return np.concatenate(([0], np.cumsum(counts))), blocks.astype(np.int32)
