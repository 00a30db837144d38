r"""Where autograd meets the engines: kernel sums and softmins, differentiable in every argument.

The derivative of a radial kernel sum is a kernel sum of the profile's derivative,

.. math::
    \nabla_{x_i} \sum_j k(|x_i - y_j|^2) v_j = 2 \sum_j k'(|x_i - y_j|^2)\, v_j\, (x_i - y_j),

so :class:`KernelSum` calls itself in its backward pass and derivatives of every order follow.
A softmin is the logarithm of a kernel sum; its derivative is again a sum against the plan.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import FunctionCtx
from torch.utils.checkpoint import checkpoint

from ..engines.base import Engine, Formula
from ..formulas import Opaque, Radial, Symbolic, gibbs

__all__ = ["kernel_sum", "quadratic_form", "softmin"]


def kernel_sum(
    kernel: Formula,
    x: Tensor,
    y: Tensor,
    v: Tensor,
    row: Tensor | None = None,
    col: Tensor | None = None,
    *,
    engine: Engine,
) -> Tensor:
    r"""The product :math:`\sum_j e^{r_i + c_j} k(x_i, y_j) v_j`, differentiable to any order.

    Args:
        kernel: the formula k.
        x: ``(B, N, D)`` points.
        y: ``(B, M, D)`` points.
        v: ``(B, M, R)`` right-hand sides.
        row: ``(B, N)`` logarithmic scalings, or None.
        col: ``(B, M)`` logarithmic scalings, or None.
        engine: how to sum.

    Returns:
        ``(B, N, R)``.
    """
    if isinstance(kernel, Opaque):
        assert row is None and col is None, "scalings of an opaque kernel are a softmin's"
        return _opaque_sum(kernel, x, y, v)
    result: Tensor = KernelSum.apply(x, y, v, row, col, kernel, engine)
    return result


class KernelSum(Function):
    """The only kernel sum that autograd knows."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        x: Tensor,
        y: Tensor,
        v: Tensor,
        row: Tensor | None,
        col: Tensor | None,
        kernel: Radial,
        engine: Engine,
    ) -> Tensor:
        ctx.save_for_backward(x, y, v, row, col)
        ctx.kernel, ctx.engine = kernel, engine
        return engine.bind(x, y).sum(kernel, v, row, col)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        need = ctx.needs_input_grad
        return (*_vjp(ctx.kernel, *ctx.saved_tensors, g, need, ctx.engine), None, None)


def _vjp(
    kernel: Radial,
    x: Tensor,
    y: Tensor,
    v: Tensor,
    row: Tensor | None,
    col: Tensor | None,
    g: Tensor,
    need: tuple[bool, ...],
    engine: Engine,
) -> tuple[Tensor | None, ...]:
    """Products of ``g`` with the derivatives of a kernel sum in x, y, v, row and col."""
    gx = _moved(kernel, x, y, g, v, row, col, engine) if need[0] else None
    gy = _moved(kernel, y, x, v, g, col, row, engine) if need[1] else None
    gv = kernel_sum(kernel, y, x, g, col, row, engine=engine) if need[2] or need[4] else None
    gcol = (gv * v).sum(-1) if need[4] and gv is not None else None
    grow = None
    if need[3]:
        grow = (g * kernel_sum(kernel, x, y, v, row, col, engine=engine)).sum(-1)
    return gx, gy, (gv if need[2] else None), grow, gcol


def _moved(
    kernel: Radial,
    x: Tensor,
    y: Tensor,
    g: Tensor,
    v: Tensor,
    row: Tensor | None,
    col: Tensor | None,
    engine: Engine,
) -> Tensor:
    """``2 sum_j e^(r_i + c_j) k'(s_ij) (g_i . v_j) (x_i - y_j)``, the effect of moving x.

    One kernel sum with the columns v and v (x) y; coordinates are centred against cancellation.
    """
    centre = (x.detach().mean(1, keepdim=True) + y.detach().mean(1, keepdim=True)) / 2
    x_, y_ = x - centre, y - centre
    dim = x.shape[-1]
    columns = torch.cat((v, (v[..., None] * y_[..., None, :]).flatten(2)), -1)
    sums = kernel_sum(kernel.derivative(), x, y, columns, row, col, engine=engine)
    total, moment = sums.split((v.shape[-1], v.shape[-1] * dim), -1)
    moment = moment.unflatten(-1, (v.shape[-1], dim))
    return 2 * ((g * total).sum(-1, keepdim=True) * x_ - (g[..., None] * moment).sum(-2))


