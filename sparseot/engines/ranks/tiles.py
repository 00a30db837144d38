"""Loops over kept tiles whose row blocks are shared among the ranks of a group.

Each rank screens, holds and visits the tiles of its own row blocks, from a first one to a last one, and
likewise those of its own column blocks: of both lists it has about as many tiles as any other. A list of
columns is not screened for but made of what the ranks have by rows, so that both hold the same tiles, whatever
rounding says of those at the edge. A rank finds for its rows the same bits as one process would.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from itertools import pairwise

import torch
from torch import Tensor

from ..kept import KEPT_GROUP, Biases, Blocks, Boxes, TileLoops, TileRows, unite
from .group import Ranks

__all__ = ["SharedTiles"]

ROWS = 1 << 12  # of blocks at a time, where places of tiles take more than the tiles


@dataclass(frozen=True)
class _Share(TileRows):
    """Of the tiles of all ranks those that are held here; row blocks of others are empty.

    Attributes:
        ends: where the row blocks of each rank end, with a zero in front.
        count: of the tiles of all ranks.
    """

    ends: list[int]
    count: int

    @property
    def total(self) -> int:
        return self.count


class SharedTiles(TileLoops):
    """The loops of another engine, each rank for its row blocks; sums are whole, lists of tiles are not."""

    def __init__(self, inner: TileLoops, ranks: Ranks) -> None:
        self.inner, self.ranks = inner, ranks

    def screen(
        self, rows: Boxes, cols: Boxes, threshold: float, near: TileRows | None = None
    ) -> tuple[TileRows, Tensor]:
        """Pairs of groups are few, and all are told of them; of tiles each rank keeps its own."""
        unit = 1 if near is None else KEPT_GROUP
        ends = self._even(len(rows)) if near is None else self._ends(near.starts)
        groups = slice(*ends[self.ranks.rank : self.ranks.rank + 2])
        mine = torch.arange(groups.start * unit, groups.stop * unit, device=rows.heights.device)
        found, omitted = TileRows(mine.new_zeros(1), mine[:0].int()), rows.heights[:0]
        if len(mine):
            some = None if near is None else _tiles(near, groups)
            with self.ranks.telling():
                found, omitted = self.inner.screen(rows.at(mine), cols, threshold, some)
        counts, omitted = (
            self.ranks.rows(part, what="tiles") for part in (found.starts.diff(), omitted)
        )
        if near is None:
            return TileRows.of(counts, self.ranks.rows(found.blocks, what="tiles")), omitted
        return self._balanced(found, [end * unit for end in ends], counts), omitted

    def sums(
        self, tiles: TileRows, rows: Blocks, cols: Blocks, biases: Biases, *, peaks: bool = True
    ) -> tuple[Tensor, Tensor | None]:
        """Sums of all rows, and the peaks of the tiles that are held here."""
        mine, largest = self._held(tiles), biases[0].new_empty(0) if peaks else None
        out = biases[0][:0].double()
        if mine.start < mine.stop:
            given = _tiles(tiles, mine), _blocks(rows, mine), cols, (biases[0][mine], biases[1])
            with self.ranks.telling():
                out, largest = self.inner.sums(*given, peaks=peaks)
        return self.ranks.rows(out, what="potentials"), largest

    def products(
        self,
        tiles: TileRows,
        rows: Blocks,
        cols: Blocks,
        biases: Biases,
        v: Tensor,
        power: float = 0,
    ) -> Tensor:
        mine, out = self._held(tiles), v[:0].double()
        if mine.start < mine.stop:
            given = _tiles(tiles, mine), _blocks(rows, mine), cols, (biases[0][mine], biases[1])
            with self.ranks.telling():
                out = self.inner.products(*given, v, power)
        return self.ranks.rows(out, what="products")

    def largest(
        self, tiles: TileRows, rows: Blocks, cols: Blocks, biases: Biases
    ) -> tuple[Tensor, Tensor]:
        tiles = self.own(tiles)
        mine, out = self._held(tiles), biases[0][:0].double()
        where = out.long()
        if mine.start < mine.stop:
            given = _tiles(tiles, mine), _blocks(rows, mine), cols, (biases[0][mine], biases[1])
            with self.ranks.telling():
                out, where = self.inner.largest(*given)
        out, where = (self.ranks.rows(part, what="minima") for part in (out, where))
        return out, where

    def transpose(self, tiles: TileRows, columns: int) -> tuple[TileRows, Tensor]:
        return self.inner.transpose(tiles, columns)

    def by_rows(self, run: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
        with self.ranks.telling():
            found = run(rows[self.ranks.part(len(rows))])
        return self.ranks.rows(found, what="potentials")

    def biases(
        self,
        frame: tuple[Tensor, Tensor],
        potential: Tensor,
        logs: Tensor,
        height: float,
        like: Blocks,
    ) -> tuple[Tensor, Tensor, Tensor | float]:
        return self.inner.biases(frame, potential, logs, height, like)

    def marginal(
        self, total: Tensor, weights: Tensor, wanted: Tensor | float, within: tuple[float, float]
    ) -> tuple[Tensor | float, Tensor | float, Tensor | bool]:
        return self.inner.marginal(total, weights, wanted, within)

    # --- who holds what ---

    def own(self, tiles: TileRows) -> TileRows:
        if isinstance(tiles, _Share):
            return tiles
        ends = self._ends(tiles.starts)
        rows = slice(*ends[self.ranks.rank : self.ranks.rank + 2])
        return self._shared(tiles.starts.diff(), _tiles(tiles, rows).blocks, ends)

    def turned(self, tiles: TileRows, columns: int) -> TileRows:
        assert isinstance(tiles, _Share)
        with self.ranks.telling():
            turned, _ = self.inner.transpose(tiles, columns)
        counts = turned.starts.diff()  # those of all ranks would be many: each adds up its share
        shares = self.ranks.exchange(_cut(counts, self._even(columns)), "tiles")
        total = self.ranks.rows(torch.stack(shares).sum(0), what="tiles")
        ends = self._ends(TileRows.of(total, turned.blocks).starts)
        coming = self.ranks.exchange(_cut(turned.blocks, turned.starts[ends].tolist()), "tiles")
        mine = torch.stack(self.ranks.exchange(_cut(counts, ends), "tiles"))
        return self._shared(total, _merged(coming, mine), ends)

    def whole(self, tiles: TileRows) -> TileRows:
        if not isinstance(tiles, _Share):
            return tiles
        counts = tiles.starts.diff()[self._held(tiles)]
        return TileRows.of(*(self.ranks.rows(t, what="tiles") for t in (counts, tiles.blocks)))

    def either(
        self, sides: tuple[TileRows, TileRows], marks: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Marks of the columns go to whoever has the rows of their tiles, and come back."""
        rows, cols = sides
        assert isinstance(rows, _Share) and isinstance(cols, _Share)
        if not all(self.ranks.told(int(len(marks[1]) == len(cols)))):
            # of a cloud and itself, whose list is not quite symmetric
            return marks[0].new_ones(len(rows)), marks[0].new_ones(len(cols))
        turned, places = self.inner.transpose(rows, len(cols.starts) - 1)
        theirs = [
            (cols.blocks >= first) & (cols.blocks < last) for first, last in pairwise(rows.ends)
        ]
        going = [marks[1][some].view(torch.uint8) for some in theirs]
        told = torch.cat(self.ranks.exchange(going, "marks")).view(torch.bool)
        keep, kept = marks[0].clone(), torch.empty_like(marks[1])
        unite(keep, told, places)
        answers = _cut(told.view(torch.uint8), turned.starts[cols.ends].tolist())
        for some, answer in zip(theirs, self.ranks.exchange(answers, "marks"), strict=True):
            kept[some] = answer.view(torch.bool)
        return keep, kept

    def only(self, tiles: TileRows, keep: Tensor) -> TileRows:
        assert isinstance(tiles, _Share)
        found = super().only(tiles, keep)
        return _Share(found.starts, found.blocks, tiles.ends, sum(self.ranks.told(len(found))))

    def _balanced(self, found: TileRows, ends: list[int], counts: Tensor) -> TileRows:
        """Rows move to ranks that have fewer tiles; ``found`` are those of rows between these ends."""
        new = self._ends(TileRows.of(counts, found.blocks).starts)
        first, last = ends[self.ranks.rank : self.ranks.rank + 2]
        places = [min(max(end, first), last) - first for end in new]
        coming = self.ranks.exchange(_cut(found.blocks, found.starts[places].tolist()), "tiles")
        return self._shared(counts, torch.cat(coming), new)

    def _shared(self, counts: Tensor, blocks: Tensor, ends: list[int]) -> _Share:
        """The tiles of this rank, told how many each row has on all ranks."""
        mine, first, last = torch.zeros_like(counts), *ends[self.ranks.rank : self.ranks.rank + 2]
        mine[first:last] = counts[first:last]
        return _Share(TileRows.of(mine, blocks).starts, blocks, ends, int(counts.sum()))

    def _held(self, tiles: TileRows) -> slice:
        """The row blocks of this rank."""
        assert isinstance(tiles, _Share)
        return slice(*tiles.ends[self.ranks.rank : self.ranks.rank + 2])

    def _ends(self, starts: Tensor) -> list[int]:
        """Ends of ranges of rows, a rank, with about as many tiles; told where the tiles of each begin."""
        total, size = int(starts[-1]), self.ranks.size
        if not total:
            return self._even(len(starts) - 1)
        marks = torch.arange(1, size, device=starts.device) * total // size
        return [0, *torch.searchsorted(starts, marks).tolist(), len(starts) - 1]

    def _even(self, rows: int) -> list[int]:
        return [rows * k // self.ranks.size for k in range(self.ranks.size + 1)]


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


def _tiles(tiles: TileRows, rows: slice) -> TileRows:
    """Those of some rows."""
    starts = tiles.starts[rows.start : rows.stop + 1]
    first, last = int(starts[0]), int(starts[-1])
    return TileRows(starts - first, tiles.blocks[first:last])


def _blocks(blocks: Blocks, rows: slice) -> Blocks:
    """Some of a cloud."""
    return Blocks(*(getattr(blocks, field.name)[rows] for field in fields(blocks)))
