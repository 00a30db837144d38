"""A layer that turns points into the weighted graph of their nearest neighbours."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..engines.openmp import NUMBERS, on_threads_for, one_thread
from ..errors import bad_input
from ..points import check_integer, check_positive
from ..precision import at_least_single, full_precision
from ..ragged.vectors import pair_of, vectors_of
from .adjacency import NAMES, Adjacency, KNNAdjacency
from .knn import METRICS, find
from .search.methods import Forest, Options, check_method
from .search.sets import points_of_sets
from .values import attach, clean, place, to_distances
from .weighted import Weight, Weighted, one_of

__all__ = ["KNNGraph"]


def _slots(self: KNNGraph, x: Tensor, *args: Any, **kwargs: Any) -> float:
    """The work of the weights, a few numbers a slot."""
    return NUMBERS * self.k * math.prod(getattr(x, "shape", ())[:-1])


class KNNGraph(Weighted):
    r"""The graph of the k nearest neighbours, with weights that can be learnt through.

    .. math:: A_{ij} = w(d_{ij}) \text{ if j is among the k nearest neighbours of i, else } 0

    Weights and distances have exact gradients in the points. The choice of the neighbours does
    not: it is piecewise constant, and where it changes A jumps, unless ``taper`` fades edges out.

    Args:
        k: number of neighbours.
        metric: "euclidean" or "cosine"; see :func:`sparseot.knn`.
        weight: of a distance d and the bandwidth h: "gaussian" :math:`e^{-d^2 / 2 h^2}`,
            "exponential" :math:`e^{-d / h}`, "inverse" :math:`1 / (1 + d / h)`, "cosine"
            :math:`1 - d` (with that metric), "connectivity" 1, or a function of distances.
        bandwidth: h, a length in the units of the points.
        learnable_bandwidth: make log h a parameter.
        loop: whether points are their own neighbours, counted among the k.
        max_distance: edges longer than this are dropped.
        taper: multiply by :math:`(1 - d^2 / r^2)^2`, with r the distance of the next neighbour,
            number k + 1, or ``max_distance`` if that is less: A is then continuous in x.
        symmetrize: "union" or "mutual": the result is an :class:`EdgeAdjacency`.
        normalize: "row", "symmetric" or "sinkhorn" (doubly stochastic; symmetrize first).
        method: how to search, see :func:`sparseot.knn`, or a :class:`Forest` with its options.
        seed: of the forest; part of ``state_dict``, so that a saved model has the same graph.
        strict: refuse samples with fewer than k neighbours instead of leaving slots empty.

    Raises:
        ValueError, TypeError: if an argument is not as described.

    References:
        Pata, 2020, "SparseDistance"; Qasim, Kieseler, Iiyama and Pierini, 2019, "Learning
        representations of irregular particle-detector geometry with distance-weighted graph
        networks", equation 1.

    Example:
        >>> x = torch.rand(2, 100, 3, requires_grad=True)
        >>> A = KNNGraph(5, bandwidth=0.2)(x)
        >>> A
        KNNAdjacency(2 x 100 x 100, k=5, method brute: exact)
        >>> (A @ torch.ones(2, 100, 8)).sum().backward()
        >>> x.grad.shape
        torch.Size([2, 100, 3])
    """

    def __init__(
        self,
        k: int,
        *,
        metric: str = "euclidean",
        weight: Weight = "gaussian",
        bandwidth: float = 1.0,
        learnable_bandwidth: bool = False,
        loop: bool = False,
        max_distance: float | None = None,
        taper: bool = False,
        symmetrize: str | None = None,
        normalize: str | None = None,
        method: str | Forest = "auto",
        seed: int = 0,
        strict: bool = False,
    ) -> None:
        super().__init__(weight, bandwidth, learnable_bandwidth)
        self.seed: Tensor
        self.k = check_integer("k", k)
        self.metric = one_of("metric", metric, METRICS)
        if weight == "cosine" and metric != "cosine":
            raise bad_input("weight", '"cosine"', 'metric="cosine" with it')
        check_positive(max_distance=max_distance)
        self._search, self.forest = check_method(method)
        self.loop, self.max_distance, self.taper = loop, max_distance, taper
        self.symmetrize = one_of("symmetrize", symmetrize, (None, "union", "mutual"))
        kinds = (None, "row", "symmetric", "sinkhorn")
        self.normalize = one_of("normalize", normalize, kinds)
        self.method, self.strict = method, strict
        self.register_buffer("seed", torch.tensor(check_integer("seed", seed, 0)))

    @points_of_sets
    @full_precision
    @on_threads_for(_slots)
    def forward(
        self, x: Tensor, y: Tensor | None = None, *, mask: Any = None, batch: Any = None
    ) -> Adjacency:
        """The graph from the rows of x to their neighbours in y (None: in x itself).

        Args:
            x: ``(N, D)`` or ``(B, N, D)`` points; sets of different sizes, a list or a nested tensor,
                give one graph of all their points, as a batch vector does.
            y: ``(M, D)`` or ``(B, M, D)`` points, or None; or sets.
            mask: ``(B, N)`` True for real points; a pair where y is given.
            batch: ``(N,)`` sorted sample of each point; a pair where y is given.
        """
        masks, batches = pair_of("mask", mask, y is None), vectors_of(batch, y is None)
        options = (self.k + int(self.taper), self.loop, self.metric, self._search)
        trees = (self.forest.n_trees, self.forest.leaf_size, self.forest.n_refine)
        clouds = (x.detach(), None if y is None else y.detach())
        squares, indices, info = neighbours(*clouds, *masks, *batches, self.seed, *options, *trees)
        real = squares < torch.inf
        if self.strict:
            self._refuse_empty(real[..., : self.k], masks[0])
        here = clean(x, masks[0])
        there = here if y is None else clean(y, masks[1])
        squares = attach(squares, here, there, indices, real, self.metric)
        weights, squares, real = self._weights(squares, real)
        dtype = at_least_single(x)[0].dtype
        distances = to_distances(squares, self.metric).where(real, torch.inf).to(dtype)
        columns = (x if y is None else y).shape[-2]
        indices = indices[..., : self.k]
        A: Adjacency = KNNAdjacency(indices, weights.to(dtype), distances, real, columns, info)
        A = A if self.symmetrize is None else A.symmetrize(self.symmetrize)
        return A if self.normalize is None else A.normalize(self.normalize)

    def _weights(self, squares: Tensor, real: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Weights, squares and mask of the first k slots."""
        distances = to_distances(squares, self.metric)
        if self.taper:
            reach = distances[..., -1:].where(real[..., -1:], torch.inf)
            squares, distances, real = squares[..., :-1], distances[..., :-1], real[..., :-1]
        if self.max_distance is not None:
            real = real & (distances <= self.max_distance)
        weights = self.profile(distances, squares if self.metric == "euclidean" else None)
        if self.taper:
            if self.max_distance is not None:
                reach = reach.clamp(max=self.max_distance)
            ratio = distances / reach.where(reach > 0, torch.inf)
            weights = weights * (1 - ratio.square()).clamp(min=0).square()
        return weights.where(real, 0), squares, real

    def _refuse_empty(self, real: Tensor, mask: Tensor | None) -> None:
        short = ~real.all(-1)
        short = short if mask is None else short & mask
        if bool(short.any()):
            got = f"{self.k}, more than {int(short.sum())} points have"
            fix = "strict=False leaves their slots empty."
            raise bad_input("k", got, "at most the number of other points in each sample", fix)

    def extra_repr(self) -> str:
        """What ``print`` shows."""
        shown = f"k={self.k}, weight={self.weight!r}, bandwidth={self.bandwidth.item():.3g}"
        return shown + f", metric={self.metric!r}, method={self.method!r}, seed={int(self.seed)}"


