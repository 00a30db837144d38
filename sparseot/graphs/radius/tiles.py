"""Pairs within a distance in plain torch, on any device: tiles of all pairs, from differences."""

from __future__ import annotations

import torch
from torch import Tensor

from ...engines.openmp import threads_for
from ..search.candidates import CHUNK, own_rows, squared_distances
from ..search.clouds import Clouds
from .search import Found, Options

__all__ = ["tiles"]

CACHED = 2**18  # numbers of a tile on a CPU: temporaries of its size stay in the cache


def tiles(clouds: Clouds, options: Options) -> Found:
    """Blocks of queries against all points of their sample, one sample after the other."""
    device = clouds.x.points.device
    counts, edges, squares = [torch.zeros(1, dtype=torch.int64, device=device)], [], []
    evaluations = left_out = total = 0
    for s in range(len(clouds)):
        x, y = clouds.of(s)
        own = own_rows(len(x), clouds.same, options.loop, device)
        step = max(1, (CACHED if device.type == "cpu" else CHUNK) // max(1, len(y)))
        for i in range(0, len(x), step):
            with threads_for(len(x[i : i + step]) * y.numel()):
                values, near = _within(x[i : i + step], y, own[i : i + step], options.limit)
                count = near.sum(1)
                near = near if options.most is None else _nearest(values, near, options.most)
            kept = options.kept(count)
            row, col = near.nonzero().unbind(1)
            counts.append(kept)
            edges.append(torch.stack((col + clouds.y.ends[s], row + (clouds.x.ends[s] + i))))
            squares.append(values[row, col] if options.squares else values.new_empty(0))
            left_out += int((count - kept).sum())
            total += len(col)
            options.check_total(total)
        evaluations += len(x) * len(y)
    ends = torch.cat(counts).cumsum(0)
    nothing = torch.empty(0, dtype=torch.float64, device=device)
    pairs = torch.cat([ends.new_empty(2, 0), *edges], 1)
    return Found(pairs, ends, torch.cat([nothing, *squares]), evaluations, left_out)


def _within(x: Tensor, y: Tensor, own: Tensor, limit: float) -> tuple[Tensor, Tensor]:
    """Squares of a tile, and which of them count."""
    values = squared_distances(x[:, None], y[None])
    near = values <= limit
    mine = own >= 0
    near[mine.nonzero()[:, 0], own[mine]] = False
    return values, near


def _nearest(values: Tensor, near: Tensor, most: int) -> Tensor:
    """Of those that count in each row, the ``most`` nearest, ties by number."""
    order = values.where(near, torch.inf).sort(dim=1, stable=True).indices[:, :most]
    first = torch.zeros_like(near).scatter_(1, order, True)
    return near & first
