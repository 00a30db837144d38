"""Sums of functions that are traced: formulas whose variables are the points and what the function holds."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.autograd import Function

from ....engines.trees.base import Size
from ....formulas import Opaque
from ....formulas.trees.algebra import add, mul, sub, times_exp
from ....formulas.trees.axes import Untraceable
from ....formulas.trees.expressions import Expr, I, J, P, rebuilt
from ....formulas.trees.slots import leaves, variable
from ....formulas.trees.tracing import learnt_by
from ..transforms import is_plain
from .sums import How, tree_log_sums, tree_sums

__all__ = ["Scaled", "traced_softmin", "traced_sum", "tree_of"]


def tree_of(function: Opaque, x: Tensor, y: Tensor, *others: Tensor | None) -> Expr | None:
    """The formula of a function, or None where autograd must see the function itself.

    That is where there is no formula, and inside of transforms of ``torch.func`` and of forward
    derivatives, for which reductions of trees have no rule.
    """
    try:
        tree = function.tree(x, y)
    except Untraceable:
        return None
    held = (leaf.attr.tensor for leaf in leaves(tree))
    known = [t for t in (x, y, *others, *held) if t is not None]
    return tree if all(map(is_plain, known)) else None


def traced_sum(
    kernel: Opaque, x: Tensor, y: Tensor, v: Tensor, row: Tensor | None, col: Tensor | None
) -> Tensor | None:
    """The kernel sum ``(B, N, R)`` of a function, differentiable to any order; None, see :func:`tree_of`."""
    tree = tree_of(kernel, x, y, v, row, col)
    if tree is None:
        return None
    scalings = [
        variable(scaling[..., None], on)
        for scaling, on in ((row, I), (col, J))
        if scaling is not None
    ]
    if scalings:
        tree = times_exp(tree, scalings[0] if len(scalings) == 1 else add(*scalings))
    (found,) = tree_sums([mul(tree, variable(v, J))], [I], _size(x, y), How())
    return found


def traced_softmin(
    cost: Opaque, x: Tensor, y: Tensor, b: Tensor, g: Tensor, eps: float, learnt: float
) -> Tensor | None:
    """The softmin ``(B, N)`` of a function; None, see :func:`tree_of`.

    What the function holds takes the share ``learnt`` of its gradient.
    """
    tree = tree_of(cost, x, y, b, g)
    if tree is None:
        return None
    shares = {leaf: variable(Scaled.apply(leaf.attr.tensor, learnt), P) for leaf in learnt_by(tree)}
    (tree,) = rebuilt([tree], shares)
    rate = variable(x.new_full((1, 1), 1 / eps), P)  # no constant: one program for all of them
    exponent = mul(rate, sub(variable(g[..., None], J), tree))
    log, mean = tree_log_sums(exponent, [variable(b[..., None], J)], _size(x, y), How())
    return -eps * (log + mean.log())[..., 0]


class Scaled(Function):
    """The identity; gradients are multiplied by a factor."""

    @staticmethod
    def forward(ctx: Any, t: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return t.view_as(t)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        return ctx.factor * g, None


def _size(x: Tensor, y: Tensor) -> Size:
    return Size((len(x),), x.shape[1], y.shape[1], x)
