r"""Where autograd meets the engines: kernel sums, differentiable in every argument.

The derivative of a radial kernel sum is a kernel sum of the profile's derivative,

.. math::
    \nabla_{x_i} \sum_j k(|x_i - y_j|^2) v_j = 2 \sum_j k'(|x_i - y_j|^2)\, v_j\, (x_i - y_j),

so :class:`KernelSum` calls itself in its backward pass and derivatives of every order follow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.utils.checkpoint import checkpoint

from ...engines.base import Engine, Formula, Pairs, centred, reductions
from ...engines.openmp import NUMBERS, on_one_thread, own_settings, threads_for
from ...formulas import Opaque, Radial, finite
from ...pairs import BlockPairs
from ...precision import full_precision
from .traced_sums import traced_sum

KEPT = 1 << 15  # numbers, of so few a graph may stay: checkpoints load much of torch
BLOCK = 1 << 24  # numbers that a block of rows may hold, a difference of coordinates for each pair

__all__ = ["by_rows", "kernel_sum", "kernel_sum_vjp", "quadratic_form"]

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
        traced = traced_sum(kernel, x, y, v, row, col) if engine.traces else None
        if traced is not None:
            _look_for_infinity(kernel, x, y, v, traced)
            return traced
        assert row is None and col is None, "scalings of an opaque kernel are a softmin's"
        if not engine.differentiable:
            if isinstance(pairs, BlockPairs):
                return _opaque_block_sum(kernel, x, y, v, pairs)
            return _opaque_sum(kernel, x, y, v)
        out = reductions(engine, x, y, pairs).sum(kernel, v)
        _look_for_infinity(kernel, x, y, v, out)
        return out
    result: Tensor = KernelSum.apply(x, y, v, row, col, kernel, engine, pairs)
    return result


class KernelSum(Function):
    """The only kernel sum that autograd knows."""

    @staticmethod
    @on_one_thread
    def forward(
        ctx: Any,
        x: Tensor,
        y: Tensor,
        v: Tensor,
        row: Tensor | None,
        col: Tensor | None,
        kernel: Radial,
        engine: Engine,
        pairs: Pairs | None,
    ) -> Tensor:
        ctx.save_for_backward(x, y, v, row, col)
        ctx.kernel, ctx.how = kernel, {"engine": engine, "pairs": pairs}
        return reductions(engine, x, y, pairs).sum(kernel, v, row, col)

    @staticmethod
    @own_settings
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, y, v, row, col = ctx.saved_tensors
        need = ctx.needs_input_grad
        grads = kernel_sum_vjp(ctx.kernel, x, y, v, row, col, g, need, **ctx.how)
        return (*grads, None, None, None)


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
    gx = _moved(kernel, x, y, g, v, row, col, **there) if need[0] else None
    gy = _moved(kernel, y, x, v, g, col, row, **back) if need[1] else None
    gv = kernel_sum(kernel, y, x, g, col, row, **back) if need[2] or need[4] else None
    gcol = (gv * v).sum(-1) if need[4] and gv is not None else None
    grow = (g * kernel_sum(kernel, x, y, v, row, col, **there)).sum(-1) if need[3] else None
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
        return _moved(kernel, here, there, g.double(), v.double(), row, col, engine, pairs).to(x)
    x_, y_ = centred(x, y)
    dim = x.shape[-1]
    columns = torch.cat((v, (v[..., None] * y_[..., None, :]).flatten(2)), -1)
    sums = kernel_sum(slope, x, y, columns, row, col, engine=engine, pairs=pairs)
    total, moment = sums.split((v.shape[-1], v.shape[-1] * dim), -1)
    moment = moment.unflatten(-1, (v.shape[-1], dim))
    return 2 * ((g * total).sum(-1, keepdim=True) * x_ - (g[..., None] * moment).sum(-2))


def quadratic_form(kernel: Formula, x: Tensor, a: Tensor, *, engine: Engine) -> Tensor:
    r"""The double sum :math:`\sum_{ij} a_i a_j k(x_i, x_j)` of a symmetric kernel, ``(B,)``.

    Differentiable to any order; both places of x are differentiated in one pass.
    """
    if isinstance(kernel, Opaque):
        traced = traced_sum(kernel, x, x, a[..., None], None, None) if engine.traces else None
        field = _opaque_sum(kernel, x, x, a[..., None]) if traced is None else traced
        return (a * field[..., 0]).sum(-1)
    result: Tensor = _QuadraticForm.apply(x, a, kernel, engine)
    return result


class _QuadraticForm(Function):
    @staticmethod
    @on_one_thread
    def forward(ctx: Any, x: Tensor, a: Tensor, kernel: Radial, engine: Engine) -> Tensor:
        ctx.save_for_backward(x, a)
        ctx.kernel, ctx.engine = kernel, engine
        return (a * engine.bind(x, x).sum(kernel, a[..., None])[..., 0]).sum(-1)

    @staticmethod
    @own_settings
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, a = ctx.saved_tensors
        v, weight = a[..., None], (2 * g[:, None] * a)[..., None]
        gx = ga = None
        if ctx.needs_input_grad[0]:
            gx = _moved(ctx.kernel, x, x, weight, v, None, None, ctx.engine)
        if ctx.needs_input_grad[1]:
            ga = 2 * g[:, None] * kernel_sum(ctx.kernel, x, x, v, engine=ctx.engine)[..., 0]
        return gx, ga, None, None


def _opaque_sum(kernel: Opaque, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
    """Row blocks of an opaque kernel, recomputed in the backward pass."""

    clouds = None if y is x else kernel.clouds

    def block(first: int, rows: Tensor, y: Tensor, v: Tensor) -> Tensor:
        values = finite(kernel(rows, y), range(first, first + rows.shape[1]), clouds=clouds)
        product: Tensor = _Product.apply(values, v)
        return product

    return by_rows(block, x, y, v)


def _opaque_block_sum(kernel: Opaque, x: Tensor, y: Tensor, v: Tensor, pairs: BlockPairs) -> Tensor:
    """Tiles of kept pairs of blocks, many at a time, computed anew in the backward pass."""
    clouds = None if y is x else kernel.clouds
    rows, cols = (torch.from_numpy(cut.members).to(x.device) for cut in (pairs.rows, pairs.columns))
    last = len(pairs.columns.order)  # places beyond it fill the last block
    real = torch.arange(cols.numel(), device=x.device).view(cols.shape) < last

    def products(i: Tensor, j: Tensor, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        values = kernel(x[0, rows[i]], y[0, cols[j]])
        for t in (~values.detach().isfinite()).flatten(1).any(1).nonzero()[:1, 0]:
            finite(values[t, None], rows[i[t]], cols[j[t]], clouds=clouds)  # refuses it
        product: Tensor = _Product.apply(values, v[0, cols[j]].where(real[j, :, None], 0))
        return product

    out = v.new_zeros(*rows.shape, v.shape[-1])
    tile = rows.shape[1] * cols.shape[1] * x.shape[-1]
    tiles = (torch.from_numpy(k).to(x.device) for k in (pairs.owners, pairs.cols))
    with threads_for(NUMBERS * pairs.kept * x.shape[-1]):
        for i, j in zip(*(k.split(max(1, BLOCK // tile)) for k in tiles), strict=True):
            sums = checkpoint(full_precision(products), i, j, x, y, v, use_reentrant=False)
            out = out.index_add(0, i, sums)
    flat, places = out.flatten(0, 1)[: x.shape[1]], rows.flatten()[: x.shape[1]]
    return torch.empty_like(flat).index_copy(0, places, flat)[None]


class _Product(Function):
    """The product of two batches of matrices, whose derivatives have all their digits too."""

    generate_vmap_rule = True

    @staticmethod
    def forward(left: Tensor, right: Tensor) -> Tensor:
        return left @ right

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def jvp(ctx: Any, to_left: Tensor | None, to_right: Tensor | None) -> Tensor:
        left, right = ctx.saved_tensors
        parts = [] if to_left is None else [to_left @ right]
        parts += [] if to_right is None else [left @ to_right]
        return torch.stack(parts).sum(0)

    @staticmethod
    @full_precision
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, Tensor | None]:
        left, right = ctx.saved_tensors
        to_left, to_right = ctx.needs_input_grad
        return (
            _Product.apply(g, right.mT) if to_left else None,
            _Product.apply(left.mT, g) if to_right else None,
        )


def _look_for_infinity(kernel: Opaque, x: Tensor, y: Tensor, v: Tensor, out: Tensor) -> None:
    """Refuses a kernel that made sums infinite: entries are not seen where they are not made."""
    bad = (~out.detach().isfinite()).nonzero()
    if len(bad) and bool(v.isfinite().all()):
        row = int(bad[0, 1])
        finite(kernel(x[:, row : row + 1], y), [row], clouds=None if y is x else kernel.clouds)


def by_rows(function: Callable[..., Tensor], x: Tensor, *others: Tensor) -> Tensor:
    """``function(first, rows, *others)`` on row blocks of x, which the backward pass computes anew.

    ``first`` is the number of the first row of a block.
    """
    function = full_precision(function)  # backward runs outside of all doors
    work = x.numel() * others[0].shape[1]
    if work < KEPT:
        return function(0, x, *others)
    size = max(1, BLOCK // (work // x.shape[1]))
    with threads_for(NUMBERS * work):
        blocks = [
            checkpoint(function, k * size, rows, *others, use_reentrant=False)
            for k, rows in enumerate(x.split(size, dim=1))
        ]
        return torch.cat(blocks, 1)
