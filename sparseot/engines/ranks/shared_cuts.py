"""Nodes of a kd-tree that several ranks have a part in, cut by all of them while their points stay where they are.

Of these there are few at each depth: the border between two ranks runs through one of them. Ranks tell each
other the boxes of their points in these nodes, then how many of these lie below some thresholds, until few
are left, whose coordinates they tell. What is decided is decided from what all have told.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ...pairs import Array
from .group import Ranks
from .nodes import Node, Tree

__all__ = ["BITS", "SharedCuts"]

FEW = 1 << 10  # coordinates that are told, rather than how many of them lie below a threshold
THRESHOLDS = 1 << 9  # told at a time, of all nodes together
PIECE = 1 << 16  # points at a time
BITS = {torch.float32: np.int32, torch.float64: np.int64}


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
        search = _Search(self.ranks, along, counts, np.array(places), *ends)
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


class _Search:
    """The value at a place, of the sorted values that all ranks have, for m lists of values at once.

    Values lie between two floats, of which as many as there are buckets are tried that have as many floats
    between them. After each count the bucket goes on that has the place.

    Args:
        ranks: who has values.
        values: m lists of those of this rank.
        counts: ``(m, P)`` how many each rank has.
        places: ``(m,)`` of what is wanted.
        low, high: ``(m,)`` the least and the largest of all ranks.
    """

    def __init__(
        self,
        ranks: Ranks,
        values: list[Tensor],
        counts: Array,
        places: Array,
        low: Array,
        high: Array,
    ) -> None:
        self.ranks, self.values, self.inside, self.places = ranks, [*values], counts, places
        self.bits = BITS[values[0].dtype]
        self.below = np.zeros_like(counts)
        # as whole numbers: the first that may be it, and the first that is too large
        self.first, self.end = (self._numbers(low), [n + 1 for n in self._numbers(high)])

    def found(self) -> tuple[Array, Array, Array]:
        """The values; how many of each rank are smaller, and how many of those that are equal come before the place."""
        while asked := [
            j
            for j, (first, end) in enumerate(zip(self.first, self.end, strict=True))
            if end - first > 1 and self.inside[j].sum() > FEW
        ]:
            self._narrow(asked)
        found = self._floats(self.first)
        told = [j for j, first in enumerate(self.first) if self.end[j] - first > 1]
        if told:
            mine = torch.cat([self.values[j] for j in told])
            every = self.ranks.rows(mine, what="points").cpu().numpy()
            parts = np.split(every, np.cumsum(self.inside[told].T)[:-1])
            for k, j in enumerate(told):
                some = parts[k :: len(told)]
                found[j] = np.sort(np.concatenate(some))[self.places[j] - self.below[j].sum()]
                self.below[j] += [int((part < found[j]).sum()) for part in some]
                self.inside[j] = [int((part == found[j]).sum()) for part in some]
        left = (self.places - self.below.sum(1))[:, None]
        before = self.inside.cumsum(1) - self.inside
        return found, self.below, np.clip(left - before, 0, self.inside)

    def _narrow(self, asked: list[int]) -> None:
        """One round: how many values of each rank lie in each bucket."""
        buckets = max(2, THRESHOLDS // len(asked))
        table, ends = [], []
        with self.ranks.telling():
            for j in asked:
                first, span = self.first[j], self.end[j] - self.first[j]
                ends.append([first + span * k // buckets for k in range(buckets + 1)])
                inner = torch.from_numpy(self._floats(ends[-1][1:-1])).to(self.values[j].device)
                where = torch.bucketize(self.values[j], inner, right=True, out_int32=True)
                table.append(torch.bincount(where, minlength=buckets).int())
            mine = torch.stack(table)[None]
        counts = self.ranks.rows(mine, what="numbers").cpu().numpy().astype(np.int64)
        for k, j in enumerate(asked):
            below = self.below[j].sum() + counts[:, k].sum(0).cumsum()
            bucket = int(np.searchsorted(below, self.places[j], side="right"))
            self.below[j] += counts[:, k, :bucket].sum(1)
            self.inside[j] = counts[:, k, bucket]
            values, edges = self.values[j], ends[k][bucket : bucket + 2]
            low, high = self._floats([edges[0], min(edges[1], self.end[j] - 1)])
            kept = values >= low
            if edges[1] < self.end[j]:
                kept &= values < high
            self.values[j] = values[kept]
            self.first[j], self.end[j] = edges

    def _numbers(self, floats: Array) -> list[int]:
        """Floats as whole numbers of the same order, without gaps."""
        bits = floats.view(self.bits)
        numbers: list[int] = np.where(bits < 0, bits ^ np.iinfo(self.bits).max, bits).tolist()
        return numbers

    def _floats(self, numbers: list[int]) -> Array:
        """And back."""
        bits = np.array(numbers, self.bits)
        return np.where(bits < 0, bits ^ np.iinfo(self.bits).max, bits).view(
            f"f{bits.dtype.itemsize}"
        )
