"""Sparse adjacencies: matrices with k entries a row, or with a list of edges, that carry gradients."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from ..engines.openmp import on_one_thread
from ..errors import bad_input
from ..operators.base import Operator
from .edges import edge_sum
from .search.methods import EXACT, METHODS
from .values import slots

__all__ = ["Adjacency", "EdgeAdjacency", "KNNAdjacency"]

NAMES = sorted(METHODS)  # a bit of ``info`` each


class Adjacency(Operator):
    """A sparse matrix ``(N, M)`` or a batch of them, whose weights carry gradients.

    ``A @ h`` for ``(..., M)`` or ``(..., M, F)`` never stores anything of the size edges x F and
    has exact derivatives of every order in the weights and in h.
    """

    @abstractmethod
    def slots(self) -> tuple[Tensor, Tensor, Tensor, bool]:
        """Rows, columns and weights ``(E,)``, samples one after the other; are rows ascending?"""

    def real(self) -> tuple[Tensor, Tensor, Tensor]:
        """The edges alone, without empty slots: rows, columns and weights."""
        row, col, weights, _ = self.slots()
        return row, col, weights

    @property
    def batches(self) -> int:
        """How many matrices there are."""
        return self.shape[0] if len(self.shape) == 3 else 1

    _times = Operator._times.__wrapped__  # type: ignore[attr-defined]  # compiled code sees sums along edges

    def product(self, v: Tensor) -> Tensor:
        """The product with ``(..., M, F)``."""
        row, col, weights, in_order = self.slots()
        n, m = self.shape[-2:]
        wide = torch.float64 if v.dtype == torch.float64 else torch.float32
        h = v.reshape(self.batches * m, -1).to(wide)
        out = edge_sum(weights.to(wide), h, row, col, self.batches * n, in_order)
        return out.view(*self.shape[:-1], -1).to(v.dtype)

    def transpose(self) -> Operator:
        """The transpose, a list of edges."""
        row, col, weights = self.real()
        shape = (*self.shape[:-2], self.shape[-1], self.shape[-2])
        return EdgeAdjacency(col, row, weights, shape, False)

    t = transpose

    @on_one_thread
    def diagonal(self) -> Tensor:
        """The weights of self-loops, ``(..., min(N, M))``."""
        row, col, weights = self.real()
        n, m = self.shape[-2:]
        size = min(n, m)
        loops = (row % n == col % m).to(weights) * weights
        out = weights.new_zeros(self.batches, n).view(-1).index_add(0, row, loops)
        return out.view(self.batches, n)[:, :size].view(*self.shape[:-2], size)

    def degree(self, dim: int = -1) -> Tensor:
        """Sums of the weights of each row (``dim=-1``) or column (``dim=-2``)."""
        return self.sum(dim)

    @on_one_thread
    def edge_index(self, flow: str = "source_to_target") -> Tensor:
        """``(2, E)`` edges as PyG has them: neighbours in row 0, centres in row 1.

        Samples stand one after the other, as PyG's batches do.
        """
        if flow not in ("source_to_target", "target_to_source"):
            raise bad_input("flow", repr(flow), '"source_to_target" or "target_to_source"')
        row, col, _ = self.real()
        return torch.stack((col, row) if flow == "source_to_target" else (row, col))

    def edge_weight(self) -> Tensor:
        """``(E,)`` weights, in the order of :meth:`edge_index`."""
        return self.real()[2]

    @on_one_thread
    def to_sparse_coo(self) -> Tensor:
        """As a torch COO tensor of the same shape.

        Its product with a dense matrix has a gradient, which torch computes by way of the dense
        matrix (pytorch/pytorch#41128): use ``A @ h`` in training.
        """
        row, col, weights = self.real()
        n, m = self.shape[-2:]
        where = (row, col) if len(self.shape) == 2 else (row // n, row % n, col % m)
        return torch.sparse_coo_tensor(
            torch.stack(where), weights, self.shape, check_invariants=False
        )

    @on_one_thread
    def to_sparse_csr(self) -> Tensor:
        """As a torch CSR tensor; a batch is one block-diagonal matrix. Without gradient."""
        return conversions().torch_csr(self)

    @on_one_thread
    def to_scipy(self) -> Any:
        """As ``scipy.sparse.csr_array``; a batch is one block-diagonal matrix."""
        return conversions().scipy_csr(self)

    @on_one_thread
    def to_dense(self) -> Tensor:
        """The whole matrix, with gradients; refused above 2^28 numbers."""
        self.refuse_dense()
        row, col, weights = self.real()
        m = self.shape[-1]
        flat = weights.new_zeros(self.batches * self.shape[-2] * m)
        return flat.index_add(0, row * m + col % m, weights).view(self.shape)

    @on_one_thread
    def symmetrize(self, kind: str = "union") -> EdgeAdjacency:
        """An edge if either ("union", the larger weight) or both ("mutual", the smaller) have it."""
        row, col, weights = conversions().symmetric(self, kind)
        return EdgeAdjacency(row, col, weights, self.shape, True)

    @on_one_thread
    def normalize(self, kind: str = "row") -> Adjacency:
        r"""Weights scaled to be averages.

        "row": rows sum to one. "symmetric": :math:`D^{-1/2} A D^{-1/2}` with the degrees of rows
        and of columns. "sinkhorn": rows and columns sum to one, for a symmetric adjacency.
        """
        return self.reweighted(conversions().normalized(self, kind))

    @abstractmethod
    def reweighted(self, weights: Tensor) -> Adjacency:
        """The same edges with the weights ``(E,)`` of :meth:`slots`."""


class EdgeAdjacency(Adjacency):
    """A sparse matrix as a list of edges, as transposes and symmetric graphs need it.

    ``row``, ``col`` and ``weights`` are ``(E,)``; the nodes of a batch are numbered on from sample
    to sample.
    """

    def __init__(
        self, row: Tensor, col: Tensor, weights: Tensor, shape: tuple[int, ...], in_order: bool
    ) -> None:
        self.row, self.col, self.weights = row, col, weights
        self.reference, self.shape, self.in_order = weights, tuple(shape), in_order

    @property
    def live(self) -> tuple[Tensor, ...]:
        """Edges and weights."""
        return self.row, self.col, self.weights

    def slots(self) -> tuple[Tensor, Tensor, Tensor, bool]:
        """Rows, columns and weights as they are."""
        return self.row, self.col, self.weights, self.in_order

    def reweighted(self, weights: Tensor) -> EdgeAdjacency:
        """The same edges with other weights."""
        return EdgeAdjacency(self.row, self.col, weights, self.shape, self.in_order)

    def __repr__(self) -> str:
        size = " x ".join(f"{n:,}" for n in self.shape)
        return f"EdgeAdjacency({size}, {len(self.row):,} edges)"


class KNNAdjacency(Adjacency):
    """The k nearest neighbours of each row and the weights of these edges.

    Attributes:
        indices: ``(..., N, K)`` columns, the nearest first. They carry no gradient.
        weights: ``(..., N, K)``, with gradients in the points; zero in empty slots.
        distances: ``(..., N, K)``, with gradients; infinite in empty slots.
        mask: ``(..., N, K)`` False in empty slots, whose index is the row itself.
    """

    def __init__(
        self,
        indices: Tensor,
        weights: Tensor,
        distances: Tensor,
        mask: Tensor,
        columns: int,
        info: Tensor,
    ) -> None:
        self.indices, self.weights = indices, weights
        self.distances, self.mask, self.info = distances, mask, info
        self.reference, self.shape = weights, (*indices.shape[:-1], columns)

    @property
    def live(self) -> tuple[Tensor, ...]:
        """Neighbours and weights."""
        return self.indices, self.mask, self.weights

    def slots(self) -> tuple[Tensor, Tensor, Tensor, bool]:
        """All slots; the empty ones have weight zero."""
        row, col = slots(self.indices, self.shape[-1])
        return row, col, self.weights.reshape(-1), True

    def real(self) -> tuple[Tensor, Tensor, Tensor]:
        """The edges alone."""
        row, col, weights, _ = self.slots()
        kept = self.mask.reshape(-1).nonzero()[:, 0]
        return row[kept], col[kept], weights[kept]

    def reweighted(self, weights: Tensor) -> KNNAdjacency:
        """The same neighbours with other weights."""
        return KNNAdjacency(
            self.indices,
            weights.view_as(self.weights),
            self.distances,
            self.mask,
            self.shape[-1],
            self.info,
        )

    @cached_property
    def methods(self) -> tuple[str, ...]:
        """The searches that were used; samples may differ."""
        bits = int(self.info[1])
        return tuple(name for i, name in enumerate(NAMES) if bits >> i & 1)

    @property
    def method(self) -> str:
        """The name of the search, several joined by "+"."""
        return "+".join(self.methods) or "none"

    @property
    def exact(self) -> bool:
        """Whether these are the true neighbours; if not, see :func:`sparseot.knn_recall`."""
        return all(name in EXACT for name in self.methods)

    @property
    def evaluations(self) -> int:
        """How many distances the search computed."""
        return int(self.info[0])

    def __repr__(self) -> str:
        size = " x ".join(f"{n:,}" for n in self.shape)
        kind = "exact" if self.exact else "approximate"
        return f"KNNAdjacency({size}, k={self.indices.shape[-1]}, method {self.method}: {kind})"


def conversions() -> Any:
    """What needs SciPy or is seldom used, loaded at its first use."""
    return import_module(f"{__package__}.convert")
