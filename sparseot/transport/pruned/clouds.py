"""A cloud in blocks of 32 points, and these in groups of 16."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ...engines.base import KEPT_BLOCK
from ...engines.kept import KEPT_GROUP, filled
from ...points import CLOSED
from .cuts import block_order

__all__ = ["GROUP", "SIZE", "BlockCloud", "log2"]

SIZE, GROUP = KEPT_BLOCK, KEPT_GROUP
PIECE = 1 << 14  # blocks at a time, whole groups
SMALL = 1 << 11  # blocks, whose fits take little memory
WEIGHED = "log_weights", "masses", "log_masses", "shares"  # which are found of weights, and kept


@dataclass(frozen=True)
class Fit:
    """Least squares in blocks: offsets of points ``(C, D, B)``, and the inverse of their covariance ``(C, D, D)``."""

    offsets: Tensor
    inverse: Tensor

    @cached_property
    def squares(self) -> Tensor:
        """Squared lengths of the offsets, ``(C, B)``."""
        return self.offsets.square().sum(1)

    @staticmethod
    def of(offsets: Tensor) -> Fit:
        """With a ridge, for points on a line."""
        centred = offsets - offsets.mean(2, keepdim=True)
        normal = centred @ centred.mT
        diagonal = normal.diagonal(dim1=1, dim2=2)
        diagonal += 1e-9 * diagonal.sum(1, keepdim=True) + 1e-300
        return Fit(offsets, torch.linalg.inv_ex(normal)[0])

    def sloped(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Slopes ``(C, D)`` of values ``(C, B)``, and what they leave of these."""
        centred = values - values.mean(1, keepdim=True)
        slopes = torch.bmm(self.inverse, torch.bmm(self.offsets, centred[..., None]))
        return slopes[..., 0], values - torch.bmm(slopes.mT, self.offsets)[:, 0]


class BlockCloud:
    """Points ``(n, D)`` and weights ``(n,)`` in the order of a kd-tree, in full blocks.

    The last block is filled up with copies of the last point without weight, and so is the last
    group of blocks. Vectors over the points are in the tree's order, without what was filled in.
    All are float64 and stay on the device of the points.
    """

    def __init__(self, points: Tensor, weights: Tensor) -> None:
        self.order = block_order(points, SIZE)
        self.inverse = torch.empty_like(self.order)
        self.inverse[self.order] = torch.arange(len(points), device=points.device)
        self.points, self.weights = points[self.order], weights[self.order]
        self.n, self.dim = points.shape
        self.filled = -(-self.n // SIZE)
        groups = -(-self.filled // GROUP)
        self.blocks, self.groups = groups * GROUP, groups
        cubes = [self._cube(some) for some in self.pieces()]
        self.low, self.high = (
            torch.cat(ends) for ends in zip(*(c.aminmax(dim=1) for c in cubes), strict=True)
        )
        self.centres = (self.low + self.high) / 2
        self.group_low = self.low.view(groups, GROUP, self.dim).amin(1)
        self.group_high = self.high.view(groups, GROUP, self.dim).amax(1)
        self.group_centres = (self.group_low + self.group_high) / 2
        self.small = self.blocks <= min(SMALL, PIECE)  # one piece, of which all may be kept
        self.known: dict[int, Fit] = {}
        self.last: tuple[float, torch.dtype, Tensor] | None = None

    def fits(self, size: int) -> Iterator[tuple[slice, Fit]]:
        """Least squares in ranges of blocks, or of groups, which have so many points; kept of a small cloud."""
        if size in self.known:
            yield slice(None), self.known[size]
            return
        centres = self.centres if size == SIZE else self.group_centres
        for piece in self.pieces():
            some = slice(piece.start * SIZE // size, piece.stop * SIZE // size)
            cube = self._cube(piece).view(-1, size, self.dim)
            fit = Fit.of((cube - centres[some, None]).mT.contiguous())
            if self.small:
                self.known[size] = fit
            yield some, fit

    def pieces(self) -> list[slice]:
        """Ranges of blocks: what is found of them and not kept takes little memory at a time."""
        return [slice(k, min(k + PIECE, self.blocks)) for k in range(0, self.blocks, PIECE)]

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
    def boxes(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Centres and sides of blocks, and of groups, coordinate after coordinate."""
        sides, widths = self.high - self.low, self.group_high - self.group_low
        centres, wide = self.centres.T.contiguous(), self.group_centres.T.contiguous()
        return centres, sides.T.contiguous(), wide, widths.T.contiguous()

    def _cube(self, some: slice) -> Tensor:
        """The points of some blocks, ``(C, B, D)``."""
        points = filled(self.points, some.start * SIZE, some.stop * SIZE)
        return points.view(-1, SIZE, self.dim)

    def weighing(self, weights: Tensor) -> BlockCloud:
        """The same blocks with other weights ``(n,)`` of the points, in the order of the caller."""
        new = copy(self)
        for name in WEIGHED:
            new.__dict__.pop(name, None)
        new.weights = weights[self.order]
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
        shares = log2(self.masses * self.filled)
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
        return float(self.radii.amax())

    @property
    def _full_weights(self) -> Tensor:
        full = self.weights.new_zeros(self.blocks * SIZE)
        full[: self.n] = self.weights
        return full.view(self.blocks, SIZE)

    def blocked(self, values: Tensor) -> Tensor:
        """Values ``(n, ...)`` in the order of the caller, block after block: ``(C, B, ...)``."""
        return self.fill(values[self.order]).view(self.blocks, SIZE, *values.shape[1:])

    def fill(self, values: Tensor) -> Tensor:
        """Values of the points, repeated at the end to fill the blocks."""
        return filled(values, 0, self.blocks * SIZE)


def log2(x: Tensor) -> Tensor:
    """Logarithms in base 2; -1e30 for zero."""
    return x.log2().clamp_(min=CLOSED)
