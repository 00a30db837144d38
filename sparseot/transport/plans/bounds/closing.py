"""A plan between two vectors of masses, near the best one and found in a moment: what closes the marginals of another.

All points stand in the cells of one kd-tree. From small cells to large ones, what both clouds have
left in a cell goes from the one to the other, in the order of the points; what only one of them has
goes on to the cell around. So mass moves about as far as its lack is spread, where a product of both would
move it across the clouds (Indyk and Thaper, 2003, "Fast image retrieval via embeddings", for the cells).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ....formulas import GroundCost
from ....pairs import node_ends
from ...pruned.blocks.clouds import SIZE
from ...pruned.blocks.cuts import block_order

__all__ = ["closing_cost"]

DOUBLINGS = 3  # of a cell from one level to the next, at most
UNIT = 1.1e-16  # of double precision


def closing_cost(cost: GroundCost, x: Tensor, y: Tensor, u: Tensor, v: Tensor) -> float:
    """The cost of a plan from ``(N,)`` masses at x to ``(M,)`` of the same sum at y, and what rounding may hide.

    Masses are not negative; points without any are left out. All is in double precision. Sums that differ by
    their rounding are brought to the larger one, so that nothing is left unmoved.
    """
    here, there, points = u > 0, v > 0, torch.cat((x, y))
    moved = max(float(u.sum()), float(v.sum()))
    if not (here.any() and there.any()):
        return moved * cost.largest(float((points.amax(0) - points.amin(0)).norm()))
    x, y, u, v = x[here], y[there], u[here], v[there]
    u, v = (part * (moved / part.sum()) for part in (u, v))
    points = torch.cat((x, y))
    order, blocks = block_order(points, SIZE), -(-len(points) // SIZE)
    points, first = points[order], order < len(u)
    left = torch.cat((u, v))[order]
    depth, total, step = max(0, blocks - 1).bit_length(), 0.0, min(x.shape[1], DOUBLINGS)
    for level in (*range(depth, 0, -step), 0):
        ends = torch.from_numpy(node_ends(blocks, level)).to(points.device) * SIZE
        cells = (
            torch.searchsorted(ends, torch.arange(len(left), device=ends.device), right=True) - 1
        )
        shares = _shares(cells, first, left, len(ends) - 1)
        part = left * shares
        total += _along(cost, points[first], points[~first], part[first], part[~first])
        left = left * (1 - shares)
    span = float((points.amax(0) - points.amin(0)).norm())
    return total + len(left) * UNIT * moved * cost.largest(span)


def _shares(cells: Tensor, first: Tensor, left: Tensor, count: int) -> Tensor:
    """The share of each point's mass that its cell has on the other side too; all of it on the lighter side."""
    side = left.where(first, 0.0), left.where(~first, 0.0)
    masses = torch.stack([torch.bincount(cells, part, count) for part in side])
    common = masses.amin(0)
    ratios = torch.where(masses > 0, common / masses.where(masses > 0, 1.0), 0.0)
    found = ratios[:, cells]
    return found[0].where(first, found[1])


def _along(cost: GroundCost, x: Tensor, y: Tensor, u: Tensor, v: Tensor) -> float:
    """The cost of moving masses in the order of the points, the first to the first."""
    x, y = cost.settled(x[u > 0].double()), cost.settled(y[v > 0].double())
    begin, end = u[u > 0].cumsum(0), v[v > 0].cumsum(0)
    if not (len(x) and len(y)):
        return 0.0
    marks = torch.cat((begin, end)).sort().values
    masses = marks.diff(prepend=marks.new_zeros(1))
    i, j = (torch.searchsorted(ends, marks).clamp(max=len(ends) - 1) for ends in (begin, end))
    return float(masses @ cost.polynomial((x[i] - y[j]).square().sum(1)))
