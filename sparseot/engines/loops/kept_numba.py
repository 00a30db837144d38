"""Kept pairs by compiled loops: views of tensors on a CPU, and rows shared among our threads."""

from __future__ import annotations

from abc import abstractmethod
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..base import KEPT_BLOCK
from ..kept import (
    KEPT_GROUP,
    Anchor,
    Array,
    Biases,
    Blocks,
    Boxes,
    TileLoops,
    TileRows,
    views,
)
from ..threads import share, shares_of
from . import half_steps, screens
from .kept_torch import rounding

__all__ = ["NumbaDistances", "NumbaLoops", "NumbaSquares"]

BOXES = 1 << 15  # pairs that are worth a thread: some tenths of a millisecond


@cache
def _module(name: str) -> ModuleType:
    return import_module(f"{__package__}.{name}")


class NumbaLoops(TileLoops):
    """What all costs share; the compiled functions of one are in a module of its own."""

    module: str
    screens: str  # the compiled screen of that cost

    @property
    def loops(self) -> ModuleType:
        """That module; not kept, for it cannot be copied or pickled."""
        return _module(self.module)

    def _chosen(self, *args: Any) -> Array:
        """The tiles of some rows, by the compiled screen."""
        found: Array = getattr(screens, self.screens)(*args)
        return found

    def _of_cost(self, rows: Blocks, cols: Blocks) -> tuple[Any, ...]:
        """What compiled sums are told of a cost."""
        return ()

    def screen(
        self, rows: Boxes, cols: Boxes, threshold: float, near: TileRows | None = None
    ) -> tuple[TileRows, Tensor]:
        count = len(rows)
        where: tuple[Array, ...]
        if near is None:  # one group of all
            where = np.zeros(count, np.int64), np.array([0, 1]), np.zeros(1, np.int32)
            ends, boxes = np.array([0, len(cols)]), count * len(cols)
        else:
            where = np.arange(count) // KEPT_GROUP, *near.arrays
            ends = np.arange(0, len(cols) + 1, KEPT_GROUP)
            boxes = len(near) * KEPT_GROUP**2
        shares = max(1, min(count, shares_of(boxes, BOXES)))
        edges = [count * k // shares for k in range(shares + 1)]
        starts, omitted = np.zeros(count + 1, np.int64), np.zeros(count)
        counts = starts[1:]
        args = rows.arrays, cols.arrays, *where, ends, threshold, counts, omitted
        found: list[Any] = [None] * shares

        def part(k: int, _: int) -> None:
            found[k] = self._chosen(*args, edges[k], edges[k + 1])

        share(part, range(shares + 1))
        np.cumsum(counts, out=counts)
        tiles = TileRows(torch.from_numpy(starts), torch.from_numpy(np.concatenate(found)))
        return tiles, torch.from_numpy(omitted)

    def sums(
        self, tiles: TileRows, rows: Blocks, cols: Blocks, biases: Biases, *, peaks: bool = True
    ) -> tuple[Tensor, Tensor | None]:
        out = np.empty(biases[0].shape)
        row, col = views(*biases)
        largest = np.empty(len(tiles), row.dtype)
        args = *tiles.arrays, *rows.arrays, row, *cols.arrays, col, *self._of_cost(rows, cols)
        share(self.loops.sums, tiles.ranges, *args, out, largest)
        return torch.from_numpy(out), torch.from_numpy(largest)

    def products(
        self,
        tiles: TileRows,
        rows: Blocks,
        cols: Blocks,
        biases: Biases,
        v: Tensor,
        power: float = 0,
    ) -> Tensor:
        row, col, values = views(*biases, v)
        out = np.empty((len(row), values.shape[1], KEPT_BLOCK))
        args = *tiles.arrays, *rows.arrays, row, *cols.arrays, col, *self._of_cost(rows, cols)
        more = self._of_power(power, rows, cols)
        share(self.loops.products, tiles.ranges, *args, values, *more, out)
        return torch.from_numpy(out)

    def largest(
        self, tiles: TileRows, rows: Blocks, cols: Blocks, biases: Biases
    ) -> tuple[Tensor, Tensor]:
        row, col = views(*biases)
        out, where = np.empty(row.shape), np.empty(row.shape, np.int64)
        args = *tiles.arrays, *rows.arrays, row, *cols.arrays, col, *self._of_cost(rows, cols)
        share(self.loops.largest, tiles.ranges, *args, out, where)
        return torch.from_numpy(out), torch.from_numpy(where)

    def biases(self, anchor: Anchor, potential: Tensor) -> tuple[Tensor, Tensor, Tensor | float]:
        (below, built, logs), (values,) = anchor.arrays, views(potential)
        rows, cols = (torch.empty_like(anchor.below, dtype=anchor.dtype) for _ in range(2))
        both = rows.view(-1).numpy(), cols.view(-1).numpy()
        rise: float = half_steps.biases(values, built, anchor.height, below, logs, *both)
        return rows, cols, rise

    def marginal(
        self, total: Tensor, weights: Tensor, wanted: Tensor | float, within: tuple[float, float]
    ) -> tuple[Tensor | float, Tensor | float, Tensor | bool]:
        want = wanted.numpy() if isinstance(wanted, Tensor) else np.array([wanted])
        args = total.numpy(), weights.numpy(), want
        found: tuple[float, float, bool] = half_steps.marginal(*args, *within)
        return found

    def above(
        self, tiles: TileRows, peaks: Tensor, sums: Tensor, within: tuple[float, float], bar: float
    ) -> Tensor:
        (starts, _), (largest, found) = tiles.arrays, views(peaks, sums)
        bars = (np.minimum.reduce(found, 1).clip(*within) * bar).astype(largest.dtype)
        return torch.from_numpy(largest > bars.repeat(starts[1:] - starts[:-1]))

    @abstractmethod
    def _of_power(self, power: float, rows: Blocks, cols: Blocks) -> tuple[Any, ...]:
        """What compiled products are told of a power of the distance."""

    def transpose(self, tiles: TileRows, columns: int) -> tuple[TileRows, Tensor]:
        starts, blocks = tiles.arrays
        begins = np.zeros(columns + 1, np.int64)
        np.cumsum(np.bincount(blocks, minlength=columns), out=begins[1:])
        short = np.int32 if len(blocks) < 2**31 else np.int64
        rows, places = np.empty_like(blocks), np.empty(len(blocks), short)
        self.loops.transpose(starts, blocks, begins[:-1].copy(), rows, places)
        found = TileRows(torch.from_numpy(begins), torch.from_numpy(rows))
        return found, torch.from_numpy(places)


class NumbaSquares(NumbaLoops):
    """Those of half of the squared distance."""

    module, screens = "kept_squares", "screen_squares"

    def _of_power(self, power: float, rows: Blocks, cols: Blocks) -> tuple[Any, ...]:
        assert not power, "these loops know no distance"
        return ()


class NumbaDistances(NumbaLoops):
    """Those of the distance."""

    module, screens = "kept_distances", "screen_distances"

    def _of_power(self, power: float, rows: Blocks, cols: Blocks) -> tuple[Any, ...]:
        return power, rounding(rows, cols)
