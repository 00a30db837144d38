"""Exact neighbours on a CPU, all pairs of tiles that bounds cannot exclude; see ``loops.tiles``."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...engines.threads import share_ranges
from ..loops import tiles as loops
from .candidates import CHUNK, own_rows, scaled
from .clouds import Clouds
from .methods import Found, Options
from .trees import plant

__all__ = ["best_of", "brute", "padded_dimension"]

Numbers = np.ndarray[Any, Any]
RANGE = 2**28  # multiplications between two chances to interrupt


def brute(clouds: Clouds, options: Options) -> Found:
    """All samples at once: their tiles and blocks of queries stand in one list."""
    factor = scaled(clouds.x.points, clouds.y.points)
    x, y = (clouds.x.points * factor).numpy(), (clouds.y.points * factor).numpy()
    y_order, tiles, ranges = _tiles(y, clouds.y.ends)
    x_order = y_order if clouds.same else _order(x, clouds.x.ends)
    blocks, block_tiles = _blocks(clouds.x.ends, ranges)
    points = y[y_order]
    queries = points if clouds.same else x[x_order]
    own = own_rows(len(x), clouds.same, options.loop, torch.device("cpu")).numpy()[x_order]
    squares, indices = np.full((len(x), options.k), np.inf), np.full((len(x), options.k), -1)
    evaluations = np.zeros(len(blocks), np.uint64)
    slack = float((x.shape[1] + 8) * np.finfo(x.dtype).eps)
    y_tiles = _pack(points, *tiles)
    where = (blocks.view(np.uint64), block_tiles.view(np.uint64))
    given = (queries, own, *where, points, y_order, *y_tiles, slack, squares, indices, evaluations)
    widths = (padded_dimension(x.shape[1]), loops.TILE, len(tiles[0]))

    def run(lo: int, hi: int) -> None:
        mine = (np.zeros((loops.QUERIES, width), x.dtype) for width in widths)
        loops.neighbours(*given, *mine, np.uint64(lo), np.uint64(hi))

    share_ranges(len(blocks), run, *_grain(clouds))
    back = np.empty_like(x_order)
    back[x_order] = np.arange(len(x_order))
    found = torch.from_numpy(squares[back]) / factor**2
    return Found(found, torch.from_numpy(indices[back]), int(evaluations.sum()))


def best_of(x: Tensor, own: Tensor, y: Tensor, candidates: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """:func:`.ranking.rank`, compiled."""
    squares, indices = np.full((len(x), k), np.inf), np.full((len(x), k), -1)
    arrays = [t.contiguous().numpy() for t in (x, own, y, candidates)]

    def run(lo: int, hi: int) -> None:
        loops.rank(*arrays, squares, indices, np.uint64(lo), np.uint64(hi))

    share_ranges(len(x), run, 2**16)
    return torch.from_numpy(squares), torch.from_numpy(indices)


def _order(points: Numbers, ends: list[int]) -> Numbers:
    """All points, sample by sample, in an order in which runs of 128 lie closely together."""
    order = np.arange(len(points), dtype=np.int32)
    for lo, hi in zip(ends[:-1], ends[1:], strict=True):
        if hi - lo > loops.TILE:
            visits = np.empty(-(-(hi - lo) // loops.TILE) + 1, np.int64)
            plant(points[lo:hi], order[lo:hi], order[:0], visits, loops.TILE, 0, 0)
            order[lo:hi] += lo
    return order.astype(np.int64)


def _tiles(points: Numbers, ends: list[int]) -> tuple[Numbers, tuple[Numbers, Numbers], Numbers]:
    """The order, first points and sizes of the tiles, and where the tiles of samples end."""
    first, last = _runs(ends, loops.TILE)
    numbers = [-(-(hi - lo) // loops.TILE) for lo, hi in zip(ends[:-1], ends[1:], strict=True)]
    return _order(points, ends), (first, last - first), np.cumsum([0, *numbers])


def _runs(ends: list[int], size: int) -> tuple[Numbers, Numbers]:
    """Cuts each sample into runs of ``size`` points: where they start and end."""
    pairs = list(zip(ends[:-1], ends[1:], strict=True))
    first = np.concatenate([np.arange(lo, hi, size) for lo, hi in pairs])
    last = np.concatenate([np.minimum(np.arange(lo, hi, size) + size, hi) for lo, hi in pairs])
    return first, last


def _blocks(ends: list[int], ranges: Numbers) -> tuple[Numbers, Numbers]:
    """Blocks of up to four queries (first, how many), and the tiles that each may see."""
    first, last = _runs(ends, loops.QUERIES)
    sizes = np.diff(ends)
    sample = np.repeat(np.arange(len(sizes)), -(-sizes // loops.QUERIES))
    seen = np.stack((ranges[sample], ranges[sample + 1]), 1)
    return np.stack((first, last - first), 1), seen


def _pack(points: Numbers, first: Numbers, size: Numbers) -> tuple[Numbers, ...]:
    """The tiles as :func:`.loops.tiles.neighbours` wants them."""
    count, dimension, lanes = len(first), points.shape[1], np.arange(loops.TILE)
    packed = np.zeros((count, padded_dimension(dimension), loops.TILE), points.dtype)
    norms = np.full((count, loops.TILE), loops.FAR, points.dtype)
    centres, radii = np.empty((count, dimension), points.dtype), np.empty(count, points.dtype)
    some = max(1, CHUNK // (loops.TILE * dimension))
    for t in range(0, count, some):
        here = slice(t, t + some)
        real = lanes < size[here, None]
        tile = points[np.minimum(first[here, None] + lanes, len(points) - 1)]
        tile[~real] = 0
        centres[here] = tile.sum(1, dtype=np.float64) / size[here, None]
        tile -= centres[here, None]
        tile[~real] = 0
        squares = np.einsum("tpd,tpd->tp", tile, tile)
        radii[here] = np.sqrt(squares.max(1))
        norms[here][real] = squares[real]
        packed[here, :dimension] = tile.transpose(0, 2, 1)
    across = np.ascontiguousarray(centres.T)
    tiles = (first.view(np.uint64), size.view(np.uint64))
    return packed.reshape(-1), norms, centres, across, radii, *tiles


def padded_dimension(dimension: int) -> int:
    """Coordinates of a packed point: products take four at a time."""
    return -(-dimension // 4) * 4


def _grain(clouds: Clouds) -> tuple[int, int]:
    """Blocks in a range, enough ranges to share and few enough to be quick; and the whole work."""
    m, dimension = clouds.x.points.shape
    columns = max(1, int(np.diff(clouds.y.ends).max()))
    work = loops.QUERIES * columns * dimension
    return max(1, min(m // (16 * loops.QUERIES), RANGE // work)), m * columns * dimension
