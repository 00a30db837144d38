"""Least squares in blocks: the plane that is nearest to values at the points of each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

__all__ = ["Fit"]


@dataclass(frozen=True)
class Fit:
    """Least squares in blocks: offsets of points ``(C, D, B)``, and the inverse of their covariance ``(C, D, D)``."""

    offsets: Tensor
    inverse: Tensor

    @cached_property
    def squares(self) -> Tensor:
        """Squared lengths of the offsets, ``(C, B)``."""
        return self.offsets.square().sum(1)

    @staticmethod
    def of(offsets: Tensor) -> Fit:
        """With a ridge, for points on a line."""
        centred = offsets - offsets.mean(2, keepdim=True)
        normal = centred @ centred.mT
        diagonal = normal.diagonal(dim1=1, dim2=2)
        diagonal += 1e-9 * diagonal.sum(1, keepdim=True) + 1e-300
        return Fit(offsets, torch.linalg.inv_ex(normal)[0])

    def sloped(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Slopes ``(C, D)`` of values ``(C, B)``, and what they leave of these."""
        centred = values - values.mean(1, keepdim=True)
        slopes = torch.bmm(self.inverse, torch.bmm(self.offsets, centred[..., None]))
        return slopes[..., 0], values - torch.bmm(slopes.mT, self.offsets)[:, 0]
