"""A layer that turns points into the weighted graph of all pairs within a distance."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ...engines.openmp import NUMBERS, on_threads_for, own_settings
from ...errors import bad_input
from ...points import check_integer
from ...precision import at_least_single
from ...ragged.vectors import pair_of, vectors_of
from ..adjacency import Adjacency, EdgeAdjacency
from ..search.sets import points_of_sets
from ..values import clean
from ..weighted import Weight, Weighted, one_of
from .doors import distances_of
from .search import METHODS, check_method, check_radius
from .within import within

__all__ = ["RadiusAdjacency", "RadiusGraph"]


class RadiusAdjacency(EdgeAdjacency):
    """All pairs within a distance, and the weights of these edges.

    Attributes:
        row, col: ``(E,)``, by rows, columns ascending; nodes count on from sample to sample.
        weights: ``(E,)``, with gradients in the points.
        distances: ``(E,)``, with gradients in the points.
        left_out: how many edges ``max_num_neighbors`` left out; ``truncated`` if it is any.
        method, evaluations: the search, and how many pairs it visited. All are exact.
    """

    exact = True

    def __init__(
        self,
        edges: Tensor,
        weights: Tensor,
        distances: Tensor,
        shape: tuple[int, ...],
        info: Tensor,
    ) -> None:
        super().__init__(edges[1], edges[0], weights, shape, True)
        self.edges, self.distances, self.info = edges, distances, info

    def reweighted(self, weights: Tensor) -> RadiusAdjacency:
        """The same edges with other weights."""
        return RadiusAdjacency(self.edges, weights, self.distances, self.shape, self.info)

    @property
    def evaluations(self) -> int:
        """How many pairs the search visited."""
        return int(self.info[0])

    @property
    def left_out(self) -> int:
        """How many edges found no room."""
        return int(self.info[1])

    @property
    def truncated(self) -> bool:
        """Whether any was left out."""
        return self.left_out > 0

    @property
    def method(self) -> str:
        """The name of the search."""
        return METHODS[int(self.info[2])]

    def __repr__(self) -> str:
        size = " x ".join(f"{n:,}" for n in self.shape)
        cut = f", {self.left_out:,} left out" if self.truncated else ""
        return f"RadiusAdjacency({size}, {len(self.row):,} edges{cut}, method {self.method}: exact)"


class RadiusGraph(Weighted):
    r"""The graph of all pairs within the distance r, with weights that can be learnt through.

    .. math:: A_{ij} = w(d_{ij}) \text{ if } d_{ij} = |x_i - x_j| \le r \text{, else } 0

    Weights and distances have exact gradients in the points. The choice of the pairs does not:
    where one comes within r A jumps, unless ``taper`` fades edges out.

    Args:
        r: a length in the units of the points, >= 0; a distance of r itself counts.
        weight: of a distance d and the bandwidth h: "gaussian" :math:`e^{-d^2 / 2 h^2}`,
            "exponential" :math:`e^{-d / h}`, "inverse" :math:`1 / (1 + d / h)`, "connectivity" 1,
            or a function of distances ``(E,)``.
        bandwidth: h, a length in the units of the points.
        learnable_bandwidth: make log h a parameter.
        loop: whether points are their own neighbours.
        max_num_neighbors: at most so many a point, the nearest, with a warning where that leaves
            any out; None keeps all.
        taper: multiply by :math:`(1 - d^2 / r^2)^2`: A is then continuous in x, if nothing is
            left out.
        symmetrize: "union" or "mutual", for a graph that ``max_num_neighbors`` cut: the result is
            an :class:`EdgeAdjacency`. Uncut it is symmetric as it is.
        normalize: "row", "symmetric" or "sinkhorn" (doubly stochastic).
        method: how to search, see :func:`sparseot.radius`.

    Raises:
        ValueError, TypeError: if an argument is not as described.

    References:
        Bentley, Stanat and Williams, 1977, "The complexity of finding fixed-radius near
        neighbors".

    Example:
        >>> import torch
        >>> x = torch.rand(2, 100, 3, requires_grad=True)
        >>> A = RadiusGraph(0.2, bandwidth=0.1)(x)
        >>> (A @ torch.ones(2, 100, 8)).sum().backward()
        >>> A.shape, x.grad.shape
        ((2, 100, 100), torch.Size([2, 100, 3]))
    """

    def __init__(
        self,
        r: float,
        *,
        weight: Weight = "gaussian",
        bandwidth: float = 1.0,
        learnable_bandwidth: bool = False,
        loop: bool = False,
        max_num_neighbors: int | None = None,
        taper: bool = False,
        symmetrize: str | None = None,
        normalize: str | None = None,
        method: str = "auto",
    ) -> None:
        super().__init__(weight, bandwidth, learnable_bandwidth)
        if weight == "cosine":
            raise bad_input("weight", '"cosine"', "a function of Euclidean distances")
        if max_num_neighbors is not None:
            check_integer("max_num_neighbors", max_num_neighbors)
        self.r, self.loop, self.max_num_neighbors = check_radius(r), loop, max_num_neighbors
        self.taper, self.method = taper, check_method(method)
        self.symmetrize = one_of("symmetrize", symmetrize, (None, "union", "mutual"))
        self.normalize = one_of("normalize", normalize, (None, "row", "symmetric", "sinkhorn"))

    @points_of_sets
    @own_settings
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
        most = self.max_num_neighbors
        masks, batches = pair_of("mask", mask, y is None), vectors_of(batch, y is None)
        clouds = (x.detach(), None if y is None else y.detach())
        options = (self.r, self.loop, most, self.method)
        edges, squares, info = within(*clouds, *masks, *batches, *options)
        here = clean(x, masks[0])
        there = here if y is None else clean(y, masks[1])
        squares, distances = distances_of(squares, edges, here, there)
        dtype = at_least_single(x)[0].dtype
        weights = self._weights(squares, distances).to(dtype)
        shape = (*x.shape[:-1], (x if y is None else y).shape[-2])
        A: Adjacency = RadiusAdjacency(edges, weights, distances.to(dtype), shape, info)
        A = A if self.symmetrize is None else A.symmetrize(self.symmetrize)
        return A if self.normalize is None else A.normalize(self.normalize)

    @on_threads_for(lambda self, squares, _: NUMBERS * len(squares))
    def _weights(self, squares: Tensor, distances: Tensor) -> Tensor:
        """The weights of all edges."""
        weights = self.profile(distances, squares)
        if not self.taper or self.r == 0:
            return weights
        return weights * (1 - squares / self.r**2).clamp(min=0).square()

    def extra_repr(self) -> str:
        """What ``print`` shows."""
        shown = f"r={self.r:g}, weight={self.weight!r}, bandwidth={self.bandwidth.item():.3g}"
        return shown + f", max_num_neighbors={self.max_num_neighbors}, method={self.method!r}"
