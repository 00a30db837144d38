"""The doors of the search: ``knn``, and PyG's ``knn_graph``."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import torch
from torch import Tensor

from ..engines.openmp import own_settings
from ..engines.ranks.group import Ranks
from ..errors import bad_input
from ..operators.arrays import Array, like
from ..operators.autograd.compiled import eagerly
from ..operators.autograd.spread import agreed, group_of, local_rows, mesh_of
from ..points import check_integer
from ..precision import at_least_single
from ..ragged.vectors import pair_of
from .ranks.travel import search_on_ranks
from .search.clouds import Clouds, as_clouds, points_tensor
from .search.methods import Forest, Found, Options, check_method, search
from .search.sets import joined, joined_pair, local
from .values import attach, clean, place, slots, to_distances

__all__ = ["Neighbours", "find", "knn", "knn_graph"]

METRICS = ("euclidean", "cosine")


class Neighbours(namedtuple("Neighbours", "distances indices")):
    """The pair ``(distances, indices)``; attributes say how it was found.

    ``method`` names the search, or several joined by "+" where samples differ; ``exact`` says
    whether it is exact, and ``evaluations`` how many distances it computed.
    """

    method: str
    exact: bool
    evaluations: int

    def __repr__(self) -> str:
        parts = self.indices if isinstance(self.indices, (list, tuple)) else [self.indices]
        sizes = ", ".join(str(tuple(part.shape)) for part in parts[:4])
        sizes += f", ... {len(parts)} sets" if len(parts) > 4 else ""
        kind = "exact" if self.exact else "approximate"
        work = f"{self.evaluations:,} distances computed"
        return f"Neighbours({sizes}, method {self.method}: {kind}, {work})"


@eagerly
@own_settings
def knn(
    x: Array,
    y: Array | None = None,
    *,
    k: int,
    loop: bool = False,
    mask: Any = None,
    batch: Any = None,
    metric: str = "euclidean",
    method: str | Forest = "auto",
    seed: int = 0,
    group: Any = None,
) -> Neighbours:
    r"""The k nearest rows of y for each row of x, the nearest first, ties by index.

    .. math:: d_{ij} = |x_i - y_j| \quad\text{or, for the cosine,}\quad
        d_{ij} = 1 - \cos(x_i, y_j) = \tfrac12 \bigl| x_i/|x_i| - y_j/|y_j| \bigr|^2

    Args:
        x: ``(N, D)`` or ``(B, N, D)`` points, tensor or NumPy array; of half precision there are
            distances in float32, with gradients in half precision. Sets of different sizes, a list
            or a nested tensor, have distances and indices in the same form.
        y: ``(M, D)`` or ``(B, M, D)`` points to be found, or as many sets; None means x itself.
        k: number of neighbours, at least 1.
        loop: with ``y=None``, whether a point is its own first neighbour.
        mask: ``(B, N)`` True for real points; padding may hold anything, NaN too. With y, a pair
            ``(mask_x, mask_y)``.
        batch: ``(N,)`` the sample of each point, sorted, as in PyG; with y, a pair.
        metric: "euclidean" or "cosine".
        method: "auto", "brute", "kdtree", "forest" (approximate), "tiles" (plain torch), "triton" (CUDA),
            "keops", "faiss" or "pynndescent" (approximate); or a :class:`sparseot.nn.Forest` with its
            options.
        seed: what "forest" and "pynndescent" draw from; equal seeds give equal results.
        group: processes of ``torch.distributed``, each of which gives its rows of x and y and gets the
            neighbours of its own, numbered over all ranks (see "On many machines" in the guide).

    Returns:
        ``(distances, indices)`` of shape ``(..., N, k)``: a pair with ``method``, ``exact`` and
        ``evaluations``. Distances, not their squares, have gradients in x and y; indices count
        the rows of y, within the sample for ``(B, M, D)`` and for sets. Where a sample has fewer than k
        points, and in masked rows, distances are infinite and indices are safe to gather.

    Raises:
        ValueError, TypeError: if an argument is not as described, or points are not finite.
        ImportError: if the package of the method is missing.

    References:
        Dong, Moses and Li, 2011, "Efficient k-nearest neighbor graph construction for generic
        similarity measures", for "forest".

    Example:
        >>> x = torch.tensor([[0.0], [1.0], [3.0]])
        >>> distances, indices = knn(x, k=1)
        >>> distances.squeeze(1).tolist(), indices.squeeze(1).tolist()
        ([1.0, 1.0, 2.0], [1, 0, 1])
    """
    if (group := group_of(group, x, y)) is not None:
        samples = mask is not None or batch is not None
        return _on_ranks(group, x, y, k, loop, metric, method, seed, samples)[0]
    name, forest = check_method(method)
    options = Options(check_integer("k", k), bool(loop), check_integer("seed", seed, 0), forest)
    x, y, batch, sets = joined_pair(x, y, batch)
    a = points_tensor("x", x)
    b = None if y is None else points_tensor("y", y)
    clouds, found = find(a, b, mask, batch, metric, name, options)
    squares, indices = place(clouds, found, a.shape[:-1])
    real = squares < torch.inf
    masks = pair_of("mask", mask, b is None)
    here, there = at_least_single(clean(a, masks[0]), None if b is None else clean(b, masks[1]))
    squares = attach(squares, here, here if b is None else there, indices, real, metric)
    distances = to_distances(squares, metric).where(real, torch.inf).to(here.dtype)
    if sets is None:
        result = Neighbours(like(distances, x), like(indices, x))
    else:
        result = Neighbours(sets[0].back(distances), sets[0].back(local(indices, sets)))
    result.method, result.exact = "+".join(found.methods) or "none", found.exact
    result.evaluations = found.evaluations
    return result


def _on_ranks(
    group: Any,
    x: Array,
    y: Array | None,
    k: int,
    loop: bool,
    metric: str,
    method: str | Forest,
    seed: int = 0,
    samples: bool = False,
) -> tuple[Neighbours, int]:
    """The neighbours of the rows of this rank among those of all, and the number of the first of x."""
    ranks, same, mesh = Ranks(group, "knn"), y is None, mesh_of([x, y])
    with ranks.together():
        if samples:
            fix = "Several samples are searched on one machine each."
            raise bad_input("mask, batch", "one of them, with group", "neither", fix)
        name, forest = check_method(method)
        options = Options(check_integer("k", k), bool(loop), check_integer("seed", seed, 0), forest)
        a = points_tensor("x", local_rows(x, "x"))
        b = a if y is None else points_tensor("y", local_rows(y, "y"))
        clouds = as_clouds(a, None if same else b, None, None, _metric(metric))
        if a.dim() != 2:
            got, fix = f"shape {tuple(a.shape)}, with group", "Give each sample to one rank."
            raise bad_input("x", got, "(n, D), points of this rank", fix)
        said = {"k": str(k), "loop": str(loop), "metric": metric, "method": str(method)}
        spreads = agreed(ranks, {"x": a, "y": b}, said, mesh)
        here, there = spreads["x"], spreads["y"]
        found = search_on_ranks(ranks, clouds, there.mine.start, name, options)
        real = found.squares < torch.inf
        numbers = torch.arange(here.mine.start, here.mine.stop, device=a.device)[:, None]
        indices = found.indices.where(real, numbers if same else 0)
        queries, points = at_least_single(a, b)
        if here.moving or there.moving:
            queries, points = here.like_all(queries), there.gathered(points)
        squares = attach(found.squares, queries, points, indices, real, metric)
        distances = to_distances(squares, metric).where(real, torch.inf).to(queries.dtype)
        result = Neighbours(*(like(here.shown(t), x) for t in (distances, indices)))
    result.method, result.exact = "+".join(found.methods) or "none", found.exact
    result.evaluations = found.evaluations
    return result, here.mine.start


def _metric(metric: str) -> str:
    if metric not in METRICS:
        raise bad_input("metric", repr(metric), " or ".join(f'"{m}"' for m in METRICS))
    return metric


def find(
    x: Tensor, y: Tensor | None, mask: Any, batch: Any, metric: str, method: str, options: Options
) -> tuple[Clouds, Found]:
    """Checks everything, and searches."""
    clouds = as_clouds(x, y, mask, batch, _metric(metric))
    with torch.no_grad():
        return clouds, search(clouds, method, options)


@eagerly
@own_settings
def knn_graph(
    x: Array,
    k: int,
    batch: Tensor | None = None,
    loop: bool = False,
    flow: str = "source_to_target",
    cosine: bool = False,
    method: str | Forest = "auto",
    group: Any = None,
) -> Array:
    """The edges from the k nearest neighbours to each point, with PyG's arguments and result.

    Args:
        x: ``(N, D)`` points, tensor or NumPy array; or sets of different sizes, a list or a nested
            tensor, whose points are numbered on from set to set.
        k: number of neighbours.
        batch: ``(N,)`` sorted sample of each point; edges stay within a sample.
        loop: whether points are their own neighbours.
        flow: "source_to_target" puts neighbours in row 0 and centres in row 1 of the result;
            "target_to_source" swaps them.
        cosine: by angle instead of distance.
        method: see :func:`knn`.
        group: processes of ``torch.distributed``, each of which gives its rows of x and gets the edges to
            them, numbered over all ranks (see "On many machines" in the guide).

    Returns:
        ``(2, E)`` indices. Every point has exactly k edges, or as many as its sample allows; an
        array of an array.

    Raises:
        ValueError, TypeError: if an argument is not as described.

    References:
        Fey and Lenssen, 2019, "Fast graph representation learning with PyTorch Geometric".

    Example:
        >>> knn_graph(torch.tensor([[0.0], [1.0], [3.0]]), k=1).tolist()
        [[1, 0, 1], [0, 1, 2]]
    """
    if flow not in ("source_to_target", "target_to_source"):
        raise bad_input("flow", repr(flow), '"source_to_target" or "target_to_source"')
    metric = "cosine" if cosine else "euclidean"
    start = 0
    with torch.no_grad():
        if (group := group_of(group, x)) is not None:
            samples, first = batch is not None, x
            points = points_tensor("x", local_rows(x, "x"))
            found, start = _on_ranks(group, points, None, k, loop, metric, method, 0, samples)
        else:
            x, batch, first = joined(x, batch)
            points = points_tensor("x", x)
            found = knn(points, k=k, batch=batch, loop=loop, metric=metric, method=method)
    centre, neighbour = slots(found.indices, len(points))
    centre = centre + start
    real = found.distances.reshape(-1) < torch.inf
    pair = (neighbour, centre) if flow == "source_to_target" else (centre, neighbour)
    return like(torch.stack(pair)[:, real], first)
