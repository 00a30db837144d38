"""Sums of exponentials, relative to the largest exponent so far; they are scaled anew when it grows."""

from __future__ import annotations

import math

from ....formulas.trees.algebra import mul
from ..base import Reduction
from ..scalars import bodies
from .functions import FUNCTIONS
from .programs import Chunked
from .words import Value

__all__ = ["Softmax"]

LARGE = 1e30  # in the place of infinity, relative to which all other numbers are nothing


class Softmax(Chunked):
    """Output 0 is the largest exponent, the others are weighted sums of exponentials relative to it."""

    def plan(self, reduction: Reduction) -> None:
        exponent, *weights = reduction.outputs
        parts = bodies(weights, self.memo, 2)
        wanted, buffered = self.buffered([body for _, body in parts])
        self.weight = self.buffer()
        self.keep({self.weight: self.scalar(exponent), **wanted})
        dims = (dim for dim, _ in parts)
        products = (mul(self.weight, body) for body in buffered)
        self.parts = list(zip(dims, products, strict=True))

    def start(self) -> None:
        self.store(self.splat(-math.inf), self.out, self.place(0))
        self.clear(1)

    def meet(self, c: Value, size: Value) -> None:
        exp, weight = FUNCTIONS["exp"], self.buffers[self.weight]
        self.fill(c, size)
        old = self.load(self.out, self.place(0))
        top = self.variable(old)
        with self.loop(0, size) as j:
            value, best = self.load(weight, self.times(j, self.lanes)), self.b.load(top)
            self.b.store(self.choose(">", value, best, value, best), top)
        new, lowest = self.b.load(top), self.splat(-math.inf)
        safe = self.choose("==", new, lowest, self.splat(0.0), new)
        safe = self.choose("==", new, self.splat(math.inf), self.splat(LARGE), safe)
        with self.loop(0, size) as j:
            place = self.times(j, self.lanes)
            shifted = self.b.fsub(self.load(weight, place), safe)
            self.store(exp(self, shifted), weight, place)
        factor = exp(self, self.b.fsub(old, safe))
        factor = self.choose("==", old, new, self.splat(1.0), factor)
        self.add_sums(self.parts, c, size, 1, factor)
        self.store(new, self.out, self.place(0))
