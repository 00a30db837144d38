"""Costs between directions: the cosine, and the length of an arc."""

from __future__ import annotations

from torch import Tensor

from ..errors import bad_input
from ..formulas.arcs import ArcFunction
from ..formulas.given import ground_cost
from ..formulas.ground import GroundCost
from ..points import numbers
from .base import Cost

__all__ = ["Cosine", "Geodesic"]


class _Directions(Cost):
    """A cost of points divided by their norms."""

    def lost(self, points: Tensor) -> Tensor:
        """Zero vectors, which have no direction."""
        return (numbers(points) == 0).all(-1)

    def prepare(self, points: Tensor, name: str = "x") -> Tensor:
        """Unit vectors; those without direction are refused."""
        zero = self.lost(points)
        if bool(zero.any()):
            *item, i = zero.nonzero()[0].tolist()
            where = f"{name}[{i}]" + (f", item {item[0]}" if item and len(zero) > 1 else "")
            fix = "Drop such points, or give them a small one."
            raise bad_input(name, f"a zero vector, {where}", "vectors that have a direction", fix)
        scale = points.detach().abs().amax(-1, keepdim=True)  # so that no square is out of range
        points = points / scale
        return points / points.norm(dim=-1, keepdim=True)

    def restore(self, points: Tensor) -> Tensor:
        """Unit vectors as they are: of all that have their direction."""
        return points

    def settle(self, points: Tensor) -> Tensor:
        """The points, back on the sphere."""
        return self.prepare(points, "points")


class Cosine(_Directions):
    r"""One less the cosine: :math:`1 - \frac{x \cdot y}{|x| |y|}`, whatever the p of the call.

    On the unit sphere this is :math:`|x - y|^2 / 2`, half of the squared chord; the temperature is ``blur ** p``.
    Points are divided by their norms.

    Raises:
        ValueError: for a vector that is zero, unless its weight is.

    Example:
        >>> import torch, sparseot as so
        >>> x, y = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 5.0]])
        >>> round(so.sinkhorn_divergence(x, y, cost=so.costs.Cosine()).item(), 2)
        1.0
    """

    def formula(self, p: int) -> GroundCost:
        """Half of the squared distance of unit vectors."""
        ground_cost(p)  # checks it
        return GroundCost(0.5, 2)


class Geodesic(_Directions):
    r"""The angle of two directions, :math:`\theta^p / p`: the way along a great circle of the unit sphere.

    ``blur`` and ``reach`` are angles, in radians; p is that of the call. With the chord :math:`|x - y|` of unit vectors,
    :math:`\theta = 2 \arcsin(|x - y| / 2)`, and beyond a right angle :math:`\pi - 2 \arcsin(|x + y| / 2)`, so that
    digits are lost neither where points meet nor where they are opposite. Derivatives are zero at opposite points,
    and for p = 1 at equal ones. For p = 1 the kernel ``exp(-cost / eps)`` is positive definite on spheres
    (Gangolli, 1967), as divergences want it; for p = 2 it need not be, and a debiased value may be slightly negative.

    Few pairs are visited where they suffice, in up to six dimensions: blocks of points know that they are on a sphere. Exponents are
    summed in double precision where the largest cost in temperatures is too long for single. Within 1e-7 of being opposite,
    points count as opposite; up to 1e-4, second derivatives over kept pairs lose digits.

    Raises:
        ValueError: for a vector that is zero, unless its weight is.

    Example:
        >>> import torch, sparseot as so
        >>> x, y = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 5.0]])
        >>> round(so.sinkhorn_divergence(x, y, p=1, cost=so.costs.Geodesic()).item(), 4)
        1.5708
    """

    def formula(self, p: int) -> ArcFunction:
        """The angle of unit vectors, or half of its square."""
        ground_cost(p)  # checks it
        return ArcFunction(p)
