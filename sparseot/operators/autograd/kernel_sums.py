r"""Where autograd meets the engines: kernel sums, differentiable in every argument.

The derivative of a radial kernel sum is a kernel sum of the profile's derivative,

.. math::
    \nabla_{x_i} \sum_j k(|x_i - y_j|^2) v_j = 2 \sum_j k'(|x_i - y_j|^2)\, v_j\, (x_i - y_j),

so :class:`KernelSum` calls itself in its backward pass and derivatives of every order follow.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from ...engines.base import Engine, Formula, Pairs, centred, reductions
from ...engines.openmp import on_one_thread, own_settings
from ...errors import bad_input
from ...formulas import Opaque, Radial
from .transforms import Rule, is_plain

__all__ = ["folded", "kernel_sum", "kernel_sum_vjp", "moved_by"]

MANY = 100_000  # points; of so many, a near one is felt by 1e-5 where weights are equal


def kernel_sum(
    kernel: Formula,
    x: Tensor,
    y: Tensor,
    v: Tensor,
    row: Tensor | None = None,
    col: Tensor | None = None,
    *,
    engine: Engine,
    pairs: Pairs | None = None,
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
        pairs: the block pairs, or the pairs of a plan, to visit; None for all pairs.

    Returns:
        ``(B, N, R)``.
    """
    if isinstance(kernel, Opaque):
        from .opaque_sums import function_sum  # here, for a light import of the library

        return function_sum(kernel, x, y, v, row, col, engine, pairs)
    if isinstance(kernel, Radial) and kernel.between and engine.traces and pairs is None:
        from .trees.traced import traced_sum  # here, for a light import of the library

        traced = traced_sum(kernel.function, x, y, v, row, col)
        if traced is not None:
            return traced
    tensors = x, y, v, row, col
    rule = SlopedSum if engine.sloped and all(map(is_plain, tensors)) else KernelSum
    result: Tensor = rule.apply(*tensors, kernel, engine, pairs)
    return result


class KernelSum(Rule):
    """The only kernel sum that autograd knows, and ``torch.func``."""

    @staticmethod
    @on_one_thread
    def forward(
        x: Tensor,
        y: Tensor,
        v: Tensor,
        row: Tensor | None,
        col: Tensor | None,
        kernel: Radial,
        engine: Engine,
        pairs: Pairs | None,
    ) -> Tensor:
        return reductions(engine, x, y, pairs).sum(kernel, v, row, col)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        *tensors, ctx.kernel, engine, pairs = inputs
        ctx.how = {"engine": engine, "pairs": pairs}
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)
        ctx.set_materialize_grads(False)

    @staticmethod
    @own_settings
    def backward(ctx: Any, g: Tensor | None) -> tuple[Tensor | None, ...]:
        if g is None:
            return (None,) * 8
        x, y, v, row, col = ctx.saved_tensors
        grads = kernel_sum_vjp(ctx.kernel, x, y, v, row, col, g, ctx.needs_input_grad, **ctx.how)
        return (*grads, None, None, None)

    @staticmethod
    @own_settings
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        return kernel_sum_jvp(ctx.kernel, ctx.saved_tensors, tangents[:5], **ctx.how)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> tuple[Tensor, int]:
        """Maps are a batch; those over right-hand sides alone are more of them, for one matrix."""
        (x, y, v, row, col), rest = args[:5], args[5:]
        if rest[-1] is not None:
            got, fix = "a map over sums of kept pairs", "Give more columns: (M, R)."
            raise bad_input("torch.vmap", got, "sums over all pairs", fix)
        if all(d is None for d in (*in_dims[:2], *in_dims[3:5])):
            columns = v.movedim(in_dims[2], -1)
            out = KernelSum.apply(x, y, columns.flatten(2), row, col, *rest)
            return out.unflatten(-1, columns.shape[2:]), 3
        parts = (folded(t, d, info.batch_size) for t, d in zip(args[:5], in_dims[:5], strict=True))
        out = KernelSum.apply(*parts, *rest)
        return out.unflatten(0, (info.batch_size, -1)), 0


class SlopedSum(Function):
    """The same where one pass gives the sum and what moves x, which is kept for the backward pass."""

    @staticmethod
    @on_one_thread
    def forward(ctx: Any, *args: Any) -> Tensor:
        x, y, *given, ctx.kernel, engine, pairs = args
        ctx.how = {"engine": engine, "pairs": pairs}
        sums = reductions(engine, x, y, pairs)
        both = sums.sum_slopes(ctx.kernel, *given) if ctx.needs_input_grad[0] else None
        found, slopes = (sums.sum(ctx.kernel, *given), None) if both is None else both
        ctx.save_for_backward(x, y, *given, slopes)
        return found

    @staticmethod
    @own_settings
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, y, v, row, col, slopes = ctx.saved_tensors
        moves, *rest = ctx.needs_input_grad
        known = moves and slopes is not None and not torch.is_grad_enabled()
        need = (moves and not known, *rest)
        gx, *grads = kernel_sum_vjp(ctx.kernel, x, y, v, row, col, g, need, **ctx.how)
        return g * slopes if known else gx, *grads, None, None, None


def folded(t: Tensor | None, dim: int | None, size: int) -> Tensor | None:
    """A tensor whose first axis is a batch, with a map as a part of it."""
    if t is None:
        return None
    return (t.expand(size, *t.shape) if dim is None else t.movedim(dim, 0)).flatten(0, 1)


