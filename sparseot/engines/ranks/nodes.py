"""Where the nodes of a kd-tree of points that ranks share begin, and the cuts that one rank makes alone."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ...pairs import split

__all__ = ["Node", "Tree", "halved"]


@dataclass(frozen=True)
class Node:
    """The node ``index`` at a depth of the tree, the points ``[first, last)`` of its order.

    ``counts`` says how many of them each rank was given.
    """

    depth: int
    index: int
    first: int
    last: int
    counts: list[int]


class Tree:
    """Where the nodes of a tree of so many points begin, and where the shares of ranks end."""

    def __init__(self, count: int, size: int, ends: list[int], group: int) -> None:
        self.count, self.size = count, size
        self.blocks = -(-count // size)
        self.depth = max(0, self.blocks - 1).bit_length()
        self.ends = [min(end * group * size, count) for end in ends]

    def first(self, depth: int, index: int) -> int:
        """The first point of a node."""
        return min((index * self.blocks >> depth) * self.size, self.count)

    def owner(self, node: Node) -> int:
        """Who has the first point of a node."""
        return min(bisect_right(self.ends, node.first), len(self.ends) - 1) - 1

    def is_shared(self, node: Node) -> bool:
        """Whether several ranks have points of a node; it has several blocks, then, and so have both halves some."""
        return node.last > self.ends[self.owner(node) + 1]

    def place(self, node: Node) -> int:
        """How many of its points lie below the cut of a node."""
        return self.first(node.depth + 1, 2 * node.index + 1) - node.first

    def halves(self, node: Node, lower: list[int]) -> tuple[Node, Node]:
        """What a node is cut into, if so many of the points that each rank was given lie below."""
        depth, index, cut = node.depth + 1, 2 * node.index, node.first + self.place(node)
        upper = [count - low for count, low in zip(node.counts, lower, strict=True)]
        below = Node(depth, index, node.first, cut, lower)
        return below, Node(depth, index + 1, cut, node.last, upper)

    def cut(self, points: Tensor, order: Tensor, rank: int) -> Tensor:
        """Cuts the nodes that are one rank's down to blocks: from which points ``(k, D)`` the k places are taken.

        ``order`` says so for the nodes that are shared, or halves of these.
        """
        first, last = self.ends[rank : rank + 2]
        levels = (self._inside(d, first, last) for d in range(self.depth if last > first else 0))
        if points.device.type != "cpu":
            for ends, _ in levels:
                order = halved(points, order, ends) if ends else order
            return order
        places = order.numpy()
        columns = np.empty(points.shape[::-1])
        for column, values in zip(columns, points.numpy().T, strict=True):
            column[:] = values[places]
        for ends, cuts in levels:
            for (lo, hi), mid in zip(pairwise(ends), cuts, strict=True):
                if lo < mid < hi:
                    split(columns[:, lo:hi], places[lo:hi], mid - lo)
        return order

    def _inside(self, depth: int, first: int, last: int) -> tuple[list[int], list[int]]:
        """Of the nodes at a depth that lie in ``[first, last)``: where they end, where they are cut, from the first on."""
        blocks, low, high = self.blocks, first // self.size, -(-last // self.size)
        begin = -(-(low << depth) // blocks)
        end = min(-(-((high + 1) << depth) // blocks) - 1, 1 << depth)
        ends = np.arange(begin, end + 1) * blocks >> depth
        cuts = np.arange(2 * begin + 1, 2 * end, 2) * blocks >> depth + 1
        ends, cuts = (np.minimum(t * self.size, last) - first for t in (ends, cuts))
        return ends.tolist(), cuts.tolist()


def halved(points: Tensor, order: Tensor, ends: list[int]) -> Tensor:
    """An order in which each of some neighbouring nodes is sorted along its longest side."""
    some, lengths = order[ends[0] : ends[-1]], torch.tensor(ends, device=points.device).diff()
    n, dim = len(some), points.shape[1]
    nodes = torch.arange(len(lengths), device=points.device)
    nodes = nodes.repeat_interleave(lengths, output_size=n)
    here, there = points[some], nodes[:, None].expand(n, dim)
    low, high = (
        here.new_empty(len(lengths), dim).scatter_reduce(0, there, here, how, include_self=False)
        for how in ("amin", "amax")
    )
    axes = (high - low).argmax(1)
    along = here.gather(1, axes[nodes][:, None])[:, 0].argsort(stable=True)
    some = some[along[nodes[along].argsort(stable=True)]]
    return torch.cat((order[: ends[0]], some, order[ends[-1] :]))
