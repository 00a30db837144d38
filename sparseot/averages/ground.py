"""Where an average is found: the points as a cost moves them, what the cost is there, and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..formulas import is_object, solved_cost, with_a_place

__all__ = ["Ground", "as_ground"]


@dataclass(frozen=True)
class Ground:
    """Moved points and their cost.

    Attributes:
        cost: between moved points.
        p: exponent of the temperature.
        blur: the unit of length.
        mover: the object that moves points, or None.
        beyond: the largest cost that comes on top of distances.
    """

    cost: Any
    p: float
    blur: float
    mover: Any
    beyond: float = 0.0

    @property
    def eps(self) -> float:
        """The temperature."""
        return float(self.blur**self.p)

    def moved(self, points: Tensor, weights: Tensor, name: str) -> Tensor:
        """Points ``(N, D)`` as they came, moved; without derivatives."""
        if self.mover is None:
            return points
        with torch.no_grad():
            found: Tensor = self.mover.prepare(with_a_place(self.mover, points, weights), name)
            return found

    def settled(self, points: Tensor) -> Tensor:
        """Moved points after a step, back where moved points are; with derivatives."""
        return points if self.mover is None else self.mover.settle(points)

    def restored(self, points: Tensor) -> Tensor:
        """Moved points as they would have come."""
        if self.mover is None:
            return points
        with torch.no_grad():
            found: Tensor = self.mover.restore(points)
            return found


def as_ground(cost: Any, p: int, blur: float, debias: bool) -> Ground:
    """What a user gives as a cost."""
    formula, exponent = solved_cost(cost, p, debias)
    if not is_object(cost):
        return Ground(formula, exponent, blur, None)
    return Ground(formula, exponent, blur, cost, cost.beyond)
