"""A cloud cut into the blocks of a kd-tree, and into cubic cells: on a CPU by NumPy, else where it is.

Elsewhere a tree is made level by level, all nodes of a level by two sorts, since what is known of it
beforehand is where its nodes begin; nothing is read back. The blocks are those of
:func:`sparseot.pairs.tree_order`, up to the order of points within, and of points that are equal.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ....pairs import Array, node_ends, tree_order, voxels

__all__ = ["MOST_CELLS", "added", "ascending", "block_order", "cells", "halves", "sums"]

MOST_CELLS = 62  # of which numbers have this many bits


def block_order(points: Tensor, size: int) -> Tensor:
    """The numbers of points ``(n, D)`` block after block, each of ``size`` but the last."""
    if points.device.type == "cpu":
        return torch.from_numpy(tree_order(points.numpy(force=True), size))
    from ....engines.ranks.nodes import halved  # here, for a light import of the library

    n = len(points)
    blocks, order = -(-n // size), torch.arange(n, device=points.device)
    for depth in range(max(0, blocks - 1).bit_length()):
        order = halved(points, order, (node_ends(blocks, depth) * size).clip(max=n).tolist())
    return order


def ascending(order: Tensor, size: int) -> Tensor:
    """The same blocks of numbers, ascending in each, so that sums over a block do not tell who has cut it."""
    full = len(order) // size * size
    blocks = order[:full].view(-1, size).sort(1).values.flatten()
    return torch.cat((blocks, order[full:].sort().values))


def cells(points: Tensor, side: float) -> tuple[Tensor, Tensor] | None:
    """One point of each cubic cell of that side that holds any, and the cell of each point.

    None where there are so many cells that they cannot be numbered.
    """
    if points.device.type == "cpu":
        numbers = voxels(points.numpy(force=True), side)
        return None if numbers is None else _distinct(numbers)
    places = ((points - points.amin(0)) / side).floor()
    widths = places.amax(0) + 1
    if float(widths.log2().sum()) > MOST_CELLS:
        return None
    found = torch.zeros(len(points), dtype=torch.int64, device=points.device)
    for place, width in zip(places.long().unbind(1), widths.long(), strict=True):
        found = found * width + place
    taken, labels = torch.unique(found, return_inverse=True)
    all_of_them = torch.arange(len(points), device=points.device)
    heads = all_of_them.new_empty(len(taken))
    return heads.scatter_reduce(0, labels, all_of_them, "amin", include_self=False), labels


def sums(labels: Tensor, values: Tensor, count: int) -> Tensor:
    """The sums ``(count,)`` of values ``(n,)`` that have the same label, the same bits in whichever order these are."""
    if len(values) and values.stride() == (0,):  # one number
        return torch.bincount(labels, minlength=count) * values[0]
    bound = values.abs().amax() * len(values) if len(values) else values.new_zeros(())
    high, low = halves(values, bound)
    return added(labels, high, count) + added(labels, low, count)


def halves(values: Tensor, bound: Tensor) -> tuple[Tensor, Tensor]:
    """Values as multiples of one unit, sums of which are not rounded up to that bound, and what is left of them.

    Their sums, and these added, are the same bits in whichever order, but where the rounding of the second ones decides: for one sum
    in 2^30 (Demmel and Nguyen, 2015, "Parallel reproducible summation").
    """
    top = torch.ldexp(torch.full_like(bound, 1.5), torch.frexp(bound).exponent)
    high = (values + top).sub_(top)
    return high, values - high


def added(labels: Tensor, values: Tensor, count: int) -> Tensor:
    """The sums in that order, the same bits at each call."""
    if values.device.type == "cpu":
        return torch.bincount(labels, values, count).to(values)  # of nothing they are integers
    numbers, order = labels.sort(stable=True)
    ends = torch.searchsorted(numbers, torch.arange(count + 1, device=labels.device))
    found: Tensor = torch.segment_reduce(values[order], "sum", lengths=ends.diff(), unsafe=True)
    return found


def _distinct(numbers: Array) -> tuple[Tensor, Tensor]:
    """The first place of each number, in their order, and which of these stands for each place."""
    most = int(numbers.max()) + 1
    if most > 8 * len(numbers):
        _, heads, labels = np.unique(numbers, return_index=True, return_inverse=True)
        return torch.from_numpy(heads), torch.from_numpy(labels)
    first: Array = np.full(most, -1, np.int32 if len(numbers) < 2**31 else np.int64)
    first[numbers[::-1]] = np.arange(len(numbers))[::-1]
    taken = first >= 0
    places = np.cumsum(taken, dtype=first.dtype)[numbers]
    return torch.from_numpy(first[taken].astype(np.int64)), torch.from_numpy(
        places.astype(np.int64) - 1
    )
