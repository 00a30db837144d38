"""Python functions as trees: traced once for two clouds, and reduced as formulas of one's own are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ...errors import bad_input
from ...formulas import Opaque, Radial
from ...formulas.trees.algebra import add, function, mul, neg, sub, times_exp
from ...formulas.trees.axes import Untraceable
from ...formulas.trees.expressions import Expr, I, J, P
from ...formulas.trees.slots import slot
from ...pairs import BlockPairs
from ..base import Engine, Formula, Reductions, ShiftedReductions
from ..choose import choose_trees
from .base import Reduction, Size, TreeEngine, prepared

__all__ = ["TracedFunctions"]


class TracedFunctions(Engine):
    """Costs and kernels that are Python functions, where these can be traced, and powers of the distance."""

    name = "compiled"
    traces = True

    def refuses(self, formula: Formula, x: Tensor, pairs: BlockPairs | None = None) -> str | None:
        """Refuses what is no function, and functions of which there is no formula."""
        if isinstance(formula, Radial) and formula.between:
            formula = formula.function
        if not isinstance(formula, Opaque):
            return "Built-in formulas have engines of their own."
        if pairs is not None:
            return 'Block pairs of Python functions are summed by engine="tiles".'
        try:
            formula.tree(x, x)
        except Untraceable as why:
            return f"The function cannot be traced: {why}."
        return None

    def bind(self, x: Tensor, y: Tensor, pairs: BlockPairs | None = None) -> Reductions:
        """Functions are traced when they are reduced."""
        return _Sums(x, y)


class _Formula:
    """A formula over slots, and places for what changes from call to call."""

    def __init__(self, given: Opaque | Radial, x: Tensor, y: Tensor) -> None:
        self.given, self.like = given, x  # the function is kept, so that no other has its address
        function = given.function if isinstance(given, Radial) else given
        size = Size((len(x),), x.shape[1], y.shape[1], x)
        (self.tree,), self.slots, self.tensors = prepared([function.tree(x, y)], size)

    def place(self, number: int, dim: int, on: int) -> Expr:
        """The slot of a tensor that comes after those of the formula."""
        return slot(len(self.slots) + number, dim, on)


class _Sums(ShiftedReductions):
    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y
        self.known: _Formula | None = None

    def _of(self, given: Formula) -> _Formula:
        """The formula of a function: the last one is known."""
        if not isinstance(given, (Opaque, Radial)):
            raise bad_input("engine", '"compiled"', "a Python function to be traced")
        if self.known is None or self.known.given is not given:
            self.known = _Formula(given, self.x, self.y)
        return self.known

    @torch.no_grad()
    def sum(
        self, kernel: Formula, v: Tensor, row: Tensor | None = None, col: Tensor | None = None
    ) -> Tensor:
        known = self._of(kernel)
        columns = known.place(0, v.shape[-1], J)
        tree, places, tensors = known.tree, [columns], [v]
        for scaling, on in ((row, I), (col, J)):
            if scaling is not None:
                places.append(known.place(len(places), 1, on))
                tensors.append(scaling[..., None])
        if len(places) > 1:
            exponent = places[1] if len(places) == 2 else add(*places[1:])
            tree = times_exp(tree, exponent)
        return self._summed(known, mul(tree, columns), places, tensors)

    def sum_exp(self, cost: Formula, eps: Tensor, row: Tensor, col: Tensor) -> Tensor:
        known = self._of(cost)
        shift = known.place(2, 1, I)
        exponent, places = self._exponent(known)
        tensors = [*_temperatures(eps, col), row.expand(self.x.shape[:2])[..., None]]
        places.append(shift)
        tree = function("exp", add(exponent, shift))
        return self._summed(known, tree, places, tensors)[..., 0]

    @torch.no_grad()
    def max_exponent(self, cost: Formula, eps: Tensor, col: Tensor) -> Tensor:
        known = self._of(cost)
        exponent, places = self._exponent(known)
        low, _ = self._least(known, neg(exponent), places, _temperatures(eps, col))
        return -low

    @torch.no_grad()
    def least(self, cost: Formula, col: Tensor | None = None) -> tuple[Tensor, Tensor]:
        known = self._of(cost)
        if col is None:
            return self._least(known, known.tree, [], [])
        place = known.place(0, 1, J)
        return self._least(known, sub(known.tree, place), [place], [col[..., None]])

    def _exponent(self, known: _Formula) -> tuple[Expr, list[Expr]]:
        """``c_j - C_ij / eps``, and the places of c and of 1 / eps."""
        col, rate = known.place(0, 1, J), known.place(1, 1, P)
        return sub(col, mul(known.tree, rate)), [col, rate]

    @torch.no_grad()
    def _summed(
        self, known: _Formula, tree: Expr, places: Sequence[Expr], tensors: Sequence[Tensor]
    ) -> Tensor:
        plan = Reduction("sum", (tree,), (*known.slots, *places), (I,))
        (found,) = self._engine(plan).sums(plan, self._all(known, tensors), None)
        return found

    @torch.no_grad()
    def _least(
        self, known: _Formula, tree: Expr, places: Sequence[Expr], tensors: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        plan = Reduction("least", (tree,), (*known.slots, *places))
        low, where = self._engine(plan).least(plan, self._all(known, tensors), None)
        return low[..., 0, 0], where[..., 0, 0]

    def _engine(self, plan: Reduction) -> TreeEngine:
        pairs = math.prod((*self.x.shape[:2], self.y.shape[1]))
        return choose_trees("auto", plan, self.x, pairs)[0]

    def _all(self, known: _Formula, tensors: Sequence[Tensor]) -> list[Tensor]:
        return [t.detach() for t in (*known.tensors, *tensors)]


def _temperatures(eps: Tensor, col: Tensor) -> list[Tensor]:
    return [col[..., None], 1 / eps[:, None, None]]
