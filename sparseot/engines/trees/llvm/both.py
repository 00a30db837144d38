"""Sums for rows and for columns in one pass over the pairs, whose common parts are computed once.

Column sums of a chunk lie in the first-level cache, a vector for each: the lanes are added when
all tiles of a block have passed. It is what a gradient in both clouds takes.
"""

from __future__ import annotations

from ....formulas.trees.expressions import J
from ..base import Reduction
from .emitter import Emitter
from .words import Value

__all__ = ["TILES", "TwoSided"]

CACHE = 24 << 10  # bytes for column sums of a chunk
TILES = 512  # in a block: so many rounding errors add up in single precision


class TwoSided(Emitter):
    """``void loop(units, xs, ys, ps, masks, out, columns, m, lo, hi)``: the units from lo to below hi.

    ``units`` has an item and a range of tiles each; ``masks`` is ``(tiles, lanes)``, one for true rows
    and zero for others; ``out`` is ``(tiles, RI, lanes)``, ``columns`` ``(units, M, RJ)``, both zeros.
    """

    def __init__(self, reduction: Reduction, bits: int, lanes: int) -> None:
        super().__init__(reduction.slots, bits, lanes)
        self.rows, self.cols = (
            [
                self.scalar(e, d)
                for e, side in zip(reduction.outputs, reduction.sides, strict=True)
                if (side == J) is of_columns
                for d in range(e.dim)
            ]
            for of_columns in (False, True)
        )
        bytes_of_a_column = len(self.cols) * lanes * bits // 8
        self.chunk = max(8, min(64, CACHE // bytes_of_a_column))
        names = "units", "xs", "ys", "ps", "masks", "out", "columns_out"
        *arrays, self.m, lo, hi = self.begin("loop", "lrrrrrr", 3)
        for name, array in zip(names, arrays, strict=True):
            setattr(self, name, array)
        self.sums = self.room(self.chunk * len(self.cols))
        with self.loop(lo, hi) as self.unit:
            start = self.times(self.unit, 3)
            self.item, first, last = (
                self.number_at(self.units, self.plus(start, k)) for k in range(3)
            )
            with self.loop(first, last, TILES) as begin:
                end = self.smaller(last, self.plus(begin, TILES))
                with self.loop(0, self.m, self.chunk) as c:
                    size = self.smaller(self.b.sub(self.m, c), self.num(self.chunk))
                    self.pass_tiles(begin, end, c, size)
                    self.gather(c, size)
        self.b.ret_void()

    units: Value
    masks: Value
    out: Value
    columns_out: Value
    unit: Value

    def pass_tiles(self, begin: Value, end: Value, c: Value, size: Value) -> None:
        """All tiles of a block meet the columns of a chunk."""
        with self.loop(0, self.times(size, len(self.cols))) as k:
            self.store(self.splat(0.0), self.sums, self.times(k, self.lanes))
        with self.loop(begin, end) as self.tile:
            mask = self.load(self.masks, self.times(self.tile, self.lanes))
            true = self.b.fcmp_ordered(">", mask, self.splat(0.0))
            start = self.times(self.tile, len(self.rows) * self.lanes)
            places = [self.plus(start, r * self.lanes) for r in range(len(self.rows))]
            totals = self.zeros(len(self.rows))
            with self.loop(0, size) as j:
                self.columns = [self.plus(self.times(self.item, self.m), self.plus(c, j))]
                for total, body in zip(totals, self.rows, strict=True):
                    self.increase(total, self.emit(body)[0])
                for r, body in enumerate(self.cols):
                    value = self.b.select(true, self.emit(body)[0], self.splat(0.0))
                    place = self.times(self.plus(self.times(j, len(self.cols)), r), self.lanes)
                    old = self.load(self.sums, place)
                    self.store(self.b.fadd(old, value, flags=("contract",)), self.sums, place)
            for place, total in zip(places, totals, strict=True):
                added = self.b.fadd(self.load(self.out, place), self.b.load(total))
                self.store(added, self.out, place)

    def gather(self, c: Value, size: Value) -> None:
        """Adds the lanes of column sums to what other blocks gave."""
        count = len(self.cols)
        start = self.times(self.plus(self.times(self.unit, self.m), c), count)
        with self.loop(0, self.times(size, count)) as k:
            lanes = self.load(self.sums, self.times(k, self.lanes))
            added = self.added(lanes)
            place = self.b.gep(self.columns_out, [self.plus(start, k)])
            self.b.store(self.b.fadd(self.b.load(place), added), place)
