r"""WHICH pairs of points are visited: all of them, or block pairs that are close enough.

A cloud is cut by a kd-tree (Bentley, 1975) into blocks of equal size, whose points lie near each
other; each block has a tight bounding box. Pairs of blocks are found by walking down both trees
at once, so that a table of all block pairs never exists.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .errors import bad_input
from .points import check_positive

__all__ = [
    "BlockPairs",
    "Blocks",
    "Partition",
    "blocks_within",
    "box_distance",
    "node_ends",
    "partition",
    "walk",
]

Array = np.ndarray[Any, Any]
Keep = Callable[["Level", "Level", Array, Array], Array]


@dataclass(frozen=True)
class Blocks:
    """Only pairs of blocks of points that come within a radius of each other.

    All pairs of points within the radius are kept, and those others that share their blocks. A
    kernel that has died out at the radius loses little: for a Gaussian, entries up to
    ``exp(-radius^2 / 2 sigma^2)``, that is 4e-6 at 5 sigma and 1.5e-8 at 6 sigma.

    Args:
        radius: in the units of the points.
        size: points in a block.

    Example:
        >>> Blocks(0.05)
        Blocks(radius=0.05, size=64)
    """

    radius: float
    size: int = 64

    def __post_init__(self) -> None:
        check_positive(radius=self.radius, size=self.size)
        if not isinstance(self.size, int):
            raise bad_input(
                "size", repr(self.size), "an integer, the points in a block", kind=TypeError
            )

    def between(self, x: Array, y: Array) -> BlockPairs:
        """The kept block pairs of the clouds ``(N, D)`` and ``(M, D)``."""
        rows = partition(x, self.size)
        return blocks_within(rows, rows if y is x else partition(y, self.size), self.radius)


@dataclass(frozen=True)
class Level:
    """The boxes of one level of a tree: ``(n, D)`` corners; empty nodes are at infinity."""

    depth: int
    low: Array
    high: Array


@dataclass(frozen=True)
class Partition:
    """A cloud cut into blocks: block I holds the points ``order[starts[I]:starts[I + 1]]``.

    Attributes:
        order: ``(N,)`` the points' numbers, block after block.
        starts: ``(C + 1,)`` where blocks begin; all are full but the last.
        low, high: ``(C, D)`` corners of the blocks' bounding boxes, in float64.
    """

    order: Array
    starts: Array
    low: Array
    high: Array

    def __len__(self) -> int:
        return len(self.low)

    @property
    def size(self) -> int:
        """Points in a full block."""
        return int(self.starts[1])

    @cached_property
    def members(self) -> Array:
        """The points of each block, ``(C, size)``; the last block repeats its last point."""
        places = np.minimum(np.arange(len(self) * self.size), len(self.order) - 1)
        return self.order[places].reshape(len(self), self.size)

    @cached_property
    def inverse(self) -> Array:
        """``(N,)`` the place of each point in the block order."""
        places = np.empty_like(self.order)
        places[self.order] = np.arange(len(places))
        return places

    @cached_property
    def levels(self) -> list[Level]:
        """The boxes of the tree's nodes, from the root down to the blocks."""
        depth = max(0, len(self) - 1).bit_length()
        ends = node_ends(len(self), depth)
        low = np.full((2**depth, self.low.shape[1]), np.inf)
        high = -low
        taken = np.diff(ends) > 0
        low[taken], high[taken] = self.low, self.high
        levels = [Level(depth, low, high)]
        for above in reversed(range(depth)):
            low, high = np.minimum(low[::2], low[1::2]), np.maximum(high[::2], high[1::2])
            levels.append(Level(above, low, high))
        return levels[::-1]


@dataclass(frozen=True)
class BlockPairs:
    """Kept pairs of blocks, row after row: row block I meets ``cols[starts[I]:starts[I + 1]]``."""

    rows: Partition
    columns: Partition
    starts: Array
    cols: Array

    @cached_property
    def owners(self) -> Array:
        """The row block of each kept pair."""
        return np.repeat(np.arange(len(self.rows)), np.diff(self.starts))

    @property
    def kept(self) -> int:
        """The number of kept pairs of points."""
        widths = np.diff(self.columns.starts)[self.cols]
        heights = np.repeat(np.diff(self.rows.starts), np.diff(self.starts))
        return int((widths * heights).sum())

    @property
    def kept_fraction(self) -> float:
        """The part of all pairs of points that is kept."""
        return self.kept / (len(self.rows.order) * len(self.columns.order))

    def mask(self, rows: Array, cols: Array) -> Array:
        """Which pairs of the points ``rows`` and ``cols`` are kept, ``(n, m)`` truth values."""
        mine = np.searchsorted(self.rows.starts, self.rows.inverse[rows], side="right") - 1
        theirs = np.searchsorted(self.columns.starts, self.columns.inverse[cols], side="right") - 1
        known = self.owners * len(self.columns) + self.cols
        found: Array = np.isin(mine[:, None] * len(self.columns) + theirs, known)
        return found

    @cached_property
    def T(self) -> BlockPairs:
        """The same pairs with rows and columns exchanged."""
        order = np.argsort(self.cols, kind="stable")
        counts = np.bincount(self.cols, minlength=len(self.columns))
        flipped = BlockPairs(self.columns, self.rows, _offsets(counts), self.owners[order])
        flipped.__dict__["T"] = self
        return flipped

    @cached_property
    def runs(self) -> tuple[Array, Array, Array]:
        """Kept columns as runs of neighbouring blocks: CSR starts, first points, last points."""
        opens = np.ones(len(self.cols) + 1, bool)
        opens[1:-1] = (np.diff(self.cols) != 1) | (np.diff(self.owners) != 0)
        counts = np.bincount(self.owners[opens[:-1]], minlength=len(self.rows))
        first = self.columns.starts[self.cols[opens[:-1]]]
        last = self.columns.starts[self.cols[opens[1:]] + 1]
        return _offsets(counts), first, last


