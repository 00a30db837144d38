"""Graph convolutions over nearest neighbours, with PyG's arguments and parameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..engines.openmp import NUMBERS, on_threads_for
from ..errors import bad_input
from ..precision import without_autocast
from .adjacency import KNNAdjacency
from .edges import edge_mean_max
from .layers import KNNGraph
from .linear import Linear
from .search.methods import Forest
from .search.sets import features_of_sets
from .values import clean

__all__ = ["DynamicEdgeConv", "GravNetConv"]

CHUNK = 2**24  # numbers of messages that exist at a time
Points = Tensor | tuple[Tensor, Tensor]


def _messages(self: GravNetConv | DynamicEdgeConv, x: Points, *args: Any, **kwargs: Any) -> float:
    """The work of the messages: features for each slot, and what a network does with them.

    That of a function which is no module is not known: it runs as its caller would run it.
    """
    target, k = x if isinstance(x, Tensor) else x[-1], self._graph[0].k
    network = self.nn if isinstance(self, DynamicEdgeConv) else self
    if not isinstance(network, nn.Module):
        return math.inf
    each = sum(p.numel() for p in network.parameters()) * target.shape[:-1].numel()
    return NUMBERS * k * target.numel() + (each if network is self else k * each)


class GravNetConv(nn.Module):
    r"""GravNet: features flow between points that are near in a learnt space.

    .. math:: s = W_s x + b_s, \quad h = W_h x + b_h, \quad
        x'_i = W_1 x_i + W_2 \Bigl[\operatorname{mean}_j e^{-10 |s_i - s_j|^2} h_j,\;
        \max_j e^{-10 |s_i - s_j|^2} h_j\Bigr] + b_2

    Args:
        in_channels, out_channels: features of a point before and after.
        space_dimensions: of the space s, where neighbours are sought.
        propagate_dimensions: of the features h.
        k: number of neighbours, the point itself counted, as in PyG.
        num_workers: without effect.
        method: how to search, see :func:`sparseot.knn`.

    Under ``torch.autocast`` it computes, and returns, in the precision of its parameters; features
    in half precision are brought to it.

    Raises:
        ValueError, TypeError: if an argument is not as described.

    References:
        Qasim, Kieseler, Iiyama and Pierini, 2019, "Learning representations of irregular
        particle-detector geometry with distance-weighted graph networks".

    Example:
        >>> conv = GravNetConv(8, 16, space_dimensions=4, propagate_dimensions=22, k=5)
        >>> conv(torch.randn(100, 8)).shape
        torch.Size([100, 16])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        space_dimensions: int,
        propagate_dimensions: int,
        k: int,
        num_workers: int | None = None,
        *,
        method: str | Forest = "auto",
    ) -> None:
        super().__init__()
        self.lin_s = Linear(in_channels, space_dimensions)
        self.lin_h = Linear(in_channels, propagate_dimensions)
        self.lin_out1 = Linear(in_channels, out_channels, bias=False)
        self.lin_out2 = Linear(2 * propagate_dimensions, out_channels)
        # exp(-10 d^2) is a Gaussian of this bandwidth; constants are no part of PyG's state_dict
        graph = KNNGraph(k, bandwidth=20**-0.5, loop=True, method=method)
        self._graph = [graph]

    @features_of_sets
    @without_autocast
    @on_threads_for(_messages)
    def forward(self, x: Points, batch: Any = None, *, mask: Any = None) -> Tensor:
        """Features ``(N, out_channels)``, or ``(B, N, out_channels)`` for padded samples.

        Args:
            x: ``(N, in_channels)`` or ``(B, N, in_channels)``; a pair, which is a tuple, takes messages
                from the first to the second. Sets of different sizes, a list or a nested tensor,
                give as many sets of features.
            batch: ``(N,)`` sorted sample of each point; a pair for a pair.
            mask: ``(B, N)`` True for real points; a pair for a pair.
        """
        source, target, options = _sides(x, batch, mask, self)
        space = self.lin_s(target)
        other = None if target is source else self.lin_s(source)
        A = self._graph[0].to(space.device)(space, other, **options)
        h = self.lin_h(source)
        _, col, _, _ = A.slots()
        weights, real = (t.reshape(-1, A.mask.shape[-1]) for t in (A.weights, A.mask))
        both = edge_mean_max(weights, h.reshape(-1, h.shape[-1]), col.view(real.shape), real)
        both = both.view(*A.mask.shape[:-1], -1)
        out: Tensor = self.lin_out1(target) + self.lin_out2(both)
        return out


