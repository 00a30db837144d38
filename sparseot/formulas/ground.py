r"""Ground costs that are data: multiples of the distance, of its square, and of the powers between.

With :math:`s = |x - y|^2`, a cost is :math:`c(s) = \text{factor} \cdot s^{\text{power} / 2}`. What
solvers, derivatives and certificates ask of a cost is written here, once for all powers.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .radial import Radial, Term

__all__ = ["GroundCost"]

PIECE = 1 << 16  # points at a time, whose squares are not kept


class GroundCost(Radial):
    """The cost ``factor * |x - y| ** power``, power from 1 to 2."""

    arc = False  # whether it is an angle instead, which is no power: see :mod:`.arcs`

    def __init__(self, factor: float, power: float) -> None:
        super().__init__((Term(factor, power),))

    @property
    def smooth(self) -> bool:
        """Whether it is so where points meet, though its derivatives are taken from distances."""
        return False

    @property
    def factor(self) -> float:
        """What the power of the distance is multiplied by."""
        return self.terms[0].factor

    @property
    def power(self) -> float:
        """That of the distance."""
        return self.terms[0].power

    def gibbs(self, eps: float) -> Radial:
        """The Gibbs kernel ``exp(-cost / eps)``: a Gaussian, a Laplacian, or between."""
        return Radial((Term(1.0, 0),), rate=self.factor / eps, decay=self.power)

    def weighted_gibbs(self, eps: float) -> Radial:
        """The cost times the Gibbs kernel."""
        kernel = self.gibbs(eps)
        return Radial(self.terms, kernel.rate, kernel.decay)

    def profiles(self, eps: float) -> tuple[Radial, Radial, Radial]:
        r"""With e the Gibbs kernel: :math:`e,\ 2c' e,\ (4c'' - 4c'^2 / \varepsilon) e`."""
        kernel, first = self.gibbs(eps), self.factor * self.power / 2
        second = first * (self.power - 2) / 2
        terms = (
            kernel.terms,
            (Term(2 * first, self.power - 2),),
            (Term(4 * second, self.power - 4), Term(-4 * first**2 / eps, 2 * self.power - 4)),
        )
        kept = (tuple(t for t in group if t.factor) for group in terms)
        one, two, three = (Radial(group, kernel.rate, kernel.decay) for group in kept)
        return one, two, three

    def of_lengths(self, far: Tensor) -> Tensor:
        """The cost at distances."""
        return self.factor * (far if self.power == 1 else far**self.power)

    def slopes(self, far: Tensor) -> tuple[Tensor, Tensor]:
        """First and second derivatives in the distance."""
        first = self.factor * self.power * far ** (self.power - 1)
        return first, (self.power - 1) * first / far

    def settled(self, points: Tensor) -> Tensor:
        """Means of points that are near each other, where points may be: anywhere."""
        return points

    def largest(self, length: float) -> float:
        """The cost at a distance."""
        return float(self.factor * length**self.power)

    def bilinear(
        self, u: Tensor, x: Tensor, v: Tensor, y: Tensor, product: Callable[[Tensor], Tensor]
    ) -> float:
        """``sum_ij u_i C(x_i, y_j) v_j`` for ``(N, D)`` and ``(M, D)`` points and masses u, v; or a bound from above.

        ``product`` multiplies by the matrix of distances, whose sum has no closed form. Powers between are
        concave in the square: their mean is at most that of the mean square (Jensen).
        """
        if self.power == 1:
            return float(u @ product(v))
        centre = (x.mean(0) + y.mean(0)) / 2
        (first, mean), (second, other) = (_moments(*both, centre) for both in ((u, x), (v, y)))
        squares = first * v.sum() + second * u.sum()
        total, mass = float(squares - 2 * mean @ other), float(u.sum() * v.sum())
        if self.power == 2 or mass <= 0:
            return self.factor * total
        return self.factor * mass * max(total / mass, 0.0) ** (self.power / 2)

    def force(self, way: Tensor) -> Tensor:
        r"""A value of :math:`\partial_1 C` at ``x - y`` that serves rows whose sums are none."""
        if self.power == 1:
            return torch.zeros_like(way)
        if self.power == 2:
            return 2 * self.factor * way
        first = Radial((Term(self.factor * self.power, self.power - 2),))
        return first.polynomial(way.square().sum(-1, keepdim=True)) * way


def _moments(weights: Tensor, points: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
    """The second and first moments of weighted points about a centre, some points at a time."""
    square, mean = weights.new_zeros(()), torch.zeros_like(centre)
    for w, x in zip(weights.split(PIECE), points.split(PIECE), strict=True):
        x = x - centre
        square, mean = square + w @ x.square().sum(1), mean + w @ x
    return square, mean
