"""Loops over kept tiles whose row blocks are shared among the ranks of a group.

Lists of tiles are whole on every rank. A sum for rows is taken by tiles in the order of rows, one
for columns by those in the order of columns: either way each rank has some rows of it, from their
first tile to their last one, and finds for them the same bits as if it had all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import torch
from torch import Tensor

from ..kept import KEPT_GROUP, Biases, Blocks, Boxes, TileLoops, TileRows
from .group import Ranks

__all__ = ["SharedTiles"]


class SharedTiles(TileLoops):
    """The loops of another engine, each rank for its row blocks; results are whole."""

    def __init__(self, inner: TileLoops, ranks: Ranks) -> None:
        self.inner, self.ranks = inner, ranks

    def screen(
        self, rows: Boxes, cols: Boxes, threshold: float, near: TileRows | None = None
    ) -> tuple[TileRows, Tensor]:
        unit = 1 if near is None else KEPT_GROUP
        groups = self.ranks.part(len(rows) // unit)
        mine = torch.arange(groups.start * unit, groups.stop * unit, device=rows.heights.device)
        found, omitted = TileRows(mine.new_zeros(1), mine[:0].int()), rows.heights[:0]
        if len(mine):
            some = None if near is None else _tiles(near, groups)
            with self.ranks.telling():
                found, omitted = self.inner.screen(rows.at(mine), cols, threshold, some)
        parts = found.starts.diff(), found.blocks, omitted
        counts, blocks, omitted = (self.ranks.rows(part, what="tiles") for part in parts)
        return TileRows.of(counts, blocks), omitted

    def sums(
        self, tiles: TileRows, rows: Blocks, cols: Blocks, biases: Biases, *, peaks: bool = True
    ) -> tuple[Tensor, Tensor | None]:
        mine, largest = self._share(tiles), biases[0].new_empty(0)
        out = biases[0][:0].double()
        if mine.start < mine.stop:
            given = _tiles(tiles, mine), _blocks(rows, mine), cols, (biases[0][mine], biases[1])
            with self.ranks.telling():
                out, found = self.inner.sums(*given, peaks=peaks)
                largest = largest if found is None else found
        out = self.ranks.rows(out, what="potentials")
        return out, self.ranks.rows(largest, what="peaks") if peaks else None

    def products(
        self, tiles: TileRows, rows: Blocks, cols: Blocks, biases: Biases, v: Tensor, power: int = 0
    ) -> Tensor:
        mine, out = self._share(tiles), v[:0].double()
        if mine.start < mine.stop:
            given = _tiles(tiles, mine), _blocks(rows, mine), cols, (biases[0][mine], biases[1])
            with self.ranks.telling():
                out = self.inner.products(*given, v, power)
        return self.ranks.rows(out, what="products")

    def largest(
        self, tiles: TileRows, rows: Blocks, cols: Blocks, biases: Biases
    ) -> tuple[Tensor, Tensor]:
        mine, out = self._share(tiles), biases[0][:0].double()
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

    def _share(self, tiles: TileRows) -> slice:
        """The row blocks of this rank, with about as many tiles as those of any other."""
        size, rank = self.ranks.size, self.ranks.rank
        marks = torch.arange(1, size, device=tiles.starts.device) * len(tiles) // size
        inner = torch.searchsorted(tiles.starts, marks).tolist()
        ends = [0, *inner, len(tiles.starts) - 1]
        return slice(ends[rank], ends[rank + 1])


def _tiles(tiles: TileRows, rows: slice) -> TileRows:
    """Those of some rows."""
    starts = tiles.starts[rows.start : rows.stop + 1]
    first, last = int(starts[0]), int(starts[-1])
    return TileRows(starts - first, tiles.blocks[first:last])


def _blocks(blocks: Blocks, rows: slice) -> Blocks:
    """Some of a cloud."""
    return Blocks(*(getattr(blocks, field.name)[rows] for field in fields(blocks)))
