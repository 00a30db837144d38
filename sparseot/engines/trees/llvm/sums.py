"""Sums over columns: in registers where a formula is small, else chunk by chunk in memory."""

from __future__ import annotations

from ..base import Reduction
from ..scalars import bodies
from .programs import RowProgram
from .words import Value

__all__ = ["LargeSum", "SmallSum"]


class SmallSum(RowProgram):
    """All outputs in one pass over the columns, in registers."""

    def plan(self, reduction: Reduction) -> None:
        self.bodies = [self.scalar(e, d) for e in reduction.outputs for d in range(e.dim)]

    def reduce(self, first: Value, last: Value) -> None:
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


class LargeSum(RowProgram):
    """Outputs in memory; scalars of a chunk of pairs are computed once for all of them."""

    def plan(self, reduction: Reduction) -> None:
        parts = bodies(reduction.outputs, self.memo)
        self.wanted, buffered = self.buffered([body for _, body in parts])
        self.parts = list(zip((dim for dim, _ in parts), buffered, strict=True))

    def reduce(self, first: Value, last: Value) -> None:
        self.open_buffers()
        self.clear(0)
        with self.chunks(first, last) as (c, size):
            if self.wanted:
                self.fill(self.wanted, c, size)
            self.add_sums(self.parts, c, size)
