"""Two clouds in tiles: which ones a sum takes, how they are packed, and how many programs share them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ...pairs import BlockPairs
from ..base import LOG2E, Reductions, centred
from .card import launches, tuning
from .packing import Layout, Packed, listed, pack
from .shapes import CROWDED, LISTED, LOW_DIMENSION, ROOTED, Shape, candidates, shape_of

__all__ = ["Tiled"]

NOTHING = -1e38  # logarithm of the weight of a point that is not there, below that of none (-1e30)
WORTH = 4  # tiles that are worth a program of their own


class Tiled(Reductions):
    """One pair of clouds ``(B, N, D)`` and ``(B, M, D)``.

    Args:
        halves: how many numbers in half precision stand for one where coordinates are multiplied.
        pairs: the kept pairs of blocks, or None.
        tuned: whether large sums take the tile that is the fastest here.
        forced: the tile of all sums, or None.
    """

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        halves: int,
        pairs: BlockPairs | None,
        tuned: bool = False,
        forced: Shape | None = None,
    ) -> None:
        self.x, self.y = centred(x, y)
        self.asked, self.tuned, self.forced = halves, tuned, forced
        self.items, self.real, self.crowded = len(x), launches.real(x.dtype), x.shape[-1] > CROWDED
        many = x.shape[-1] > LOW_DIMENSION and x.dtype == torch.float32
        self.halves = halves if many and pairs is None else 0
        self.lists: tuple[Tensor, ...] = ()
        self.layouts: tuple[Layout, Layout] | None = None
        if pairs is not None:
            rows, cols, *lists = listed(pairs, *LISTED, x.device)
            self.layouts, self.lists = (rows, cols), tuple(lists)
        self.packs: dict[tuple[int, Shape], Packed] = {}

    def _usual(self, halves: int, wide: bool, many: bool = False) -> Shape:
        """The tile of a sum that multiplies coordinates, or takes differences; with many right-hand sides.

        In double precision there are twice as many warps for roots, and for ``many`` coordinates of what moves sums.
        """
        found = shape_of(self.x.dtype, self.x.shape[-1], halves > 0, wide, bool(self.lists))
        return found._replace(warps=ROOTED) if many and self.x.dtype == torch.float64 else found

    def _shape(
        self, kind: tuple[Any, ...], usual: Shape, run: Callable[..., object], held: bool = False, full: bool = False
    ) -> Shape:  # fmt: skip
        """The tile of a sum: of large ones the fastest, by sums of parts of both clouds.

        Args:
            kind: which sum it is.
            usual: the tile of small ones.
            run: takes such a sum, of given reductions and with what takes the same part of rows and columns.
            held: whether there are products whose columns are not to be halved.
            full: whether no other tile fits.
        """
        if self.forced:
            return self.forced
        size = self.items, self.x.shape[1], self.y.shape[1]
        if not self.tuned or self.lists or size[0] * size[1] * size[2] < tuning.ENOUGH:
            return usual
        items, high, wide = tuning.strides(*size, tuning.TRIED)

        def trial(shape: Shape) -> Callable[[], object]:
            x, y = self.x[items, high], self.y[items, wide]
            one = type(self)(x, y, self.asked, None, forced=shape)
            if "radius" in vars(self):  # which decides how squares are taken
                one.radius = self.radius
            return lambda: run(one, _part(items, high), _part(items, wide))

        kind = *kind, self.x.shape[-1], str(self.x.dtype)
        return tuning.CHOICES.best(kind, candidates(usual, held, full), trial, self.x.device)

    def _packed(self, halves: int, shape: Shape) -> Packed:
        """The clouds for tiles of a shape."""
        key = halves, shape._replace(warps=0)
        if key not in self.packs:
            found = pack((self.x, self.y), shape, halves, self.layouts)
            found.switches.update(HALVES=halves, REAL=self.real)
            self.packs[key] = found
        return self.packs[key]

    def _scalings(
        self, packed: Packed, row: Tensor | None, col: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Logarithmic scalings in base 2, zero where there are none; minus infinity beyond the columns."""
        rows, cols = packed.layouts
        here = self.x.new_zeros(self.x.shape[:2]) if row is None else row
        there = self.x.new_zeros(self.y.shape[:2]) if col is None else col
        return rows.fill(here * LOG2E), cols.fill(there * LOG2E, NOTHING)

    def _parts(self, packed: Packed, groups: int) -> int:
        """Among how many programs the columns of a row of tiles are shared: few rows leave a device idle."""
        rows, cols = packed.layouts
        if self.lists:
            return 1
        idle = launches.programs(self.x.device) // (rows.blocks * self.items * groups)
        return max(1, min(idle, cols.blocks // WORTH))

    @cached_property
    def radius(self) -> float:
        """The largest squared distance from the centre."""
        return float(max(points.square().sum(-1).amax() for points in (self.x, self.y)))


def _part(items: slice, places: slice) -> Callable[..., Tensor | None]:
    """What takes a part of a vector, or of numbers of items."""

    def part(t: Tensor | None, single: bool = False) -> Tensor | None:
        return None if t is None else t[items] if single else t[items, places]

    return part
