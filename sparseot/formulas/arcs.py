r"""Angles on the unit sphere as a cost: a function of points, and one of the chord for loops over kept pairs.

With :math:`r = |x - y|`, the angle is :math:`\theta = 2 \arcsin(r / 2)`, and :math:`\pi - 2 \arcsin(|x + y| / 2)` beyond a right
one, so that digits are lost neither where points meet nor where they are opposite.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor

from .functions import Opaque
from .ground import GroundCost
from .radial import Radial, Term

__all__ = ["Arc", "ArcFunction", "ArcKernel"]

TERMS = {torch.float32: 9, torch.float64: 19}  # of a power series that is right to the last digits
LEAST = 1e-150  # a length that may be none
OPPOSITE = 1e-7  # half of an angle that may be none, where points are nearly opposite


class ArcFunction(Opaque):
    """The cost ``angle^p / p`` of unit vectors as a function, for all pairs."""

    def __init__(self, p: int) -> None:
        super().__init__(_half_squares if p == 2 else _angles)

    def __repr__(self) -> str:
        return f"ArcFunction({self.ground.p})"

    def scaled(self, factor: float) -> Opaque:
        """A multiple, of which kept pairs know nothing."""
        return Opaque(lambda x, y: self.function(x, y) * factor, self.clouds)

    @property
    def ground(self) -> Arc:
        """The same for kept pairs."""
        return Arc(2 if self.function is _half_squares else 1)


class Arc(GroundCost):
    """The cost ``angle^p / p`` of unit vectors, p = 1 or 2, as a function of the chord.

    It is no power of it: ``power``, by which others are told from each other, is no number.
    """

    arc = True

    def __init__(self, p: int) -> None:
        super().__init__(1 / p, p)

    @property
    def p(self) -> int:
        """That of the angle."""
        return int(self.terms[0].power)

    @property
    def power(self) -> float:
        """No number."""
        return math.nan

    @property
    def between(self) -> bool:
        """Few engines know it."""
        return True

    @property
    def singular(self) -> bool:
        """Points must not be moved: they are on the sphere."""
        return True

    @property
    def smooth(self) -> bool:
        """Whether it is so where points meet."""
        return self.p == 2

    @property
    def function(self) -> ArcFunction:
        """The same for all pairs."""
        return ArcFunction(self.p)

    def polynomial(self, s: Any) -> Any:
        """The cost at squared chords."""
        angle = _angle(s)
        return angle.square() / 2 if self.p == 2 else angle

    def of_lengths(self, far: Tensor) -> Tensor:
        """The cost at chords."""
        found: Tensor = self.polynomial(far.square())
        return found

    def slopes(self, far: Tensor) -> tuple[Tensor, Tensor]:
        """First and second derivatives in the chord; zero at opposite points, where they have no end."""
        height = (1 - far.square() / 4).clamp(min=0).sqrt()  # cosine of half of the angle
        inverse = torch.where(height > OPPOSITE, 1 / height, 0.0)
        bend = far * inverse.pow(3) / 4
        if self.p == 1:
            return inverse, bend
        angle = _angle(far.square())
        return angle * inverse, inverse.square() + angle * bend

    def gibbs(self, eps: float) -> ArcKernel:
        """The Gibbs kernel ``exp(-cost / eps)``."""
        return ArcKernel((Term(1.0, ONE),), 1 / eps, self.p)

    def weighted_gibbs(self, eps: float) -> ArcKernel:
        """The cost times the Gibbs kernel."""
        return ArcKernel((Term(1.0, COST),), 1 / eps, self.p)

    def profiles(self, eps: float) -> tuple[Radial, Radial, Radial]:
        """As those of :class:`.GroundCost`."""
        bent = Term(1.0, BEND), Term(-1 / eps, SQUARE)
        groups = (Term(1.0, ONE),), (Term(1.0, SLOPE),), bent
        one, two, three = (ArcKernel(group, 1 / eps, self.p) for group in groups)
        return one, two, three

    def largest(self, length: float) -> float:
        """The cost at a chord; at most that of opposite points."""
        return float(2 * math.asin(min(length / 2, 1.0))) ** self.p / self.p

    def bilinear(self, u: Tensor, x: Tensor, v: Tensor, y: Tensor, product: Any) -> float:
        """A bound from above: of the angle by a multiple of the chord, of that by its mean square (Jensen)."""
        points = torch.cat((x, y))
        longest = min(float((points.amax(0) - points.amin(0)).norm()), 2.0)
        stretch = 2 * math.asin(longest / 2) / longest if longest > 0 else 1.0
        mass, square = float(u.sum() * v.sum()), GroundCost(1.0, 2).bilinear(u, x, v, y, product)
        if mass <= 0:
            return 0.0
        return mass * (stretch * math.sqrt(max(square / mass, 0.0))) ** self.p / self.p

    def settled(self, points: Tensor) -> Tensor:
        """Means of points that are near each other, back on the sphere; and points that were rounded."""
        norms = points.norm(dim=-1, keepdim=True)
        return points / norms.where(norms > 0, 1.0)


ONE, COST, SLOPE, BEND, SQUARE = 0, 1, -1, -2, -3


@dataclass(frozen=True)
class ArcKernel(Radial):
    """The exponential of minus ``rate`` times the cost of an arc, times what the powers of its terms stand for.

    Those are 0 for one, 1 for the cost, and of its derivatives in the chord r: -1 for ``C' / r``, -2 for
    ``(C'' - C' / r) / r^2``, -3 for the square of the first. Kept pairs know the first three. ``decay`` is that of the angle.
    """

    @property
    def between(self) -> Literal[True]:
        """Few engines know it."""
        return True

    @property
    def singular(self) -> Literal[True]:
        """Points are on the sphere."""
        return True

    @property
    def unbounded(self) -> bool:
        """At equal points, or at opposite ones."""
        return any(term.power < 0 for term in self.terms)

    @property
    def function(self) -> Opaque:
        """The same for all pairs."""
        return Opaque(lambda x, y: self((x[:, :, None] - y[:, None]).square().sum(-1)))

    @property
    def cost(self) -> Arc:
        """That of the arc."""
        return Arc(int(self.decay))

    def __call__(self, s: Any) -> Any:
        return self.polynomial(s) * (-self.rate * self.cost.polynomial(s)).exp()

    def polynomial(self, s: Any) -> Any:
        """The factor before the exponential."""
        value = 0.0
        for term in self.terms:
            value = value + term.factor * self._part(s, term.power)
        return value

    def derivative(self) -> ArcKernel:
        """Of the Gibbs kernel, in ``s``."""
        assert all(term.power == ONE for term in self.terms), "others are not differentiated"
        slopes = tuple(Term(-term.factor * self.rate / 2, SLOPE) for term in self.terms)
        return ArcKernel(slopes, self.rate, self.decay)

    def _part(self, s: Any, power: float) -> Any:
        if power == ONE:
            return torch.ones_like(s)
        if power == COST:
            return self.cost.polynomial(s)
        met = s <= LEAST**2
        far = s.where(~met, 1.0).sqrt()
        first, second = self.cost.slopes(far)
        slope = torch.where(met, 1.0 if self.cost.smooth else 0.0, first / far)
        if power == BEND:
            return torch.where(met, 0.0, (second - slope) / far.square())
        return slope if power == SLOPE else slope.square()


def _angle(s: Any) -> Any:
    """At squared chords, those above 4 being rounding."""
    near, rest = s <= 2, torch.where(s <= 2, s, 4 - s).clamp(min=0)
    part = 2 * (rest.sqrt() / 2).asin()
    return torch.where(near, part, math.pi - part)


def _angles(x: Any, y: Any) -> Any:
    near, t, quotient = _parts(x, y)
    part = 2 * _root(t) * quotient
    return torch.where(near, part, math.pi - part)


def _half_squares(x: Any, y: Any) -> Any:
    """Smooth where points meet: a power series of the squared distance."""
    near, t, quotient = _parts(x, y)
    far = math.pi - 2 * _root(t) * quotient
    return torch.where(near, 2 * t * quotient * quotient, far * far / 2)


def _parts(x: Any, y: Any) -> tuple[Any, Any, Any]:
    r"""Whether angles are at most right ones; t = sin^2 of half of it, or of what it lacks; asin(root t) / root t."""
    rows, cols = x[:, :, None], y[:, None]
    squares, others = ((rows - cols) ** 2).sum(-1), ((rows + cols) ** 2).sum(-1)
    near = squares <= others
    t = torch.where(near, squares, others) / 4
    root = (1 - t).sqrt()
    half = t / (2 + 2 * root)  # of half of the angle, at most 0.15
    value: Any
    value, *rest = _series(TERMS.get(x.dtype, 19))
    for c in rest:
        value = value * half + c
    return near, t, value * (2 / (1 + root)).sqrt()


def _root(t: Any) -> Any:
    """The square root, with derivative zero at zero."""
    return torch.where(t > 0, torch.where(t > 0, t, 1.0).sqrt(), 0.0)


@cache
def _series(terms: int) -> tuple[float, ...]:
    """Coefficients of ``asin(sqrt(t)) / sqrt(t)``, a power series in t; the highest first."""
    found = [math.comb(2 * k, k) / (4**k * (2 * k + 1)) for k in range(terms)]
    return tuple(found[::-1])
