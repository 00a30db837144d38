"""Nodes of a kd-tree that several ranks have a part in, cut by all of them while their points stay where they are.

Of these there are few at each depth: the border between two ranks runs through one of them. Ranks tell each
other the boxes of their points in these nodes, and search the places of cuts together. What is decided is
decided from what all have told.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from .group import Ranks
from .nodes import Node, Tree
from .selection import Search

__all__ = ["SharedCuts"]

PIECE = 1 << 16  # points at a time


class SharedCuts:
    """Cuts nodes of several ranks until each is one's, where each rank moves only the numbers of its rows.

    Attributes:
        nodes: in the order of the tree, none of them shared.
        rows: ``(n_r,)`` int32, the rows of this rank, node after node, in each in their order.
    """

    def __init__(self, points: Tensor, ranks: Ranks, tree: Tree, sizes: list[int]) -> None:
        self.points, self.ranks = points, ranks
        self.rows = torch.arange(len(points), dtype=torch.int32, device=points.device)
        self.nodes = [Node(0, 0, 0, tree.count, sizes)]
        while any(shared := [tree.is_shared(node) for node in self.nodes]):
            parts = self.rows.split([node.counts[ranks.rank] for node in self.nodes])
            nodes = [node for node, cut in zip(self.nodes, shared, strict=True) if cut]
            mine = [rows for rows, cut in zip(parts, shared, strict=True) if cut]
            places = [tree.first(n.depth + 1, 2 * n.index + 1) - n.first for n in nodes]
            halves = iter(self._cut(nodes, mine, places, tree))
            self.nodes = [
                half
                for node, cut in zip(self.nodes, shared, strict=True)
                for half in (next(halves) if cut else (node,))
            ]

    def _cut(
        self, nodes: list[Node], rows: list[Tensor], places: list[int], tree: Tree
    ) -> list[tuple[Node, Node]]:
        """The halves of some nodes; the rows of this rank in each are parted in place."""
        with self.ranks.telling():
            mine = torch.stack([self._box(some) for some in rows])
        low, high = (
            (ends.amin(0) if k == 0 else ends.amax(0)).cpu()
            for k, ends in enumerate(self.ranks.rows(mine[None], what="boxes").unbind(2))
        )
        sides = high.double() - low.double() if self.points.device.type == "cpu" else high - low
        axes = sides.argmax(1, keepdim=True)
        with self.ranks.telling():
            along = [
                self.points[:, axis][some]
                for axis, some in zip(axes[:, 0].tolist(), rows, strict=True)
            ]
        ends = (t.gather(1, axes)[:, 0].numpy() for t in (low, high))
        counts = np.array([node.counts for node in nodes])
        search = Search(self.ranks, along, counts, np.array(places), *ends)
        halves = []
        with self.ranks.telling():
            for node, some, values, cut, lower, equal in zip(
                nodes, rows, along, *search.found(), strict=True
            ):
                below = values < cut
                below[(values == cut).nonzero()[: equal[self.ranks.rank], 0]] = True
                some.copy_(torch.cat((some[below], some[~below])))
                halves.append(tree.halves(node, (lower + equal).tolist()))
        return halves

    def _box(self, rows: Tensor) -> Tensor:
        """Opposite corners of the box around some rows ``(2, D)``; of none at infinity."""
        low, high = self.points.new_empty(2, self.points.shape[1])
        low.fill_(math.inf), high.fill_(-math.inf)
        for piece in rows.split(PIECE) if len(rows) else ():
            ends = self.points[piece].aminmax(dim=0)
            low, high = torch.minimum(low, ends.min), torch.maximum(high, ends.max)
        return torch.stack((low, high))
