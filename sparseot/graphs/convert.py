"""Other forms of an adjacency: SciPy and torch sparse matrices, symmetric and normalised weights."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from scipy.sparse import csr_array
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from ..errors import bad_input, warn_user
from ..operators.base import Diagonal
from ..operators.cg import conjugate_gradient
from ..operators.scaling import symmetric_scaling
from ..precision import full_precision
from .adjacency import Adjacency, EdgeAdjacency
from .edges import edge_sum

__all__ = ["normalized", "scipy_csr", "symmetric", "torch_csr"]


def torch_csr(A: Adjacency) -> Tensor:
    """A batch as one block-diagonal CSR tensor."""
    row, col, weights = _by_rows(A)
    n, m = A.batches * A.shape[-2], A.batches * A.shape[-1]
    ends = torch.searchsorted(row, torch.arange(n + 1, device=row.device))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
        return torch.sparse_csr_tensor(ends, col, weights, (n, m), check_invariants=False)


def scipy_csr(A: Adjacency) -> csr_array:
    """A batch as one block-diagonal SciPy matrix."""
    row, col, weights = (t.cpu().numpy() for t in _by_rows(A))
    shape = (A.batches * A.shape[-2], A.batches * A.shape[-1])
    return csr_array((weights, (row, col)), shape=shape)


def _by_rows(A: Adjacency) -> tuple[Tensor, Tensor, Tensor]:
    """Edges sorted by row and column."""
    row, col, weights = A.real()
    order = (row * (A.batches * A.shape[-1]) + col).argsort()
    return row[order], col[order], weights.detach()[order]


def symmetric(A: Adjacency, kind: str) -> tuple[Tensor, Tensor, Tensor]:
    """The edges of the symmetric graph, by rows and columns."""
    if kind not in ("union", "mutual"):
        raise bad_input("symmetrize", repr(kind), '"union" or "mutual"')
    if A.shape[-1] != A.shape[-2]:
        raise bad_input("symmetrize", f"an adjacency {A.shape}", "a square one")
    row, col, weights = A.real()
    n = A.batches * A.shape[-1]
    key, order = torch.cat((row * n + col, col * n + row)).sort(stable=True)
    first = torch.ones_like(key, dtype=torch.bool)
    first[1:] = key[1:] != key[:-1]
    group = first.cumsum(0) - 1
    size = int(group[-1]) + 1 if len(group) else 0
    values = torch.cat((weights, weights))[order]
    reduce = "amax" if kind == "union" else "amin"
    best = values.new_zeros(size).scatter_reduce(0, group, values, reduce, include_self=False)
    kept = key[first]
    if kind == "mutual":
        both = torch.bincount(group, minlength=size) == 2
        kept, best = kept[both], best[both]
    return kept // n, kept % n, best


def normalized(A: Adjacency, kind: str) -> Tensor:
    """The weights of all slots, normalised."""
    row, col, weights, _ = A.slots()
    if kind == "row":
        return weights / _positive(A.sum(-1).reshape(-1))[row]
    if kind == "symmetric":
        rows, columns = _positive(A.sum(-1).reshape(-1)), _positive(A.sum(-2).reshape(-1))
        return weights * (rows[row] * columns[col]).rsqrt()
    if kind == "sinkhorn":
        return _doubly_stochastic(A)
    raise bad_input("normalize", repr(kind), '"row", "symmetric" or "sinkhorn"')


def _positive(degrees: Tensor) -> Tensor:
    return degrees.where(degrees > 0, 1)


def _doubly_stochastic(A: Adjacency) -> Tensor:
    row, col, weights, in_order = A.slots()
    if not bool(((weights >= 0) & weights.isfinite()).all()):
        got = '"sinkhorn" of weights that are negative, NaN or infinite'
        raise bad_input("normalize", got, "finite weights >= 0")
    if A.shape[-1] != A.shape[-2] or not _is_symmetric(A):
        fix = 'Symmetrise first: KNNGraph(symmetrize="union"), or .symmetrize().'
        raise bad_input("normalize", '"sinkhorn" of a directed graph', "a symmetric one", fix)
    n = A.batches * A.shape[-1]
    with torch.no_grad():
        w = weights.double()
        guess = edge_sum(w, w.new_ones(n, 1), row, col, n, in_order)[:, 0]

        def product(v: Tensor) -> Tensor:
            return edge_sum(w, v[:, None], row, col, n, in_order)[:, 0]

        tol = 1e-12 if weights.dtype == torch.float64 else 1e-7
        scaling = symmetric_scaling(product, _positive(guess).rsqrt(), tol)
    if not scaling.converged:
        warn_user(
            f"Row sums are off by up to {scaling.residual:.1e} after {scaling.products} steps: the "
            "pattern may have no doubly stochastic scaling. Self-loops (loop=True) give it one.",
            UserWarning,
        )
    d: Tensor = _Scaled.apply(weights, scaling.d, row, col, in_order)
    return (weights * d[row] * d[col]).to(weights.dtype)


def _is_symmetric(A: Adjacency) -> bool:
    row, col, weights = A.real()
    n = A.batches * A.shape[-1]
    here, there = (row * n + col).sort(), (col * n + row).sort()
    same = torch.equal(here.values, there.values)
    return same and bool(torch.equal(weights[here.indices], weights[there.indices]))


class _Scaled(Function):
    """The scaling d as a function of the weights, by the implicit function theorem.

    With P = diag(d) A diag(d) and P 1 = 1, a change of A moves log d by -(I + P)^-1 (dA / A * P) 1.
    """

    @staticmethod
    def forward(ctx: Any, w: Tensor, d: Tensor, row: Tensor, col: Tensor, in_order: bool) -> Tensor:
        ctx.save_for_backward(w, d, row, col)
        ctx.in_order = in_order
        return d.clone()

    @staticmethod
    @once_differentiable
    @full_precision
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        w, d, row, col = ctx.saved_tensors
        if not bool(g.isfinite().all()):  # loss scalers look for such gradients, and go on
            return torch.full_like(w, torch.nan), None, None, None, None
        both = d[row] * d[col]
        n, one = len(d), torch.ones_like(d)
        P = EdgeAdjacency(row, col, w.double() * both, (n, n), ctx.in_order)
        z = conjugate_gradient(P + Diagonal(one), g.double() * d, tol=1e-10).x
        return (-both * z[row]).to(w.dtype), None, None, None, None
