"""Exact neighbours in plain torch, on any device: blocks of a matrix product, then a check.

Scores |q|^2 - 2 q.y + |y|^2 of centred points only propose candidates; their rounding error is
bounded, and a row that the bound does not settle is searched again from differences.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...engines.openmp import threads_for
from .candidates import CHUNK, own_rows, rank, rescan, scaled
from .clouds import Clouds
from .methods import Found, Options

__all__ = ["by_candidates", "tiles"]

MORE = 9  # candidates beyond k: the point itself, ties, and what rounding may exchange


def tiles(clouds: Clouds, options: Options) -> Found:
    """One product a block of queries and sample."""
    return by_candidates(clouds, options, _products)


def _products(x: Tensor, y: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """The ``width`` lowest scores, and a bound from below on the squares of all others."""
    centre, factor = y.mean(0), scaled(x, y)
    here, there = (x - centre) * factor, (y - centre) * factor
    lengths = there.square().sum(1)
    longest = lengths.max().sqrt()
    slack = (x.shape[1] + 8) * torch.finfo(x.dtype).eps
    rows = max(1, CHUNK // len(y))
    candidates, floors = [], []
    for i in range(0, len(x), rows):
        block = here[i : i + rows]
        own = block.square().sum(1)
        scores = torch.addmm(lengths, block, there.T, alpha=-2) + own[:, None]
        lowest = scores.topk(width, largest=False)
        candidates.append(lowest.indices)
        error = slack * (own.sqrt() + longest).double().square()
        floors.append(lowest.values.amax(1).double() - error)
    return torch.cat(candidates), torch.cat(floors) / factor**2


Propose = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]


def by_candidates(clouds: Clouds, options: Options, propose: Propose) -> Found:
    """Any search that proposes candidates and bounds the rest, made exact.

    ``propose(x, y, width)`` returns ``(m, width)`` candidates and ``(m,)`` squares that nothing
    that was left out is below.
    """
    parts, evaluations = [], 0
    for s in range(len(clouds)):
        x, y = clouds.of(s)
        own = own_rows(len(x), clouds.same, options.loop, x.device)
        width = min(options.k + MORE, len(y))
        if len(x) and len(y):
            with threads_for(len(x) * y.numel()):
                candidates, floor = propose(x, y, width)
                squares, indices = rank(x, own, y, candidates, options.k)
                evaluations += len(x) * len(y)
                if width < len(y):
                    evaluations += rescan(x, own, y, squares, indices, floor)
        else:
            squares, indices = rank(x, own, y, own.new_empty(len(x), 0), options.k)
        indices[indices >= 0] += clouds.y.ends[s]
        parts.append((squares, indices))
    return Found(torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts]), evaluations)