def partition(x: Array, size: int) -> Partition:
    """Cuts a cloud ``(N, D)`` into blocks of ``size`` points by medians of the longest sides."""
    x = np.array(x, np.float64)
    if x.ndim != 2:
        fix = "Batches have no block pairs: take one cloud after the other."
        raise bad_input("x", f"shape {x.shape}", "one cloud (N, D)", fix)
    order = tree_order(x, size)
    starts, x = _starts(len(x), size), x[order]
    low, high = np.minimum.reduceat(x, starts[:-1]), np.maximum.reduceat(x, starts[:-1])
    return Partition(order, starts, low, high)


def tree_order(x: Array, size: int) -> Array:
    """The numbers of the points ``(N, D)`` block after block, as :func:`partition` cuts them."""
    starts, order = _starts(len(x), size), np.arange(len(x))
    columns = np.array(x.T, np.float64, order="C")
    blocks = len(starts) - 1
    for depth in range(max(0, blocks - 1).bit_length()):
        ends, cuts = node_ends(blocks, depth), node_ends(blocks, depth + 1)[1::2]
        nodes = starts[ends].tolist()
        for lo, mid, hi in zip(nodes, starts[cuts].tolist(), nodes[1:], strict=False):
            if lo < mid < hi:
                split(columns[:, lo:hi], order[lo:hi], mid - lo)
    return order


def blocks_within(rows: Partition, columns: Partition, radius: float) -> BlockPairs:
    """The pairs of blocks whose boxes come within the radius."""

    def near(mine: Level, theirs: Level, i: Array, j: Array) -> Array:
        near: Array = box_distance(mine, theirs, i, j) <= radius**2
        return near

    return walk(rows, columns, near)


def box_distance(rows: Level, columns: Level, i: Array, j: Array) -> Array:
    """Squared distances between boxes i of one level and boxes j of another."""
    total = np.zeros(len(i))
    for d in range(rows.low.shape[1]):
        gap = np.maximum(rows.low[i, d] - columns.high[j, d], columns.low[j, d] - rows.high[i, d])
        total += np.maximum(gap, 0) ** 2
    return total


def walk(rows: Partition, columns: Partition, keep: Keep) -> BlockPairs:
    """The pairs of blocks that ``keep`` keeps, asked for all pairs of boxes on the way down.

    ``keep(row_level, column_level, i, j)`` says which of the nodes i and j may hold a pair; it
    must keep the ancestors of whatever it would keep. Empty nodes are infinitely far.
    """
    i = j = np.zeros(1, np.int64)
    mine, theirs = 0, 0
    while True:
        kept = keep(rows.levels[mine], columns.levels[theirs], i, j)
        i, j = i[kept], j[kept]
        deeper = mine + 1 < len(rows.levels), theirs + 1 < len(columns.levels)
        if not any(deeper):
            break
        if deeper[0]:
            i, j, mine = np.concatenate((2 * i, 2 * i + 1)), np.tile(j, 2), mine + 1
        if deeper[1]:
            i, j, theirs = np.tile(i, 2), np.concatenate((2 * j, 2 * j + 1)), theirs + 1
    places = np.cumsum(np.diff(node_ends(len(rows), mine))) - 1
    i, j = places[i], (np.cumsum(np.diff(node_ends(len(columns), theirs))) - 1)[j]
    order = np.argsort(i * len(columns) + j)
    counts = np.bincount(i, minlength=len(rows))
    return BlockPairs(rows, columns, _offsets(counts), j[order])


def voxels(points: Array, side: float) -> Array | None:
    """The number of the cubic cell of each point ``(N, D)``; None for more than 2^62 cells."""
    low, high = (end(points, 0).astype(np.float64) for end in (np.min, np.max))
    widths = np.floor((high - low) / side) + 1
    if math.prod(widths) > 2**62:
        return None
    numbers = np.zeros(len(points), np.int64)
    for column, first, width in zip(points.T, low, widths, strict=True):
        numbers *= int(width)
        along = np.subtract(
            column, first, dtype=np.float64
        )  # as widths are taken, in any precision
        numbers += np.floor(along / side).astype(np.int64)
    return numbers


def split(columns: Array, order: Array, place: int) -> None:
    """Sorts the points of a node, in place, so that ``place`` of them lie below the cut.

    NumPy's plain functions take half of the time of their wrappers where a node has few points.
    """
    axis = (np.maximum.reduce(columns, 1) - np.minimum.reduce(columns, 1)).argmax()
    ranks = columns[axis].argpartition(place)
    columns[:], order[:] = columns.take(ranks, 1), order.take(ranks)


def _starts(n: int, size: int) -> Array:
    """Where blocks begin, and where the last one ends."""
    return np.minimum(np.arange(-(-n // size) + 1) * size, n)


def node_ends(blocks: int, depth: int) -> Array:
    """The first blocks of the nodes at a depth of the tree, and the number of blocks."""
    return np.arange(2**depth + 1) * blocks >> depth


def _offsets(counts: Array) -> Array:
    return np.concatenate(([0], np.cumsum(counts)))
