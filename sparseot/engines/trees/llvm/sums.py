"""Sums over columns: in registers where a formula is small, else chunk by chunk in memory."""

from __future__ import annotations

from ..base import Reduction
from ..scalars import bodies
from .programs import Chunked, RowProgram
from .words import Value

__all__ = ["LargeSum", "SmallSum"]


class SmallSum(RowProgram):
    """All outputs in one pass over the columns, in registers."""

    def plan(self, reduction: Reduction) -> None:
        self.bodies = [self.scalar(e, d) for e in reduction.outputs for d in range(e.dim)]

    def reduce(self, end: Value, first: Value, last: Value) -> None:
        with self.loop(self.head, end) as self.tile:
            self.reduce_tile(first, last)

    def reduce_tile(self, first: Value, last: Value) -> None:
        """The instructions for one tile and its runs."""
        count = len(self.bodies)
        totals, losses = self.zeros(count), self.zeros(count)
        sums = self.zeros(count)
        with self.chunks(first, last) as (c, size):
            for place in sums:
                self.b.store(self.splat(0.0), place)
            with self.loop(c, self.plus(c, size)) as j:
                self.columns = [j]
                for place, body in zip(sums, self.bodies, strict=True):
                    self.increase(place, self.emit(body)[0])
            for total, lost, place in zip(totals, losses, sums, strict=True):
                self.compensated(total, lost, self.b.load(place))
        for r, total in enumerate(totals):
            self.store(self.b.load(total), self.out, self.place(r))


class LargeSum(Chunked):
    """Outputs in memory; scalars of a chunk of pairs are computed once for all of them."""

    def plan(self, reduction: Reduction) -> None:
        parts = bodies(reduction.outputs, self.memo, 2)
        wanted, buffered = self.buffered([body for _, body in parts])
        self.keep(wanted)
        self.parts = list(zip((dim for dim, _ in parts), buffered, strict=True))

    def start(self) -> None:
        self.clear(0)

    def meet(self, c: Value, size: Value) -> None:
        if self.wanted:
            self.fill(c, size)
        self.add_sums(self.parts, c, size)
