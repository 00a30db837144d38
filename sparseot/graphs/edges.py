r"""Sums along edges, with exact derivatives of every order.

Functions that are closed under differentiation: each has the others as derivatives. With an edge
e from row i_e to column j_e,

.. math:: \text{edge\_sum}(w, h)_i = \sum_{e : i_e = i} w_e h_{j_e}, \quad
    \text{edge\_dot}(a, b)_e = \langle a_{i_e}, b_{j_e} \rangle, \quad
    \text{edge\_pull}(c, x, y)_i = \sum_{e : i_e = i} c_e (x_i - y_{j_e}) .

Nothing of the size edges x features is stored.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import embedding_bag

from ..engines.openmp import NUMBERS, on_one_thread, on_threads_for
from .edge_sums import dots, pulls, scatter

__all__ = ["edge_dot", "edge_mean_max", "edge_pull", "edge_squares", "edge_sum"]

CHUNK = 2**21  # numbers that a temporary may have


def edge_sum(w: Tensor, h: Tensor, row: Tensor, col: Tensor, n: int, in_order: bool) -> Tensor:
    """Sums of ``w[e] * h[col[e]]`` over the edges of each row.

    Args:
        w: ``(E,)`` weights.
        h: ``(M, F)`` features, of the dtype of w.
        row, col: ``(E,)`` where edges start and end.
        n: number of rows.
        in_order: whether ``row`` ascends.

    Returns:
        ``(n, F)``. On a CPU the order of the sums does not depend on the threads.
    """
    result: Tensor = _EdgeSum.apply(w, h, row, col, n, in_order)
    return result


def edge_dot(a: Tensor, b: Tensor, row: Tensor, col: Tensor) -> Tensor:
    """Inner products ``<a[row[e]], b[col[e]]>`` of ``(n, F)`` and ``(M, F)``, one an edge."""
    result: Tensor = _EdgeDot.apply(a, b, row, col)
    return result


def edge_pull(c: Tensor, x: Tensor, y: Tensor, row: Tensor, col: Tensor) -> Tensor:
    """Sums of ``c[e] * (x[row[e]] - y[col[e]])`` over the edges of each row, ``(n, D)``.

    Differences are taken in double precision, in which c comes; nothing cancels.
    """
    result: Tensor = _EdgePull.apply(c, x, y, row, col)
    return result


def edge_squares(squares: Tensor, x: Tensor, y: Tensor, row: Tensor, col: Tensor) -> Tensor:
    """Attaches derivatives to known squares ``|x[row[e]] - y[col[e]]|^2``, ``(E,)``.

    The search knows them to all digits, so they are not computed twice. Their gradients are sums
    of differences of coordinates, taken in double precision, where nothing cancels.
    """
    other = y.view_as(y) if y is x else y  # torch.compile wants each tensor once
    result: Tensor = _EdgeSquares.apply(x, other, squares.detach(), row, col)
    return result


def _numbers(ctx: Any, w: Tensor, h: Tensor, *rest: Any) -> float:
    """The work of a sum along edges."""
    return NUMBERS * len(w) * h.shape[1]


class _EdgeSum(Function):
    @staticmethod
    @on_threads_for(_numbers)
    def forward(
        ctx: Any, w: Tensor, h: Tensor, row: Tensor, col: Tensor, n: int, in_order: bool
    ) -> Tensor:
        ctx.save_for_backward(w, h, row, col)
        if not in_order and h.device.type == "cpu":
            return scatter(w, h, row, col, n)
        if not in_order:
            order = row.argsort(stable=True)
            w, row, col = w[order], row[order], col[order]
        ends = torch.searchsorted(row, torch.arange(n + 1, device=row.device))
        if not len(h) or (not torch.compiler.is_compiling() and not len(row)):
            return h.new_zeros(n, h.shape[1])
        return embedding_bag(
            col, h, ends, mode="sum", per_sample_weights=w, include_last_offset=True
        )

    @staticmethod
    @on_one_thread
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        w, h, row, col = ctx.saved_tensors
        gw = edge_dot(g, h, row, col) if ctx.needs_input_grad[0] else None
        gh = edge_sum(w, g, col, row, len(h), False) if ctx.needs_input_grad[1] else None
        return gw, gh, None, None, None, None


class _EdgeDot(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, row: Tensor, col: Tensor) -> Tensor:
        ctx.save_for_backward(a, b, row, col)
        if a.device.type == "cpu":
            return dots(a, b, row, col)
        edges = max(1, CHUNK // max(1, a.shape[1]))
        parts = [
            (a.index_select(0, i) * b.index_select(0, j)).sum(1)
            for i, j in zip(row.split(edges), col.split(edges), strict=True)
        ]
        return torch.cat(parts)

    @staticmethod
    @on_one_thread
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        a, b, row, col = ctx.saved_tensors
        ga = edge_sum(g, b, row, col, len(a), False) if ctx.needs_input_grad[0] else None
        gb = edge_sum(g, a, col, row, len(b), False) if ctx.needs_input_grad[1] else None
        return ga, gb, None, None


class _EdgeSquares(Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, y: Tensor, squares: Tensor, row: Tensor, col: Tensor
    ) -> Tensor:
        ctx.save_for_backward(x, y, row, col)
        return squares.clone()

    @staticmethod
    @on_one_thread
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, y, row, col = ctx.saved_tensors
        c = 2 * g.double()
        gx = edge_pull(c, x, y, row, col) if ctx.needs_input_grad[0] else None
        gy = edge_pull(c, y, x, col, row) if ctx.needs_input_grad[1] else None
        return gx, gy, None, None, None


class _EdgePull(Function):
    @staticmethod
    def forward(ctx: Any, c: Tensor, x: Tensor, y: Tensor, row: Tensor, col: Tensor) -> Tensor:
        ctx.save_for_backward(c, x, y, row, col)
        if x.device.type == "cpu":
            return pulls(c, x, y, row, col)
        columns = torch.cat((y.to(c.dtype), c.new_ones(len(y), 1)), 1)
        sums = edge_sum(c, columns, row, col, len(x), False)
        return (sums[:, -1:] * x.to(c.dtype) - sums[:, :-1]).to(x.dtype)

    @staticmethod
    @on_one_thread
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        c, x, y, row, col = ctx.saved_tensors
        wide = g.to(c.dtype)
        gc = edge_dot(wide, x.to(c.dtype), row, row) - edge_dot(wide, y.to(c.dtype), row, col)
        of_rows = edge_sum(c, c.new_ones(len(y), 1), row, col, len(x), False)
        gy = -edge_sum(c, wide, col, row, len(y), False)
        return gc, (of_rows * wide).to(x.dtype), gy.to(y.dtype), None, None


def edge_mean_max(w: Tensor, h: Tensor, col: Tensor, real: Tensor) -> Tensor:
    """Mean and maximum of ``w[i, s] * h[col[i, s]]`` over the real slots s of each row.

    Args:
        w: ``(n, k)`` weights, zero where a slot is empty.
        h: ``(M, F)`` features.
        col: ``(n, k)`` rows of h.
        real: ``(n, k)`` False where a slot is empty.

    Returns:
        ``(n, 2 F)``, zero for rows without neighbours. Of equal maxima the first one counts.
    """
    common = torch.promote_types(w.dtype, h.dtype)
    result: Tensor = _EdgeMeanMax.apply(w.to(common), h.to(common), col, real)
    return result


class _EdgeMeanMax(Function):
    @staticmethod
    @on_threads_for(lambda ctx, w, h, *_: NUMBERS * w.numel() * h.shape[1])
    def forward(ctx: Any, w: Tensor, h: Tensor, col: Tensor, real: Tensor) -> Tensor:
        (n, k), parts, places = w.shape, [], []
        count = real.sum(1, keepdim=True).clamp(min=1)
        step = max(1, CHUNK // max(1, k * h.shape[1]))
        for lo in range(0, max(1, n), step):
            some = slice(lo, lo + step)
            values = w[some, :, None] * h[col[some]]
            best, which = values.masked_fill(~real[some, :, None], -torch.inf).max(1)
            best = best.where(real[some].any(1, keepdim=True), 0)
            parts.append(torch.cat((values.sum(1) / count[some], best), 1))
            places.append(which)
        ctx.save_for_backward(w, h, col, real, count, torch.cat(places))
        return torch.cat(parts)

    @staticmethod
    @on_one_thread
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        w, h, col, real, count, which = ctx.saved_tensors
        (n, k), (mean, best) = w.shape, g.split(h.shape[1], 1)
        row = torch.arange(n, device=w.device).repeat_interleave(k)
        best, place = best.where(real.any(1, keepdim=True), 0), col.gather(1, which)
        gw = gh = None
        if ctx.needs_input_grad[0]:
            gw = edge_dot(mean, h, row, col.reshape(-1)).view(n, k) / count
            gw = gw.scatter_add(1, which, best * h.gather(0, place))
        if ctx.needs_input_grad[1]:
            gh = edge_sum((w / count).reshape(-1), mean, col.reshape(-1), row, len(h), False)
            gh = gh.scatter_add(0, place, best * w.gather(1, which))
        return gw, gh, None, None
