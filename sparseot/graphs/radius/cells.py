"""Pairs within a distance on a CPU: a grid of cells no smaller than it; see ``loops.cells``.

The grid has as many axes as the points, three at most: the three along which they are widest. A
cell with many points has many pairs within the distance, so that in up to three dimensions the
pairs that are visited are a bounded multiple of those that are found, however points cluster. Only
a cloud more than 2^19 distances wide has larger cells.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ...engines.threads import share_ranges
from ..loops import cells as loops
from ..search.clouds import Clouds, Rows
from .search import Found, Options

__all__ = ["cells"]

Numbers = np.ndarray[Any, Any]
AXES = 3
SLACK = 1e-6  # of a cell, for the rounding of coordinates in units of cells
RANGES = 64  # of queries, for whoever is free
PAIRS = 8  # a query, at least, with three multiplications each


def cells(clouds: Clouds, options: Options) -> Found:
    """All samples at once: a sample is the slowest axis of the grid."""
    x, y = (side.points.numpy() for side in (clouds.x, clouds.y))
    m, n, dimension = len(x), len(y), x.shape[1]
    if not m or not n:
        empty = torch.zeros(m + 1, dtype=torch.int64)
        return Found(empty.new_empty(2, 0), empty, torch.empty(0, dtype=torch.float64), 0, 0)
    grid = Grid(clouds, options.radius)
    y_keys, y_order, y_axes = grid.sorted(clouds.y)
    x_keys, x_order, x_axes = (y_keys, y_order, y_axes) if clouds.same else grid.sorted(clouds.x)
    whole = dimension <= AXES
    all_x, all_y = (p[:0].reshape(0, 0) if whole else p for p in (x, y))
    if not whole:
        all_y = y[y_order]
        all_x = all_y if clouds.same else x[x_order]
    near = options.limit * (1 + 1e-12)
    columns = [np.ascontiguousarray(axis) for axis in y_axes.T]
    given = (x_axes, x_keys, *columns, y_keys, all_x, all_y, grid.steps, options.limit, near)
    alone, grain = clouds.same and not options.loop, max(64, m // RANGES)
    counted, visited = np.empty(m, np.int64), []

    def count(lo: int, hi: int) -> None:
        visited.append(loops.count(*given, counted, np.uint64(lo), np.uint64(hi)))

    share_ranges(m, count, grain, m * AXES * PAIRS)
    counts = np.empty(m, np.int64)
    counts[x_order] = counted - alone
    kept = options.kept(torch.from_numpy(counts))
    ends = torch.cat((kept.new_zeros(1), kept.cumsum(0)))
    options.check_total(int(ends[-1]))
    edges = np.empty((1 + options.rows, int(ends[-1])), np.int64)  # NumPy asks for large pages
    squares = np.empty(edges.shape[1] if options.squares else 0)
    most = int(counted.max()) + 1
    rows = edges[1] if options.rows else edges[0, :0]
    written = (x_order, y_order, alone, ends.numpy(), edges[0], rows, squares)

    def fill(lo: int, hi: int) -> None:
        room = np.empty(most, np.int64), np.empty(most)
        loops.fill(*given, *written, *room, np.uint64(lo), np.uint64(hi))

    share_ranges(m, fill, grain, sum(map(int, visited)) * AXES)
    left_out = int(counts.sum()) - edges.shape[1]
    results = torch.from_numpy(edges), ends, torch.from_numpy(squares)
    return Found(*results, sum(map(int, visited)), left_out)


class Grid:
    """Keys of cells: neighbours on the last axis have neighbouring keys.

    A cell of nobody lies before and behind each row of cells, so that no row runs into the next.
    ``steps`` lead from a key to the rows of three cells around it: nine in space, one on a line.
    """

    def __init__(self, clouds: Clouds, radius: float) -> None:
        sides = [clouds.x.points] if clouds.same else [clouds.x.points, clouds.y.points]
        low = torch.stack([p.amin(0) for p in sides]).amin(0).double().numpy()
        high = torch.stack([p.amax(0) for p in sides]).amax(0).double().numpy()
        extent = high - low
        self.axes = np.sort(np.argsort(-extent, kind="stable")[:AXES])
        most = 2 ** ((60 - len(clouds).bit_length()) // AXES) - 4
        edge = np.maximum(radius * (1 + SLACK), extent[self.axes] / most)
        self.low, self.edge = low[self.axes], np.where(edge > 0, edge, 1)
        sizes = np.floor(extent[self.axes] / self.edge).astype(np.int64) + 4
        self.strides = [int(np.prod(sizes[a + 1 :])) for a in range(len(sizes))]
        self.sample = int(np.prod(sizes))
        steps = np.zeros(1, np.int64)
        for stride in self.strides[:-1]:
            steps = (steps[:, None] + stride * np.arange(-1, 2)).reshape(-1)
        self.steps = steps

    def sorted(self, side: Rows) -> tuple[Numbers, Numbers, Numbers]:
        """Ascending keys (n,), the numbers of their points (n,), and their coordinates (n, 3)."""
        ends = np.asarray(side.ends)
        keys = np.repeat(np.arange(len(ends) - 1) * self.sample, np.diff(ends))
        points = side.points.numpy()
        axes = np.zeros((len(points), AXES))
        axes[:, : len(self.axes)] = points[:, self.axes]
        for a, stride in enumerate(self.strides):
            cell = np.floor((axes[:, a] - self.low[a]) / self.edge[a])
            keys += (cell.astype(np.int64) + 1) * stride
        order = np.argsort(keys)
        return keys[order], order, axes[order]
