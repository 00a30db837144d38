"""Sums of a symmetric formula over pairs of blocks: each value serves its row and its column.

A piece of rows meets its own columns, for the rows alone, and runs of columns behind it, for both. What the columns of a
chunk get is added up in the first-level cache, a vector for each; then the vectors of as many columns as there are lanes
become one. Sums of chunks are added in double precision, in an array of each unit, so threads share none.
"""

from __future__ import annotations

from ..base import Reduction
from .emitter import Emitter
from .words import FREE, Value, ir

__all__ = ["CHUNK", "Mirrored"]

CHUNK = 64  # columns
CACHE = 16 << 10  # bytes for their sums


class Mirrored(Emitter):
    """``void loop(units, pieces, runs, xs, ys, ps, masks, sums, lo, hi)``: the units from lo to below hi.

    ``units`` has for each the first piece, the one after the last, and of how many places its sums are; ``pieces`` the first run,
    the one after the last, the first tile, the one after the last, the first own column, the one after the last, and where its sums
    begin, less its first place; ``runs`` the first column, the one after the last, and the same. ``masks`` is ``(tiles, lanes)``, one for true rows and zero
    for others. The sums are zeros, ``(R, places)`` for each unit, of those places alone that it reaches; rows and
    columns have the same places.

    Args:
        reduction: two formulas: the one for rows, and that times the factor of rows instead of columns.
        bits: of numbers.
        lanes: rows in a tile, and numbers in a vector of the machine.
    """

    def __init__(self, reduction: Reduction, bits: int, lanes: int) -> None:
        super().__init__(reduction.slots, bits, lanes)
        self.rows, self.cols = (
            [self.scalar(e, d) for d in range(e.dim)] for e in reduction.outputs
        )
        of_a_column = len(self.cols) * lanes * bits // 8
        self.chunk = max(lanes, min(CHUNK, CACHE // of_a_column // lanes * lanes))
        names = "units", "pieces", "runs", "xs", "ys", "ps", "masks", "sums"
        *arrays, lo, hi = self.begin("loop", "lllrrrrd", 2)
        for name, array in zip(names, arrays, strict=True):
            setattr(self, name, array)
        self.item = self.num(0)  # there is one, whose parameters are fetched
        self.buffer = self.room(len(self.cols) * self.chunk)
        with self.loop(lo, hi) as unit:
            first, last, self.pitch = self._numbers(self.units, unit, 3)
            with self.loop(first, last) as piece:
                self._piece(piece)
        self.b.ret_void()

    units: Value
    pieces: Value
    runs: Value
    masks: Value
    sums: Value

    def _numbers(self, table: Value, row: Value, count: int) -> list[Value]:
        start = self.times(row, count)
        return [self.number_at(table, self.plus(start, k)) for k in range(count)]

    def _piece(self, piece: Value) -> None:
        run, last_run, *self.tiles, self.start, end, self.shift = self._numbers(
            self.pieces, piece, 7
        )
        first, last = self.tiles
        with self.loop(self.start, end, self.chunk) as c:
            size = self.smaller(self.b.sub(end, c), self.num(self.chunk))
            with self.loop(first, last) as self.tile:
                self._meet(c, size)
        with self.loop(run, last_run) as met:
            lo, hi, shift = self._numbers(self.runs, met, 3)
            with self.loop(lo, hi, self.chunk) as c:
                size = self.smaller(self.b.sub(hi, c), self.num(self.chunk))
                with self.loop(first, self.plus(first, 1)) as self.tile:
                    self._meet(c, size, True, True)
                with self.loop(self.plus(first, 1), last) as self.tile:
                    self._meet(c, size, True)
                self._gather(c, size, shift)

    def _meet(self, c: Value, size: Value, both: bool = False, fresh: bool = False) -> None:
        """A tile meets the columns of a chunk; their sums are written anew, or added to those of other tiles."""
        totals = self.zeros(len(self.rows))
        with self.loop(0, size) as j:
            self.columns = [self.plus(c, j)]
            for total, body in zip(totals, self.rows, strict=True):
                self.increase(total, self.emit(body)[0])
            for r, body in enumerate(self.cols if both else ()):
                place = self.times(self.plus(j, r * self.chunk), self.lanes)
                value = self.emit(body)[0]
                if not fresh:
                    value = self.b.fadd(self.load(self.buffer, place), value, flags=FREE)
                self.store(value, self.buffer, place)
        mask = self.load(self.masks, self.times(self.tile, self.lanes))
        true = self.b.fcmp_ordered(">", mask, self.splat(0.0))
        first = self.times(self.b.sub(self.tile, self.tiles[0]), self.lanes)
        for r, total in enumerate(totals):
            value = self.b.select(true, self.b.load(total), self.splat(0.0))
            self._add(r, self.shift, self.plus(self.start, first), value)

    def _shuffled(self, a: Value, b: Value, places: range | list[int]) -> Value:
        kind = ir.VectorType(self.short, len(places))
        return self.b.shuffle_vector(a, b, ir.Constant(kind, list(places)))

    def _gather(self, c: Value, size: Value, shift: Value) -> None:
        """Adds the sums of columns, as many at a time as there are lanes."""
        w = self.lanes
        for r in range(len(self.cols)):
            with self.loop(0, size, w) as k:
                place = self.plus(k, r * self.chunk)
                vectors = [
                    self.load(self.buffer, self.times(self.plus(place, i), w)) for i in range(w)
                ]
                half = w // 2
                while half:
                    pairs = zip(vectors[:half], vectors[half:], strict=True)
                    vectors = [self._folded(a, b, half) for a, b in pairs]
                    half //= 2
                left = self.spread(self.b.trunc(self.b.sub(size, k), self.short))
                true = self.b.icmp_signed("<", ir.Constant(left.type, list(range(w))), left)
                value = self.b.select(true, vectors[0], self.splat(0.0))
                self._add(r, shift, self.plus(c, k), value)

    def _folded(self, a: Value, b: Value, half: int) -> Value:
        """Halves of groups of lanes added: those of a stand before those of b."""
        w = self.lanes
        low = [i + (w - half if i % (2 * half) >= half else 0) for i in range(w)]
        return self.b.fadd(self._shuffled(a, b, low), self._shuffled(a, b, [i + half for i in low]))

    def _add(self, r: int, shift: Value, place: Value, value: Value) -> None:
        """Adds to the sums of some places, which begin at the shift."""
        kind = ir.VectorType(ir.DoubleType(), self.lanes)
        if self.bits == 32:
            value = self.b.fpext(value, kind)
        at = self.plus(self.plus(shift, self.times(self.pitch, r)), place)
        pointer = self.b.bitcast(self.b.gep(self.sums, [at]), kind.as_pointer())
        old = self.b.load(pointer)
        old.align = 8
        self.b.store(self.b.fadd(old, value), pointer).align = 8
