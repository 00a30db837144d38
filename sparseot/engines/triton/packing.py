"""Clouds in blocks, as the kernels read them; everything stays on the device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...pairs import BlockPairs, Partition
from .shapes import Shape

__all__ = ["Layout", "Packed", "by_coordinates", "listed", "pack"]

LARGEST = 256.0  # coordinate of points in half precision: neither they nor their rest get lost


@dataclass(frozen=True)
class Layout:
    """Where the points of a cloud stand in blocks of ``size``; by default one after the other.

    ``places`` ``(N,)`` are those among ``blocks * size``.
    """

    count: int
    size: int
    blocks: int
    places: Tensor | None = None

    @staticmethod
    def of(count: int, size: int) -> Layout:
        return Layout(count, size, -(-count // size))

    def fill(self, t: Tensor, value: float = 0.0) -> Tensor:
        """``(B, N, ...)`` in blocks ``(B * C, size, ...)``; free places get the value."""
        full = t.new_full((len(t), self.blocks * self.size, *t.shape[2:]), value)
        if self.places is None:
            full[:, : self.count] = t
        else:
            full.index_copy_(1, self.places, t)
        return full.view(-1, self.size, *t.shape[2:])

    def take(self, filled: Tensor, items: int) -> Tensor:
        """``(B * C, size, ...)`` as ``(B, N, ...)``."""
        flat = filled.reshape(items, -1, *filled.shape[2:])
        return flat[:, : self.count] if self.places is None else flat.index_select(1, self.places)


@dataclass(frozen=True)
class Packed:
    """Both clouds in blocks, lengths in some ``unit``."""

    layouts: tuple[Layout, Layout]
    arrays: tuple[Tensor, ...]  # points, and squares of their lengths
    unit: Tensor
    switches: dict[str, Any]


def pack(
    clouds: tuple[Tensor, Tensor],
    shape: Shape,
    halves: int,
    layouts: tuple[Layout, Layout] | None = None,
) -> Packed:
    """Two clouds for tiles of a shape: by coordinates, or as so many numbers in half precision."""
    rows, cols = layouts or (
        Layout.of(clouds[0].shape[1], shape.rows),
        Layout.of(clouds[1].shape[1], shape.columns),
    )
    switches = {"D": shape.width, "BM": rows.size, "BN": cols.size, "BK": shape.step}
    unit = clouds[0].new_ones(())
    if halves:
        longest = torch.maximum(*(points.abs().amax() for points in clouds))
        unit = longest.clamp(min=torch.finfo(longest.dtype).tiny) / LARGEST
        clouds = clouds[0] / unit, clouds[1] / unit
    arrays, squares = [], []
    for cloud, layout in zip(clouds, (rows, cols), strict=True):
        if halves:
            arrays.append(_halved(cloud, layout, halves, shape.width))
            squares.append(layout.fill(cloud.square().sum(-1)))
        else:
            arrays.append(by_coordinates(cloud, layout))
            squares.append(unit)  # which no kernel reads
    return Packed((rows, cols), (*arrays, *squares), unit, switches)


def by_coordinates(points: Tensor, layout: Layout) -> Tensor:
    """Points ``(B, N, D)`` as ``(B * C, D, size)``."""
    return layout.fill(points).mT.contiguous()


def _halved(points: Tensor, layout: Layout, halves: int, width: int) -> Tensor:
    """Points of at most LARGEST as ``(B * C, halves, size, D)`` in float16, D filled up to ``width``.

    A second half holds what the first one lost of each number, so that both have 22 bits.
    """
    points = torch.nn.functional.pad(layout.fill(points), (0, width - points.shape[-1]))
    high = points.half()
    parts = [high] if halves == 1 else [high, (points - high.to(points)).half()]
    return torch.stack(parts, 1)


def listed(
    pairs: BlockPairs, least: int, most: int, device: torch.device
) -> tuple[Layout, Layout, Tensor, Tensor]:
    """Layouts of rows and columns, and kept pairs of blocks as a CSR matrix of tiles.

    Tiles have sides between ``least`` and ``most``: larger blocks are cut.
    """
    rows, cols = ((cut, *_cut(cut.size, least, most)) for cut in (pairs.rows, pairs.columns))
    high, wide = rows[2], cols[2]
    blocks = pairs.cols[:, None] * wide + np.arange(wide)
    tiles = [np.tile(row.ravel(), high) for row in np.split(blocks, pairs.starts[1:-1])]
    counts = np.repeat(np.diff(pairs.starts) * wide, high)
    lists = np.concatenate(([0], np.cumsum(counts))), np.concatenate(tiles)
    starts, numbers = (torch.from_numpy(t.astype(np.int32)).to(device) for t in lists)
    return _layout(*rows, device), _layout(*cols, device), starts, numbers


def _cut(points: int, least: int, most: int) -> tuple[int, int]:
    """The side of a tile, and into how many of them a block of so many points is cut."""
    size = min(most, max(least, 1 << (points - 1).bit_length()))
    return size, -(-points // size)


def _layout(cut: Partition, size: int, parts: int, device: torch.device) -> Layout:
    block, inside = np.divmod(cut.inverse, cut.size)
    places = torch.from_numpy(block * parts * size + inside).to(device)
    return Layout(len(cut.order), size, len(cut) * parts, places)
