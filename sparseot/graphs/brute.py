"""Exact neighbours on a CPU, all pairs of tiles that bounds cannot exclude; see ``loops.tiles``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..engines.threads import share_ranges
from .clouds import Clouds
from .loops import tiles as loops
from .loops.trees import grow
from .methods import Found, Options
from .ranking import own_rows, scaled

__all__ = ["best_of", "brute"]

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
    evaluations = np.zeros(len(blocks), np.int64)
    slack = x.dtype.type((x.shape[1] + 8) * np.finfo(x.dtype).eps)
    arguments = (queries, own, blocks, block_tiles, points, y_order, *_pack(points, *tiles), slack)

    share_ranges(
        len(blocks),
        _on(loops.neighbours, *arguments, squares, indices, evaluations),
        _grain(clouds),
    )
    back = np.empty_like(x_order)
    back[x_order] = np.arange(len(x_order))
    found = torch.from_numpy(squares[back]) / factor**2
    return Found(found, torch.from_numpy(indices[back]), int(evaluations.sum()))


def _on(loop: Any, *arguments: Any) -> Callable[[int, int], object]:
    return lambda lo, hi: loop(*arguments, lo, hi)


def best_of(x: Tensor, own: Tensor, y: Tensor, candidates: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """:func:`.ranking.rank`, compiled."""
    squares, indices = np.full((len(x), k), np.inf), np.full((len(x), k), -1)
    arrays = [t.contiguous().numpy() for t in (x, own, y, candidates)]
    share_ranges(len(x), _on(loops.rank, *arrays, squares, indices), 2**16)
    return torch.from_numpy(squares), torch.from_numpy(indices)


def _order(points: Numbers, ends: list[int]) -> Numbers:
    """All points, sample by sample, in an order in which runs of 128 lie closely together."""
    order, nobody = np.arange(len(points), dtype=np.int32), np.empty((1, 0), np.int32)
    for lo, hi in zip(ends[:-1], ends[1:], strict=True):
        if hi - lo > loops.TILE:
            visits = np.empty((1, -(-(hi - lo) // loops.TILE) + 1), int)
            grow(points[lo:hi], order[None, lo:hi], nobody, visits, loops.TILE, 0, 0, 1)
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
    count, dimension = len(first), points.shape[1]
    packed = np.zeros(count * (-(-dimension // 4) * 4) * loops.TILE, points.dtype)
    norms = np.empty((count, loops.TILE), points.dtype)
    centres, radii = np.empty((count, dimension), points.dtype), np.empty(count, points.dtype)
    loops.pack(points, first, size, packed, norms, centres, radii, 0, count)
    across = np.ascontiguousarray(centres.T)
    return packed, norms, centres, across, radii, first, size


def _grain(clouds: Clouds) -> int:
    """Blocks in a range: enough ranges to share, few enough to be quick."""
    m, dimension = clouds.x.points.shape
    columns = max(1, int(np.diff(clouds.y.ends).max()))
    work = loops.QUERIES * columns * dimension
    if m * columns * dimension < 2**22:
        return m
    return int(max(1, min(m // (16 * loops.QUERIES), RANGE // work)))
