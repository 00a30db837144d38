"""Scalar expressions as instructions: a list of vectors, one for each column that is computed at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ....formulas.trees.expressions import AT, Expr, I, J, P, ordered
from ..scalars import component, outermost, sign
from .functions import FUNCTIONS, exp_below_one
from .words import Value, Words

__all__ = ["Emitter"]


class Emitter(Words):
    """Words, and where the numbers of slots are.

    Rows lie in tiles ``(tiles, coordinates, lanes)``, columns and parameters as ``(items * M,
    coordinates)`` and ``(items, coordinates)``.
    """

    def __init__(self, slots: tuple[Expr, ...], bits: int, lanes: int) -> None:
        super().__init__(bits, lanes)
        self.first: dict[Expr, int] = {}
        self.width = {I: 0, J: 0, P: 0}
        for leaf in slots:
            self.first[leaf] = self.width[leaf.on]
            self.width[leaf.on] += leaf.dim
        self.memo: dict[Any, Expr] = {}
        self.scopes: list[dict[Expr, list[Value]]] = [{}]
        self.columns: list[Value] = []
        self.buffers: dict[Expr, Value] = {}
        self.slots: list[Value] = []  # of the columns, in buffers
        self.at = self.xs = self.ys = self.ps = self.tile = self.item = None

    def scalar(self, e: Expr, place: Any = 0) -> Expr:
        """One coordinate of an expression."""
        return component(e, place, self.memo)

    @contextmanager
    def scope(self) -> Iterator[None]:
        """What is computed inside is forgotten after."""
        self.scopes.append({})
        yield
        self.scopes.pop()

    @contextmanager
    def loop(self, lo: Any, hi: Any, step: int = 1) -> Iterator[Value]:
        """Counts, with a scope of its own."""
        with super().loop(lo, hi, step) as counter, self.scope():
            yield counter

    def emit(self, e: Expr) -> list[Value]:
        """The vectors of a scalar expression: one for each column, or one for all of them."""
        for n in ordered(e, closed=("loop", "get", "buffer")):
            if self._known(n) is None and n.op != "coordinate":
                self.scopes[-1][n] = self._emitted(n)
        found = self._known(e)
        assert found is not None
        return found

    def _known(self, e: Expr) -> list[Value] | None:
        return next((scope[e] for scope in reversed(self.scopes) if e in scope), None)

    def _emitted(self, e: Expr) -> list[Value]:
        if e.op == "const":
            return [self.splat(e.attr)]
        if e.op == "get":
            return self._fetched(e)
        if e.op == "buffer":
            return [self.load(self.buffers[e], self.times(k, self.lanes)) for k in self.slots]
        if e.op == "loop":
            return self._looped(e)
        args = [self._known(a) or [] for a in e.args]
        count = max(map(len, args))
        function: Callable[..., Value] = FUNCTIONS[e.op]
        if e.op == "exp" and sign(e.args[0]) < 0:
            function = exp_below_one
        return [function(self, *(a[k % len(a)] for a in args)) for k in range(count)]

    def _fetched(self, e: Expr) -> list[Value]:
        leaf, place = e.args[0], self.num(self.first[e.args[0]] + e.attr)
        if len(e.args) > 1:
            place = self.plus(self.at, place)
        if leaf.on == I:
            begin = self.plus(self.times(self.tile, self.width[I]), place)
            return [self.load(self.xs, self.times(begin, self.lanes))]
        if leaf.on == J:
            base, width, items = self.ys, self.width[J], self.columns
        else:
            base, width, items = self.ps, self.width[P], [self.item]
        starts = [self.plus(self.times(k, width), place) for k in items]
        return [self.spread(self.number_at(base, start)) for start in starts]

    def _looped(self, e: Expr) -> list[Value]:
        """A sum over coordinates; what does not depend on the coordinate is computed before."""
        for n in outermost(e.args[0], lambda n: not n.on & AT):
            self.emit(n)
        sums = self.zeros(len(self.columns) if e.on & J else 1)
        around = self.at
        with self.loop(0, e.attr) as self.at:
            body = self.emit(e.args[0])
            for k, place in enumerate(sums):
                self.increase(place, body[k % len(body)])
        self.at = around
        return [self.b.load(place) for place in sums]
