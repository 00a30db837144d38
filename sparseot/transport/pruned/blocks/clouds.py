"""A cloud in blocks of 32 points, and these in groups of 16; of a cloud that ranks share, those of one rank."""

from __future__ import annotations

import math
from collections.abc import Iterator
from copy import copy
from functools import cached_property

import torch
from torch import Tensor

from ....engines.base import KEPT_BLOCK
from ....engines.kept import KEPT_GROUP, filled
from ....engines.ranks.group import Ranks
from ....points import CLOSED
from .cuts import ascending, block_order
from .fits import Fit

__all__ = ["GROUP", "SIZE", "BlockCloud", "log2"]

SIZE, GROUP = KEPT_BLOCK, KEPT_GROUP
PIECE = 1 << 14  # blocks at a time, whole groups
SMALL = 1 << 11  # blocks, whose fits take little memory
WEIGHED = "log_weights", "masses", "log_masses", "shares", "mass"  # found of weights, and kept


class BlockCloud:
    """Points ``(n, D)`` and weights ``(n,)`` in the order of a kd-tree, in full blocks.

    The last block is filled up with copies of the last point without weight, and so is the last
    group of blocks. Vectors over the points are in the tree's order, without what was filled in.
    All are float64 and stay on the device of the points; ``every`` are these as they came.

    Each rank of a group has some neighbouring groups, which lie together in space: its vectors are those of its points.
    Ranks are given the same cloud, or each the points of its groups (:meth:`apart`), and ``every`` is None.

    Attributes:
        n, blocks, groups: how many there are here; ``filled`` blocks hold points.
        count, all_blocks, all_filled: of all ranks. The blocks of those before this one are ``before``.
    """

    every: tuple[Tensor, Tensor] | None

    def __init__(
        self,
        points: Tensor,
        weights: Tensor,
        ranks: Ranks | None = None,
        order: Tensor | None = None,
    ) -> None:
        self.every = points, weights
        count = len(points)
        order = ascending(block_order(points, SIZE), SIZE) if order is None else order
        if ranks is not None:  # what each of them has of all points is short
            part = ranks.part(-(-count // (SIZE * GROUP)))
            order = order[part.start * GROUP * SIZE : part.stop * GROUP * SIZE].clone()
        mine = points[order].double(), weights[order].double()
        self._cut(*mine, order, count, ranks)

    @staticmethod
    def apart(
        points: Tensor, weights: Tensor, order: Tensor, count: int, ranks: Ranks
    ) -> BlockCloud:
        """Of ``count`` points of all ranks those ``(k, D)`` of the blocks of this one, and which ``(k,)`` they are."""
        new = BlockCloud.__new__(BlockCloud)
        new.every = None
        new._cut(points, weights, order, count, ranks)
        return new

    def _cut(
        self, points: Tensor, weights: Tensor, order: Tensor, count: int, ranks: Ranks | None
    ) -> None:
        self.points, self.weights, self.ranks, self.count = points, weights, ranks, count
        self.n, self.dim = points.shape
        groups = -(-count // (SIZE * GROUP))
        mine = slice(0, groups) if ranks is None else ranks.part(groups)
        self.order = order if ranks is None or count >= 1 << 31 else order.int()
        self.all_blocks, self.before = groups * GROUP, mine.start * GROUP
        self.groups = mine.stop - mine.start
        self.blocks = self.groups * GROUP
        self.filled, self.all_filled = -(-self.n // SIZE), -(-self.count // SIZE)
        cubes = [self._cube(some) for some in self.pieces()]
        self.low, self.high = (
            torch.cat(ends) for ends in zip(*(c.aminmax(dim=1) for c in cubes), strict=True)
        )
        self.centres = (self.low + self.high) / 2
        self.small = self.blocks <= min(SMALL, PIECE)  # one piece, of which all may be kept
        self.known: dict[int, Fit] = {}
        self.last: tuple[float, torch.dtype, Tensor] | None = None

    # --- vectors of all points, in the order of the caller ---

    def own(self, values: Tensor) -> Tensor:
        """Of values ``(N, ...)`` of all points those that are here, in the order of the tree."""
        return values[self.order]

    def whole(self, values: Tensor) -> Tensor:
        """Those of all points, of those that each rank has in the order of the tree."""
        if self.ranks is None:
            return values[self.inverse]
        found = values.new_empty(self.count, *values.shape[1:])
        wide, narrow = (t[:, None].flatten(1).unbind(1) for t in (found, values))
        places = self._everywhere
        for column, mine in zip(wide, narrow, strict=True):  # one by one, which takes less memory
            column[places] = self.ranks.rows(mine, what="potentials")
        return found

    @property
    def _everywhere(self) -> Tensor:
        """The order of all points."""
        return self.order if self.ranks is None else self.ranks.rows(self.order, what="numbers")

    @property
    def given(self) -> tuple[Tensor, Tensor]:
        """Points ``(N, D)`` and weights ``(N,)`` of all ranks, in the order of the caller."""
        return self.every or (self.whole(self.points), self.whole(self.weights))

    @cached_property
    def inverse(self) -> Tensor:
        """The places of all points in the order of the tree; of a cloud that is not shared."""
        found = torch.empty_like(self.order)
        found[self.order] = torch.arange(self.count, device=found.device)
        return found

    @property
    def alone(self) -> BlockCloud:
        """The cloud as one process has it."""
        return (
            self if self.ranks is None else BlockCloud(*self.given, order=self._everywhere.long())
        )

    # --- numbers of all ranks ---

    def total(self, *numbers: float) -> tuple[float, ...]:
        """The sums over all ranks of numbers of their points."""
        return numbers if self.ranks is None else self.ranks.sums(*numbers)

    def most(self, number: float) -> float:
        """The largest of all ranks; NaN if one is."""
        return number if self.ranks is None else self.ranks.largest(number)

    def highest(self, values: Tensor) -> float:
        """The largest value ``(n,)`` of all ranks; some may have none."""
        return self.most(float(values.amax()) if len(values) else -math.inf)

    @cached_property
    def origin(self) -> Tensor:
        """The centre of the first block of all."""
        first = self.centres[:1]
        return (first if self.ranks is None else self.ranks.rows(first))[0]

    @cached_property
    def centre(self) -> Tensor:
        """The mean of all points."""
        return self.mean(self.points)

    def mean(self, values: Tensor) -> Tensor:
        """The mean over all points of values ``(n, R)`` of those that are here."""
        if self.ranks is None:
            return values.mean(0)
        return self.ranks.rows(values.sum(0, keepdim=True)).sum(0) / self.count

    @cached_property
    def corners(self) -> tuple[Tensor, Tensor]:
        """Opposite corners of the box around all points."""
        low, high = self.group_low, self.group_high
        if self.ranks is not None:
            low, high = (self.ranks.rows(t) for t in (low, high))
        return low.amin(0), high.amax(0)

    @cached_property
    def mass(self) -> float:
        """The weight of all points."""
        return self.total(float(self.weights.sum()))[0]

    # --- blocks ---

    def fits(self, size: int) -> Iterator[tuple[slice, Fit]]:
        """Least squares in ranges of blocks, or of groups, which have so many points; kept of a small cloud."""
        if size in self.known:
            yield slice(None), self.known[size]
            return
        middles = self.boxes(size)[0].T
        for piece in self.pieces():
            some = slice(piece.start * SIZE // size, piece.stop * SIZE // size)
            cube = self._cube(piece).view(-1, size, self.dim)
            fit = Fit.of((cube - middles[some, None]).mT.contiguous())
            if self.small:
                self.known[size] = fit
            yield some, fit

    def pieces(self) -> list[slice]:
        """Ranges of blocks: what is found of them and not kept takes little memory at a time."""
        ends = range(0, max(1, self.blocks), PIECE)  # of none at all one that is empty
        return [slice(k, min(k + PIECE, self.blocks)) for k in ends]

    def offsets(self, some: slice) -> Tensor:
        """The points of some blocks, from their centres: ``(C, D, B)``. Not kept."""
        if SIZE in self.known:
            return self.known[SIZE].offsets
        return (self._cube(some) - self.centres[some, None]).mT

    def scaled(self, unit: float, dtype: torch.dtype) -> Tensor:
        """Times a number, with three coordinates at least; the last ones are kept of a small cloud."""
        if self.last is not None and self.last[:2] == (unit, dtype):
            return self.last[2]
        size = self.blocks, max(3, self.dim), SIZE
        offsets = self.centres.new_zeros(*size, dtype=dtype)
        for some in self.pieces():
            torch.mul(self.offsets(some), unit, out=offsets[some, : self.dim])
        if self.small:
            self.last = unit, dtype, offsets
        return offsets

    @cached_property
    def group_low(self) -> Tensor:
        """Corners of the box around each group,"""
        return self.low.view(self.groups, GROUP, self.dim).amin(1)

    @cached_property
    def group_high(self) -> Tensor:
        """and the opposite ones."""
        return self.high.view(self.groups, GROUP, self.dim).amax(1)

    def boxes(self, size: int) -> tuple[Tensor, Tensor]:
        """Centres and sides of blocks, or of groups, which have so many points; coordinate after coordinate."""
        ends = (self.low, self.high) if size == SIZE else (self.group_low, self.group_high)
        low, high = (t.T.contiguous() for t in ends)
        return (low + high) / 2, high - low

    def _cube(self, some: slice) -> Tensor:
        """The points of some blocks, ``(C, B, D)``."""
        points = filled(self.points, some.start * SIZE, some.stop * SIZE)
        return points.view(-1, SIZE, self.dim)

    def weighing(self, weights: Tensor) -> BlockCloud:
        """The same blocks with other weights ``(N,)`` of all points, in the order of the caller."""
        new = copy(self)
        for name in WEIGHED:
            new.__dict__.pop(name, None)
        assert self.every is not None
        new.every, new.weights = (self.every[0], weights), weights[self.order].double()
        return new

    @cached_property
    def log_weights(self) -> Tensor:
        """Logarithms in base 2, block after block; -1e30 for zero and for what was filled in."""
        return log2(self._full_weights)

    @property
    def filled_in(self) -> Tensor:
        """Zero for each point, -1e30 for the copies that fill the last blocks."""
        full = torch.zeros_like(self._full_weights)
        full.view(-1)[self.n :] = CLOSED
        return full

    @cached_property
    def masses(self) -> Tensor:
        """The mass of each block."""
        return self._full_weights.sum(1)

    @cached_property
    def log_masses(self) -> tuple[Tensor, Tensor]:
        """Logarithms of the mass of each block, and of each group."""
        every = torch.cat((self.masses, self.masses.view(self.groups, GROUP).sum(1)))
        blocks, groups = log2(every).split((self.blocks, self.groups))
        return blocks, groups

    @cached_property
    def shares(self) -> tuple[Tensor, Tensor]:
        """Logarithms of masses, those of all blocks being one on average; the largest of a group."""
        shares = log2(self.masses * self.all_filled)
        return shares, shares.view(self.groups, GROUP).amax(1)

    @cached_property
    def radii(self) -> Tensor:
        """The squared radius of each block about its centre."""
        if self.small:
            return torch.cat([fit.squares.amax(1) for _, fit in self.fits(SIZE)])
        return torch.cat([self.offsets(some).square_().sum(1).amax(1) for some in self.pieces()])

    @cached_property
    def widest(self) -> float:
        """The largest of them."""
        return self.most(float(self.radii.amax()) if self.blocks else 0.0)

    @property
    def _full_weights(self) -> Tensor:
        full = self.weights.new_zeros(self.blocks * SIZE)
        full[: self.n] = self.weights
        return full.view(self.blocks, SIZE)

    def blocked(self, values: Tensor) -> Tensor:
        """Values ``(N, ...)`` in the order of the caller, block after block: ``(C, B, ...)``."""
        return self.fill(self.own(values)).view(self.blocks, SIZE, *values.shape[1:])

    def fill(self, values: Tensor) -> Tensor:
        """Values of the points, repeated at the end to fill the blocks."""
        return filled(values, 0, self.blocks * SIZE)


def log2(x: Tensor) -> Tensor:
    """Logarithms in base 2; -1e30 for zero."""
    return x.log2().clamp_(min=CLOSED)
