"""The doors of the search: ``radius``, and PyG's ``radius_graph``."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import torch
from torch import Tensor

from ...engines.openmp import NUMBERS, on_threads_for, own_settings
from ...errors import bad_input
from ...operators.arrays import Array, like
from ...operators.autograd.compiled import eagerly
from ...precision import at_least_single
from ...ragged.vectors import pair_of
from ..edges import edge_squares
from ..search.clouds import points_tensor
from ..search.sets import joined, joined_pair
from ..values import clean, to_distances
from .search import check_method, check_radius, find, rows_of, warn_of_cut
from .within import within

__all__ = ["RadiusNeighbours", "distances_of", "radius", "radius_graph"]


class RadiusNeighbours(namedtuple("RadiusNeighbours", "distances indices offsets")):
    """The triple ``(distances, indices, offsets)``: the rows of a CSR matrix.

    The neighbours of row i are ``indices[offsets[i]:offsets[i + 1]]``, ascending. ``truncated``
    says whether ``max_num_neighbors`` cut any row, ``left_out`` by how many edges in all.
    ``method`` names the search, which is ``exact``, and ``evaluations`` counts the pairs that it
    visited.
    """

    truncated: bool
    left_out: int
    method: str
    exact: bool
    evaluations: int

    @property
    def rows(self) -> Array:
        """``(E,)`` the row of each edge."""
        return like(rows_of(torch.as_tensor(self.offsets)), self.offsets)

    def __repr__(self) -> str:
        cut = f", {self.left_out:,} left out" if self.truncated else ""
        edges = f"{len(self.offsets) - 1:,} rows, {len(self.indices):,} edges{cut}"
        return (
            f"RadiusNeighbours({edges}, method {self.method}: exact, "
            f"{self.evaluations:,} pairs visited)"
        )


@eagerly
@own_settings
def radius(
    x: Array,
    y: Array | None,
    r: float,
    *,
    loop: bool = False,
    max_num_neighbors: int | None = None,
    mask: Any = None,
    batch: Any = None,
    method: str = "auto",
) -> RadiusNeighbours:
    r"""All rows of y within the distance r of each row of x, r itself included.

    .. math:: N_i = \{ j : |x_i - y_j| \le r \}

    Differences of coordinates, their squares and the root are taken in double precision, so that
    points exactly at the distance r count wherever double precision can tell.

    Args:
        x: ``(N, D)`` or ``(B, N, D)`` points, tensor or NumPy array; of half precision there are
            distances in float32, with gradients in half precision. Or sets of different sizes, a
            list or a nested tensor: their points are numbered on from set to set.
        y: ``(M, D)`` or ``(B, M, D)`` points to be found, or as many sets; None means x itself.
        r: a length in the units of the points, >= 0; at 0 there are copies alone.
        loop: with ``y=None``, whether a point is its own neighbour.
        max_num_neighbors: at most so many a row, the nearest, ties by index; None keeps all.
            Where it leaves any out, ``truncated`` is True, and a warning says so.
        mask: ``(B, N)`` True for real points; padding may hold anything, NaN too. With y, a pair
            ``(mask_x, mask_y)``.
        batch: ``(N,)`` the sample of each point, sorted, as in PyG; with y, a pair.
        method: "auto", "cells" (a grid, on a CPU) or "tiles" (plain torch, on any device).

    Returns:
        ``(distances, indices, offsets)`` of shapes ``(E,)``, ``(E,)`` and ``(B N + 1,)``, by rows,
        indices ascending; see :class:`RadiusNeighbours`. Distances, not their squares, have
        gradients in x and y, zero where points meet. Samples of ``(B, N, D)`` stand one after the
        other, and indices count on from one to the next, as PyG's batches do.

    Raises:
        ValueError, TypeError: if an argument is not as described, or points are not finite.

    References:
        Bentley, Stanat and Williams, 1977, "The complexity of finding fixed-radius near
        neighbors", for the grid.

    Example:
        >>> x = torch.tensor([[0.0], [1.0], [3.0]])
        >>> distances, indices, offsets = radius(x, None, 2.0)
        >>> distances.tolist(), indices.tolist(), offsets.tolist()
        ([1.0, 1.0, 2.0, 2.0], [1, 0, 2, 1], [0, 1, 3, 4])
    """
    x, y, batch, sets = joined_pair(x, y, batch)
    first = x if sets is None else sets[0].first
    a = points_tensor("x", x)
    b = None if y is None else points_tensor("y", y)
    graph = torch.is_grad_enabled() and any(
        isinstance(t, Tensor) and t.requires_grad for t in (a, b)
    )
    found = find(a, b, r, loop, max_num_neighbors, mask, batch, method, rows=graph)
    masks = pair_of("mask", mask, b is None)
    here, there = at_least_single(clean(a, masks[0]), None if b is None else clean(b, masks[1]))
    there = here if b is None else there
    if graph:
        _, distances = distances_of(found.squares, found.edges, here, there)
    else:
        distances = found.squares.sqrt_()
    result = RadiusNeighbours(
        like(distances.to(here.dtype), first), like(found.columns, first), like(found.ends, first)
    )
    result.truncated, result.left_out = found.left_out > 0, found.left_out
    result.method, result.exact, result.evaluations = found.method, True, found.evaluations
    warn_of_cut(found, max_num_neighbors)
    return result


@on_threads_for(lambda squares, *_: NUMBERS * len(squares))
def distances_of(squares: Tensor, edges: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Squares and distances ``(E,)`` in double precision, with gradients in the points.

    ``edges`` are ``(2, E)``, those of :class:`.search.Found`; ``y`` is x where a cloud was searched in
    itself.
    """
    if not (torch.is_grad_enabled() and (x.requires_grad or y.requires_grad)):
        return squares, squares.sqrt()
    same, dimension = y is x, x.shape[-1]
    x, y = at_least_single(x.reshape(-1, dimension), y.reshape(-1, dimension))
    y = x if same else y
    squares = edge_squares(squares, x, y, edges[1], edges[0])
    return squares, to_distances(squares, "euclidean")


