"""Exact neighbours in few dimensions: SciPy's k-d tree, queried in its own order.

The order of the queries decides how much of the tree is in the cache: for a million points in
space it makes a factor of four. The tree breaks ties as they come, so more neighbours than asked
are taken, ranked again, and rows whose last neighbour ties with what was left out are completed.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from ...engines.openmp import thread_count
from .brute import best_of, brute
from .candidates import own_rows
from .clouds import Clouds, Rows
from .methods import Found, Options

__all__ = ["kdtree"]

MORE = 5  # neighbours beyond k: the point itself, and ties
WORTH = 2**15  # neighbours that are worth a second thread: some milliseconds
ROWS = 2**16  # queries between two chances to interrupt


def kdtree(clouds: Clouds, options: Options) -> Found:
    """One tree a sample, all threads on one sample."""
    parts, evaluations = [], 0
    for s in range(len(clouds)):
        x, y = clouds.of(s)
        own = own_rows(len(x), clouds.same, options.loop, x.device)
        squares, indices, count = _sample(x, own, y, options.k, clouds.same)
        indices[indices >= 0] += clouds.y.ends[s]
        parts.append((squares, indices))
        evaluations += count
    return Found(torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts]), evaluations)


def _sample(x: Tensor, own: Tensor, y: Tensor, k: int, same: bool) -> tuple[Tensor, Tensor, int]:
    squares = torch.full((len(x), k), torch.inf, dtype=torch.float64)
    indices = torch.full((len(x), k), -1)
    if not len(x) or not len(y):
        return squares, indices, 0
    points = y.double().numpy()
    tree = cKDTree(points)
    queries = points if same else x.double().numpy()
    order = tree.indices if same else cKDTree(queries).indices
    width, missed = min(k + MORE, len(y)), []
    for i in range(0, len(x), ROWS):
        rows = order[i : i + ROWS]
        workers = thread_count() if len(rows) * width > WORTH else 1
        distances, nearest = tree.query(queries[rows], np.arange(width) + 1, workers=workers)
        here = torch.from_numpy(rows)
        candidates = torch.from_numpy(nearest)
        best, which = best_of(x[here], own[here], y, candidates, k)
        squares[here], indices[here] = best, which
        if width < len(y):
            floor = torch.from_numpy(distances[:, -1] ** 2) * (1 - 1e-12)
            missed.append(here[best[:, -1] >= floor])
    evaluations = len(x) * width
    again = torch.cat(missed) if missed else own[:0]
    if len(again):
        evaluations += _complete(x, own, y, again, squares, indices)
    return squares, indices, evaluations


def _complete(
    x: Tensor, own: Tensor, y: Tensor, again: Tensor, squares: Tensor, indices: Tensor
) -> int:
    """Searches rows with ties at their end by tiles; equal queries, as copies have, once."""
    k = indices.shape[1]
    queries, copy = torch.unique(x[again], dim=0, return_inverse=True)
    found = brute(Clouds(_alone(queries), _alone(y)), Options(min(k + 1, len(y)), loop=True))
    squares[again], indices[again] = best_of(x[again], own[again], y, found.indices[copy], k)
    return found.evaluations


def _alone(points: Tensor) -> Rows:
    return Rows(points.contiguous(), [0, len(points)], torch.arange(len(points)), [0])
