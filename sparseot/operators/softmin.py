r"""Softmins, with derivatives: the logarithm of a kernel sum, minus its temperature times.

The derivative of a softmin is a sum against its plan, hence again a scaled kernel sum. Only the
first derivative is given: the solvers that end in a softmin freeze its potentials.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import FunctionCtx

from ..engines.base import Engine, Formula
from ..formulas import Opaque, Radial, Symbolic, gibbs
from .autograd import by_rows, kernel_sum, kernel_sum_vjp

__all__ = ["softmin"]


def softmin(
    cost: Formula,
    x: Tensor,
    y: Tensor,
    b: Tensor,
    g: Tensor,
    f: Tensor,
    eps: float,
    *,
    engine: Engine,
) -> Tensor:
    r"""Attaches first derivatives to a softmin whose value is known.

    .. math:: f_i = -\varepsilon \log \sum_j b_j \exp((g_j - C(x_i, y_j)) / \varepsilon)

    Args:
        cost: the formula C.
        x: ``(B, N, D)`` points.
        y: ``(B, M, D)`` points.
        b: ``(B, M)`` weights; zero is allowed, its derivative too.
        g: ``(B, M)`` potential.
        f: ``(B, N)`` the value, computed without a graph.
        eps: the temperature.
        engine: how to sum.

    Returns:
        ``f`` with a gradient in x, y, b and g. A second derivative raises RuntimeError: where
        potentials are frozen, it would not be that of the loss.
    """
    x, y, b, g = (_FirstOrder.apply(t) for t in (x, y, b, g))
    if isinstance(cost, Opaque):
        return _opaque_softmin(cost, x, y, b, g, eps)
    if isinstance(cost, Symbolic):
        return _symbolic_softmin(cost, x, y, b, g, eps, engine)
    result: Tensor = _Softmin.apply(x, y, b, g, f.detach(), cost, eps, engine)
    return result


class _Softmin(Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        y: Tensor,
        b: Tensor,
        g: Tensor,
        f: Tensor,
        cost: Radial,
        eps: float,
        engine: Engine,
    ) -> Tensor:
        ctx.save_for_backward(x, y, b, g, f)
        ctx.cost, ctx.eps, ctx.engine = cost, eps, engine
        return f.clone()

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        x, y, b, g, f = ctx.saved_tensors
        kernel, row, col, v = gibbs(ctx.cost, ctx.eps), f / ctx.eps, g / ctx.eps, b[..., None]
        with torch.no_grad():  # 1 but for the rounding of f / eps, which would scale whole rows
            total = kernel_sum(kernel, x, y, v, row, col, engine=ctx.engine)
        weight = -ctx.eps * cotangent[..., None] / total
        need_x, need_y, need_b, need_g = ctx.needs_input_grad[:4]
        asked = (need_x, need_y, need_b or need_g, False, False)
        gx, gy, gb, _, _ = kernel_sum_vjp(
            kernel, x, y, v, row, col, weight, asked, engine=ctx.engine
        )
        gb = None if gb is None else gb[..., 0]
        gg = b * gb / ctx.eps if need_g and gb is not None else None
        return gx, gy, (gb if need_b else None), gg, None, None, None, None


class _FirstOrder(Function):
    """The identity; its gradient cannot be differentiated again."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: FunctionCtx, g: Tensor) -> Tensor:
        barred: Tensor = _Barrier.apply(g)
        return barred


class _Barrier(Function):
    """Passes a gradient on and forbids to differentiate it."""

    @staticmethod
    def forward(ctx: FunctionCtx, g: Tensor) -> Tensor:
        return g.view_as(g)

    @staticmethod
    def backward(ctx: FunctionCtx, _: Tensor) -> None:
        raise RuntimeError(
            "This Sinkhorn loss follows a fixed schedule and freezes its potentials, so its second "
            "derivative is not defined. Solve to a tolerance, tol=..., for exact second derivatives."
        )


def _opaque_softmin(cost: Opaque, x: Tensor, y: Tensor, b: Tensor, g: Tensor, eps: float) -> Tensor:
    def block(rows: Tensor, y: Tensor, b: Tensor, g: Tensor) -> Tensor:
        exponent = (g[:, None] - cost(rows, y)) / eps
        highest = exponent.detach().amax(-1)
        sums = ((exponent - highest[..., None]).exp() * b[:, None]).sum(-1)
        return -eps * (sums.log() + highest)

    return by_rows(block, x, y, b, g)


def _symbolic_softmin(
    cost: Symbolic, x: Tensor, y: Tensor, b: Tensor, g: Tensor, eps: float, engine: Engine
) -> Tensor:
    """KeOps differentiates its own formulas."""
    col = torch.where(b > 0, b, 1).log().where(b > 0, -1e5) + g / eps
    temperature = x.new_full((len(x),), eps)
    return -eps * engine.bind(x, y).logsumexp(cost, temperature, col)
