"""Kept pairs on a CUDA device: sums by kernels; tiles are chosen and turned by torch, which stays there."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..base import KEPT_BLOCK
from ..kept import Biases, Blocks, TileRows
from ..loops.kept_torch import TorchDistances, TorchLoops, TorchSquares, rounding
from .shapes import FEW, Shape, warps_of_kept

__all__ = ["TritonDistances", "TritonSquares"]

MANY = 1 << 22  # tiles whose records are made at a time
Known = tuple[TileRows, Blocks, Blocks, Tensor, Tensor]


class TritonLoops(TorchLoops):
    """What all costs share; each has its own records."""

    power: int

    def __init__(self) -> None:
        self.known: list[Known] = []  # of the last two sides

    def sums(
        self,
        tiles: TileRows,
        rows: Blocks,
        cols: Blocks,
        biases: Biases,
        *,
        peaks: bool = True,
    ) -> tuple[Tensor, Tensor | None]:
        largest = biases[0].new_empty(len(tiles)) if peaks else None
        return self._run(tiles, rows, cols, biases, peaks=largest)[:, 0], largest

    def products(
        self,
        tiles: TileRows,
        rows: Blocks,
        cols: Blocks,
        biases: Biases,
        v: Tensor,
        power: float = 0,
    ) -> Tensor:
        assert not power or self.power == 1, "powers of the distance are for costs that are one"
        least = rounding(rows, cols) if power < 0 else 0.0
        return self._run(tiles, rows, cols, biases, v, power, least)[:, : v.shape[1]]

    @abstractmethod
    def _record(self, rows: Blocks, cols: Blocks, I: Tensor, J: Tensor) -> Tensor:
        """The numbers of some tiles, ``(k, SIZE)``, in double precision."""

    def _tilted(self, blocks: Blocks, biases: Tensor) -> Tensor:
        """Biases with what of the slopes is no matter of a tile."""
        return biases

    def _run(
        self,
        tiles: TileRows,
        rows: Blocks,
        cols: Blocks,
        biases: Biases,
        v: Tensor | None = None,
        power: float = 0,
        least: float = 0.0,
        peaks: Tensor | None = None,
    ) -> Tensor:
        from . import kept_kernels
        from .card import launches, tuning

        records, order = self._records(tiles, rows, cols)
        width = 1 if v is None else min(FEW, 1 << (v.shape[1] - 1).bit_length())
        groups = 1 if v is None else -(-v.shape[1] // width)
        if v is not None:
            v = pad(v, (0, 0, 0, groups * width - v.shape[1])).contiguous()
        x, y = rows.offsets, cols.offsets
        size = len(biases[0]), groups * width, KEPT_BLOCK
        out = torch.empty(size, dtype=torch.float64, device=x.device)
        row, col = (
            self._tilted(*one).contiguous() for one in zip((rows, cols), biases, strict=True)
        )
        switches: dict[str, Any] = {
            "D": x.shape[1], "B": KEPT_BLOCK, "COST": self.power, "TIMES": power, "SIZE": records.shape[1],
            "R": width, "PEAKS": peaks is not None,
        }  # fmt: skip

        def run(shape: Shape, some: Tensor) -> Callable[[], None]:
            return lambda: launches.launch(
                kept_kernels.kept_sums, (len(some), groups), shape.warps,
                out, peaks, x.contiguous(), y.contiguous(), row, col, v, records,
                tiles.starts, tiles.blocks, some, least, groups, REAL=launches.real(x.dtype), **switches,
            )  # fmt: skip

        if len(out):
            shapes = warps_of_kept(x.dtype, KEPT_BLOCK)
            shape = shapes[0]
            if len(tiles) >= tuning.ENOUGH_TILES:
                kind = "kept_sums", *switches.values(), str(x.dtype)
                part = order[:: -(-len(tiles) // tuning.ENOUGH_TILES)].contiguous()
                shape = tuning.CHOICES.best(kind, shapes, lambda one: run(one, part), x.device)
            run(shape, order)()
        return out

    def _records(self, tiles: TileRows, rows: Blocks, cols: Blocks) -> tuple[Tensor, Tensor]:
        """What tiles add to exponents, and row blocks by falling numbers of tiles; made once."""
        for *given, records, order in self.known:
            if all(a is b for a, b in zip(given, (tiles, rows, cols), strict=True)):
                return records, order
        dtype = rows.offsets.dtype
        parts = [
            self._record(rows, cols, I.long(), J.long()).to(dtype)
            for I, J in zip(tiles.owners.split(MANY), tiles.blocks.split(MANY), strict=True)
        ]
        order = tiles.starts.diff().argsort(descending=True, stable=True)
        found = tiles, rows, cols, torch.cat(parts), order
        self.known = [*self.known[-1:], found]
        return found[3:]


class TritonSquares(TritonLoops, TorchSquares):
    """Those of half of the squared distance."""

    power = 2

    def _record(self, rows: Blocks, cols: Blocks, I: Tensor, J: Tensor) -> Tensor:
        gap = rows.centres[I] - cols.centres[J]
        constant = rows.heights[I] + cols.heights[J] - gap.square().sum(1) / 2
        return torch.cat((constant[:, None], rows.slopes[I] - gap, cols.slopes[J] + gap), 1)


class TritonDistances(TritonLoops, TorchDistances):
    """Those of the distance."""

    power = 1

    def _record(self, rows: Blocks, cols: Blocks, I: Tensor, J: Tensor) -> Tensor:
        constant = rows.heights[I] + cols.heights[J]
        return torch.cat((constant[:, None], rows.centres[I] - cols.centres[J]), 1)

    def _tilted(self, blocks: Blocks, biases: Tensor) -> Tensor:
        return biases + (blocks.slopes.to(biases)[:, None] @ blocks.offsets)[:, 0]
