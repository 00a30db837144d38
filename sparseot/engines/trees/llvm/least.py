"""The smallest values of each row, in order: what is smaller than the last is passed down the list."""

from __future__ import annotations

import math

from llvmlite import ir

from ..base import Reduction
from .programs import RowProgram
from .words import Value

__all__ = ["Least"]


class Least(RowProgram):
    """The ``count`` smallest values and their columns, for each coordinate, in all lanes at once."""

    def plan(self, reduction: Reduction) -> None:
        (e,) = reduction.outputs
        self.count, self.dim = reduction.count, e.dim
        self.keep({self.buffer(): self.scalar(e, d) for d in range(e.dim)})
        self.places = ir.VectorType(self.short, self.lanes)

    def reduce(self, end: Value, first: Value, last: Value) -> None:
        self.open_buffers()
        with self.loop(self.head, end) as self.tile:
            self.reduce_tile(first, last)

    def reduce_tile(self, first: Value, last: Value) -> None:
        """The instructions for one tile and its runs."""
        count = self.count
        lists = []
        for _ in range(self.dim):
            best, columns = self.room(count), self.room(count, self.places)
            lists.append((best, columns))
            with self.loop(0, count) as r:
                self.store(self.splat(math.inf), best, self.times(r, self.lanes))
                self.store(self.splat(-1, self.places), columns, self.times(r, self.lanes))
        with self.chunks(first, last) as (c, size):
            self.fill(c, size)
            with self.loop(0, size) as j:
                column = self.spread(self.b.trunc(self.plus(c, j), self.short))
                for name, (best, columns) in zip(self.wanted, lists, strict=True):
                    value = self.load(self.buffers[name], self.times(j, self.lanes))
                    self.insert(value, column, best, columns)
        for d, (best, columns) in enumerate(lists):
            with self.loop(0, count) as r:
                there = self.place(self.plus(self.times(r, self.dim), d))
                here = self.times(r, self.lanes)
                self.store(self.load(best, here), self.out, there)
                self.store(self.load(columns, here, self.places), self.where, there)

    def insert(self, value: Value, column: Value, best: Value, columns: Value) -> None:
        """Puts a value into its place; most are larger than the last of the list in all lanes."""
        worst = self.load(best, (self.count - 1) * self.lanes)
        smaller = self.b.fcmp_ordered("<", value, worst)
        if self.count == 1:
            self.store(self.b.select(smaller, value, worst), best, 0)
            old = self.load(columns, 0, self.places)
            self.store(self.b.select(smaller, column, old), columns, 0)
            return
        bits = self.b.bitcast(smaller, ir.IntType(self.lanes))
        with self.b.if_then(self.b.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))):
            self.pass_down(value, column, best, columns)

    def pass_down(self, value: Value, column: Value, best: Value, columns: Value) -> None:
        """Each place keeps the smaller of what it has and what comes, and hands on the other."""
        moving, its_column = self.variable(value), self.variable(column)
        with self.loop(0, self.count) as r:
            place = self.times(r, self.lanes)
            new, new_column = self.b.load(moving), self.b.load(its_column)
            old, old_column = self.load(best, place), self.load(columns, place, self.places)
            less = self.b.fcmp_ordered("<", new, old)
            self.store(self.b.select(less, new, old), best, place)
            self.store(self.b.select(less, new_column, old_column), columns, place)
            self.b.store(self.b.select(less, old, new), moving)
            self.b.store(self.b.select(less, old_column, new_column), its_column)
