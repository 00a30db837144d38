r"""Potentials in the frames of the blocks of a cloud.

In a frame, the point is :math:`x_I + dx` and the potential :math:`F_I + s_I \cdot dx + \varphi`,
with the slope by least squares.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from ...engines.kept import Blocks, Boxes
from ...points import CLOSED
from .clouds import GROUP, SIZE, BlockCloud
from .scales import Scale

__all__ = ["Frame"]

Triple = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Frame:
    """One cloud and the slopes of its potential, at one temperature: what loops and screens read."""

    cloud: BlockCloud
    scale: Scale
    origin: Tensor  # that both clouds share: far from zero, their centres would lose digits
    slopes: Tensor
    heights: Tensor
    potential: Tensor
    below: Tensor  # (C, B), minus what is taken off the potential of each point

    @staticmethod
    def of(cloud: BlockCloud, potential: Tensor, scale: Scale, origin: Tensor) -> Frame:
        """The frame of a potential ``(n,)``; centres are told from the origin."""
        own = (cloud.fill(potential) * scale.height).view(cloud.blocks, SIZE)
        slopes, heights = torch.empty_like(cloud.centres), own.new_empty(cloud.blocks)
        below = torch.empty_like(own)
        for some, fit in cloud.fits(SIZE):
            slopes[some], rest = fit.sloped(own[some])
            heights[some] = highest = rest.amax(1)
            below[some] = rest - own[some] - highest[:, None]
            if scale.curve:
                below[some] -= scale.curve * fit.offsets.square().sum(1)
        return Frame(cloud, scale, origin, slopes / scale.length, heights, potential, below)

    def blocks(self, dtype: torch.dtype) -> Blocks:
        """What the loops read, with three coordinates at least."""
        cloud, extra = self.cloud, max(0, 3 - self.cloud.dim)
        centres = pad((cloud.centres - self.origin) * self.scale.length, (0, extra))
        offsets = centres.new_zeros(*centres.shape, SIZE, dtype=dtype)
        for some in cloud.pieces():
            torch.mul(cloud.offsets(some), self.scale.length, out=offsets[some, : cloud.dim])
        return Blocks(centres, pad(self.slopes, (0, extra)), self.heights, offsets)

    def bias(self, potential: Tensor) -> Tensor:
        """What the loops add for a potential ``(n,)`` near that of the frame, ``(C, B)``."""
        values = self.cloud.fill(potential).view(-1, SIZE)
        return torch.add(self.below, values, alpha=self.scale.height)

    def boxes(self) -> tuple[Boxes, Boxes]:
        """What the screen reads of the blocks and of their groups."""
        cloud, heights = self.cloud, self.heights.clone()
        heights[cloud.filled :] = CLOSED
        blocks = self._sides(cloud.centres, cloud.high - cloud.low, self.slopes)
        sides = cloud.group_high - cloud.group_low
        values = (cloud.fill(self.potential) * self.scale.height).view(cloud.groups, GROUP * SIZE)
        slopes, highest = torch.empty_like(cloud.group_centres), values.new_empty(cloud.groups)
        for groups, fit in cloud.fits(GROUP * SIZE):
            slopes[groups], rest = fit.sloped(values[groups])
            highest[groups] = rest.amax(1)
        wide = self._sides(cloud.group_centres, sides, slopes / self.scale.length)
        shares, masses = cloud.shares, cloud.log_masses
        return (
            Boxes(*blocks, heights, shares[0], masses[0]),
            Boxes(*wide, highest, shares[1], masses[1]),
        )

    def _sides(self, centres: Tensor, sides: Tensor, slopes: Tensor) -> Triple:
        unit = self.scale.length
        centres, sides = (centres - self.origin) * unit, sides * (unit / 2)
        return centres.T.contiguous(), sides.T.contiguous(), slopes.T.contiguous()
