r"""An interval that contains the cost without regularisation, :math:`\min \langle P, C \rangle`, of a solve.

From below, the dual objective of potentials that are feasible: :math:`f_i = \min_j C_{ij} - g_j` over all pairs, and
g from f alike (the c-transforms of Villani, 2009, "Optimal transport: old and new", chapter 5). From above, the cost of a plan
with exactly the right marginals, that of the potentials scaled down (:mod:`.interval`), and closed by one
between neighbours (:mod:`.closing`). Both are valid for whatever potentials, and as the temperature falls they meet.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ....errors import bad_input
from ....formulas import GroundCost
from ....points import Points
from ...problem import Problem
from ..sums import PlanSums
from .closing import closing_cost
from .interval import UNIT, scaled_down
from .minima import minima

__all__ = ["Bounds", "unregularised"]

ROUNDING = 1e-14  # of sums, relative to potentials and costs
NEARLY = 1e-10  # the relative difference of means, above which clouds are two


@dataclass(frozen=True)
class Bounds:
    """Bounds of the cost without regularisation, and the part of the upper one that closes the marginals."""

    lower: float
    upper: float
    closing: float


def unregularised(problem: Problem, f: Tensor, g: Tensor, item: int) -> Bounds:
    """Bounds for one item of a batch, from any potentials."""
    if not (isinstance(problem.cost, GroundCost) and problem.penalty.imposed):
        fix = "Costs that are functions, and reach, have no such interval."
        raise bad_input(
            "unregularised", "another problem", "balanced transport, cost |x - y|^p / p", fix
        )
    x, y = problem.source.items[item], problem.target.items[item]
    if _equal(x, y) or bool((torch.cat((x.positions, y.positions), 1) == x.positions[:, :1]).all()):
        return Bounds(0.0, 0.0, 0.0)
    if problem.pairs is None:
        problem, f, g, item = _carrying(problem.of(x, y), f[item], g[item])
    sums = PlanSums(problem, f, g, item)
    lower = max(_dual(sums), _of_means(sums), 0.0)
    upper, closing = _primal(sums)
    return Bounds(sums.mass * lower, sums.mass * upper, sums.mass * closing)


def _carrying(problem: Problem, f: Tensor, g: Tensor) -> tuple[Problem, Tensor, Tensor, int]:
    """The same of the points that carry something: others, however far they are, set no length."""
    x, y = problem.source, problem.target
    here, there = x.weights[0] > 0, y.weights[0] > 0
    some = (Points(c.positions[:, on], c.weights[:, on]) for c, on in ((x, here), (y, there)))
    return problem.of(*some), f[None, here], g[None, there], 0


def _equal(x: Points, y: Points) -> bool:
    """Whether two clouds are one measure: the same masses at the same places, in whatever order and parts."""
    sides = [(c.positions[0].double(), c.weights[0].double()) for c in (x, y)]
    sums = [torch.cat((a @ p, a.sum()[None])) for p, a in sides]
    size = max(float(p.abs().max()) for p, _ in sides) + 1
    if float((sums[0] - sums[1]).abs().max()) > NEARLY * size * float(sums[0][-1]):
        return False
    places = torch.cat([p[a > 0] for p, a in sides])
    masses = torch.cat([a[a > 0] * sign for (_, a), sign in zip(sides, (1, -1), strict=True)])
    places, where = places.unique(dim=0, return_inverse=True)
    excess = masses.new_zeros(len(places)).index_add_(0, where, masses)
    return float(excess.abs().sum()) <= ROUNDING * float(sums[0][-1])


def _dual(sums: PlanSums) -> float:
    """The dual objective of feasible potentials, less what rounding may add."""
    f = minima(sums.problem, sums.f, sums.g, sums.b, sums.size)
    g = minima(sums.back, sums.g, f, sums.a, sums.size)
    parts = [(w, h.where(w > 0, 0.0)) for w, h in ((sums.a, f), (sums.b, g))]
    size = sums.size + sum(float(h.abs().max()) for _, h in parts)
    return sum(float(w @ h) for w, h in parts) - ROUNDING * size


def _of_means(sums: PlanSums) -> float:
    """The cost of moving the mean alone, which convexity makes a lower bound."""
    problem = sums.problem
    x, y = (cloud.positions[0] for cloud in (problem.source, problem.target))
    centre = y.mean(0)
    way = float((sums.a @ (x - centre) - sums.b @ (y - centre)).norm())
    assert isinstance(problem.cost, GroundCost)
    return max(problem.cost.largest(way) - ROUNDING * sums.size, 0.0)


def _primal(sums: PlanSums) -> tuple[float, float]:
    """The cost of a plan with the right marginals, and the part of it that closes them."""
    x, y = (cloud.positions[0] for cloud in (sums.problem.source, sums.problem.target))
    cost = sums.problem.cost
    assert isinstance(cost, GroundCost)
    if sums.sound:
        X, Y, rows, cols = scaled_down(sums)
        missing, lacking = (sums.a - rows).clamp(min=0), (sums.b - cols).clamp(min=0)
        closing = closing_cost(cost, x, y, missing, lacking)
        total = float((sums.a * X) @ sums.costs(Y)) + closing
        total += (ROUNDING + UNIT * sums.size / sums.eps) * sums.size
        if math.isfinite(total):
            return total, closing
    whole = closing_cost(cost, x, y, sums.a, sums.b) + ROUNDING * sums.size
    return whole, whole
