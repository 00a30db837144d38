"""Coarse clouds: the centroids of the points that share a cell, and potentials carried to finer ones.

Cells are cubes, or the leaves of a tree.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from ....engines.ranks.group import Ranks
from ....points import Points
from .clouds import SIZE, BlockCloud
from .cuts import MOST_CELLS, added, block_order, cells, halves, sums

__all__ = ["Carried", "Cells", "whole_cells"]

Settled = Callable[[Tensor], Tensor]
WORTH = 0.5  # cells, as a share of the points, above which the points themselves are taken


class Cells:
    """A cloud, or the centroids of its cells: ``labels`` say in which cell each point lies.

    They are found once, and everything of them stays on the device of the points. One point of each cell is
    its head; the points themselves, of which each is a cell, have neither, and stay in the precision that they have.
    """

    heads: Tensor | None = None
    labels: Tensor | None = None

    def __init__(
        self,
        points: Tensor,
        weights: Tensor,
        side: float,
        ranks: Ranks | None = None,
        settled: Settled | None = None,
    ) -> None:
        self.points, self.weights, self.ranks = points, weights, ranks
        found = cells(points, side) if side > 0 else None
        if found is not None and len(found[0]) <= WORTH * len(points):
            self._merge(*found)
            if settled is not None:
                self.points = settled(self.points)

    @staticmethod
    def in_tree(points: Tensor, weights: Tensor, along: Tensor, size: int) -> Cells:
        """The leaves of a kd-tree, of that many points each: there are as few in any dimension.

        The tree cuts the coordinates ``along`` ``(n, D)`` of the points.
        """
        new = Cells(points, weights, 0.0)
        if size > 1:
            order = block_order(along, size)
            labels = torch.empty_like(order)
            labels[order] = torch.arange(len(order), device=order.device) // size
            new._merge(order[::size], labels)
        return new

    @property
    def size(self) -> int:
        """How many cells there are, of all ranks."""
        return len(self.points)

    def own(self, values: Tensor) -> Tensor:
        """Of values ``(C, ...)`` in the order of the cells those in the blocks here,"""
        return self.blocks.own(values)

    def every(self, values: Tensor) -> Tensor:
        """and back."""
        return self.blocks.whole(values)

    def gathered(self, values: Tensor) -> Tensor:
        """Values of all cells, on each rank,"""
        return values

    def mine(self, values: Tensor) -> Tensor:
        """and of these the ones that a rank keeps."""
        return values

    def coarser(self, side: float, settled: Settled | None = None) -> Cells:
        """The cells of that side of the same points; or the points, where there are nearly as many."""
        found = Cells(self.points, self.weights, side, self.ranks, settled)
        return self if found.whole else found

    def weighing(self, weights: Tensor) -> Cells:
        """The same points with other weights, cut only once; not for cells, whose centroids move."""
        assert self.whole
        new = Cells(self.points, weights, 0.0, self.ranks)
        new.blocks = self.blocks.weighing(weights)
        return new

    def _merge(self, heads: Tensor, labels: Tensor) -> None:
        count, points, weights = len(heads), self.points, self.weights
        one = weights.stride() == (0,)  # number
        weights = weights[:1].double().expand(len(points)) if one else weights.double()
        mass = sums(labels, weights, count)
        share, total = weights, mass
        if mass.device.type != "cpu" or not bool((mass > 0).all()):
            share = weights.where((mass > 0)[labels], 1.0)
            total = sums(labels, share, count)
        columns = [sums(labels, share * c.double(), count) / total for c in points.T]
        self.points, self.weights = torch.stack(columns, 1), mass
        self.heads, self.labels = heads, labels

    def holding(self, finer: Cells) -> Tensor:
        """The cell that holds each of some finer cells of the same points."""
        if self.labels is None:
            every = torch.arange(len(self.points), device=self.points.device)
            return every if finer.heads is None else finer.heads
        return self.labels if finer.heads is None else self.labels[finer.heads]

    @cached_property
    def blocks(self) -> BlockCloud:
        """The cells in blocks."""
        return BlockCloud(self.points, self.weights, self.ranks)

    def count(self, width: float) -> int:
        """How many cells of that width hold points; all points where they cannot be numbered."""
        found = cells(self.points, width)
        return len(self.points) if found is None else len(found[0])

    @property
    def whole(self) -> bool:
        """Whether these are the points themselves."""
        return self.labels is None


class ApartCells(Cells):
    """The points of a cloud of which each rank has those in its blocks: values are of these, in their order."""

    def __init__(self, blocks: BlockCloud) -> None:
        assert blocks.ranks is not None
        self.points, self.weights, self.ranks = blocks.points, blocks.weights, blocks.ranks
        self.blocks = blocks

    ranks: Ranks

    @property
    def size(self) -> int:
        return self.blocks.count

    def own(self, values: Tensor) -> Tensor:
        return values

    def every(self, values: Tensor) -> Tensor:
        return values

    def gathered(self, values: Tensor) -> Tensor:
        return self.ranks.rows(values)

    def mine(self, values: Tensor) -> Tensor:
        first = self.blocks.before * SIZE
        return values[first : first + self.blocks.n]

    def coarser(self, side: float, settled: Settled | None = None) -> Cells:
        found = self._keys(side)
        if found is None or self._number(found[0]) > WORTH * self.size:
            return self
        cells = JoinedCells(self, *found)
        if settled is not None:
            cells.points = settled(cells.points)
        return cells

    def count(self, width: float) -> int:
        found = self._keys(width)
        return self.size if found is None else self._number(found[0])

    def _keys(self, side: float) -> tuple[Tensor, Tensor] | None:
        """The numbers of the cells that hold points here, ascending, and the one of these that each point is in."""
        low, high = self.blocks.corners
        widths = ((high - low) / side).floor() + 1
        if float(widths.log2().sum()) > MOST_CELLS:
            return None
        keys = torch.zeros(len(self.points), dtype=torch.int64, device=low.device)
        for column, first, width in zip(self.points.T, low, widths.tolist(), strict=True):
            keys.mul_(int(width)).add_(((column - first) / side).floor_().long())
        taken, labels = keys.unique(return_inverse=True)
        return taken, labels

    def _number(self, taken: Tensor) -> int:
        """How many cells there are of all ranks, each of which counts some of them."""
        whose = taken % self.ranks.size
        parts = [taken[whose == rank] for rank in range(self.ranks.size)]
        mine = torch.cat(self.ranks.exchange(parts, "cells")).unique()
        return int(self.ranks.sums(len(mine))[0])


class JoinedCells(Cells):
    """The cells of points of which each rank has some: ``labels`` and ``heads`` are of the points here, all else is of all."""

    def __init__(self, fine: ApartCells, keys: Tensor, labels: Tensor) -> None:
        self.ranks, cloud = fine.ranks, fine.blocks
        counts, rank = self.ranks.told(len(keys)), self.ranks.rank
        taken, places = self.ranks.rows(keys, what="cells").unique(return_inverse=True)
        count, here = len(taken), places.split(counts)[rank]
        self.labels = here[labels]

        def total(values: Tensor) -> Tensor:
            """Sums of the points of all ranks, the same bits on all."""
            most = float(values.abs().amax()) if len(values) else 0.0
            bound = values.new_tensor(self.ranks.largest(most) * cloud.count)
            parts = halves(values, bound)
            mine = torch.stack([added(labels, part, len(here)) for part in parts], 1)
            every = self.ranks.rows(mine, what="cells")
            first, second = (added(places, part, count) for part in every.T)
            return first + second

        mass = total(fine.weights)
        share, size = fine.weights, mass
        if not bool((mass > 0).all()):
            share = share.where((mass > 0)[self.labels], 1.0)
            size = total(share)
        self.points = torch.stack([total(share * c) / size for c in fine.points.T], 1)
        self.weights = mass
        numbers = cloud.order.long()
        lowest = numbers.new_full((len(here),), cloud.count).scatter_reduce(
            0, labels, numbers, "amin"
        )
        lowest = self.ranks.rows(lowest, what="cells")
        heads = lowest.new_full((count,), cloud.count).scatter_reduce(0, places, lowest, "amin")
        self.heads = (numbers == heads[self.labels]).nonzero()[:, 0]

    ranks: Ranks
    labels: Tensor
    heads: Tensor

    def holding(self, finer: Cells) -> Tensor:
        if not isinstance(finer, JoinedCells):
            return self.labels
        known = torch.stack((finer.labels[finer.heads], self.labels[finer.heads]), 1)
        cells, found = self.ranks.rows(known, what="cells").T
        return torch.empty_like(found).scatter_(0, cells, found)


class Carried(NamedTuple):
    """Potentials at the points of cells, in their order."""

    cells: tuple[Cells, Cells]
    values: list[Tensor]

    def near(self, side: int, finer: Cells) -> Tensor:
        """What one of them is at the nearest of their points, at the points of finer cells."""
        here, values = self.cells[side], self.values[side]
        return values if finer is here else values[here.holding(finer)]

    def at(self, side: int, finer: Cells) -> Tensor:
        """What it may be there, along the slopes of blocks by least squares."""
        here, found = self.cells[side], self.near(side, finer)
        if finer is here:
            return found
        cloud, places = here.blocks, here.holding(finer)
        rows = cloud.fill(here.own(self.values[side])).view(cloud.blocks, SIZE)
        slopes = torch.cat([fit.sloped(rows[some])[0] for some, fit in cloud.fits(SIZE)])
        slopes = here.every(slopes.repeat_interleave(SIZE, 0)[: cloud.n])
        way = finer.points.double() - here.points.double()[places]
        return found + (way * slopes[places]).sum(1)


def whole_cells(cloud: Points, cut: dict[Hashable, Cells], ranks: Ranks | None = None) -> Cells:
    """The points of a cloud, in blocks that other problems, or other weights of these points, have cut."""
    if id(cloud) not in cut:
        if (blocks := cloud.in_blocks()) is not None:
            return cut.setdefault(id(cloud), ApartCells(blocks))
        x, weights = cloud.held.positions[0], cloud.weights[0]
        support = x.data_ptr(), x.shape, x.stride()
        if support in cut:
            cut[id(cloud)] = cut[support].weighing(weights)
        else:
            cut[id(cloud)] = cut[support] = Cells(x, weights, 0.0, ranks)
    return cut[id(cloud)]
