"""Kept pairs without a compiler, on any device: many tiles at a time, by torch.

See :mod:`.kept_squares` for what an entry is. On a CPU it is far slower, and serves where nothing
can be compiled, and as a second opinion in tests. No operation but a screen waits for the device.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ..base import KEPT_BLOCK
from ..kept import (
    KEPT_GROUP,
    Anchor,
    Biases,
    Blocks,
    Boxes,
    TileLoops,
    TileRows,
    filled,
)
from ..threads import share

__all__ = ["TorchDistances", "TorchLoops", "TorchSquares"]

ENTRIES = {"cpu": 1 << 20}  # at a time,
MANY = 1 << 24  # and elsewhere
LOWEST, HIGHEST = -126.0, 100.0  # exponents are clamped, as in the compiled loops
NONE = -1e30  # the largest exponent of no column

Chunk = Callable[[slice, Tensor, Tensor, Tensor, Tensor | None], None]


class TorchLoops(TileLoops):
    """What all costs share; each has its own exponents, and bounds on them."""

    @abstractmethod
    def _exponents(
        self, rows: Blocks, cols: Blocks, biases: Biases, I: Tensor, J: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """The exponents ``(k, B, B)`` of some tiles, and the distances, if the cost is one."""

    def _weights(self, far: Tensor, power: float, least: float) -> Tensor:
        """Powers of distances; those up to ``least`` are zero."""
        return far.where(far > least, math.inf if power < 0 else 0.0) ** power

    @abstractmethod
    def _bounds(self, rows: Boxes, cols: Boxes) -> Tensor:
        """The largest exponents that boxes allow."""

    def screen(
        self, rows: Boxes, cols: Boxes, threshold: float, near: TileRows | None = None
    ) -> tuple[TileRows, Tensor]:
        omitted, found = torch.zeros_like(rows.heights), []
        for I, J in _box_pairs(rows, cols, near):
            some, others = rows.at(I), cols.at(J)
            bound = self._bounds(some, others)
            stays = bound + torch.maximum(some.shares, others.shares) >= threshold
            mass = (bound + others.masses).clamp(-1022.0, HIGHEST).exp2()
            lost = mass.masked_fill(stays, 0.0).sum(-1)
            omitted.index_add_(0, I.flatten(), lost.flatten())
            found.append((I * len(cols) + J)[stays])
        places = torch.cat(found).sort().values
        owners = places.div(len(cols), rounding_mode="floor")
        counts = torch.bincount(owners, minlength=len(rows))
        return TileRows.of(counts, (places % len(cols)).int()), omitted

    def sums(
        self, tiles: TileRows, rows: Blocks, cols: Blocks, biases: Biases, *, peaks: bool = True
    ) -> tuple[Tensor, Tensor | None]:
        out = torch.zeros_like(biases[0], dtype=torch.float64)
        largest = biases[0].new_empty(len(tiles)) if peaks else None

        def chunk(place: slice, I: Tensor, _: Tensor, exponents: Tensor, __: object) -> None:
            part = _entries(exponents).sum(2)
            out.index_add_(0, I, part.double())
            if largest is not None:
                torch.amax(part, 1, out=largest[place])

        self._each(tiles, rows, cols, biases, chunk)
        return out, largest

    def products(
        self,
        tiles: TileRows,
        rows: Blocks,
        cols: Blocks,
        biases: Biases,
        v: Tensor,
        power: float = 0,
    ) -> Tensor:
        least = rounding(rows, cols) if power and power < 1 else 0.0
        out = v.new_zeros(len(biases[0]), v.shape[1], KEPT_BLOCK, dtype=torch.float64)

        def chunk(_: slice, I: Tensor, J: Tensor, exponents: Tensor, far: Tensor | None) -> None:
            entries = _entries(exponents)
            if power:
                assert far is not None
                entries = entries * self._weights(far, power, least)
            out.index_add_(0, I, (v[J] @ entries.mT).double())

        self._each(tiles, rows, cols, biases, chunk)
        return out

    def largest(
        self, tiles: TileRows, rows: Blocks, cols: Blocks, biases: Biases
    ) -> tuple[Tensor, Tensor]:
        out = torch.full_like(biases[0], NONE, dtype=torch.float64)
        where = torch.full_like(out, -1, dtype=torch.int64)
        lanes = torch.arange(KEPT_BLOCK, device=out.device)

        def chunk(_: slice, I: Tensor, J: Tensor, exponents: Tensor, __: object) -> None:
            tops, columns = exponents.double().max(2)
            rows = I[:, None].expand_as(tops)
            out.scatter_reduce_(0, rows, tops, "amax")
            best = tops == out[I]  # of equal ones any may stay
            where[rows[best], lanes.expand_as(tops)[best]] = (columns + KEPT_BLOCK * J[:, None])[
                best
            ]

        self._each(tiles, rows, cols, biases, chunk)
        return out, where

    def transpose(self, tiles: TileRows, columns: int) -> tuple[TileRows, Tensor]:
        places = tiles.blocks.argsort(stable=True)
        counts = torch.bincount(tiles.blocks, minlength=columns)
        return TileRows.of(counts, tiles.owners[places]), places

    def biases(self, anchor: Anchor, potential: Tensor) -> tuple[Tensor, Tensor, Tensor | float]:
        values = filled(potential, 0, anchor.below.numel()).view_as(anchor.below)
        own, dtype = torch.add(anchor.below, values, alpha=anchor.height), anchor.dtype
        rise = (potential - anchor.built).max()
        return own.to(dtype), (own + anchor.logs).to(dtype), rise

    def marginal(
        self, total: Tensor, weights: Tensor, wanted: Tensor | float, within: tuple[float, float]
    ) -> tuple[Tensor | float, Tensor | float, Tensor | bool]:
        low, high = total.aminmax()
        lack = torch.dot(weights, (total - wanted).abs_())
        return lack, torch.dot(weights, total), (low > within[0]) & (high < within[1])

    def _each(
        self, tiles: TileRows, rows: Blocks, cols: Blocks, biases: Biases, chunk: Chunk
    ) -> None:
        """Calls ``chunk`` with places, row blocks, column blocks, exponents ``(k, B, B)`` and distances.

        On a CPU, ranges of rows are shared among threads of our own.
        """
        device = biases[0].device
        many = ENTRIES.get(device.type, MANY) // KEPT_BLOCK**2

        def part(first: int, last: int) -> None:
            for at in range(first, last, many):
                place = slice(at, min(at + many, last))
                I, J = tiles.owners[place].long(), tiles.blocks[place].long()
                exponents, far = self._exponents(rows, cols, biases, I, J)
                chunk(place, I, J, exponents, far)

        share(part, tiles.spans if device.type == "cpu" else [0, len(tiles)])


class TorchSquares(TorchLoops):
    """Those of half of the squared distance."""

    def _exponents(
        self, rows: Blocks, cols: Blocks, biases: Biases, I: Tensor, J: Tensor
    ) -> tuple[Tensor, None]:
        gap, x, y = rows.centres[I] - cols.centres[J], rows.offsets[I], cols.offsets[J]
        constant = rows.heights[I] + cols.heights[J] - gap.square().sum(1) / 2
        here = biases[0][I] + ((rows.slopes[I] - gap).to(x)[:, None] @ x)[:, 0]
        there = biases[1][J] + ((cols.slopes[J] + gap).to(y)[:, None] @ y)[:, 0]
        there = there + constant.to(y)[:, None]
        return torch.baddbmm(here[:, :, None] + there[:, None], x.mT, y), None

    def _bounds(self, rows: Boxes, cols: Boxes) -> Tensor:
        """The best of the four edges of the rectangle of each axis."""
        best, r, s, q, t = None, rows.sides, rows.slopes, cols.sides, cols.slopes
        D = rows.centres - cols.centres
        for side in (1, -1):
            dy = torch.clamp(D + side * r + t, -q, q)
            edge = side * s * r + t * dy - (D + side * r - dy) ** 2 / 2
            best = edge if best is None else torch.maximum(best, edge)
            dx = torch.clamp(side * q - D + s, -r, r)
            best = torch.maximum(best, s * dx + side * t * q - (D + dx - side * q) ** 2 / 2)
        assert best is not None
        return rows.heights + cols.heights + best.sum(0)


class TorchDistances(TorchLoops):
    """Those of the distance, see :mod:`.kept_distances`."""

    def _exponents(
        self, rows: Blocks, cols: Blocks, biases: Biases, I: Tensor, J: Tensor
    ) -> tuple[Tensor, Tensor]:
        x, y, far = rows.offsets[I], cols.offsets[J], _distances(rows, cols, I, J)
        here = biases[0][I] + (rows.slopes[I].to(x)[:, None] @ x)[:, 0]
        there = biases[1][J] + (cols.slopes[J].to(y)[:, None] @ y)[:, 0]
        there = there + (rows.heights[I] + cols.heights[J]).to(y)[:, None]
        return here[:, :, None] + there[:, None] - far, far

    def _bounds(self, rows: Boxes, cols: Boxes) -> Tensor:
        """The better of two: the direction from box to box, and the middle of the slopes."""
        gap, s, t = rows.centres - cols.centres, rows.slopes, cols.slopes
        far, middle = gap.norm(dim=0).clamp(min=1e-300), (s - t) / 2
        best = None
        for u in (gap / far, middle / middle.norm(dim=0).clamp(min=1.0)):
            edge = rows.sides * (s - u).abs() + cols.sides * (t + u).abs() - u * gap
            best = edge.sum(0) if best is None else torch.minimum(best, edge.sum(0))
        assert best is not None
        return rows.heights + cols.heights + best


def rounding(rows: Blocks, cols: Blocks) -> float:
    """A length below which the distance of two points may be nothing but rounding."""
    size = max(float(blocks.centres.abs().max()) for blocks in (rows, cols))
    size += max(float(blocks.offsets.abs().max()) for blocks in (rows, cols))
    return 8 * torch.finfo(rows.offsets.dtype).eps * size


def _entries(exponents: Tensor) -> Tensor:
    """Powers of two, in the place of their exponents."""
    return exponents.clamp_(LOWEST, HIGHEST).exp2_()


def _distances(rows: Blocks, cols: Blocks, I: Tensor, J: Tensor) -> Tensor:
    """The distances ``(k, B, B)`` of the points of some tiles, from differences."""
    gap, y = (rows.centres[I] - cols.centres[J]).to(rows.offsets), cols.offsets[J]
    seen = rows.offsets[I] + gap[..., None]
    total = torch.zeros_like(seen[:, 0, :, None] + y[:, 0, None])
    for d in range(y.shape[1]):
        total += (seen[:, d, :, None] - y[:, d, None]).square_()
    return total.sqrt_()


def _box_pairs(rows: Boxes, cols: Boxes, near: TileRows | None) -> Iterator[tuple[Tensor, Tensor]]:
    """Chunk after chunk of pairs of boxes, as two numbers that broadcast: ``(..., h, 1)`` and ``(..., 1, w)``."""
    device = rows.heights.device
    entries = ENTRIES.get(device.type, MANY)
    if near is None:
        I, J = (torch.arange(len(boxes), device=device) for boxes in (rows, cols))
        for some in I.split(max(1, entries // len(cols))):
            yield some[:, None], J[None]
        return
    members = torch.arange(KEPT_GROUP, device=device)
    many = max(1, entries // KEPT_GROUP**2)
    for P, Q in zip(near.owners.split(many), near.blocks.split(many), strict=True):
        I, J = (KEPT_GROUP * group.long()[:, None] + members for group in (P, Q))
        yield I[:, :, None], J[:, None]