def quadratic_form(kernel: Formula, x: Tensor, a: Tensor, *, engine: Engine) -> Tensor:
    r"""The double sum :math:`\sum_{ij} a_i a_j k(x_i, x_j)` of a symmetric kernel, ``(B,)``.

    Differentiable to any order; both places of x are differentiated in one pass.
    """
    if isinstance(kernel, Opaque):
        return (a * _opaque_sum(kernel, x, x, a[..., None])[..., 0]).sum(-1)
    result: Tensor = _QuadraticForm.apply(x, a, kernel, engine)
    return result


class _QuadraticForm(Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, x: Tensor, a: Tensor, kernel: Radial, engine: Engine
    ) -> Tensor:
        ctx.save_for_backward(x, a)
        ctx.kernel, ctx.engine = kernel, engine
        return (a * engine.bind(x, x).sum(kernel, a[..., None])[..., 0]).sum(-1)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, a = ctx.saved_tensors
        v, weight = a[..., None], (2 * g[:, None] * a)[..., None]
        gx = ga = None
        if ctx.needs_input_grad[0]:
            gx = _moved(ctx.kernel, x, x, weight, v, None, None, ctx.engine)
        if ctx.needs_input_grad[1]:
            ga = 2 * g[:, None] * kernel_sum(ctx.kernel, x, x, v, engine=ctx.engine)[..., 0]
        return gx, ga, None, None


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
    def forward(  # type: ignore[override]
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
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, y, b, g, f = ctx.saved_tensors
        kernel, row, col, v = gibbs(ctx.cost, ctx.eps), f / ctx.eps, g / ctx.eps, b[..., None]
        with torch.no_grad():  # 1 but for the rounding of f / eps, which would scale whole rows
            total = kernel_sum(kernel, x, y, v, row, col, engine=ctx.engine)
        weight = -ctx.eps * cotangent[..., None] / total
        need_x, need_y, need_b, need_g = ctx.needs_input_grad[:4]
        asked = (need_x, need_y, need_b or need_g, False, False)
        gx, gy, gb, _, _ = _vjp(kernel, x, y, v, row, col, weight, asked, ctx.engine)
        gb = None if gb is None else gb[..., 0]
        gg = b * gb / ctx.eps if need_g and gb is not None else None
        return gx, gy, (gb if need_b else None), gg, None, None, None, None


class _FirstOrder(Function):
    """The identity; its gradient cannot be differentiated again."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:  # type: ignore[override]
        return x.view_as(x)

    @staticmethod
    def backward(ctx: FunctionCtx, g: Tensor) -> Tensor:  # type: ignore[override]
        barred: Tensor = _Barrier.apply(g)
        return barred


class _Barrier(Function):
    """Passes a gradient on and forbids to differentiate it."""

    @staticmethod
    def forward(ctx: FunctionCtx, g: Tensor) -> Tensor:  # type: ignore[override]
        return g.view_as(g)

    @staticmethod
    def backward(ctx: FunctionCtx, _: Tensor) -> None:  # type: ignore[override]
        raise RuntimeError(
            "This Sinkhorn loss follows a fixed schedule and freezes its potentials, so its second "
            "derivative is not defined. Solve to a tolerance, tol=..., for exact second derivatives."
        )


def _opaque_sum(kernel: Opaque, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
    """Row blocks of an opaque kernel, recomputed in the backward pass."""
    return _by_rows(lambda rows, y, v: kernel(rows, y) @ v, x, y, v)


def _opaque_softmin(cost: Opaque, x: Tensor, y: Tensor, b: Tensor, g: Tensor, eps: float) -> Tensor:
    def block(rows: Tensor, y: Tensor, b: Tensor, g: Tensor) -> Tensor:
        exponent = (g[:, None] - cost(rows, y)) / eps
        highest = exponent.detach().amax(-1)
        sums = ((exponent - highest[..., None]).exp() * b[:, None]).sum(-1)
        return -eps * (sums.log() + highest)

    return _by_rows(block, x, y, b, g)


def _symbolic_softmin(
    cost: Symbolic, x: Tensor, y: Tensor, b: Tensor, g: Tensor, eps: float, engine: Engine
) -> Tensor:
    """KeOps differentiates its own formulas."""
    col = torch.where(b > 0, b, 1).log().where(b > 0, -1e5) + g / eps
    temperature = x.new_full((len(x),), eps)
    return -eps * engine.bind(x, y).logsumexp(cost, temperature, col)


def _by_rows(function: Any, x: Tensor, *others: Tensor) -> Tensor:
    size = max(1, (1 << 22) // (len(x) * others[0].shape[1]))
    blocks = [
        checkpoint(function, rows, *others, use_reentrant=False) for rows in x.split(size, dim=1)
    ]
    return torch.cat(blocks, 1)
