"""Which rank has which points in its blocks: a kd-tree of points that ranks share, none of whom has all.

The tree is that of :func:`sparseot.pairs.tree_order`, and each rank has some neighbouring groups of its
blocks. Nodes that several ranks have a part in are cut by all together, while points stay where they are;
when each node is one rank's, they go there once, and that rank cuts on alone.
"""

from __future__ import annotations

import math
from itertools import accumulate

import torch
from torch import Tensor

from ...errors import bad_input
from .group import Ranks
from .nodes import Node, Tree
from .shared_cuts import SharedCuts

__all__ = ["Placing"]

MOST = 2**31 - 1  # rows of a rank, whose numbers travel as int32


class Placing:
    """Which rows of all ranks each rank has in its blocks, and the way there.

    Block by block these are the points of :func:`sparseot.pairs.tree_order` of all points, but that ties at
    a cut that ranks share go by rank, then by row; points of a block are in the order of their numbers. All ranks call all
    methods alike.

    Args:
        points: ``(n_r, D)`` of this rank, any number of them, finite, in float32 or float64.
        ranks: who shares; rank r has the groups ``ranks.part(groups)``.
        size, group: points of a block, blocks of a group.

    Attributes:
        count: how many points all ranks have.
        numbers: ``(k,)`` int64, which points this rank has block after block, among the rows of all ranks,
            one rank after the other.
        points: ``(k, D)`` these points.

    Raises:
        ValueError, TypeError: on all ranks, if the points of one are not as described.
    """

    def __init__(self, points: Tensor, ranks: Ranks, size: int, group: int) -> None:
        self.ranks, points = ranks, points.detach()
        with ranks.telling():
            _check(points)
        sizes = ranks.told(len(points))
        self.count = sum(sizes)
        tree = Tree(self.count, size, ranks.ends(-(-self.count // (size * group))), group)
        shared = SharedCuts(points, ranks, tree, sizes)
        self._rows, mine = shared.rows, [n for n in shared.nodes if tree.owner(n) == ranks.rank]
        self._going, self._coming = [0] * ranks.size, [0] * ranks.size
        for node in shared.nodes:
            self._going[tree.owner(node)] += node.counts[ranks.rank]
        for node in mine:
            self._coming = [a + b for a, b in zip(self._coming, node.counts, strict=True)]
        del shared  # with what was found of points on the way
        with ranks.telling():
            going = points[self._rows]
        came = ranks.sent(going, self._going, self._coming, "points")
        del going
        rows = ranks.sent(self._rows, self._going, self._coming, "numbers")
        with ranks.telling():
            firsts, coming = (
                torch.tensor(t, device=rows.device)
                for t in ([0, *accumulate(sizes)][:-1], self._coming)
            )
            numbers = rows + firsts.repeat_interleave(coming, output_size=len(rows))
            order = tree.cut(came, _gathered(mine, self._coming, rows.device), ranks.rank)
            self._arrived = _sorted(numbers, order, size)
            self.numbers, self.points = numbers[self._arrived], came[self._arrived]

    def bring(self, values: Tensor, what: str = "values") -> Tensor:
        """Values ``(n_r, ...)`` of the rows of this rank, to whoever has these in blocks: ``(k, ...)``."""
        with self.ranks.telling():
            if len(values) != len(self._rows):
                got, wanted = f"{len(values)} of them", f"{len(self._rows)}, one for each row"
                raise bad_input("values", got, wanted)
            mine = values.detach()
            mine = mine.view(torch.uint8) if mine.dtype == torch.bool else mine  # for all backends
            going = mine[self._rows]
        found = self.ranks.sent(going, self._going, self._coming, what)
        return found[self._arrived].view(values.dtype)


def _check(points: Tensor) -> None:
    """Refuses what is no finite cloud of floats."""
    if points.ndim != 2:
        raise bad_input("points", f"shape {tuple(points.shape)}", "one cloud (N, D)")
    if len(points) > MOST:
        raise bad_input("points", f"{len(points):,} on one rank", f"at most {MOST:,}")
    if points.dtype not in (torch.float32, torch.float64):
        raise bad_input("points", str(points.dtype), "float32 or float64", kind=TypeError)
    if points.numel() and not all(math.isfinite(float(end)) for end in points.aminmax()):
        raise bad_input("points", "NaN or infinite coordinates", "finite numbers")


def _gathered(nodes: list[Node], coming: list[int], device: torch.device) -> Tensor:
    """Where the points of nodes, node after node, are in what came, rank after rank, and in each of these node after node."""
    at = [0, *accumulate(coming)]
    pieces = [torch.zeros(0, dtype=torch.int32, device=device)]
    for node in nodes:
        for rank, count in enumerate(node.counts):
            pieces.append(
                torch.arange(at[rank], at[rank] + count, dtype=torch.int32, device=device)
            )
            at[rank] += count
    return torch.cat(pieces)


def _sorted(numbers: Tensor, order: Tensor, size: int) -> Tensor:
    """The order, in each block by the numbers of its points."""
    full = numbers.new_full((-(-len(order) // size) * size,), torch.iinfo(torch.int64).max)
    full[: len(order)] = numbers[order]
    within = full.view(-1, size).argsort(1)
    within += torch.arange(len(within), device=within.device)[:, None] * size
    return order[within.view(-1)[: len(order)]]
