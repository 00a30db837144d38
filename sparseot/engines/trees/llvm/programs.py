"""What the programs of all reductions share: tiles of rows, chunks of columns, sums over chunks.

A tile holds as many rows as a vector has lanes. It meets its columns in chunks, whose scalars wait in
the first-level cache where a formula has many outputs. Sums over coordinates are taken for as many columns at
once as registers hold, and sums over columns for as many outputs, as matrix products are (Goto and van de Geijn, 2008). In
single precision the sums of chunks are added with compensation (Kahan, 1965), so that millions of columns lose no digits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ....formulas.trees.expressions import AT, Expr, I, J, make, ordered, pairwise, rebuilt
from ..base import Reduction
from ..scalars import UNROLL, outermost
from .build import Machine
from .emitter import Emitter
from .strips import held, strips
from .words import Value

__all__ = ["CHUNK", "Chunked", "Layout", "RowProgram", "is_small"]

CHUNK = 64  # columns whose sums are added without compensation
CACHE = 32 << 10  # bytes for the scalars of a chunk's pairs
GROUP = 12  # vectors that are computed side by side, of six columns at most: their chains of operations overlap
NEAR = 192 << 10  # bytes, for what tiles have that meet a chunk one after the other,
TILES = 8  # and most of them
REGISTERS = 24  # outputs that stay in registers


def is_small(outputs: Sequence[Expr]) -> bool:
    """Whether all of a formula fits into registers: few outputs, no loops over coordinates."""
    few = sum(e.dim for e in outputs) <= REGISTERS
    return few and all(n.dim <= UNROLL or n.op == "concat" for n in ordered(*outputs))


@dataclass(frozen=True)
class Layout:
    """How numbers have to lie: rows in a tile, most tiles in a group, and columns that may be read after the last one."""

    lanes: int
    height: int
    spare: int


class RowProgram(Emitter, ABC):
    """``void loop(groups, tiles, runs, xs, ys, ps, out, where, lo, hi)``: the groups from lo to below hi.

    ``groups`` has the first tile of each group of tiles that meet the same columns, and the one after the last, ``tiles`` the
    first run, the one after the last and the item of each tile, ``runs`` the first column and the one after the last, ``out``
    is ``(tiles, width, lanes)``.

    Args:
        reduction: what is reduced.
        bits: of numbers.
        machine: what it is made for.
        vectors: of the machine, as long as a tile has rows.

    Attributes:
        sums: columns, or outputs, whose sums for all rows of a tile stay in registers, with what is added to them.
        group: columns that are computed side by side.
        height: tiles in a group, at most.
    """

    def __init__(self, reduction: Reduction, bits: int, machine: Machine, vectors: int) -> None:
        super().__init__(reduction.slots, bits, lanes := vectors * machine.bits // bits)
        self.outputs, self.sums = reduction.width, machine.registers * 3 // 4 // vectors
        of_a_tile = (2 * self.outputs + self.width[I]) * lanes * bits // 8
        self.height = max(1, min(TILES, NEAR // of_a_tile))
        self.few = self.group = min(6, GROUP // vectors)
        self.size = CHUNK
        self.loops: dict[Expr, Expr] = {}
        self.plan(reduction)
        names = "groups", "tiles", "runs", "xs", "ys", "ps", "out", "where"
        *arrays, lo, hi = self.begin("loop", "lllrrrrs", 2)
        for name, array in zip(names, arrays, strict=True):
            setattr(self, name, array)
        with self.loop(lo, hi) as k:
            self.head, end = (self.number_at(self.groups, self.plus(k, j)) for j in (0, 1))
            start = self.times(self.head, 3)
            first, last, self.item = (
                self.number_at(self.tiles, self.plus(start, j)) for j in range(3)
            )
            self.reduce(end, first, last)
        self.b.ret_void()

    @property
    def layout(self) -> Layout:
        """How numbers have to lie."""
        return Layout(self.lanes, self.height, self.group)

    groups: Value
    tiles: Value
    runs: Value
    out: Value
    where: Value
    head: Value
    wanted: dict[Expr, Expr]

    @abstractmethod
    def plan(self, reduction: Reduction) -> None:
        """Scalars of the formulas."""

    @abstractmethod
    def reduce(self, end: Value, first: Value, last: Value) -> None:
        """The instructions for the tiles from ``head`` to below ``end``, and their runs."""

    @contextmanager
    def chunks(self, first: Value, last: Value) -> Iterator[tuple[Value, Value]]:
        """The first column and the size of each chunk of the runs."""
        with self.loop(first, last) as run:
            start = self.times(run, 2)
            lo, hi = (self.number_at(self.runs, self.plus(start, k)) for k in (0, 1))
            with self.loop(lo, hi, self.size) as c:
                yield c, self.smaller(self.b.sub(hi, c), self.num(self.size))

    def place(self, r: Any) -> Value:
        """Where output r of the tile is."""
        return self.times(self.plus(self.times(self.tile, self.outputs), r), self.lanes)

    def compensated(self, total: Value, lost: Value, value: Value) -> None:
        """Adds to a sum and keeps what rounding lost (Kahan, 1965): nothing of a sum that is infinite."""
        old, more = self.b.load(total), self.b.fsub(value, self.b.load(lost))
        new = self.b.fadd(old, more)
        gone, zero = self.b.fsub(self.b.fsub(new, old), more), self.splat(0.0)
        self.b.store(self.choose("==", self.b.fmul(gone, zero), zero, gone, zero), lost)
        self.b.store(new, total)

    def buffer(self) -> Expr:
        """A name for scalars of pairs."""
        name = make("buffer", attr=len(self.buffers), dim=1, on=I | J)
        self.buffers[name] = None
        return name

    def keep(self, wanted: dict[Expr, Expr]) -> None:
        """Plans buffers that :meth:`fill` writes; loops come first, for as many columns as registers hold."""
        found: dict[Expr, Expr] = {}
        for e in wanted.values():
            for n in outermost(e, lambda n: n.op == "loop" and n.on & J):
                if n not in found:
                    found[n] = self.buffer()
        self.loops = {name: n for n, name in found.items()}
        if found:
            sums = min(held(n.args[0], self.sums) for n in found)
            self.group = max(1, sums // self.few) * self.few
        self.wanted = dict(zip(wanted, rebuilt(wanted.values(), found), strict=True))
        self.size = -(-CHUNK // self.group) * self.group

    def open_buffers(self) -> None:
        """Makes room for the buffers, once for all tiles."""
        for name, room in self.buffers.items():
            if room is None:
                self.buffers[name] = self.room(self.group if name in self.loops else self.size)

    def fill(self, c: Value, size: Value) -> None:
        """Writes scalars of the chunk's pairs into their buffers, some columns side by side."""
        for e in self.loops.values():
            for n in outermost(e, lambda n: n.op == "loop" and not n.on & J):
                self.emit(n)
        with self.loop(0, size, self.group) as j:
            first = self.plus(c, j)
            self.columns = [self.plus(first, k) for k in range(self.group)]
            for name, e in self.loops.items():
                for k, value in enumerate(self.emit(e)):
                    self.store(value, self.buffers[name], k * self.lanes)
            with self.loop(0, self.group, self.few) as part:
                self.slots = [self.plus(part, k) for k in range(self.few)]
                self.columns = [self.plus(first, k) for k in self.slots]
                found = {name: self.emit(e) for name, e in self.wanted.items()}
                for name, values in found.items():
                    for k, slot in enumerate(self.slots):
                        place = self.times(self.plus(j, slot), self.lanes)
                        self.store(values[k % len(values)], self.buffers[name], place)


