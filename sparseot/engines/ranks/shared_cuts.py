"""Nodes of a kd-tree that several ranks have a part in, cut by all of them while their points stay where they are.

Of these there are few at each depth: the border between two ranks runs through one of them. Ranks tell each
other the boxes of their points in these nodes, and search the places of cuts together; of nodes of few
points they tell all, and each goes on by itself. What is decided is decided from what all have told.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ...pairs import Array
from .group import Ranks
from .nodes import Node, Tree
from .selection import Search

__all__ = ["SharedCuts"]

FEW = 1 << 12  # points that are told, of all nodes together
PIECE = 1 << 16  # points at a time

Held = tuple[Node, Tensor]  # and the rows of this rank in it, in their order


class SharedCuts:
    """Cuts nodes of several ranks until each is one's, where each rank moves only the numbers of its rows.

    Attributes:
        nodes: in the order of the tree, none of them shared.
        rows: ``(n_r,)`` int32, the rows of this rank, node after node, in each in their order.
    """

    def __init__(self, points: Tensor, ranks: Ranks, tree: Tree, sizes: list[int]) -> None:
        self.points, self.ranks, self.tree = points, ranks, tree
        self.wide = points.device.type == "cpu"  # as one process compares sides there
        rows = torch.arange(len(points), dtype=torch.int32, device=points.device)
        self.held: list[Held] = [(Node(0, 0, 0, tree.count, sizes), rows)]
        few = FEW // max(1, ranks.size - 1)
        while self._replace(
            lambda node: tree.is_shared(node) and node.last - node.first > few, self._halves
        ):
            pass
        self._replace(tree.is_shared, self._ends)
        self.nodes = [node for node, _ in self.held]
        self.rows = torch.cat([rows for _, rows in self.held])

    def _replace(
        self, asked: Callable[[Node], bool], cut: Callable[[list[Held]], list[list[Held]]]
    ) -> bool:
        """Some nodes by what they are cut into; whether there are any."""
        which = [asked(node) for node, _ in self.held]
        if any(which):
            new = iter(cut([one for one, is_cut in zip(self.held, which, strict=True) if is_cut]))
            self.held = [
                part
                for one, is_cut in zip(self.held, which, strict=True)
                for part in (next(new) if is_cut else [one])
            ]
        return any(which)

    def _halves(self, held: list[Held]) -> list[list[Held]]:
        """Nodes of many points, cut once."""
        with self.ranks.telling():
            mine = torch.stack([self._box(rows) for _, rows in held])
        boxes = self.ranks.rows(mine[None], what="boxes")
        low, high = boxes[:, :, 0].amin(0).cpu().numpy(), boxes[:, :, 1].amax(0).cpu().numpy()
        axes = self._longest(low, high)
        with self.ranks.telling():
            along = [
                self.points[:, k][rows] for k, (_, rows) in zip(axes.tolist(), held, strict=True)
            ]
        low, high = (np.take_along_axis(t, axes[:, None], 1)[:, 0] for t in (low, high))
        counts = np.array([node.counts for node, _ in held])
        places = np.array([self.tree.place(node) for node, _ in held])
        cuts, lower, equal = Search(self.ranks, along, counts, places, low, high).found()
        found = []
        with self.ranks.telling():
            for k, (node, rows) in enumerate(held):
                below = along[k] < float(cuts[k])
                ties = (along[k] == float(cuts[k])).nonzero()[:, 0]
                below[ties[: equal[k, self.ranks.rank]]] = True
                halves = self.tree.halves(node, (lower[k] + equal[k]).tolist())
                found.append([*zip(halves, (rows[below], rows[~below]), strict=True)])
        return found

    def _ends(self, held: list[Held]) -> list[list[Held]]:
        """Nodes of few points, of which all ranks are told all, cut until none is shared."""
        with self.ranks.telling():
            mine = self.points[torch.cat([rows for _, rows in held])]
        every = self.ranks.rows(mine, what="points").cpu().numpy()
        with self.ranks.telling():
            counts = np.array([node.counts for node, _ in held])
            parts, found = np.split(every, counts.T.cumsum()[:-1]), []
            for k, (node, rows) in enumerate(held):
                points = np.concatenate(parts[k :: len(held)])  # of one rank after the other
                owners = np.repeat(np.arange(self.ranks.size), counts[k])
                first = int(counts[k, : self.ranks.rank].sum())
                found.append(
                    [
                        (end, rows[self._of_this_rank(order, owners, first)])
                        for end, order in self._cut(node, np.arange(len(points)), points, owners)
                    ]
                )
        return found

    def _cut(
        self, node: Node, order: Array, points: Array, owners: Array
    ) -> list[tuple[Node, Array]]:
        """What a node is cut into; ``order`` says which of the points it has."""
        if not self.tree.is_shared(node):
            return [(node, order)]
        here, place = points[order], self.tree.place(node)
        values = here[:, self._longest(here.min(0), here.max(0))]
        cut = np.partition(values, place)[place]
        below = values < cut
        below[np.flatnonzero(values == cut)[: place - below.sum()]] = True
        counts = np.bincount(owners[order[below]], minlength=self.ranks.size)
        halves = zip(
            self.tree.halves(node, counts.tolist()), (order[below], order[~below]), strict=True
        )
        return [end for half, some in halves for end in self._cut(half, some, points, owners)]

    def _of_this_rank(self, order: Array, owners: Array, first: int) -> Tensor:
        """Which rows of this rank in a node some of its points are, the first of which is so far on."""
        mine = order[owners[order] == self.ranks.rank] - first
        return torch.from_numpy(mine).to(self.points.device)

    def _longest(self, low: Array, high: Array) -> Array:
        """The longest side of boxes ``(..., D)``, the first of those that are as long."""
        axes: Array = np.subtract(high, low, dtype=np.float64 if self.wide else None).argmax(-1)
        return axes

    def _box(self, rows: Tensor) -> Tensor:
        """Opposite corners of the box around some rows ``(2, D)``; of none at infinity."""
        low, high = self.points.new_empty(2, self.points.shape[1])
        low.fill_(math.inf), high.fill_(-math.inf)
        for piece in rows.split(PIECE) if len(rows) else ():
            ends = self.points[piece].aminmax(dim=0)
            low, high = torch.minimum(low, ends.min), torch.maximum(high, ends.max)
        return torch.stack((low, high))
