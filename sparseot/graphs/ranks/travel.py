"""Queries that travel: each rank searches its own points, and those of others that may be nearer.

A rank first finds neighbours among its own points. A query goes on to another rank if the ball of its
k-th neighbour meets the box around the points there; the answers come back and are merged. In many
dimensions nearly every ball meets every box, and nearly every query visits all ranks. No rank holds
the points of another, but for the queries that visit it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...engines.ranks.group import Ranks
from ..search.clouds import Clouds, Rows
from ..search.methods import Found, Options, search

__all__ = ["search_on_ranks"]

SLACK = 1 + 1e-9  # of squares of distances to boxes, for rounding


def search_on_ranks(
    ranks: Ranks, clouds: Clouds, first: int, method: str, options: Options
) -> Found:
    """The neighbours of the queries of this rank among the points of all, numbered over all ranks.

    Args:
        ranks: who has points.
        clouds: of this rank.
        first: the number of its first point.
        method, options: as :func:`..search.methods.search` takes them, which searches on each rank.
    """
    queries, points = clouds.x.points, clouds.y.points
    with ranks.telling():
        own = search(clouds, method, options)
    squares, indices = own.squares, (own.indices + first).where(own.indices >= 0, -1)
    going = _going(ranks, queries, points, squares[:, -1])
    visitors = ranks.exchange([queries[rows] for rows in going], "queries")
    with ranks.telling():
        foreign = Options(options.k, True, options.seed, options.forest)
        found = search(Clouds(_alone(torch.cat(visitors)), clouds.y), method, foreign)
    numbers = (found.indices + first).where(found.indices >= 0, -1)
    sizes = [len(some) for some in visitors]
    answers = [ranks.exchange([*t.split(sizes)], "neighbours") for t in (found.squares, numbers)]
    for rows, more, places in zip(going, *answers, strict=True):
        if len(rows):
            both = torch.cat((squares[rows], more), 1), torch.cat((indices[rows], places), 1)
            squares[rows], indices[rows] = _nearest(*both, options.k)
    said = ranks.every((own.evaluations + found.evaluations, {*own.methods, *found.methods}))
    methods = sorted(set().union(*(names for _, names in said)))
    return Found(squares, indices, sum(count for count, _ in said), tuple(methods))


def _going(ranks: Ranks, queries: Tensor, points: Tensor, bounds: Tensor) -> list[Tensor]:
    """The queries that go to each rank: those whose ball, of squared radius ``bounds``, meets its box."""
    low, high = queries.new_full((2, queries.shape[1]), torch.inf).double()
    if len(points):
        low, high = (t.double() for t in points.aminmax(dim=0))
    boxes = ranks.rows(torch.stack((low, high))[None], what="boxes")
    found = []
    for rank, (low, high) in enumerate(boxes):
        if rank == ranks.rank or not bool(low.isfinite().all()):
            found.append(torch.zeros(0, dtype=torch.int64, device=queries.device))
            continue
        far = torch.maximum(low - queries, queries - high).clamp(min=0).square().sum(1)
        found.append((far <= bounds * SLACK).nonzero()[:, 0])
    return found


def _nearest(squares: Tensor, indices: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest of each row, ties by index; what is none has an infinite square."""
    order = indices.argsort(1)
    squares, indices = squares.gather(1, order), indices.gather(1, order)
    squares, order = squares.sort(dim=1, stable=True)
    return squares[:, :k], indices.gather(1, order[:, :k])


def _alone(points: Tensor) -> Rows:
    """Queries of one sample."""
    where = torch.arange(len(points), device=points.device)
    return Rows(points.contiguous(), [0, len(points)], where, [0])
