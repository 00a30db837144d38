r"""Potentials in the frames of the blocks of a cloud.

In a frame, the point is :math:`x_I + dx` and the potential :math:`F_I + s_I \cdot dx + \varphi`,
with the slope by least squares.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from ...engines.kept import Boxes
from ...points import CLOSED
from .clouds import GROUP, SIZE, BlockCloud, log2
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
    group_slopes: Tensor
    group_heights: Tensor
    level: Tensor  # (C, B), what is taken off the potential of each point

    @staticmethod
    def of(cloud: BlockCloud, potential: Tensor, scale: Scale, origin: Tensor) -> Frame:
        """The frame of a potential ``(n,)``; centres are told from the origin."""
        unit = scale.length
        values = cloud.fill(potential) * scale.height
        own = values.view(cloud.blocks, SIZE)
        offsets = cloud.offsets * unit
        slopes = (cloud.fit @ own[..., None])[..., 0] / unit
        along = (slopes[:, None] @ offsets)[:, 0]
        heights = (own - along).amax(1)
        wide = values.view(cloud.groups, -1)
        group_slopes = (cloud.group_fit @ wide[..., None])[..., 0] / unit
        group_along = (group_slopes[:, None] @ (cloud.group_offsets * unit))[:, 0]
        level = along + heights[:, None] + scale.own(offsets)
        group_heights = (wide - group_along).amax(1)
        return Frame(cloud, scale, origin, slopes, heights, group_slopes, group_heights, level)

    def loops(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Centres, slopes, heights and offsets as the loops read them, three coordinates at least."""
        extra = max(0, 3 - self.cloud.dim)
        centres = pad((self.cloud.centres - self.origin) * self.scale.length, (0, extra))
        offsets = pad(self.cloud.offsets * self.scale.length, (0, 0, 0, extra))
        return centres, pad(self.slopes, (0, extra)), self.heights, offsets.to(dtype)

    def bias(self, potential: Tensor) -> Tensor:
        """What the loops add for a potential ``(n,)`` near that of the frame, ``(C, B)``."""
        values = self.cloud.fill(potential * self.scale.height).view(-1, SIZE)
        values -= self.level
        return values

    def boxes(self) -> tuple[Boxes, Boxes]:
        """What the screen reads of the blocks and of their groups."""
        cloud, heights = self.cloud, self.heights.clone()
        heights[cloud.filled :] = CLOSED
        masses, groups = cloud.masses, cloud.masses.view(cloud.groups, GROUP)
        shares = log2(masses * cloud.filled)  # sums of all blocks are one, whatever the mass
        blocks = self._sides(cloud.centres, cloud.high - cloud.low, self.slopes)
        wide = self._sides(
            cloud.group_centres, cloud.group_high - cloud.group_low, self.group_slopes
        )
        most = shares.view(cloud.groups, GROUP).amax(1)
        return (
            Boxes(*blocks, heights, shares, log2(masses)),
            Boxes(*wide, self.group_heights, most, log2(groups.sum(1))),
        )

    def _sides(self, centres: Tensor, sides: Tensor, slopes: Tensor) -> Triple:
        unit = self.scale.length
        centres, sides = (centres - self.origin) * unit, sides * (unit / 2)
        return centres.T.contiguous(), sides.T.contiguous(), slopes.T.contiguous()