@torch.library.custom_op("sparseot::neighbours", mutates_args=())
def neighbours(
    x: Tensor,
    y: Tensor | None,
    mask_x: Tensor | None,
    mask_y: Tensor | None,
    batch_x: Tensor | None,
    batch_y: Tensor | None,
    seed: Tensor,
    k: int,
    loop: bool,
    metric: str,
    method: str,
    n_trees: int,
    leaf_size: int,
    n_refine: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """The search as one opaque operator, so that ``torch.compile`` needs not look inside.

    Returns squares and indices ``(..., N, k)``, and ``(2,)``: how many distances were computed,
    and which methods were used, a bit each.
    """
    options = Options(k, loop, int(seed), Forest(n_trees, leaf_size, n_refine))
    masks, batches = (
        mine if y is None else None if mine is None and theirs is None else (mine, theirs)
        for mine, theirs in ((mask_x, mask_y), (batch_x, batch_y))
    )
    with one_thread():
        clouds, found = full_precision(find)(x, y, masks, batches, metric, method, options)
        squares, indices = place(clouds, found, x.shape[:-1])
    bits = sum(1 << NAMES.index(name) for name in found.methods)
    return squares, indices, torch.tensor([found.evaluations, bits])


@neighbours.register_fake
def _shapes(  # type: ignore[no-untyped-def]
    x, y, mask_x, mask_y, batch_x, batch_y, seed, k, loop, metric, method, n_trees, leaf_size, n_refine
):  # fmt: skip
    shape = (*x.shape[:-1], k)
    info = torch.empty(2, dtype=torch.int64)
    return x.new_empty(shape, dtype=torch.float64), x.new_empty(shape, dtype=torch.int64), info
