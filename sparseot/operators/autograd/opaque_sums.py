"""Sums of costs and kernels that are Python functions: traced, or block by block, where autograd finds derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.utils.checkpoint import checkpoint

from ...engines.base import Engine, Pairs, reductions
from ...engines.openmp import NUMBERS, threads_for
from ...formulas import Opaque, finite
from ...pairs import BlockPairs
from ...precision import full_precision
from .trees.traced import Scaled, traced_softmin, traced_sum

__all__ = ["function_softmin", "function_sum", "own_function_sum"]

KEPT = 1 << 15  # numbers, of so few a graph may stay: checkpoints load much of torch
BLOCK = 1 << 24  # numbers that a block of rows may hold, a difference of coordinates for each pair


def function_sum(
    kernel: Opaque,
    x: Tensor,
    y: Tensor,
    v: Tensor,
    row: Tensor | None,
    col: Tensor | None,
    engine: Engine,
    pairs: Pairs | None,
) -> Tensor:
    """The kernel sum ``(B, N, R)`` of a function; scalings are for those that are traced."""
    traced = traced_sum(kernel, x, y, v, row, col) if engine.traces else None
    if traced is None:
        assert row is None and col is None, "scalings of an opaque kernel are a softmin's"
        if not engine.differentiable:
            if isinstance(pairs, BlockPairs):
                return _block_sum(kernel, x, y, v, pairs)
            return _sum(kernel, x, y, v)
    out = reductions(engine, x, y, pairs).sum(kernel, v) if traced is None else traced
    _look_for_infinity(kernel, x, y, v, out)
    return out


def own_function_sum(kernel: Opaque, x: Tensor, a: Tensor, engine: Engine) -> Tensor:
    """The sums ``(B, N)`` over a cloud and itself, of weights ``(B, N)``."""
    traced = traced_sum(kernel, x, x, a[..., None], None, None) if engine.traces else None
    return (_sum(kernel, x, x, a[..., None]) if traced is None else traced)[..., 0]


def function_softmin(
    cost: Opaque,
    x: Tensor,
    y: Tensor,
    b: Tensor,
    g: Tensor,
    eps: float,
    learnt: float,
    engine: Engine,
) -> Tensor:
    """The softmin ``(B, N)``; what the function itself holds takes the share ``learnt`` of its gradient."""
    traced = traced_softmin(cost, x, y, b, g, eps, learnt) if engine.traces else None
    if traced is not None:
        return traced

    def block(first: int, rows: Tensor, y: Tensor, b: Tensor, g: Tensor) -> Tensor:
        rows, y = (
            Scaled.apply(t, 1 / learnt) for t in (rows, y)
        )  # in the points the shares cancel
        exponent = (g[:, None] - Scaled.apply(cost(rows, y), learnt)) / eps
        highest = exponent.detach().amax(-1)
        sums = ((exponent - highest[..., None]).exp() * b[:, None]).sum(-1)
        return -eps * (sums.log() + highest)

    return _by_rows(block, x, y, b, g)


def _sum(kernel: Opaque, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
    """Row blocks of an opaque kernel, recomputed in the backward pass."""

    clouds = None if y is x else kernel.clouds

    def block(first: int, rows: Tensor, y: Tensor, v: Tensor) -> Tensor:
        values = finite(kernel(rows, y), range(first, first + rows.shape[1]), clouds=clouds)
        product: Tensor = _Product.apply(values, v)
        return product

    return _by_rows(block, x, y, v)


def _block_sum(kernel: Opaque, x: Tensor, y: Tensor, v: Tensor, pairs: BlockPairs) -> Tensor:
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


def _by_rows(function: Callable[..., Tensor], x: Tensor, *others: Tensor) -> Tensor:
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
