"""Approximate neighbours on a CPU: a forest of random trees, then neighbours of neighbours.

Dasgupta and Freund (2008) on random projection trees; Dong, Moses and Li (2011) on the descent.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...engines.threads import share_ranges
from ..loops import descent
from ..loops.tiles import FAR, QUERIES
from .brute import best_of, padded_dimension
from .candidates import own_rows, scaled
from .clouds import Clouds
from .methods import Found, Options
from .trees import plant

__all__ = ["forest"]

Numbers = np.ndarray[Any, Any]
LISTED = 8  # neighbours that are kept on the way, at least
RANGES = 32  # parts of a pass, each of which can be interrupted


def forest(clouds: Clouds, options: Options) -> Found:
    """One forest a sample; queries that are not points grow on the same trees, and are not found."""
    parts, evaluations = [], 0
    for s in range(len(clouds)):
        x, y = clouds.of(s)
        candidates, count = _candidates(x, y, clouds.same, options)
        own = own_rows(len(x), clouds.same, options.loop, x.device)
        if clouds.same and options.loop:  # lists hold the others only
            candidates = torch.cat((torch.arange(len(x))[:, None], candidates), 1)
        squares, indices = best_of(x, own, y, candidates, options.k)
        indices[indices >= 0] += clouds.y.ends[s]
        parts.append((squares, indices))
        evaluations += count + candidates.numel()
    return Found(torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts]), evaluations)


def _candidates(x: Tensor, y: Tensor, same: bool, options: Options) -> tuple[Tensor, int]:
    """Lists of likely neighbours ``(m, c)``, -1 for none, and the distances that they took."""
    targets, size = len(y), max(LISTED, options.k + 4)
    cloud = (y if same else torch.cat((y, x))).float()
    points = ((cloud - cloud.mean(0)) * scaled(cloud, cloud)).numpy()
    grown = options.forest
    n, leaf, trees = len(points), grown.leaf_size, grown.n_trees
    orders, guests = np.empty((trees, targets), np.int32), np.empty((trees, n - targets), np.int32)
    visits = np.empty((trees, max(1, -(-targets // leaf)) + 1), np.int64)
    seed = options.seed
    plant(points, orders[0], guests[0], visits[0], leaf, seed, 0)
    # Neighbours stand together in memory from here on, for the other trees too.
    name = np.concatenate((orders[0], guests[0]))
    place = np.empty_like(name)
    place[name] = np.arange(n, dtype=np.int32)
    points = points[name]
    orders[0], guests[0] = place[orders[0]], place[guests[0]]

    def others(before: int, last: int) -> None:
        for tree in range(before + 1, last + 1):
            plant(points, orders[tree], guests[tree], visits[tree], leaf, seed, tree)

    share_ranges(trees - 1, others, 1, trees * points.size * math.log2(max(2, n / leaf)))
    lists = _Lists(n, size)
    for tree in range(trees):
        lists.scan(points, orders[tree], guests[tree], visits[tree], leaf)
    evaluations = trees * n * min(leaf, targets)
    before = None
    for _ in range(grown.n_refine):
        if before is not None:
            descent.changed(before, lists.indices, size, lists.fresh)
        before = lists.indices.copy()
        evaluations += lists.descend(before, points, targets)
    names = torch.from_numpy(name).long()
    rows = torch.from_numpy(place[:n] if same else place[targets:]).long()
    found = torch.from_numpy(lists.indices.view(np.int32)).view(n, size)[rows].long()
    return torch.where(found < 0, -1, names[found]), evaluations


class _Lists:
    """For each point its nearest so far, flat arrays with ``size`` entries a point."""

    def __init__(self, n: int, size: int) -> None:
        self.n, self.size = n, np.uint64(size)
        self.distances = np.full(n * size, FAR, np.float32)
        self.indices = np.full(n * size, descent.NOBODY)
        self.fresh = np.ones(n * size, np.uint8)

    def scan(
        self, points: Numbers, order: Numbers, guests: Numbers, visits: Numbers, leaf: int
    ) -> None:
        """Meets the pairs in the leaves of one tree: a point is in one leaf, so no two collide."""
        leaves, lanes, dimension = len(visits) - 1, int(descent.LANES), points.shape[1]
        padded, width = padded_dimension(dimension), -(-leaf // lanes) * lanes
        room = (dimension, padded * width, width, (QUERIES, padded), (QUERIES, width), lanes)
        tree = (order.view(np.uint32), guests.view(np.uint32), visits.view(np.uint64))
        lists = (np.uint64(leaf), self.distances, self.indices, self.size)

        def run(lo: int, hi: int) -> None:
            mine = (np.zeros(shape, np.float32) for shape in room)
            descent.scan_leaves(points, *tree, *lists, *mine, np.uint64(lo), np.uint64(hi))

        share_ranges(leaves, run, -(-leaves // RANGES), points.size * leaf)

    def descend(self, forward: Numbers, points: Numbers, targets: int) -> int:
        """One pass over the neighbours of ``forward``; returns how many distances it took."""
        backward, newer = np.empty_like(forward), np.empty_like(self.fresh)
        count, evaluations = np.zeros(self.n, np.uint64), []
        descent.reverse(forward, self.fresh, self.size, backward, newer, count)
        before = (np.uint64(targets), forward, self.fresh, backward, newer, count, self.size)

        def run(lo: int, hi: int) -> None:
            mine = (self.distances, self.indices, np.full(self.n, descent.NOBODY))
            part = descent.pull(points, *before, *mine, np.uint64(lo), np.uint64(hi))
            evaluations.append(part)

        share_ranges(self.n, run, -(-self.n // RANGES), points.size * int(self.size) ** 2)
        return sum(evaluations)
