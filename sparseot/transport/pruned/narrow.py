"""Clouds in single precision that count as clouds in double: their positions are widened each time that they are asked for.

Ranks have such ones, since blocks have their own points in double precision and whole clouds are read from seldom.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from ...points import Points, numbers

__all__ = ["Narrow", "narrow"]


class Narrow(Points):
    """Points ``(B, N, D)`` in float32, told in float64; weights are in float64, equal ones of no size.

    Args:
        kept: positions in float32, and weights in float64.
        ratio: what these were multiplied by.
    """

    def __init__(self, kept: Points, ratio: float = 1.0) -> None:
        for name, value in (("kept", kept), ("ratio", ratio), ("rounding", 0.0)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "moves", kept.moves)

    kept: Points
    ratio: float

    @staticmethod
    def of(cloud: Points) -> Narrow:
        """A cloud in single precision, with its graph."""
        weights = _each(cloud.weights, torch.Tensor.double)
        return Narrow(Points(cloud.positions, weights, moves=cloud.moves))

    @property
    def positions(self) -> Tensor:
        return self.kept.positions.double()

    @property
    def weights(self) -> Tensor:
        return self.kept.weights

    @property
    def like(self) -> Tensor:
        kept = self.kept.positions
        return kept.new_zeros((), dtype=torch.float64).expand(kept.shape)

    @property
    def held(self) -> Points:
        return self.kept

    @property
    def plain(self) -> Narrow:
        """The same numbers, without their graph."""
        x, a = (numbers(t) for t in (self.kept.positions, self.kept.weights))
        return Narrow(Points(x, a, moves=self.kept.positions.requires_grad), self.ratio)

    def of_mass(self, other: Points) -> Narrow:
        """The cloud with the mass of another, one in each batch, from which it differs by rounding."""
        ratio = float((other.mass / self.mass).detach())
        weights = _each(self.kept.weights, lambda a: a * ratio)
        return Narrow(Points(self.kept.positions, weights, moves=self.moves), ratio)

    @property
    def sizes(self) -> list[int]:
        return self.kept.sizes

    @cached_property
    def items(self) -> list[Points]:
        return [Narrow(item) for item in self.kept.items]

    @cached_property
    def real(self) -> list[Points]:
        return [Narrow(item) for item in self.kept.real]

    def equals(self, other: Points) -> bool:
        return self is other or self.kept.equals(other.held)


def narrow(
    source: Points, target: Points, imposed: bool
) -> tuple[Narrow, Narrow, tuple[Narrow, Narrow]]:
    """Two clouds in single precision, of one mass if it is ``imposed``: with their graphs, and without."""
    x, y = Narrow.of(source), Narrow.of(target)
    y = y.of_mass(x) if imposed else y
    return x, y, (x.plain, y.plain)


def _each(weights: Tensor, change: object) -> Tensor:
    """Changed weights ``(B, N)``; those that are one number in memory stay so."""
    assert callable(change)
    if weights.shape[-1] and weights.stride(-1) == 0:
        found: Tensor = change(weights[:, :1]).expand_as(weights)
        return found
    changed: Tensor = change(weights)
    return changed