class Chunked(RowProgram):
    """Outputs in memory: a group of tiles meets a chunk of columns, one tile after the other, before the next."""

    losses: Value

    @abstractmethod
    def start(self) -> None:
        """The instructions for a tile before it meets any columns."""

    @abstractmethod
    def meet(self, c: Value, size: Value) -> None:
        """The instructions for a tile and a chunk of columns."""

    def reduce(self, end: Value, first: Value, last: Value) -> None:
        self.open_buffers()
        self.losses = self.room(self.height * self.outputs)
        with self.loop(self.head, end) as self.tile:
            self.start()
        with self.chunks(first, last) as (c, size), self.loop(self.head, end) as self.tile:
            self.meet(c, size)

    def keep(self, wanted: dict[Expr, Expr]) -> None:
        """As many columns in a chunk as the cache holds, though not few."""
        super().keep(wanted)
        of_a_column = max(1, len(wanted)) * self.lanes * self.bits // 8
        self.size = max(self.size, CACHE // of_a_column // self.group * self.group)

    def buffered(self, bodies: Sequence[Expr]) -> tuple[dict[Expr, Expr], tuple[Expr, ...]]:
        """Buffers for what depends on pairs, but on no coordinate, and the bodies that read them."""
        kept: dict[Expr, Expr] = {}
        for body in bodies:
            for n in outermost(body, lambda n: pairwise(n) and not n.on & AT):
                if n not in kept:
                    kept[n] = self.buffer()
        return {name: n for n, name in kept.items()}, rebuilt(bodies, kept)

    def add_sums(
        self,
        parts: Sequence[tuple[int, Expr]],
        c: Value,
        size: Value,
        first: int = 0,
        factor: Value | None = None,
    ) -> None:
        """Outputs from ``first`` on, times a factor, plus sums over the chunk, some at a time."""
        for strip in strips(parts, self.sums):
            with self.loop(strip.start, strip.stop, len(strip.bodies)) as r:
                places = [self.plus(r, k) for k in range(len(strip.bodies))]
                totals = self.zeros(len(places))
                with self.loop(0, size, CHUNK) as begin:
                    end = self.smaller(size, self.plus(begin, CHUNK))
                    sums = self.summed(strip.bodies, places, c, (begin, end))
                    for total, more in zip(totals, sums, strict=True):
                        self.increase(total, self.b.load(more))
                for place, total in zip(places, totals, strict=True):
                    self.add_to_output(self.plus(place, first + strip.first), total, factor)

    def summed(
        self, bodies: Sequence[Expr], places: Sequence[Value], c: Value, slots: tuple[Value, Value]
    ) -> list[Value]:
        """Sums over some slots of the chunk that begins with column c."""
        sums = self.zeros(len(places))
        with self.loop(*slots) as slot:
            self.slots, self.columns = [slot], [self.plus(c, slot)]
            for total, body, self.at in zip(sums, bodies, places, strict=True):
                with self.scope():
                    self.increase(total, self.emit(body)[0])
        return sums

    def add_to_output(self, r: Value, value: Value, factor: Value | None) -> None:
        """Output r, times a factor, plus a sum over a chunk."""
        place, here = self.place(r), self.loss(r)
        total, lost = self.load(self.out, place), self.load(self.losses, here)
        if factor is not None:
            total, lost = self.b.fmul(total, factor), self.b.fmul(lost, factor)
        places = self.variable(total), self.variable(lost)
        self.compensated(*places, self.b.load(value))
        self.store(self.b.load(places[0]), self.out, place)
        self.store(self.b.load(places[1]), self.losses, here)

    def loss(self, r: Value) -> Value:
        """Where it is what the sum of output r lost."""
        before = self.times(self.b.sub(self.tile, self.head), self.outputs)
        return self.times(self.plus(before, r), self.lanes)

    def clear(self, first: int) -> None:
        """Zeros for outputs from ``first`` on, and for what their sums lose."""
        with self.loop(first, self.outputs) as r:
            self.store(self.splat(0.0), self.out, self.place(r))
            self.store(self.splat(0.0), self.losses, self.loss(r))
