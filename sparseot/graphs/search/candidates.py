"""The common end of searches by candidates, in torch: exact distances, one order, and a check.

Candidates are ranked by (distance, index), with squares summed from differences of coordinates in
double precision, in the same order as the compiled loops sum them: ties are the same ties.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

__all__ = ["CHUNK", "below", "own_rows", "rank", "rescan", "scaled", "squared_distances"]

CHUNK = 2**24  # numbers that a temporary may have


def own_rows(m: int, same: bool, loop: bool, device: torch.device) -> Tensor:
    """The point that each query must not find, -1 for none."""
    if same and not loop:
        return torch.arange(m, device=device)
    return torch.full((m,), -1, device=device)


def scaled(x: Tensor, y: Tensor) -> float:
    """A power of two that keeps the squares of both clouds within single precision, mostly 1."""
    largest = max(float(t.abs().max()) if t.numel() else 0.0 for t in (x, y))
    if largest == 0 or 1e-12 < largest < 1e12:
        return 1.0
    return 2.0 ** -round(math.log2(largest))


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """``|x - y|^2`` over the last axis, broadcast, in double precision."""
    dimension = x.shape[-1]
    whole = dimension - dimension % 4
    sums = [x.new_zeros((), dtype=torch.float64)] * 4
    for d in range(dimension):
        part = d % 4 if d < whole else 0
        sums[part] = sums[part] + (x[..., d].double() - y[..., d].double()).square()
    return (sums[0] + sums[1]) + (sums[2] + sums[3])


def below(x: Tensor, y: Tensor, candidates: Tensor) -> Tensor:
    """A bound from below on the squares of all that are no candidates, ``(m,)``.

    The candidates ``(m, c)`` are the nearest by squares from differences of these coordinates, in
    their precision, the last one the farthest; centring has rounded the coordinates.
    """
    last = (x - y[candidates[:, -1]]).square().sum(1).double()
    lengths, dimension, eps = x.abs().amax() + y.abs().amax(), x.shape[1], torch.finfo(x.dtype).eps
    error = 2 * (dimension + 8) * eps * last + 4 * eps * lengths * (dimension * last).sqrt()
    return last - error


def rank(x: Tensor, own: Tensor, y: Tensor, candidates: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k best of the candidates ``(m, c)``, -1 for none: squares and indices, ``(m, k)``."""
    candidates = pad(candidates, (0, max(0, k - candidates.shape[1])), value=-1)
    rows = max(1, CHUNK // (candidates.shape[1] * x.shape[1]))
    squares, indices = [], []
    for i in range(0, len(x), rows):
        some = candidates[i : i + rows].sort(1).values
        values = squared_distances(x[i : i + rows, None], y[some.clamp(min=0)])
        values[(some < 0) | (some == own[i : i + rows, None])] = torch.inf
        values, order = values.sort(dim=1, stable=True)
        squares.append(values[:, :k])
        indices.append(some.gather(1, order[:, :k]).where(squares[-1] < torch.inf, -1))
    return torch.cat(squares), torch.cat(indices)


def rescan(
    x: Tensor, own: Tensor, y: Tensor, squares: Tensor, indices: Tensor, floor: Tensor
) -> int:
    """Searches again, in place, the rows whose k-th square reaches ``floor``, ``(m,)``.

    No point that was left out has a square below ``floor``. Equal queries are searched once: rows
    come here by ties, and most ties are copies. Returns the number of distances computed.
    """
    again = (squares[:, -1] >= floor).nonzero()[:, 0]
    if not len(again):
        return 0
    queries, copy = torch.unique(x[again], dim=0, return_inverse=True)
    rows, k = max(1, CHUNK // len(y)), indices.shape[1]
    lowest = [
        squared_distances(queries[i : i + rows, None], y[None])
        .sort(dim=1, stable=True)
        .indices[:, : k + 1]
        for i in range(0, len(queries), rows)
    ]
    best = rank(x[again], own[again], y, torch.cat(lowest)[copy], k)
    squares[again], indices[again] = best
    return len(queries) * len(y)
