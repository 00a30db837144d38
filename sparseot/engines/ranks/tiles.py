"""Loops over kept tiles of clouds whose blocks the ranks of a group have, each some neighbouring ones.

Each rank screens, holds and visits the tiles of its own row blocks, and likewise those of its own column blocks.
What it must know of the columns of other ranks comes from these: the boxes of all for a screen, and for sums of
the blocks that its tiles meet, its *halo*; points once, potentials each time. A list of columns is not screened for
but made of what the ranks have by rows, so that both hold the same tiles, whatever rounding says of those at the
edge. A rank finds for its rows the same bits as one process would.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from ...points import CLOSED
from ..base import KEPT_BLOCK
from ..kept import KEPT_GROUP, Anchor, Biases, Blocks, Boxes, TileLoops, TileRows, unite
from .group import Ranks

__all__ = ["SharedTiles"]

PIECE = 1 << 20  # tiles at a time, whose places take more than they do
ROWS = 1 << 12  # of blocks at a time, where places of tiles take more than the tiles


@dataclass(frozen=True)
class _Share(TileRows):
    """The tiles of the row blocks of this rank; ``blocks`` number the blocks of its halo.

    Attributes:
        ends: where the column blocks of each rank end, with a zero in front.
        halo: ``(H,)``, int64, the numbers of these among all column blocks, ascending.
        coming: how many of them each rank has.
        asked: what other ranks want of the column blocks here: their places, rank after rank,
        going: and how many each wants.
        count: of the tiles of all ranks.
        held: the last blocks of the columns here, and those of the halo.
    """

    ends: list[int]
    halo: Tensor
    coming: list[int]
    asked: Tensor
    going: list[int]
    count: int
    held: list[tuple[Blocks, Blocks]] = field(default_factory=list)

    @property
    def total(self) -> int:
        return self.count


class SharedTiles(TileLoops):
    """The loops of another engine, each rank for the blocks that it has; numbers are of all ranks."""

    def __init__(self, inner: TileLoops, ranks: Ranks) -> None:
        self.inner, self.ranks = inner, ranks

    def screen(
        self, rows: Boxes, cols: Boxes, threshold: float, near: TileRows | None = None
    ) -> tuple[TileRows, Tensor]:
        """Of the rows here, with the columns of all ranks, whose boxes all are told."""
        everywhere = self._boxes(cols)
        if not len(rows):
            none = rows.heights.int()
            return TileRows(none.new_zeros(1, dtype=torch.int64), none), rows.heights
        with self.ranks.telling():
            return self.inner.screen(rows, everywhere, threshold, near)

    def sums(
        self, tiles: TileRows, rows: Blocks, cols: Blocks, biases: Biases, *, peaks: bool = True
    ) -> tuple[Tensor, Tensor | None]:
        share, both, there = self._given(tiles, cols, biases)
        if not len(share):
            return torch.zeros_like(biases[0], dtype=torch.float64), both[0].new_zeros(0)
        with self.ranks.telling():
            return self.inner.sums(share, rows, there, both, peaks=peaks)

    def products(
        self,
        tiles: TileRows,
        rows: Blocks,
        cols: Blocks,
        biases: Biases,
        v: Tensor,
        power: float = 0,
    ) -> Tensor:
        share, both, there = self._given(tiles, cols, biases)
        values = self._fetched(share, v, "products")
        if not len(share):
            return values.new_zeros(len(biases[0]), *v.shape[1:], dtype=torch.float64)
        with self.ranks.telling():
            return self.inner.products(share, rows, there, both, values, power)

    def largest(
        self, tiles: TileRows, rows: Blocks, cols: Blocks, biases: Biases
    ) -> tuple[Tensor, Tensor]:
        share = self.own(tiles, sum(self.ranks.told(len(cols.heights))))
        share, both, there = self._given(share, cols, biases)
        if not len(share):
            nothing = torch.zeros_like(biases[0], dtype=torch.float64)
            return nothing + CLOSED, nothing.long() - 1
        with self.ranks.telling():
            out, where = self.inner.largest(share, rows, there, both)
        numbers = share.halo[(where // KEPT_BLOCK).clamp(min=0)] * KEPT_BLOCK + where % KEPT_BLOCK
        return out, torch.where(where < 0, where, numbers)

    def transpose(self, tiles: TileRows, columns: int) -> tuple[TileRows, Tensor]:
        return self.inner.transpose(tiles, columns)

    def by_rows(self, run: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
        """Each rank sums over the columns that it has for the rows of all."""
        counts = self.ranks.told(len(rows))
        everywhere = self.ranks.rows(rows, what="rows")
        with self.ranks.telling():
            found = run(everywhere)
        logs = self.ranks.rows(found[None], what="potentials")
        top = logs.amax(0)
        total = top + (logs - top).exp2().sum(0).log2()
        return total.split(counts)[self.ranks.rank]

    def biases(self, anchor: Anchor, potential: Tensor) -> tuple[Tensor, Tensor, Tensor | float]:
        rows = cols = anchor.below.to(anchor.dtype)
        rise: Tensor | float = -math.inf
        if len(potential):
            with self.ranks.telling():
                rows, cols, rise = self.inner.biases(anchor, potential)
        return rows, cols, self.ranks.largest(float(rise))

    def above(
        self, tiles: TileRows, peaks: Tensor, sums: Tensor, within: tuple[float, float], bar: float
    ) -> Tensor:
        return self.inner.above(tiles, peaks, sums, within, bar)

    def marginal(
        self, total: Tensor, weights: Tensor, wanted: Tensor | float, within: tuple[float, float]
    ) -> tuple[Tensor | float, Tensor | float, Tensor | bool]:
        lack, mass, sound = 0.0, 0.0, True
        if len(total):
            with self.ranks.telling():
                found = self.inner.marginal(total, weights, wanted, within)
            lack, mass, sound = float(found[0]), float(found[1]), bool(found[2])
        lack, mass, lost = self.ranks.sums(lack, mass, not sound)
        return lack, mass, not lost

    # --- who holds what ---

    def own(self, tiles: TileRows, columns: int) -> TileRows:
        if isinstance(tiles, _Share):
            return tiles
        ends = [end * KEPT_GROUP for end in self.ranks.ends(columns // KEPT_GROUP)]
        return self._share(tiles, ends)

    def turned(self, tiles: TileRows, columns: int) -> TileRows:
        share, rows = _shared(tiles), _places(self.ranks.told(len(tiles.starts) - 1))
        with self.ranks.telling():
            turned = self.inner.transpose(share, len(share.halo))[0]
        counts = turned.starts.diff()
        going = turned.starts[_places(share.coming)].diff().tolist()
        told = self.ranks.sent(counts, share.coming, share.going, "tiles").split(share.going)
        first, last = share.ends[self.ranks.rank : self.ranks.rank + 2]
        mine = counts.new_zeros(self.ranks.size, last - first)
        for one, some, number in zip(mine, share.asked.split(share.going), told, strict=True):
            one[some] = number
        numbers, coming = turned.blocks.add_(rows[self.ranks.rank]), mine.sum(1).tolist()
        del turned  # lists are long
        parts = self.ranks.sent(numbers, going, coming, "tiles").split(coming)
        del numbers
        return self._share(TileRows.of(mine.sum(0), _merged(list(parts), mine)), rows, ours=True)

    def whole(self, tiles: TileRows) -> TileRows:
        if not isinstance(tiles, _Share):
            return tiles
        counts, numbers = tiles.starts.diff(), tiles.halo.int()[tiles.blocks]
        return TileRows.of(*(self.ranks.rows(t, what="tiles") for t in (counts, numbers)))

    def either(
        self, sides: tuple[TileRows, TileRows], marks: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Marks of the columns go to whoever has the rows of their tiles, and come back."""
        rows, cols = map(_shared, sides)
        if not all(self.ranks.told(int(len(marks[1]) == len(cols)))):
            # of a cloud and itself, whose list is not quite symmetric
            return marks[0].new_ones(len(rows)), marks[0].new_ones(len(cols))
        turned, places = self.inner.transpose(rows, len(rows.halo))
        ranges = pairwise(_places(cols.coming))
        theirs = [(cols.blocks >= first) & (cols.blocks < last) for first, last in ranges]
        going = [marks[1].masked_select(some).view(torch.uint8) for some in theirs]
        told = torch.cat(self.ranks.exchange(going, "marks")).view(torch.bool)
        keep, kept = marks[0].clone(), torch.empty_like(marks[1])
        unite(keep, told, places)
        answers = _cut(told.view(torch.uint8), turned.starts[_places(rows.coming)].tolist())
        for some, answer in zip(theirs, self.ranks.exchange(answers, "marks"), strict=True):
            kept.masked_scatter_(some, answer.view(torch.bool))  # an index takes eight bytes a tile
        return keep, kept

    def only(self, tiles: TileRows, keep: Tensor) -> TileRows:
        share = _shared(tiles)
        share.held.clear()
        found, halo = super().only(share, keep), share.halo.int()
        for some in found.blocks.split(PIECE):
            some.copy_(halo[some])
        return self._share(found, share.ends, ours=True)

    # --- exchanges ---

    def _share(self, tiles: TileRows, ends: list[int], ours: bool = False) -> _Share:
        """The tiles of rows here, whose columns have numbers of all; between these ends each rank has its own.

        ``ours`` says that nobody else has the list, which is renumbered where it is.
        """
        met = torch.zeros(ends[-1], dtype=torch.bool, device=tiles.blocks.device)
        for some in tiles.blocks.split(PIECE):
            met[some] = True
        halo, places = met.nonzero()[:, 0], met.cumsum(0, dtype=torch.int32) - 1
        coming = torch.searchsorted(halo, halo.new_tensor(ends)).diff().tolist()
        wanted = self.ranks.exchange(list(halo.split(coming)), "tiles")
        going = [len(some) for some in wanted]
        asked = torch.cat(wanted) - ends[self.ranks.rank]
        count = sum(self.ranks.told(len(tiles)))
        blocks = tiles.blocks if ours else torch.empty_like(tiles.blocks)
        for some, new in zip(tiles.blocks.split(PIECE), blocks.split(PIECE), strict=True):
            new.copy_(places[some])
        return _Share(tiles.starts, blocks, ends, halo, coming, asked, going, count)

    def _given(
        self, tiles: TileRows, cols: Blocks, biases: Biases
    ) -> tuple[_Share, Biases, Blocks]:
        """The tiles, the biases of rows here and of the halo, and its blocks, which stay the same for a while."""
        share = _shared(tiles)
        if not share.held or share.held[0][0] is not cols:
            parts = (getattr(cols, part.name) for part in fields(cols))
            share.held[:] = [(cols, Blocks(*(self._fetched(share, t, "points") for t in parts)))]
        return share, (biases[0], self._fetched(share, biases[1], "potentials")), share.held[0][1]

    def _fetched(self, share: _Share, values: Tensor, what: str) -> Tensor:
        """Of values ``(C, ...)`` of the column blocks of all ranks those of the halo."""
        rank, found = self.ranks.rank, values.new_empty(len(share.halo), *values.shape[1:])
        asked, places = share.asked.split(share.going), found.split(share.coming)
        torch.index_select(values, 0, asked[rank], out=places[rank])  # which need not travel
        going = torch.cat([*asked[:rank], *asked[rank + 1 :], share.asked[:0]])
        counts, coming = ([*c[:rank], 0, *c[rank + 1 :]] for c in (share.going, share.coming))
        told = self.ranks.sent(values[going], counts, coming, what).split(coming)
        for place, part in zip(places, told, strict=True):
            place[: len(part)] = part
        return found

    def _boxes(self, boxes: Boxes) -> Boxes:
        """Those of all ranks."""
        flat = [torch.atleast_2d(getattr(boxes, part.name)) for part in fields(boxes)]
        found = self.ranks.rows(torch.cat(flat), 1, "boxes").split([len(part) for part in flat])
        shaped = (
            t if getattr(boxes, part.name).dim() > 1 else t[0]
            for t, part in zip(found, fields(boxes), strict=True)
        )
        return Boxes(*(t.contiguous() for t in shaped))


def _shared(tiles: TileRows) -> _Share:
    assert isinstance(tiles, _Share)
    return tiles


def _places(counts: list[int]) -> list[int]:
    """Where parts of these lengths end, with a zero in front."""
    return [0, *accumulate(counts)]


def _cut(t: Tensor, ends: list[int]) -> list[Tensor]:
    """The parts of a tensor between places."""
    return [t[first:last] for first, last in pairwise(ends)]


def _merged(parts: list[Tensor], counts: Tensor) -> Tensor:
    """Lists of the same rows, of which each has ``counts`` ``(P, C)``, as one: in each row part after part."""
    lengths = counts.sum(0)
    begin = (lengths.cumsum(0) - lengths) + (counts.cumsum(0) - counts)
    found = parts[0].new_empty(sum(map(len, parts)))
    for part, number, at in zip(parts, counts, begin, strict=True):
        first = 0
        for some, place in zip(number.split(ROWS), at.split(ROWS), strict=True):
            last = first + int(some.sum())
            shift = place - (some.cumsum(0) - some)
            places = shift.repeat_interleave(some, output_size=last - first)
            places += torch.arange(last - first, device=part.device)
            found[places], first = part[first:last], last
    return found
