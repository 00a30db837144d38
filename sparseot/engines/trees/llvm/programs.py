"""What the programs of all reductions share: tiles of rows, chunks of columns, sums over chunks.

A tile holds as many rows as a vector has lanes. It meets its columns in chunks, whose scalars wait in
the first-level cache where a formula has many outputs. In single precision the sums of chunks are
added with compensation (Kahan, 1965), so that millions of columns lose no digits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ....formulas.trees.expressions import AT, Expr, I, J, make, ordered, pairwise, rebuilt
from ..base import Reduction
from ..scalars import UNROLL, outermost
from .emitter import Emitter
from .words import Value

__all__ = ["CHUNK", "GROUP", "RowProgram", "is_small"]

CHUNK = 64  # columns
GROUP = 6  # columns that are computed side by side: their chains of operations overlap
REGISTERS = 24  # outputs that stay in registers


def is_small(outputs: Sequence[Expr]) -> bool:
    """Whether all of a formula fits into registers: few outputs, no loops over coordinates."""
    few = sum(e.dim for e in outputs) <= REGISTERS
    return few and all(n.dim <= UNROLL or n.op == "concat" for n in ordered(*outputs))


class RowProgram(Emitter, ABC):
    """``void loop(tiles, runs, xs, ys, ps, out, where, lo, hi)``: the tiles from lo to below hi.

    ``tiles`` has the first run, the one after the last and the item of each tile, ``runs`` the first
    column and the one after the last, ``out`` is ``(tiles, width, lanes)``.
    """

    def __init__(self, reduction: Reduction, bits: int, lanes: int) -> None:
        super().__init__(reduction.slots, bits, lanes)
        self.outputs = reduction.width
        self.plan(reduction)
        names = "tiles", "runs", "xs", "ys", "ps", "out", "where"
        *arrays, lo, hi = self.begin("loop", "llrrrrs", 2)
        for name, array in zip(names, arrays, strict=True):
            setattr(self, name, array)
        with self.loop(lo, hi) as self.tile:
            start = self.times(self.tile, 3)
            first, last, self.item = (
                self.number_at(self.tiles, self.plus(start, k)) for k in range(3)
            )
            self.reduce(first, last)
        self.b.ret_void()

    tiles: Value
    runs: Value
    out: Value
    where: Value
    losses: Value

    @abstractmethod
    def plan(self, reduction: Reduction) -> None:
        """Scalars of the formulas."""

    @abstractmethod
    def reduce(self, first: Value, last: Value) -> None:
        """The instructions for one tile and its runs."""

    @contextmanager
    def chunks(self, first: Value, last: Value) -> Iterator[tuple[Value, Value]]:
        """The first column and the size of each chunk of the runs."""
        with self.loop(first, last) as run:
            start = self.times(run, 2)
            lo, hi = (self.number_at(self.runs, self.plus(start, k)) for k in (0, 1))
            with self.loop(lo, hi, CHUNK) as c:
                yield c, self.smaller(self.b.sub(hi, c), self.num(CHUNK))

    def place(self, r: Any) -> Value:
        """Where output r of the tile is."""
        return self.times(self.plus(self.times(self.tile, self.outputs), r), self.lanes)

    def buffered(self, bodies: Sequence[Expr]) -> tuple[dict[Expr, Expr], tuple[Expr, ...]]:
        """Buffers for what depends on pairs, but on no coordinate, and the bodies that read them."""
        kept: dict[Expr, Expr] = {}
        for body in bodies:
            for n in outermost(body, lambda n: pairwise(n) and not n.on & AT):
                if n not in kept:
                    kept[n] = self.buffer()
        return {name: n for n, name in kept.items()}, rebuilt(bodies, kept)

    def buffer(self) -> Expr:
        """A name for the scalars of a chunk's pairs."""
        name = make("buffer", attr=len(self.buffers), dim=1, on=I | J)
        self.buffers[name] = None
        return name

    def open_buffers(self) -> None:
        """Makes room for the buffers and for what sums lose, once for all tiles."""
        self.losses = self.room(self.outputs)
        for name, room in self.buffers.items():
            self.buffers[name] = self.room(CHUNK + GROUP) if room is None else room

    def fill(self, wanted: dict[Expr, Expr], c: Value, size: Value) -> None:
        """Writes scalars of the chunk's pairs into their buffers, some columns side by side."""
        with self.loop(0, size, GROUP) as j:
            self.columns = [self.plus(c, self.plus(j, k)) for k in range(GROUP)]
            found = {name: self.emit(e) for name, e in wanted.items()}
            for name, values in found.items():
                for k in range(GROUP):
                    place = self.times(self.plus(j, k), self.lanes)
                    self.store(values[k % len(values)], self.buffers[name], place)

    def add_sums(
        self,
        parts: Sequence[tuple[int, Expr]],
        c: Value,
        size: Value,
        first: int = 0,
        factor: Value | None = None,
    ) -> None:
        """Outputs from ``first`` on, times a factor, plus sums over the chunk, some at a time."""
        for dim, body in parts:
            width = next(k for k in (4, 2, 1) if dim % k == 0) if dim > 1 else 1
            with self.loop(0, dim, width) as r:
                sums = self.zeros(width)
                with self.loop(0, size) as self.slot:
                    self.columns = [self.plus(c, self.slot)]
                    for k, total in enumerate(sums):
                        self.at = self.plus(r, k)
                        with self.scope():
                            self.increase(total, self.emit(body)[0])
                for k, total in enumerate(sums):
                    self.add_to_output(self.plus(self.plus(r, k), first), total, factor)
            first += dim

    def add_to_output(self, r: Value, value: Value, factor: Value | None) -> None:
        """Output r, times a factor, plus a sum over a chunk."""
        place, here = self.place(r), self.times(r, self.lanes)
        total, lost = self.load(self.out, place), self.load(self.losses, here)
        if factor is not None:
            total, lost = self.b.fmul(total, factor), self.b.fmul(lost, factor)
        places = self.variable(total), self.variable(lost)
        self.compensated(*places, self.b.load(value))
        self.store(self.b.load(places[0]), self.out, place)
        self.store(self.b.load(places[1]), self.losses, here)

    def clear(self, first: int) -> None:
        """Zeros for outputs from ``first`` on, and for what their sums lose."""
        with self.loop(first, self.outputs) as r:
            self.store(self.splat(0.0), self.out, self.place(r))
            self.store(self.splat(0.0), self.losses, self.times(r, self.lanes))

    def compensated(self, total: Value, lost: Value, value: Value) -> None:
        """Adds to a sum and keeps what rounding lost (Kahan, 1965): nothing of a sum that is infinite."""
        old, more = self.b.load(total), self.b.fsub(value, self.b.load(lost))
        new = self.b.fadd(old, more)
        gone, zero = self.b.fsub(self.b.fsub(new, old), more), self.splat(0.0)
        self.b.store(self.choose("==", self.b.fmul(gone, zero), zero, gone, zero), lost)
        self.b.store(new, total)
