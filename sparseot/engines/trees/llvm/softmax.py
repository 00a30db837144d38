"""Sums of exponentials, relative to the largest exponent so far; they are scaled anew when it grows."""

from __future__ import annotations

import math

from ....formulas.trees.algebra import mul
from ..base import Reduction
from ..scalars import bodies
from .functions import FUNCTIONS
from .programs import RowProgram
from .words import Value

__all__ = ["Softmax"]

LARGE = 1e30  # in the place of infinity, relative to which all other numbers are nothing


class Softmax(RowProgram):
    """Output 0 is the largest exponent, the others are weighted sums of exponentials relative to it."""

    def plan(self, reduction: Reduction) -> None:
        exponent, *weights = reduction.outputs
        parts = bodies(weights, self.memo)
        self.wanted, buffered = self.buffered([body for _, body in parts])
        self.weight = self.buffer()
        self.wanted = {self.weight: self.scalar(exponent), **self.wanted}
        dims = (dim for dim, _ in parts)
        products = (mul(self.weight, body) for body in buffered)
        self.parts = list(zip(dims, products, strict=True))

    def reduce(self, first: Value, last: Value) -> None:
        exp = FUNCTIONS["exp"]
        self.open_buffers()
        self.clear(1)
        lowest = self.splat(-math.inf)
        top, weight = self.variable(lowest), self.buffers[self.weight]
        with self.chunks(first, last) as (c, size):
            self.fill(self.wanted, c, size)
            old = self.b.load(top)
            with self.loop(0, size) as j:
                value, best = self.load(weight, self.times(j, self.lanes)), self.b.load(top)
                self.b.store(self.choose(">", value, best, value, best), top)
            new = self.b.load(top)
            safe = self.choose("==", new, lowest, self.splat(0.0), new)
            safe = self.choose("==", new, self.splat(math.inf), self.splat(LARGE), safe)
            with self.loop(0, size) as j:
                place = self.times(j, self.lanes)
                shifted = self.b.fsub(self.load(weight, place), safe)
                self.store(exp(self, shifted), weight, place)
            factor = exp(self, self.b.fsub(old, safe))
            factor = self.choose("==", old, new, self.splat(1.0), factor)
            self.add_sums(self.parts, c, size, 1, factor)
        self.store(self.b.load(top), self.out, self.place(0))
