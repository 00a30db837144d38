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

from ...engines.base import Engine, Formula, Pairs
from ...engines.openmp import own_settings
from ...formulas import GroundCost, Opaque, Radial, Symbolic
from ...points import CLOSED, log_weights
from .kernel_sums import kernel_sum, kernel_sum_vjp

__all__ = ["first_order", "sloped", "softmin"]


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
    pairs: Pairs | None = None,
    learnt: float = 1.0,
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
        pairs: the pairs of the plan of (f, g) to visit; None for all pairs.
        learnt: the share of the gradient in what a cost that is a function has learned.

    Returns:
        ``f`` with a gradient in x, y, b and g. A second derivative raises RuntimeError: where
        potentials are frozen, it would not be that of the loss.
    """
    x, y, b, g = (first_order(t) for t in (x, y, b, g))
    if isinstance(cost, Opaque):
        from .opaque_sums import function_softmin  # here, for a light import of the library

        return function_softmin(cost, x, y, b, g, eps, learnt, engine)
    if isinstance(cost, Radial) and cost.between and engine.traces and pairs is None:
        from .trees.traced import traced_softmin  # here, for a light import of the library

        traced = traced_softmin(cost.function, x, y, b, g, eps, learnt)
        if traced is not None:
            return traced
    if isinstance(cost, Symbolic):
        return _symbolic_softmin(cost, x, y, b, g, eps, engine)
    result: Tensor = _Softmin.apply(x, y, b, g, f.detach(), cost, eps, engine, pairs)
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
        cost: GroundCost,
        eps: float,
        engine: Engine,
        pairs: Pairs | None,
    ) -> Tensor:
        ctx.save_for_backward(x, y, b, g, f)
        ctx.cost, ctx.eps, ctx.total = cost, eps, None
        ctx.there = {"engine": engine, "pairs": pairs}
        ctx.back = {"engine": engine, "pairs": pairs and pairs.T}
        return f.clone()

    @staticmethod
    @own_settings
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        x, y, b, g, f = ctx.saved_tensors
        need_x, need_y, need_b, need_g = ctx.needs_input_grad[:4]
        kernel, one = ctx.cost.gibbs(ctx.eps), torch.ones_like(b)[..., None]
        # Rows without cotangent and columns without weight are closed: their potentials are
        # those of points that carry nothing, so that exponents there know no bound.
        open_rows = cotangent != 0
        row, col = f / ctx.eps, log_weights(b) + g / ctx.eps
        if ctx.total is None and f.dtype == torch.float64:
            ctx.total = torch.ones_like(f)[..., None]
        if ctx.total is None:  # 1 but for the rounding of f / eps, which would scale whole rows
            with torch.no_grad():
                ctx.total = kernel_sum(kernel, x, y, one, row, col, **ctx.there)
        row, total = row.where(open_rows, CLOSED), ctx.total.where(open_rows[..., None], 1)
        weight = -ctx.eps * cotangent[..., None] / total
        asked = (need_x, need_y, need_g, False, False)
        gx, gy, gv, _, _ = kernel_sum_vjp(kernel, x, y, one, row, col, weight, asked, **ctx.there)
        gg = None if gv is None else gv[..., 0] / ctx.eps
        gb = None
        if need_b:
            gb = kernel_sum(kernel, y, x, weight, g / ctx.eps, row, **ctx.back)[..., 0]
        return gx, gy, gb, gg, None, None, None, None, None


def first_order(x: Tensor) -> Tensor:
    """The same tensor; whoever differentiates its gradient again is told what to do instead."""
    same: Tensor = _FirstOrder.apply(x)
    return same


class _FirstOrder(Function):
    """The identity; its gradient cannot be differentiated again."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: FunctionCtx, g: Tensor) -> Tensor:
        barred: Tensor = _Barrier.apply(g)
        return barred


def sloped(f: Tensor, x: Tensor, slopes: Tensor) -> Tensor:
    """A value ``(B, N)`` whose gradients ``(B, N, D)`` in its points are known; the first ones only."""
    result: Tensor = _Sloped.apply(x, f, slopes)
    return result


class _Sloped(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, f: Tensor, slopes: Tensor) -> Tensor:
        ctx.save_for_backward(x, slopes)
        return f.clone()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, slopes = ctx.saved_tensors
        return _Barrier.apply(g[..., None] * slopes, x), None, None


class _Barrier(Function):
    """Passes a gradient on and forbids to differentiate it, as one of ``x`` where that is given."""

    @staticmethod
    def forward(ctx: FunctionCtx, g: Tensor, x: Tensor | None = None) -> Tensor:
        return g.view_as(g)

    @staticmethod
    def backward(ctx: FunctionCtx, _: Tensor) -> None:
        raise RuntimeError(
            "This loss freezes its potentials where its schedule ends, so it has no second "
            "derivative. Exact ones belong to losses that are solved to a tolerance, tol=..."
        )


def _symbolic_softmin(
    cost: Symbolic, x: Tensor, y: Tensor, b: Tensor, g: Tensor, eps: float, engine: Engine
) -> Tensor:
    """KeOps differentiates its own formulas."""
    col = log_weights(b) + g / eps
    temperature = x.new_full((len(x),), eps)
    return -eps * engine.bind(x, y).logsumexp(cost, temperature, col)
