"""SparseDistance's names, for models that were written for it; the neighbours are the true ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..engines.openmp import NUMBERS, on_threads_for
from ..operators.arrays import tensor_of
from ..precision import at_least_single, full_precision
from .adjacency import Adjacency
from .layers import KNNGraph
from .search.methods import Forest

__all__ = ["SparseHashedNNDistance", "pairwise_dist", "sparse_dense_matmult_batch"]


class SparseHashedNNDistance(nn.Module):
    r"""SparseDistance's layer: the graph of the nearest neighbours, with weights of distances.

    .. math:: A_{ij} = e^{-\text{dist\_mult} \, |x_i - x_j|} \text{ for the nearest neighbours j
        of i, itself among them}

    Args:
        max_num_bins: without effect: there is no codebook that could be too short.
        bin_size: points in a leaf of the forest, where more points than brute force is good for
            make one grow; any number of points will do.
        num_neighbors: entries of a row, the point itself counted.
        dist_mult: inverse of the length at which weights fall to 1/e.
        cosine_dist: neighbours and weights by the cosine (SparseDistance takes products of
            vectors that it forgets to normalise).
        seed: of the forest.

    Raises:
        ValueError, TypeError: if an argument is not as described.

    References:
        Pata, 2020, "jpata/SparseDistance", version 0.1, doi 10.5281/zenodo.4117570.

    Example:
        >>> A = SparseHashedNNDistance(num_neighbors=5)(torch.randn(10, 100, 32))
        >>> sparse_dense_matmult_batch(A, torch.ones(10, 100, 3)).shape
        torch.Size([10, 100, 3])
    """

    def __init__(
        self,
        max_num_bins: int = 200,
        bin_size: int = 500,
        num_neighbors: int = 5,
        dist_mult: float = 0.1,
        cosine_dist: bool = False,
        *,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.graph = KNNGraph(
            num_neighbors,
            metric="cosine" if cosine_dist else "euclidean",
            weight="cosine" if cosine_dist else "exponential",
            bandwidth=1 / dist_mult,
            loop=True,
            seed=seed,
        )
        self.graph.forest = Forest(leaf_size=bin_size)

    @full_precision
    def forward(
        self, inputs: Tensor, training: bool = True, *, mask: Tensor | None = None
    ) -> Adjacency:
        """The adjacency ``(B, N, N)`` of points ``(B, N, F)``; ``training`` has no effect."""
        return self.graph(inputs, mask=mask)


def sparse_dense_matmult_batch(sp_a: Adjacency, b: Any) -> Tensor:
    """The product ``sp_a @ b`` of ``(B, N, N)`` and ``(B, N, C)``, a tensor also for an array b.

    Example:
        >>> import torch
        >>> from sparseot.nn import KNNGraph
        >>> A = KNNGraph(1, normalize="row")(torch.tensor([[[0.0], [1.0], [3.0]]]))  # a batch of one
        >>> sparse_dense_matmult_batch(A, torch.ones(1, 3, 1)).flatten().tolist()
        [1.0, 1.0, 1.0]
    """
    result: Tensor = sp_a @ (b if isinstance(b, Tensor) else tensor_of(np.asarray(b), "b"))
    return result


def _numbers(A: Tensor, B: Tensor) -> float:
    return NUMBERS * A.numel() * B.shape[-2]


@full_precision
@on_threads_for(_numbers)
def pairwise_dist(A: Tensor, B: Tensor) -> Tensor:
    """Distances ``(..., N, M)`` between all rows of two clouds, from differences: exact near zero.

    Example:
        >>> import torch
        >>> pairwise_dist(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]])).tolist()
        [[5.0]]
    """
    A, B = at_least_single(A, B)
    return torch.cdist(A, B, compute_mode="donot_use_mm_for_euclid_dist")