def kernel_sum_vjp(
    kernel: Radial,
    x: Tensor,
    y: Tensor,
    v: Tensor,
    row: Tensor | None,
    col: Tensor | None,
    g: Tensor,
    need: tuple[bool, ...],
    *,
    engine: Engine,
    pairs: Pairs | None = None,
) -> tuple[Tensor | None, ...]:
    """Products of ``g`` with the derivatives of a kernel sum in x, y, v, row and col.

    ``need`` says which are wanted; the others are None.
    """
    there: dict[str, Any] = {"engine": engine, "pairs": pairs}
    back = {**there, "pairs": pairs and pairs.T}
    found, gx = _moving(kernel, x, y, g, v, row, col, **there) if need[0] else (None, None)
    gv, gy = _moving(kernel, y, x, v, g, col, row, **back) if need[1] else (None, None)
    if gv is None and (need[2] or need[4]):
        gv = kernel_sum(kernel, y, x, g, col, row, **back)
    if found is None and need[3]:
        found = kernel_sum(kernel, x, y, v, row, col, **there)
    gcol = (gv * v).sum(-1) if need[4] and gv is not None else None
    grow = (g * found).sum(-1) if need[3] and found is not None else None
    return gx, gy, (gv if need[2] else None), grow, gcol


def _moving(
    kernel: Radial,
    x: Tensor,
    y: Tensor,
    g: Tensor,
    v: Tensor,
    row: Tensor | None,
    col: Tensor | None,
    engine: Engine,
    pairs: Pairs | None = None,
) -> tuple[Tensor | None, Tensor]:
    """The sum, where one pass gives both and no further derivative is asked for; the effect of moving x."""
    if engine.sloped and not torch.is_grad_enabled():
        both = reductions(engine, x, y, pairs).sum_slopes(kernel, v, row, col)
        if both is not None:
            return both[0], g * both[1]
    return None, moved_by(kernel, x, y, g, v, row, col, engine, pairs)


def moved_by(
    kernel: Radial,
    x: Tensor,
    y: Tensor,
    g: Tensor,
    v: Tensor,
    row: Tensor | None,
    col: Tensor | None,
    engine: Engine,
    pairs: Pairs | None = None,
) -> Tensor:
    """``2 sum_j e^(r_i + c_j) k'(s_ij) (g_i . v_j) (x_i - y_j)``, the effect of moving x.

    One kernel sum with the columns v and v (x) y; coordinates are centred against cancellation, and in
    double precision where near points may have a large share of a sum.
    """
    slope = kernel.derivative()
    if x.dtype != torch.float64 and slope.unbounded and (row is not None or len(y[0]) < MANY):
        here = x.double()
        there = here if y is x else y.double()
        row, col = (t if t is None else t.double() for t in (row, col))
        return moved_by(kernel, here, there, g.double(), v.double(), row, col, engine, pairs).to(x)
    x_, y_ = centred(x, y)
    dim = x.shape[-1]
    columns = torch.cat((v, (v[..., None] * y_[..., None, :]).flatten(2)), -1)
    sums = kernel_sum(slope, x, y, columns, row, col, engine=engine, pairs=pairs)
    total, moment = sums.split((v.shape[-1], v.shape[-1] * dim), -1)
    moment = moment.unflatten(-1, (v.shape[-1], dim))
    return 2 * ((g * total).sum(-1, keepdim=True) * x_ - (g[..., None] * moment).sum(-2))


def kernel_sum_jvp(
    kernel: Radial,
    at: tuple[Any, ...],
    tangents: tuple[Any, ...],
    *,
    engine: Engine,
    pairs: Pairs | None = None,
) -> Tensor:
    """The derivative of a kernel sum along tangents of x, y, v, row and col; None where nothing moves."""
    (x, y, v, row, col), (dx, dy, dv, drow, dcol) = at, tangents
    there: dict[str, Any] = {"engine": engine, "pairs": pairs}
    parts = []
    if dcol is not None:
        dv = dcol[..., None] * v if dv is None else dv + dcol[..., None] * v
    if dv is not None:
        parts.append(kernel_sum(kernel, x, y, dv, row, col, **there))
    if drow is not None:
        parts.append(drow[..., None] * kernel_sum(kernel, x, y, v, row, col, **there))
    if dx is not None or dy is not None:
        parts.append(_along(kernel.derivative(), x, y, v, row, col, dx, dy, **there))
    return torch.stack(parts).sum(0)


def _along(
    slope: Radial,
    x: Tensor,
    y: Tensor,
    v: Tensor,
    row: Tensor | None,
    col: Tensor | None,
    dx: Tensor | None,
    dy: Tensor | None,
    **there: Any,
) -> Tensor:
    """``2 sum_j e^(r_i + c_j) k'(s_ij) (x_i - y_j) . (dx_i - dy_j) v_j``, by one kernel sum."""
    if x.dtype != torch.float64:
        row, col, dx, dy = (t if t is None else t.double() for t in (row, col, dx, dy))
        points = x.double(), y.double(), v.double()
        return _along(slope, *points, row, col, dx, dy, **there).to(x)
    x_, y_ = centred(x, y)
    dx, dy = (torch.zeros_like(p) if t is None else t for p, t in ((x_, dx), (y_, dy)))
    moved = (y_ * dy).sum(-1, keepdim=True)
    vectors = torch.cat((torch.ones_like(moved), moved, y_, dy), -1)[
        ..., None, :
    ]  # (B, M, 1, 2 + 2D)
    columns = (v[..., None] * vectors).flatten(2)
    sums = kernel_sum(slope, x, y, columns, row, col, **there).unflatten(-1, (v.shape[-1], -1))
    one, own, of_y, of_dy = sums.split((1, 1, x.shape[-1], x.shape[-1]), -1)
    here, moves = x_[:, :, None], dx[:, :, None]
    products = (here * moves).sum(-1) * one[..., 0] - (moves * of_y).sum(-1)
    return 2 * (products - (here * of_dy).sum(-1) + own[..., 0])
