r"""Potentials in the frames of the blocks of a cloud.

In a frame, the point is :math:`x_I + dx` and the potential :math:`F_I + s_I \cdot dx + \varphi`,
with the slope by least squares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import pad

from ...engines.kept import Blocks, Boxes
from ...points import CLOSED
from .clouds import GROUP, SIZE, BlockCloud, Fit
from .scales import Scale

__all__ = ["Frame", "Placed"]


@dataclass(frozen=True)
class Placed:
    """One cloud in the units of a temperature: what its frames have in common, whatever the potential."""

    cloud: BlockCloud
    scale: Scale
    origin: Tensor  # that both clouds share: far from zero, their centres would lose digits

    @cached_property
    def centres(self) -> Tensor:
        """Of the blocks, with three coordinates at least."""
        centres = (self.cloud.centres - self.origin) * self.scale.length
        return pad(centres, (0, max(0, 3 - self.cloud.dim)))

    @cached_property
    def boxes(self) -> tuple[Tensor, Tensor]:
        """Centres and half sides of the blocks, coordinate after coordinate,"""
        return self._boxes(SIZE)

    @cached_property
    def wide(self) -> tuple[Tensor, Tensor]:
        """and of their groups."""
        return self._boxes(GROUP * SIZE)

    def _boxes(self, size: int) -> tuple[Tensor, Tensor]:
        unit, (centres, sides) = self.scale.length, self.cloud.boxes(size)
        return (centres - self.origin[:, None]) * unit, sides * (unit / 2)


@dataclass(frozen=True)
class Frame:
    """One cloud and the slopes of its potential, at one temperature: what loops and screens read."""

    placed: Placed
    slopes: Tensor
    heights: Tensor
    values: Tensor  # (C, B), the potential of each point
    below: Tensor  # (C, B), minus what is taken off it

    @staticmethod
    def of(placed: Placed, potential: Tensor) -> Frame:
        """The frame of a potential ``(n,)``."""
        cloud, scale = placed.cloud, placed.scale
        values = (cloud.fill(potential) * scale.height).view(cloud.blocks, SIZE)
        parts = [_tangent(values[some], fit, scale.curve) for some, fit in cloud.fits(SIZE)]
        slopes, heights, below = map(_joined, zip(*parts, strict=True))
        return Frame(placed, slopes / scale.length, heights, values, below)

    def blocks(self, dtype: torch.dtype) -> Blocks:
        """What the loops read, with three coordinates at least."""
        cloud, unit = self.placed.cloud, self.placed.scale.length
        slopes = pad(self.slopes, (0, max(0, 3 - cloud.dim)))
        return Blocks(self.placed.centres, slopes, self.heights, cloud.scaled(unit, dtype))

    def bias(self, potential: Tensor) -> Tensor:
        """What the loops add for a potential ``(n,)`` near that of the frame, ``(C, B)``."""
        values = self.placed.cloud.fill(potential).view(-1, SIZE)
        return torch.add(self.below, values, alpha=self.placed.scale.height)

    @cached_property
    def boxes(self) -> Boxes:
        """What the screen reads of the blocks."""
        cloud, heights = self.placed.cloud, self.heights
        if cloud.filled < cloud.blocks:
            heights = heights.clone()
            heights[cloud.filled :] = CLOSED
        weighed = cloud.shares[0], cloud.log_masses[0]
        return Boxes(*self.placed.boxes, self.slopes.T.contiguous(), heights, *weighed)

    @cached_property
    def wide(self) -> Boxes:
        """And of their groups."""
        cloud, size = self.placed.cloud, GROUP * SIZE
        values = self.values.view(cloud.groups, size)
        parts = [_tangent(values[some], fit) for some, fit in cloud.fits(size)]
        slopes, heights = map(_joined, zip(*parts, strict=True))
        slopes = (slopes / self.placed.scale.length).T.contiguous()
        return Boxes(*self.placed.wide, slopes, heights, cloud.shares[1], cloud.log_masses[1])


def _tangent(values: Tensor, fit: Fit, curve: float | None = None) -> tuple[Tensor, ...]:
    """Slopes and heights of values in some blocks; with a ``curve`` also what is below."""
    slopes, rest = fit.sloped(values)
    heights = rest.amax(1)
    if curve is None:
        return slopes, heights
    below = rest - values
    below -= heights[:, None]
    if curve:
        below -= curve * fit.squares
    return slopes, heights, below


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """What was found of one range of blocks after the other, as one."""
    return parts[0] if len(parts) == 1 else torch.cat(tuple(parts))
