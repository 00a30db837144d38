"""Coarse clouds: the centroids of the points that share a cell, and potentials carried to finer ones.

Cells are cubes, or the leaves of a tree.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from ...engines.ranks.group import Ranks
from ...points import Points
from .clouds import SIZE, BlockCloud
from .cuts import block_order, cells, sums

__all__ = ["Carried", "Cells", "whole_cells"]

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
        settled: Callable[[Tensor], Tensor] | None = None,
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

    def weighing(self, weights: Tensor) -> Cells:
        """The same points with other weights, cut only once; not for cells, whose centroids move."""
        assert self.whole
        new = Cells(self.points, weights, 0.0, self.ranks)
        new.blocks = self.blocks.weighing(weights)
        return new

    def _merge(self, heads: Tensor, labels: Tensor) -> None:
        count, points, weights = len(heads), self.points, self.weights.double()
        mass = sums(labels, weights, count)
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
        rows = cloud.fill(cloud.own(self.values[side])).view(cloud.blocks, SIZE)
        slopes = torch.cat([fit.sloped(rows[some])[0] for some, fit in cloud.fits(SIZE)])
        slopes = cloud.whole(slopes.repeat_interleave(SIZE, 0)[: cloud.n])
        way = finer.points.double() - here.points.double()[places]
        return found + (way * slopes[places]).sum(1)


def whole_cells(cloud: Points, cut: dict[Hashable, Cells], ranks: Ranks | None = None) -> Cells:
    """The points of a cloud, in blocks that other problems, or other weights of these points, have cut."""
    if id(cloud) not in cut:
        x, weights = cloud.held.positions[0], cloud.weights[0]
        support = x.data_ptr(), x.shape, x.stride()
        if support in cut:
            cut[id(cloud)] = cut[support].weighing(weights)
        else:
            cut[id(cloud)] = cut[support] = Cells(x, weights, 0.0, ranks)
    return cut[id(cloud)]