class DynamicEdgeConv(nn.Module):
    r"""Edge convolution on the graph of the neighbours in feature space.

    .. math:: x'_i = \max_{j \in \text{kNN}(i)} \text{nn}([x_i, x_j - x_i])

    Args:
        nn: a module from ``2 F`` to ``F'`` features.
        k: number of neighbours, the point itself counted, as in PyG.
        aggr: "max", "mean" or "add".
        num_workers: without effect.
        method: how to search, see :func:`sparseot.knn`.

    Under ``torch.autocast`` it computes, and returns, in the precision of its parameters; features
    in half precision are brought to it.

    Raises:
        ValueError, TypeError: if an argument is not as described.

    References:
        Wang, Sun, Liu, Sarma, Bronstein and Solomon, 2019, "Dynamic graph CNN for learning on
        point clouds", equation 8.

    Example:
        >>> conv = DynamicEdgeConv(torch.nn.Linear(6, 16), k=5)
        >>> conv(torch.randn(100, 3)).shape
        torch.Size([100, 16])
    """

    def __init__(
        self,
        nn: Callable[[Tensor], Tensor],
        k: int,
        aggr: str = "max",
        num_workers: int = 1,
        *,
        method: str | Forest = "auto",
    ) -> None:
        super().__init__()
        if aggr not in ("max", "mean", "add", "sum"):
            raise bad_input("aggr", repr(aggr), '"max", "mean" or "add"')
        self.nn, self.aggr = nn, aggr
        self._graph = [KNNGraph(k, weight="connectivity", loop=True, method=method)]

    @features_of_sets
    @without_autocast
    @on_threads_for(_messages)
    def forward(self, x: Points, batch: Any = None, *, mask: Any = None) -> Tensor:
        """Features of the points, see :meth:`GravNetConv.forward`."""
        source, target, options = _sides(x, batch, mask, self)
        with torch.no_grad():
            graph = self._graph[0].to(target.device)
            A = graph(target, None if target is source else source, **options)
        centres = target.reshape(-1, target.shape[-1])

        def messages(rows: slice, neighbours: Tensor) -> Tensor:
            centre = centres[rows, None].expand_as(neighbours)
            return self.nn(torch.cat((centre, neighbours - centre), -1))

        return _reduce(A, source, messages, self.aggr)


def _sides(
    x: Points, batch: Any, mask: Any, layer: nn.Module
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Source and target without padding, and the arguments of the search, which runs from target to source."""
    if isinstance(x, Tensor):
        x = clean(_widened(x, layer), mask)
        return x, x, {"batch": batch, "mask": mask}
    if x[0] is x[1]:
        return _sides(x[0], batch and batch[0], mask and mask[0], layer)
    of_source, of_target = (None, None) if mask is None else mask
    source, target = (
        clean(_widened(side, layer), real)
        for side, real in zip(x, (of_source, of_target), strict=True)
    )
    swapped = {
        name: None if pair is None else (pair[1], pair[0])
        for name, pair in (("batch", batch), ("mask", mask))
    }
    return source, target, swapped


def _widened(x: Tensor, layer: nn.Module) -> Tensor:
    """Features in half precision, as layers before give them under autocast, in the layer's own."""
    weight = next(layer.parameters(), x)
    return x.to(torch.promote_types(x.dtype, weight.dtype)) if x.itemsize < 4 else x


def _reduce(
    A: KNNAdjacency, h: Tensor, messages: Callable[[slice, Tensor], Tensor], aggr: str
) -> Tensor:
    """Reduces the messages of the neighbours of each row, a block of rows at a time.

    Blocks are computed again in the backward pass where there are several. Rows without
    neighbours give zero.
    """
    _, col, _, _ = A.slots()
    rows, k = A.mask.shape[:-1].numel(), A.mask.shape[-1]
    col, mask, table = col.view(rows, k), A.mask.view(rows, k, 1), h.reshape(-1, h.shape[-1])

    def block(lo: int, hi: int) -> Tensor:
        neighbours = table.index_select(0, col[lo:hi].reshape(-1)).view(hi - lo, k, -1)
        values, real = messages(slice(lo, hi), neighbours), mask[lo:hi]
        if aggr == "max":
            best = values.masked_fill(~real, -torch.inf).amax(1)
            return best.where(real.any(1), 0)
        total = values.where(real, 0).sum(1)
        return total / real.sum(1).clamp(min=1) if aggr == "mean" else total

    step = max(1, CHUNK // (k * table.shape[1]))
    if rows <= step:
        return block(0, rows).view(*A.mask.shape[:-1], -1)
    parts: list[Any] = [
        checkpoint(block, lo, min(lo + step, rows), use_reentrant=False)
        for lo in range(0, rows, step)
    ]
    return torch.cat(parts).view(*A.mask.shape[:-1], -1)
