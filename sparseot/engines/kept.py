"""What an engine is for kept pairs: operations on blocks of points, and what they are handed.

A cloud stands in C blocks of B = ``KEPT_BLOCK`` points, and these in groups of ``KEPT_GROUP`` neighbours. A *tile*
is a pair of blocks. Lengths and potentials are in units in which the exponents of a plan are powers of two. All tensors
lie on one device; compiled loops see those of a CPU as NumPy arrays, without a copy. Loops know one cost (:func:`..choose.tile_loops`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .threads import shares_of

__all__ = [
    "KEPT_GROUP",
    "Anchor",
    "Biases",
    "Blocks",
    "Boxes",
    "TileLoops",
    "TileRows",
    "filled",
    "unite",
    "views",
]

KEPT_GROUP = 16  # blocks in a group, the upper level of a screen
PIECE = 1 << 20  # tiles at a time, where places among them take more than the tiles
TILES = 256  # that are worth a thread: some tenths of a millisecond

Array = np.ndarray[Any, Any]
Biases = tuple[Tensor, Tensor]  # of the rows, and of the columns


def filled(values: Tensor, start: int, stop: int) -> Tensor:
    """Values ``(n, ...)`` from place to place, the last of all in the place of those beyond."""
    some, more = values[start:stop], stop - max(start, len(values))
    return torch.cat((some, values[-1:].expand(more, *values.shape[1:]))) if more > 0 else some


def views(*tensors: Tensor) -> tuple[Array, ...]:
    """Tensors of a CPU as arrays, in the layout that loops are compiled for."""
    return tuple([t.contiguous().numpy() for t in tensors])


@dataclass(frozen=True)
class Blocks:
    """A cloud and a potential, in the frames of its blocks.

    At the point ``centre + dx`` the potential is ``height + slope . dx + bias``, and what the cost takes off it: ``|dx|^2 / 2``
    where it is half of a square, else nothing. The biases ``(C, B)``, in the precision of the loops, change from sum to sum.

    Attributes:
        centres: ``(C, D)``, float64; D is at least 3, by coordinates that are zero.
        slopes: ``(C, D)``, float64.
        heights: ``(C,)``, float64.
        offsets: ``(C, D, B)``, dx in the precision of the loops.
    """

    centres: Tensor
    slopes: Tensor
    heights: Tensor
    offsets: Tensor

    @cached_property
    def arrays(self) -> tuple[Array, ...]:
        """Views of these tensors, in this order."""
        return views(self.centres, self.slopes, self.heights, self.offsets)

    @cached_property
    def radii(self) -> Tensor:
        """The largest length of an offset in each block, ``(C,)``, float64."""
        return self.offsets.double().square().sum(1).amax(1).sqrt()


@dataclass(frozen=True)
class Anchor:
    """A potential of a cloud, and what makes biases of others near it.

    Biases are ``below`` ``(C, B)`` and ``height`` times a potential ``(n,)``, whose last number fills
    up the blocks; those of columns have ``logs`` ``(C, B)`` too. ``built`` is the potential itself."""

    below: Tensor
    built: Tensor
    logs: Tensor
    height: float
    dtype: torch.dtype

    @cached_property
    def arrays(self) -> tuple[Array, ...]:
        """Views of these tensors, in this order; those of blocks are flat."""
        return views(self.below.reshape(-1), self.built, self.logs.reshape(-1))


@dataclass(frozen=True)
class Boxes:
    """What a screen reads of C blocks, or of C groups: float64, coordinate after coordinate.

    Attributes:
        centres: ``(D, C)``, of the bounding boxes.
        sides: ``(D, C)``, half of them.
        slopes: ``(D, C)``; inside of a box the potential is at most ``height + slope . dx``.
        heights: ``(C,)``.
        shares: ``(C,)``, added to exponents where tiles are chosen: logarithms of masses, one on average.
        masses: ``(C,)``, logarithms of the mass of the points.
    """

    centres: Tensor
    sides: Tensor
    slopes: Tensor
    heights: Tensor
    shares: Tensor
    masses: Tensor

    def at(self, places: Tensor) -> Boxes:
        """Those of the numbers ``places``, of any shape, which takes the place of C."""
        return Boxes(*(getattr(self, field.name)[..., places] for field in fields(self)))

    @property
    def arrays(self) -> tuple[Array, ...]:
        """Views of these tensors, in this order."""
        return views(*vars(self).values())

    def __len__(self) -> int:
        return len(self.heights)


@dataclass(frozen=True)
class TileRows:
    """Kept tiles as a CSR matrix: row block I meets ``blocks[starts[I]:starts[I + 1]]``.

    Attributes:
        starts: ``(C + 1,)``, int64.
        blocks: ``(T,)``, int32, the column blocks, ascending in each row.
    """

    starts: Tensor
    blocks: Tensor

    @staticmethod
    def of(counts: Tensor, blocks: Tensor) -> TileRows:
        """From the numbers of tiles in each row."""
        return TileRows(torch.cat((counts.new_zeros(1), counts.cumsum(0))), blocks)

    @property
    def total(self) -> int:
        """The number of tiles, those of other ranks too."""
        return len(self)

    @cached_property
    def arrays(self) -> tuple[Array, ...]:
        """Views of both."""
        return views(self.starts, self.blocks)

    @cached_property
    def owners(self) -> Tensor:
        """The row block of each tile, ``(T,)``, int32."""
        rows = torch.arange(len(self.starts) - 1, device=self.starts.device, dtype=torch.int32)
        # told how long it is, the device need not be waited for
        return rows.repeat_interleave(self.starts.diff(), output_size=len(self))

    @cached_property
    def ranges(self) -> list[int]:
        """The ends of ranges of row blocks with about as many tiles, for threads of our own on a CPU."""
        shares = shares_of(len(self), TILES)
        if shares == 1:
            return [0, len(self.starts) - 1]
        ends = torch.searchsorted(self.starts, torch.arange(1, shares) * len(self) // shares)
        return [0, *ends.tolist(), len(self.starts) - 1]

    @cached_property
    def spans(self) -> list[int]:
        """The ends of the same ranges, as places among the tiles."""
        return self.starts[self.ranges].tolist()

    def __len__(self) -> int:
        return len(self.blocks)


def unite(rows: Tensor, cols: Tensor, places: Tensor) -> None:
    """Marks of tiles by rows, and by columns, of which each has a place among the first, become those of either."""
    for some, theirs in zip(places.split(PIECE), cols.split(PIECE), strict=True):
        theirs |= rows[some]
        rows[some] = theirs


class TileLoops(ABC):
    """Reductions over kept tiles, for one cost."""

    @abstractmethod
    def screen(
        self, rows: Boxes, cols: Boxes, threshold: float, near: TileRows | None = None
    ) -> tuple[TileRows, Tensor]:
        """The tiles that may matter, and a bound on what all others hold of a row.

        A tile is kept where the largest exponent of its boxes plus the larger one of both ``shares`` reaches the threshold.

        Args:
            rows, cols: boxes of the blocks of both.
            threshold: an exponent.
            near: the pairs of groups of boxes to look into; None for all pairs of boxes.

        Returns:
            The tiles, and ``(C,)`` sums of ``2 ** (bound + mass)`` over those that were dropped: no
            sum over a row, weighted by the masses of the columns, misses more.
        """

    @abstractmethod
    def sums(
        self, tiles: TileRows, rows: Blocks, cols: Blocks, biases: Biases, *, peaks: bool = True
    ) -> tuple[Tensor, Tensor | None]:
        """Sums of ``2 ** E`` over the columns, ``(C, B)`` in float64, and the largest one of each tile, or None without ``peaks``."""

    @abstractmethod
    def products(
        self,
        tiles: TileRows,
        rows: Blocks,
        cols: Blocks,
        biases: Biases,
        v: Tensor,
        power: float = 0,
    ) -> Tensor:
        """Products with the values ``v`` ``(C, R, B)`` of the columns, of that shape and in float64.

        Entries are multiplied by a power of the distance, if the cost is one; negative powers of zero are zero.
        """

    @abstractmethod
    def largest(
        self, tiles: TileRows, rows: Blocks, cols: Blocks, biases: Biases
    ) -> tuple[Tensor, Tensor]:
        """The largest exponent E of each row, and its column, ``(C, B)`` in float64 and int64.

        Columns are numbered block after block; a row that meets none has -1e30 and -1.
        """

    @abstractmethod
    def transpose(self, tiles: TileRows, columns: int) -> tuple[TileRows, Tensor]:
        """The tiles seen from that many column blocks, and their places ``(T,)`` among the old ones."""

    @abstractmethod
    def biases(self, anchor: Anchor, potential: Tensor) -> tuple[Tensor, Tensor, Tensor | float]:
        """Biases of a potential ``(n,)`` for rows and for columns, and how far it has risen above the anchor."""

    @abstractmethod
    def marginal(
        self, total: Tensor, weights: Tensor, wanted: Tensor | float, within: tuple[float, float]
    ) -> tuple[Tensor | float, Tensor | float, Tensor | bool]:
        """Of sums ``(n,)``: the weighted distance from what is wanted, the mass, and whether all lie within."""

    # What follows concerns ranks of a group, which have some blocks of each cloud, and the tiles of these as rows.

    def own(self, tiles: TileRows, columns: int) -> TileRows:
        """Tiles of the row blocks that are here, for the loops; their columns are numbered among those of all ranks."""
        return tiles

    def turned(self, tiles: TileRows, columns: int) -> TileRows:
        """All tiles of the column blocks that are here, as rows; of all ranks there are so many ``columns``."""
        return self.transpose(tiles, columns)[0]

    def whole(self, tiles: TileRows) -> TileRows:
        """The tiles of all ranks."""
        return tiles

    def either(
        self, sides: tuple[TileRows, TileRows], marks: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Which tiles are marked from one side or from the other; truth values, seen from both."""
        rows, cols = marks[0].clone(), marks[1].clone()
        unite(rows, cols, self.transpose(sides[0], len(sides[1].starts) - 1)[1])
        return rows, cols

    def only(self, tiles: TileRows, keep: Tensor) -> TileRows:
        """Those tiles that are to be kept."""
        starts = torch.zeros_like(tiles.starts)
        for first in range(0, len(keep), PIECE):  # numbers of all tiles take more than the tiles
            before = keep[first : first + PIECE].cumsum(0)
            places = (tiles.starts - first).clamp_(0, len(before))
            starts += torch.cat((before.new_zeros(1), before))[places]
        return TileRows(starts, tiles.blocks.masked_select(keep))

    def above(
        self, tiles: TileRows, peaks: Tensor, sums: Tensor, within: tuple[float, float], bar: float
    ) -> Tensor:
        """Which tiles have a peak above ``bar`` times the least sum of their rows, clamped ``within``."""
        bars = (sums.amin(1).clamp(*within) * bar).to(peaks)
        return peaks > bars.repeat_interleave(tiles.starts.diff(), output_size=len(tiles))

    def by_rows(self, run: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
        """Logarithms in base 2 of sums over all columns; ``run`` tells them for rows, over the columns that are here."""
        return run(rows)
