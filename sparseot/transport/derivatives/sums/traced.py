r"""Derivatives of a cost that is a formula of two points, summed over a plan.

.. math::
    \sum_j e_{ij}\, \partial_1 C\, v_j, \qquad \sum_j e_{ij}\, \partial_2 C \cdot w_j, \qquad
    \sum_j e_{ij}\, (\partial_{12} C - \tfrac1\varepsilon \partial_1 C\, \partial_2 C^\top)\, w_j

are sums of formulas, whose derivatives are formulas again. Of a radial cost :math:`\partial_2 C = -\partial_1 C`,
which :mod:`.forces` makes use of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ....engines.trees.base import Size
from ....formulas import Opaque
from ....formulas.trees.algebra import ONE, add, extract, function, is_zero, mul, neg, sub, total
from ....formulas.trees.derivatives import gradients
from ....formulas.trees.expressions import Expr, I, J, const
from ....formulas.trees.slots import leaves, variable
from ....operators.autograd.trees.sums import How, tree_sums
from ....points import CLOSED
from .coupling import Coupling
from .forces import Forces

__all__ = ["TracedForces"]

OUTPUTS = 12  # numbers of a row that are summed together


class TracedForces(Forces):
    """Those of a function that is traced."""

    def __init__(self, e: Coupling) -> None:
        at = e.at
        assert isinstance(at.cost, Opaque)
        (x, y), (f, g), self.eps = at.points, at.potentials, at.eps
        self.size, self.dim = Size((1,), len(x), len(y), x), x.shape[1]
        cost = at.cost.tree(x[None], y[None])
        row, col = (variable((h / at.eps)[None, :, None], on) for h, on in ((f, I), (g, J)))
        exponent = sub(add(row, col), mul(const(1 / at.eps), cost))
        if at.empty is not None:
            none = (
                variable(w.to(x)[None, :, None], on) for w, on in zip(at.empty, (I, J), strict=True)
            )
            exponent = add(exponent, mul(const(CLOSED), mul(*none)))
        self.entries = function("exp", exponent)
        self.x, self.y = (_points(cost, on, z) for on, z in ((I, x), (J, y)))
        self.first, self.second = gradients([cost], [ONE], [self.x, self.y])

    def pull(self, v: Tensor) -> Tensor:
        return self._each(v[:, None], lambda v: mul(v, self.first), self.dim)

    def push(self, w: Tensor) -> Tensor:
        return self._each(w, lambda w: neg(total(mul(w, self.second))), 1)[:, 0]

    def bend(self, w: Tensor) -> Tensor:
        def bent(w: Expr) -> Expr:
            work = total(mul(self.second, w))
            (turned,) = gradients([work], [ONE], [self.x])
            return sub(mul(mul(const(1 / self.eps), work), self.first), turned)

        return self._each(w, bent, self.dim)

    def stiffness(self, b: Tensor) -> Tensor:
        columns = variable(b[None, :, None], J)
        rows = []
        for d in range(self.dim):
            force = extract(self.first, d, 1)
            (bent,) = gradients([force], [ONE], [self.x])
            stiff = sub(bent, mul(mul(const(1 / self.eps), force), self.first))
            rows.append(mul(columns, stiff))
        return torch.stack(self._sums(rows), 1)

    def _each(self, v: Tensor, tree: Callable[[Expr], Expr], width: int) -> Tensor:
        """Sums of a formula of ``(M, K, R)``, column by column: ``(N, width, R)``."""
        trees = [tree(variable(part[None].contiguous(), J)) for part in v.unbind(-1)]
        return torch.stack(self._sums(trees), -1)

    def _sums(self, trees: Sequence[Expr]) -> list[Tensor]:
        """The sums of the entries times some formulas, ``(N, width)`` each."""
        if is_zero(trees[0]):
            return [self.size.like.new_zeros(self.size.rows, e.dim) for e in trees]
        found: list[Tensor] = []
        some = max(1, OUTPUTS // trees[0].dim)
        with torch.no_grad():
            for k in range(0, len(trees), some):
                products = [mul(self.entries, e) for e in trees[k : k + some]]
                parts = tree_sums(products, [I] * len(products), self.size, How())
                found += [part[0] for part in parts]
        return found


def _points(cost: Expr, on: int, points: Tensor) -> Expr:
    """The variable of a formula that is a cloud; or one that it does not depend on."""
    found = [leaf for leaf in leaves(cost) if leaf.on == on]
    return found[0] if found else variable(points[None], on)
