"""What a cost is to loops over kept pairs: their units, its part of a frame, and its rounding.

To keep pairs for another cost takes a class here, and its exponents and bounds on boxes in
:mod:`sparseot.engines.loops.kept_torch`, and compiled.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ...engines.base import LOG2E
from ...formulas import GroundCost
from .blocks.clouds import BlockCloud

__all__ = ["Scale", "scale_of"]

NOTHING = 1e-6  # a share that no tolerance of single precision asks about


@dataclass(frozen=True)
class Scale(ABC):
    """A ground cost at one temperature, in units in which exponents are powers of two."""

    cost: GroundCost
    eps: float
    sloped = True  # whether bounds on potentials at new points take gradients

    @cached_property
    def height(self) -> float:
        """Potentials are multiplied by this,"""
        return LOG2E / self.eps

    @cached_property
    def length(self) -> float:
        """and lengths by this: then the cost is ``|x - y| ** power / power``."""
        power = self.cost.power
        return float((power * self.cost.factor * self.height) ** (1 / power))

    @property
    def rule(self) -> float | tuple[int, float]:
        """What the loops are told of the cost: the power of the distance."""
        return self.cost.power

    def unit(self, power: float) -> float:
        """What products of the loops with that power of the distance are multiples of."""
        return self.length**power if power else 1.0

    def origin(self, source: BlockCloud) -> Tensor:
        """The point ``(D,)`` from which both clouds are seen: far from zero, their centres would lose digits."""
        return source.origin

    @property
    @abstractmethod
    def curve(self) -> float:
        """What the cost has of the square of an offset alone, which loops take off potentials."""

    @abstractmethod
    def lost(self, source: BlockCloud, target: BlockCloud) -> float:
        """The share of the mass that goes wrong where entries are taken in float32, as a rule."""

    def bound(self, source: BlockCloud, target: BlockCloud) -> float:
        """What is lost at most, of a row as of the mass; infinite where that is not known."""
        return math.inf

    @abstractmethod
    def above(self, way: Tensor, softmin: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
        """A bound on a softmin at the end of each way ``(n, D)``, and how far too high it may be.

        ``softmin`` and ``slope`` are value and gradient at the beginning.
        """


class Squares(Scale):
    """Multiples of the squared distance."""

    SINGLE = 1e-8  # error of an entry in float32, by the squared radius of its block: measured

    @property
    def curve(self) -> float:
        return self.length**2 / 2

    def lost(self, source: BlockCloud, target: BlockCloud) -> float:
        total = 0.0
        for cloud in (source, target):
            most = self.SINGLE * cloud.widest * self.length**2
            if most < NOTHING:
                total += most
                continue
            wrong = (self.SINGLE * cloud.radii * self.length**2).clamp(max=50.0).expm1()
            total += cloud.total(float(torch.dot(cloud.masses, wrong)))[0] / cloud.mass
        return total

    def above(self, way: Tensor, softmin: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
        rise = self.cost.factor * way.square().sum(1)
        return softmin + (way * slope).sum(1) + rise, rise


class Distances(Scale):
    """Multiples of the distance."""

    sloped = False
    ROUNDING = 2.0**-24
    FAR = 10.0  # temperatures: nearer clouds have values that are small beside what is lost

    curve = 0.0

    def lost(self, source: BlockCloud, target: BlockCloud) -> float:
        exponent = self._longest(source, target)
        return math.expm1(min((2 * exponent + 10) * self.ROUNDING, 50.0))  # measured

    def bound(self, source: BlockCloud, target: BlockCloud) -> float:
        """Eight roundings of the longest distance; those of an exponential, and of 32 numbers added."""
        exponent = self._longest(source, target)
        known = math.expm1(min((8 * exponent + 40) * self.ROUNDING, 50.0))
        return known if exponent >= self.FAR else math.inf

    def _longest(self, source: BlockCloud, target: BlockCloud) -> float:
        """The longest distance that there may be, in temperatures."""
        (low, high), (below, above) = source.corners, target.corners
        low, high = torch.minimum(low, below), torch.maximum(high, above)
        return self.length / LOG2E * float((high - low).norm())

    def above(self, way: Tensor, softmin: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
        far = self.cost.factor * way.norm(dim=1)
        return softmin + far, 2 * far


class Powers(Scale):
    """Multiples of powers of the distance between its first and its square."""

    SINGLE = 3e-7  # error of an entry in float32, by the power of the radius of its block: measured

    curve = 0.0

    def lost(self, source: BlockCloud, target: BlockCloud) -> float:
        total = 0.0
        for cloud in (source, target):
            exponents = self.SINGLE * (cloud.radii.sqrt() * self.length) ** self.cost.power
            wrong = exponents.clamp(max=50.0).expm1()
            total += cloud.total(float(torch.dot(cloud.masses, wrong)))[0] / cloud.mass
        return total

    def above(self, way: Tensor, softmin: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of ``|z|^q / q`` at z and at z + w differ by ``2^(2 - q) |w|^(q - 1)`` at most (Lindqvist, 2019)."""
        far = way.norm(dim=1) ** self.cost.power
        rise = self.cost.factor * 2 ** (2 - self.cost.power) * far
        return softmin + (way * slope).sum(1) + rise, rise


class Arcs(Scale):
    """Angles on the unit sphere, which becomes one of the radius ``length``: there the cost is ``arc ** p / p``."""

    TURN = 3.0  # an angle from which on the direction of a way along the sphere is not well known

    curve = 0.0

    @cached_property
    def p(self) -> int:
        """The power of the angle."""
        return round(1 / self.cost.factor)

    @cached_property
    def length(self) -> float:
        return float(self.height ** (1 / self.p))

    @property
    def rule(self) -> tuple[int, float]:
        """The power of the angle, and the radius."""
        return self.p, self.length

    def unit(self, power: float) -> float:
        """Products are those of the unit sphere."""
        return 1.0

    def origin(self, source: BlockCloud) -> Tensor:
        """The centre of the sphere."""
        return torch.zeros_like(source.origin)

    def lost(self, source: BlockCloud, target: BlockCloud) -> float:
        """As of distances: roundings of the largest cost."""
        (low, high), (below, above) = source.corners, target.corners
        low, high = torch.minimum(low, below), torch.maximum(high, above)
        exponent = self.cost.largest(float((high - low).norm())) / self.eps
        return math.expm1(min((2 * exponent + 10) * Distances.ROUNDING, 50.0))  # measured

    def above(self, way: Tensor, softmin: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
        """Half of a squared angle bends by one along arcs at most, and less where it has edges; ``slope`` is tangent."""
        angle = 2 * (way.norm(dim=1) / 2).clamp(max=1.0).asin()
        if self.p == 1:
            return softmin + angle, 2 * angle
        rise, sine = angle.square() / 2, angle.sin()
        stretch = (angle / sine).where(angle > 0, 1.0)
        along = (way * slope).sum(1) * stretch.where(angle < self.TURN, 0.0)
        return softmin + along.where(angle < self.TURN, angle * slope.norm(dim=1)) + rise, rise


def scale_of(cost: GroundCost, eps: float) -> Scale:
    """That of a cost."""
    if cost.arc:
        return Arcs(cost, eps)
    if cost.power not in (1, 2):
        return Powers(cost, eps)
    return (Distances if cost.power == 1 else Squares)(cost, eps)
