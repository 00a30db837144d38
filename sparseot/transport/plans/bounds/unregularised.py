r"""An interval that contains the cost without regularisation, :math:`\min \langle P, C \rangle`, of a solve.

From below, the dual objective of potentials that are feasible: :math:`f_i = \min_j C_{ij} - g_j` over all pairs, and
g from f alike (the c-transforms of Villani, 2009, "Optimal transport: old and new", chapter 5). From above, the cost of a plan
with exactly the right marginals, that of the potentials scaled down, and closed by one
between neighbours (:mod:`.closing`). Both are valid for whatever potentials, and as the temperature falls they meet.

What marginals lack is often far from where they have too much, and dear to close: then potentials that repair them
to first order are tried, some steps of conjugate gradients for Newton's on the dual.
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
from .interval import UNIT, first_order
from .minima import minima

__all__ = ["Bounds", "unregularised"]

ROUNDING = 1e-14  # of sums, relative to potentials and costs
NEARLY = 1e-10  # the relative difference of means, above which clouds are two
ROUNDS, STEPS = 3, 10  # of Newton's method, at most, and of conjugate gradients in each:
WORTH = 0.1  # as long as closing takes more than this share of the width
LEAST = 1e-250  # sums of rows, below which they are not brought to their weights


@dataclass(frozen=True)
class Bounds:
    """Bounds of the cost without regularisation, and the part of the width that closes the marginals.

    That is what the closing costs beyond the worth that the potentials give to what it moves; the rest is of the temperature.
    """

    lower: float
    upper: float
    closing: float


def unregularised(problem: Problem, f: Tensor, g: Tensor, item: int) -> Bounds:
    """Bounds for one item of a batch, from any potentials."""
    known = isinstance(problem.cost, GroundCost) and not problem.cost.arc
    if not (known and problem.penalty.imposed):
        fix = (
            "Costs that are functions or angles, and reach, have no such interval; "
            "at a small blur, value_linear is near the cost without entropy."
        )
        raise bad_input(
            "unregularised", "another problem", "balanced transport, cost |x - y|^p / p", fix
        )
    x, y = problem.source.items[item], problem.target.items[item]
    if _equal(x, y) or bool((torch.cat((x.positions, y.positions), 1) == x.positions[:, :1]).all()):
        return Bounds(0.0, 0.0, 0.0)
    if problem.pairs is None:
        problem, f, g, item = _carrying(problem.of(x, y), f[item], g[item])
    sums = PlanSums(problem, f, g, item)
    hard = _feasible(sums)
    lower = max(_dual(sums, *hard), _of_means(sums), 0.0)
    upper, closing = _primal(sums, *hard)
    plan = sums
    for _ in range(ROUNDS):
        moved = _repaired(plan) if closing > WORTH * (upper - lower) else None
        if moved is None:
            break
        plan, found = moved, _primal(moved, *hard)
        if found[0] >= upper:
            break
        upper, closing = found
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


def _feasible(sums: PlanSums) -> tuple[Tensor, Tensor]:
    """Potentials of the dual without regularisation: c-transforms, one of the other."""
    f = minima(sums.problem, sums.f, sums.g, sums.b, sums.size)
    g = minima(sums.back, sums.g, f, sums.a, sums.size)
    return f.where(sums.a > 0, 0.0), g.where(sums.b > 0, 0.0)


def _dual(sums: PlanSums, f: Tensor, g: Tensor) -> float:
    """The dual objective of feasible potentials, less what rounding may add."""
    size = sums.size + float(f.abs().max()) + float(g.abs().max())
    return float(sums.a @ f) + float(sums.b @ g) - ROUNDING * size


def _of_means(sums: PlanSums) -> float:
    """The cost of moving the mean alone, which convexity makes a lower bound."""
    problem = sums.problem
    x, y = (cloud.positions[0] for cloud in (problem.source, problem.target))
    centre = y.mean(0)
    way = float((sums.a @ (x - centre) - sums.b @ (y - centre)).norm())
    assert isinstance(problem.cost, GroundCost)
    return max(problem.cost.largest(way) - ROUNDING * sums.size, 0.0)


def _repaired(sums: PlanSums) -> PlanSums | None:
    """The plan of potentials after some steps towards the right marginals; None where they lead nowhere."""
    problem, f, g, item = sums.given
    moves = first_order(sums, STEPS)
    if not all(bool(move.isfinite().all()) for move in moves):
        return None
    moved = f.double().clone(), g.double().clone()
    for h, move in zip(moved, moves, strict=True):
        h[item] += sums.eps * move
    return PlanSums(problem, *moved, item)


def _primal(sums: PlanSums, f: Tensor, g: Tensor) -> tuple[float, float]:
    """The cost of a plan with the right marginals, and what its closing adds to the width."""
    x, y = (cloud.positions[0] for cloud in (sums.problem.source, sums.problem.target))
    cost = sums.problem.cost
    assert isinstance(cost, GroundCost)

    def closed(u: Tensor, v: Tensor) -> tuple[float, float]:
        found = closing_cost(cost, x, y, u, v)
        return found, max(found - float(u @ f) - float(v @ g), 0.0)

    if sums.sound:
        X = torch.where(sums.r > LEAST, sums.a / sums.r, 1.0)
        cols = sums.b * sums.cols(X)
        Y = torch.where(cols > sums.b, sums.b / cols, 1.0)
        rows, cols = sums.a * X * sums.rows(Y), cols * Y
        closing, excess = closed((sums.a - rows).clamp(min=0), (sums.b - cols).clamp(min=0))
        total = float((sums.a * X) @ sums.costs(Y)) + closing
        total += (ROUNDING + UNIT * sums.size / sums.eps) * sums.size
        if math.isfinite(total):
            return total, excess
    whole, excess = closed(sums.a, sums.b)
    return whole + ROUNDING * sums.size, excess
