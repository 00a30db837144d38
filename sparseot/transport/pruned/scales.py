"""What a cost is to loops over kept pairs: their units, its part of a frame, and its rounding.

Half of the squared distance is the one that they know.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ...engines.base import LOG2E
from ...formulas import GroundCost

__all__ = ["Scale"]

SINGLE = 1e-8  # error of an entry in float32, by the squared radius of its block: measured


@dataclass(frozen=True)
class Scale:
    """A ground cost at one temperature, in units in which exponents are powers of two."""

    cost: GroundCost
    eps: float

    @property
    def height(self) -> float:
        """Potentials are multiplied by this,"""
        return LOG2E / self.eps

    @property
    def length(self) -> float:
        """and lengths by this: then the cost is ``|x - y| ** power / power``."""
        power = self.cost.power
        return float((power * self.cost.factor * self.height) ** (1 / power))

    def own(self, offsets: Tensor) -> Tensor:
        """What the cost has of each offset ``(C, D, B)`` alone, which loops take off potentials."""
        return (offsets * offsets).sum(1) / 2

    def lost(self, radii: Tensor) -> Tensor:
        """The error, relative, of entries of float32 in blocks of these squared radii."""
        return (SINGLE * radii * self.length**2).clamp(max=50.0).expm1()

    def gradient(self, points: Tensor, means: Tensor) -> Tensor:
        """That of a softmin at ``(n, D)`` points whose partners have these means."""
        return self.cost.force(points - means)
