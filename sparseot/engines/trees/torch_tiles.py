"""The reference, on any device: torch, by tiles of rows that fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from ...formulas.trees.dense import values
from ...formulas.trees.expressions import Expr, I, J, ordered, pairwise
from ..openmp import NUMBERS, threads_for
from .base import Ranges, Reduction, TreeEngine, extent

__all__ = ["TorchTiles"]

NUMBERS_OF_A_TILE = {"cpu": 1 << 22, "cuda": 1 << 27}
Tile = tuple[slice, Tensor | slice]


class TorchTiles(TreeEngine):
    """All formulas, dtypes and devices."""

    name = "tiles"

    def refuses(self, reduction: Reduction, like: Tensor) -> str | None:
        """None: this is the engine for what others refuse."""
        return None

    def sums(
        self, reduction: Reduction, tensors: Sequence[Tensor], ranges: Ranges | None
    ) -> list[Tensor]:
        """By tiles; sums over rows are added up."""
        items, n, m = extent(reduction.slots, tensors)
        heights = [{I: n, J: m}.get(side, 1) for side in reduction.sides]
        out = [
            tensors[0].new_zeros(items, height, e.dim)
            for e, height in zip(reduction.outputs, heights, strict=True)
        ]
        for rows, columns, found in _tiles(reduction, tensors, ranges):
            for side, total, value in zip(reduction.sides, out, found, strict=True):
                if side == I:
                    total[:, rows] += value.sum(2)
                elif side == J:
                    total[:, columns] += value.sum(1)
                else:
                    total += value.sum((1, 2))[:, None]
        return out

    def softmax(
        self, reduction: Reduction, tensors: Sequence[Tensor], ranges: Ranges | None
    ) -> tuple[Tensor, Tensor]:
        """A row meets all of its columns in one tile."""
        items, n, _ = extent(reduction.slots, tensors)
        log = tensors[0].new_full((items, n, 1), -torch.inf)
        soft = tensors[0].new_zeros(items, n, sum(e.dim for e in reduction.outputs[1:]))
        for rows, _, (exponents, *weights) in _tiles(reduction, tensors, ranges):
            log[:, rows] = exponents.logsumexp(2)
            shares = (exponents - log[:, rows, None].clamp(min=-1e30)).exp()
            if weights:
                soft[:, rows] = torch.cat([(shares * w).sum(2) for w in weights], -1)
        return log, soft

    def least(
        self, reduction: Reduction, tensors: Sequence[Tensor], ranges: Ranges | None
    ) -> tuple[Tensor, Tensor]:
        """By torch's selection; equal values are ordered by their columns."""
        items, n, _ = extent(reduction.slots, tensors)
        dim = reduction.outputs[0].dim
        shape = (items, n, reduction.count, dim)
        low = tensors[0].new_full(shape, torch.inf)
        where = torch.full(shape, -1, device=low.device)
        for rows, columns, (found,) in _tiles(reduction, tensors, ranges):
            count = min(reduction.count, found.shape[2])
            best, place = found.sort(dim=2, stable=True)  # NaN comes last
            best, place = best[:, :, :count], place[:, :, :count]
            place = place if isinstance(columns, slice) else columns[place]
            low[:, rows, :count] = best.where(~best.isnan(), torch.inf)
            where[:, rows, :count] = place.where(~best.isnan(), -1)
        return low, where


def _tiles(
    reduction: Reduction, tensors: Sequence[Tensor], ranges: Ranges | None
) -> Iterator[tuple[slice, Tensor | slice, list[Tensor]]]:
    """Rows, columns and the values ``(B, n, m, R)`` of all outputs for their pairs."""
    items, n, m = extent(reduction.slots, tensors)
    nodes = [e for e in ordered(*reduction.outputs) if pairwise(e)]
    numbers = items * max(1, sum(e.dim for e in nodes))
    most = NUMBERS_OF_A_TILE.get(tensors[0].device.type, 1 << 26)
    for lo, hi, columns in _blocks(n, m, ranges, tensors[0].device):
        width = m if isinstance(columns, slice) else len(columns)
        height = max(1, most // max(1, numbers * width))
        for first in range(lo, hi, height):
            rows = slice(first, min(hi, first + height))
            shape = items, rows.stop - first, width
            with threads_for(NUMBERS * numbers * width * shape[1]):
                yield rows, columns, _values(reduction, tensors, rows, columns, shape)


def _blocks(
    n: int, m: int, ranges: Ranges | None, device: torch.device
) -> Iterator[tuple[int, int, Tensor | slice]]:
    if ranges is None:
        yield 0, n, slice(0, m)
        return
    for (lo, hi), first, last in zip(ranges.rows, ranges.opens, ranges.slices, strict=True):
        runs = [np.arange(a, b) for a, b in ranges.columns[first:last]]
        if runs and sum(map(len, runs)):
            yield int(lo), int(hi), torch.from_numpy(np.concatenate(runs)).to(device)


def _values(
    reduction: Reduction,
    tensors: Sequence[Tensor],
    rows: slice,
    columns: Tensor | slice,
    shape: tuple[int, int, int],
) -> list[Tensor]:
    views: dict[Expr, Tensor] = {}
    for s, t in zip(reduction.slots, tensors, strict=True):
        part: Callable[[Tensor], Tensor] = {
            I: lambda t: t[:, rows, None],
            J: lambda t: t[:, None, columns],
        }.get(s.on, lambda t: t[:, :, None])
        views[s] = part(t)
    found = values(reduction.outputs, views, tensors[0])
    return [value.expand(*shape, e.dim) for e, value in zip(reduction.outputs, found, strict=True)]
