"""Kept pairs of which some cannot matter: a product leaves out tiles that are lost in its rounding.

Points of each range are put in the order of a kd-tree, which makes small blocks of neighbours; a formula
is bounded between the boxes of blocks once, and each product compares these bounds with its vector. What
a sum leaves out is at most ``2^-24 sum_j |K_ij v_j|``, a float32's rounding of its terms, or ``2^-53`` in double
precision. Columns whose factor is zero are left out whatever the formula is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from ...formulas.trees.expressions import Expr, I, J, pairwise, rebuilt
from ...formulas.trees.slots import leaves, slot
from ...pairs import partition
from ..threads import even, share
from . import cuts
from .base import Ranges, Reduction
from .bounds import Unbounded, corners, of_tiles
from .rows import Tiles, candidates
from .symmetric import Halves, halves, is_symmetric, kept_both_ways

__all__ = ["screened"]

Array = np.ndarray[Any, Any]

BLOCK, LARGE = 32, 64  # points in a block: more of them, and half as many tiles a side,
MANY = 1 << 35  # from so many pairs on
WORTH = 1 << 26  # pairs that are worth the search
FEWEST = 256  # pairs in a tile, on average
TILES = 1 << 27  # whose bounds fill 1 GiB
COORDINATES = 8  # in which boxes are small
BUDGET = {torch.float32: 2.0**-24, torch.float64: 2.0**-53}
FORMULAS = 2  # over the same ranges, whose screens are kept


# What is known of the formulas over some ranges: their numbers, and the screen.
_met: WeakKeyDictionary[Ranges, dict[Expr, Any]] = WeakKeyDictionary()


@dataclass
class Screen:
    """Blocks of rows and columns, and the bounds of their tiles.

    Attributes:
        rows: ``(pieces, size)`` numbers of rows; the last one is repeated.
        heights: ``(pieces,)`` rows of each.
        columns: ``(M',)`` numbers of columns, block after block.
        ends: ``(C + 1,)`` where column blocks begin.
        tiles: the owners of pieces, their column blocks, and where the bounds of each piece begin.
        most, least: bounds.
        symmetric: whether rows and columns are the same, and so are entries and those across the diagonal;
            bounds are finite.
    """

    rows: Array
    heights: Array
    columns: Tensor
    ends: Array
    tiles: tuple[Array, Array, Array, Array]
    most: Array
    least: Array
    symmetric: bool


@dataclass(frozen=True)
class Weighed:
    """A screen, and the vector of one product.

    Attributes:
        screen: what is known of the formula.
        factor: the leaf of the vector, or None for sums of the formula alone.
        vector: ``(1, M, R)``
        masses: ``(R, C)`` sums of its absolute values over blocks of columns.
    """

    screen: Screen
    factor: Expr | None
    vector: Tensor
    masses: Array

    def moved(self, slots: Sequence[Expr], tensors: Sequence[Tensor]) -> list[Tensor]:
        """Tensors whose columns stand in the order of the blocks."""
        order = self.screen.columns
        pairs = zip(slots, tensors, strict=True)
        return [t[:, order] if s.on == J else t for s, t in pairs]

    def runs(self, half: bool) -> tuple[Array, Array, Array]:
        """The number of runs of columns that each piece has to meet, whether it meets itself, and the runs.

        Of halves, runs lie behind the piece.
        """
        screen, pieces = self.screen, len(self.screen.heights)
        shares, budget = even(pieces, 64), BUDGET[self.vector.dtype]
        levels, kept = np.empty((len(self.masses), pieces)), np.empty(len(screen.most), np.bool_)
        known = *screen.tiles, screen.most
        share(cuts.cut, shares, *known, screen.least, self.masses, budget, levels)
        counts, own = np.zeros(pieces, np.int64), np.zeros(pieces, np.bool_)
        share(cuts.count, shares, *known, self.masses, levels, half, kept, counts, own)
        places = np.concatenate(([0], np.cumsum(counts)))
        runs = np.empty((places[-1], 2), np.int64)
        share(cuts.fill, shares, *screen.tiles, kept, screen.ends, places, runs)
        return counts, own, runs

    def tiles(self, lanes: int) -> Tiles:
        """Tiles of as many rows as there are lanes, and the runs of columns that they meet."""
        counts, _, runs = self.runs(False)
        ends = np.cumsum(counts)
        screen, pieces = self.screen, len(counts)
        first = np.arange(0, screen.rows.shape[1], lanes)
        rows = screen.rows.reshape(pieces, len(first), lanes)
        kept = first < screen.heights[:, None]
        true = (first[:, None] + np.arange(lanes)) < screen.heights[:, None, None]
        number = np.repeat(np.arange(pieces), kept.sum(1))
        table = np.stack(((ends - counts)[number], ends[number], np.zeros_like(number)), 1)
        arrays = rows[kept], true[kept], table, runs
        return Tiles(*(torch.from_numpy(np.ascontiguousarray(a)) for a in arrays))

    def halves(self, lanes: int) -> Halves:
        """Tiles on and behind the diagonal, of a symmetric screen."""
        return halves(self.screen.ends, *self.runs(True), lanes)


def screened(reduction: Reduction, tensors: Sequence[Tensor], ranges: Ranges) -> Weighed | None:
    """What is known of a sum over ranges, that tells which tiles it has to visit.

    None for formulas without bounds, and at the first sum of some numbers: bounds cost as much as one.
    """
    split = _split(reduction)
    if split is None or len(tensors[0]) > 1 or ranges.pairs < WORTH:
        return None
    formula, factor = split
    given = leaves(formula)
    names = {s: slot(k, s.dim, s.on) for k, s in enumerate(given)}  # whatever stands beside them
    (formula,) = rebuilt([formula], names)
    numbers = {names[s]: tensors[s.attr] for s in given}
    screen = _known(formula, numbers, ranges)
    if screen is None:
        return None
    v = tensors[0].new_ones(1, len(screen.columns), 1) if factor is None else tensors[factor.attr]
    moved = v[0, screen.columns].T.double().abs().contiguous().numpy()
    masses = np.add.reduceat(moved, screen.ends[:-1], axis=1)
    return Weighed(screen, factor, v, masses) if np.isfinite(masses).all() else None


def _split(reduction: Reduction) -> tuple[Expr, Expr | None] | None:
    """The formula and the leaf of columns that it is multiplied by, if that is what is summed."""
    if reduction.kind != "sum" or len(reduction.outputs) != 1:
        return None
    e = _bare(reduction.outputs[0])
    factor = None
    if e.op == "mul":
        for one, other in (e.args, e.args[::-1]):
            if one.op == "leaf" and one.on == J and other.dim == 1:
                e, factor = other, one
                break
    fits = e.dim == 1 and pairwise(e) and factor not in leaves(e)
    return (e, factor) if fits else None


def _bare(e: Expr) -> Expr:
    """A formula without signs and heights: factors that all pairs share, which matter to no comparison."""
    while True:
        shared = [k for k, a in enumerate(e.args) if not a.on & (I | J)]
        if e.op in ("neg", "expand"):
            e = e.args[0]
        elif (e.op == "mul" and shared) or (e.op == "div" and shared == [1]):
            e = e.args[0 if shared[0] else 1]
        else:
            return e


def _known(formula: Expr, numbers: dict[Expr, Tensor], ranges: Ranges) -> Screen | None:
    """The screen of a formula of these numbers, from the second time on that they are met."""
    met = _met.setdefault(ranges, {})
    known, screen = met.get(formula, (None, None))
    if known is None or not all(map(torch.equal, known, numbers.values())):
        for old in [formula, *met][: 1 + max(0, len(met) + 1 - FORMULAS)]:
            met.pop(old, None)
        met[formula] = [t.clone() for t in numbers.values()], False
        return None
    if screen is False:
        screen = _made(formula, numbers, ranges)
        met[formula] = known, screen
    return screen


def _made(formula: Expr, numbers: dict[Expr, Tensor], ranges: Ranges) -> Screen | None:
    """The screen, or None where it would not pay."""
    sides = {
        side: torch.cat([t[0] for s, t in numbers.items() if s.on == side], -1).double().numpy()
        for side in (I, J)
    }
    if any(points.shape[1] > COORDINATES for points in sides.values()):
        return None
    size = BLOCK if ranges.pairs < MANY else LARGE
    if not _pays(_fewest(ranges, size), ranges):
        return None
    cells = np.unique(np.concatenate(([0, len(sides[J])], ranges.columns.ravel())))
    all_cells = np.unique(np.concatenate((cells, ranges.rows.ravel())))
    symmetric = is_symmetric(formula, numbers) and kept_both_ways(ranges, all_cells)
    columns, ends, firsts = _columns(sides[J], all_cells if symmetric else cells, size)
    rows, heights, owners = (
        _same_rows(ranges, columns, ends, size) if symmetric else _rows(sides[I], ranges, size)
    )
    starts, blocks = candidates(ranges, firsts)
    if symmetric:
        of = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        blocks = blocks[np.lexsort((blocks, of))]
    starts = np.append(starts, starts[-1])  # of rows that nothing owns
    counts = np.diff(starts)[owners]
    offsets = np.concatenate(([0], np.cumsum(counts)))
    if not _pays(int(offsets[-1]), ranges):
        return None
    boxes = {
        I: corners(sides[I][rows.ravel()], np.arange(len(rows)) * size),
        J: corners(sides[J][columns], ends[:-1]),
    }
    tiles = owners, starts, blocks, offsets
    try:
        most, least = of_tiles(formula, numbers, boxes, tiles)
    except Unbounded:
        return None
    symmetric = symmetric and bool(np.isfinite(most).all())
    return Screen(rows, heights, torch.from_numpy(columns), ends, tiles, most, least, symmetric)


def _pays(tiles: int, ranges: Ranges) -> bool:
    return 0 < FEWEST * tiles <= ranges.pairs and tiles <= TILES


def _fewest(ranges: Ranges, size: int) -> int:
    """The tiles that there are at least, told before any is made."""
    heights, widths = (-(-(r[:, 1] - r[:, 0]) // size) for r in (ranges.rows, ranges.columns))
    ends = np.concatenate(([0], np.cumsum(widths)))
    return int((heights * (ends[ranges.slices] - ends[ranges.opens])).sum())


def _columns(points: Array, cells: Array, size: int) -> tuple[Array, Array, dict[int, int]]:
    """Columns in order, where their blocks begin, and the block that begins at each end of a cell."""
    orders, sizes, firsts, count = [], [], {0: 0}, 0
    for lo, hi in zip(cells[:-1].tolist(), cells[1:].tolist(), strict=True):
        part = partition(points[lo:hi], size)
        orders.append(lo + part.order)
        sizes.append(np.diff(part.starts))
        count += len(part)
        firsts[hi] = count
    ends = np.concatenate(([0], np.cumsum(np.concatenate(sizes))))
    return np.concatenate(orders), ends, firsts


def _rows(points: Array, ranges: Ranges, size: int) -> tuple[Array, Array, Array]:
    """Pieces of the blocks of rows, how many rows each has, and its block."""
    members, heights, owners = [], [], []
    for b, (lo, hi) in enumerate(ranges.rows.tolist()):
        if lo < hi:
            part = partition(points[lo:hi], size)
            members.append(_padded(lo + part.order, size))
            heights.append(np.diff(part.starts))
            owners.append(np.full(len(part), b))
    return np.concatenate(members), np.concatenate(heights), np.concatenate(owners)


def _same_rows(
    ranges: Ranges, columns: Array, ends: Array, size: int
) -> tuple[Array, Array, Array]:
    """The same of rows that stand in the blocks of columns."""
    places = np.minimum(ends[:-1, None] + np.arange(size), ends[1:, None] - 1)
    order = np.flatnonzero(ranges.rows[:, 0] < ranges.rows[:, 1])
    order = order[np.argsort(ranges.rows[order, 0])]
    at = np.searchsorted(ranges.rows[order, 0], ends[:-1], side="right") - 1
    met = (at >= 0) & (ends[:-1] < ranges.rows[order[at], 1])
    return columns[places], np.diff(ends), np.where(met, order[at], len(ranges.rows))


def _padded(order: Array, size: int) -> Array:
    places = np.minimum(np.arange(-(-len(order) // size) * size), len(order) - 1)
    return order[places].reshape(-1, size)