@own_settings
def radius_graph(
    x: Array,
    r: float,
    batch: Tensor | None = None,
    loop: bool = False,
    max_num_neighbors: int | None = None,
    flow: str = "source_to_target",
    *,
    method: str = "auto",
) -> Array:
    """The edges from all points within the distance r to each point, as PyG has them.

    Args:
        x: ``(N, D)`` points, tensor or NumPy array; or sets of different sizes, a list or a nested
            tensor, whose points are numbered on from set to set.
        r: a length in the units of the points, >= 0; a distance of r itself counts.
        batch: ``(N,)`` sorted sample of each point; edges stay within a sample.
        loop: whether points are their own neighbours.
        max_num_neighbors: at most so many a point, the nearest, with a warning where that leaves
            any out; None, the default, keeps all (PyG keeps any 32).
        flow: "source_to_target" puts neighbours in row 0 and centres in row 1 of the result;
            "target_to_source" swaps them.
        method: see :func:`radius`, which also returns distances, and says what was left out.

    Returns:
        ``(2, E)`` indices, by centres, neighbours ascending; an array of an array.

    Raises:
        ValueError, TypeError: if an argument is not as described.

    References:
        Fey and Lenssen, 2019, "Fast graph representation learning with PyTorch Geometric".

    Example:
        >>> radius_graph(torch.tensor([[0.0], [1.0], [3.0]]), r=2.0).tolist()
        [[1, 0, 2, 1], [0, 1, 1, 2]]
    """
    if flow not in ("source_to_target", "target_to_source"):
        raise bad_input("flow", repr(flow), '"source_to_target" or "target_to_source"')
    x, batch, first = joined(x, batch)
    points, most = points_tensor("x", x), max_num_neighbors
    if torch.compiler.is_compiling():
        options = (check_radius(r), loop, most, check_method(method))
        edges, _, _ = within(x.detach(), None, None, None, batch, None, *options)
        return edges if flow == "source_to_target" else edges.flip(0)
    found = find(points, None, r, loop, most, None, batch, method, squares=False)
    warn_of_cut(found, most)
    return like(found.edges if flow == "source_to_target" else found.edges.flip(0), first)
