"""Products with one plan in double precision, and bounds on what they leave out."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from ...formulas import GroundCost, Opaque
from ...operators.autograd.kernel_sums import kernel_sum
from ...points import Points
from ..problem import Problem
from ..pruned.kept_pairs import KeptPairs

__all__ = ["PlanSums", "seen_from_target"]

HUGE = 1e27  # row sums that may have been cut off


class PlanSums:
    """Products with the plan of one item, in double precision, and what it leaves out.

    Balanced problems are brought to mass one: ``OT(m a, m b) = m OT(a, b) + eps (m^2 - m - m log m)``.
    """

    def __init__(self, problem: Problem, f: Tensor, g: Tensor, item: int) -> None:
        self.given = problem, f, g, item
        pairs = problem.pairs.certifying(item) if isinstance(problem.pairs, KeptPairs) else None
        self.a, self.b = (c.weights[item].double() for c in (problem.source, problem.target))
        self.rhos, self.eps, self.mass = problem.penalty.rhos, problem.eps, 1.0
        self.f, self.g = (
            problem.penalty.held(side, h[item].double(), w, self.eps)
            for side, (h, w) in enumerate(((f, self.a), (g, self.b)))
        )
        self.rounding = 0.0  # of two masses that should be equal, relative
        if problem.penalty.imposed:
            self.mass = float(self.a.sum())
            self.rounding = abs(float(self.b.sum()) / self.mass - 1)
            self.a, self.b = self.a / self.mass, self.b / float(self.b.sum())
            self.f = self.f + self.eps * math.log(self.mass)
        source, target = (
            Points(c.positions[item : item + 1].double(), w[None])
            for c, w in ((problem.source, self.a), (problem.target, self.b))
        )
        self.problem = replace(problem, source=source, target=target, pairs=pairs)
        self.back = self.problem.swapped()
        self.unit = self.rows(torch.ones_like(self.b))
        self.r = self.a * self.unit
        self.w = torch.zeros_like(self.a)
        if pairs is not None:
            f = self.f - self.eps * math.log(self.mass)
            self.w = pairs.missed(f[None], self.g[None])[0]
        self.omitted = float(self.a @ self.w) * self.mass
        self.sound = bool((self.r <= HUGE * self.a).all() and self.w.isfinite().all())
        corners = [c.positions[0] for c in (source, target)]
        span = float((torch.cat(corners).amax(0) - torch.cat(corners).amin(0)).norm())
        cost = problem.cost.largest(span) if isinstance(problem.cost, GroundCost) else 0.0
        self.size = float(self.f.abs().max() + self.g.abs().max()) + cost

    def rows(self, v: Tensor) -> Tensor:
        """``sum_j b_j exp((f_i + g_j - C_ij) / eps) v_j`` for ``(M,)`` or ``(M, R)``."""
        return self._product(self.problem, self.f, self.g, v)

    def cols(self, u: Tensor) -> Tensor:
        """The same over the rows: ``sum_i a_i exp(...) u_i``."""
        return self._product(self.back, self.g, self.f, u)

    def costs(self, v: Tensor) -> Tensor:
        """``sum_j b_j exp(...) C_ij v_j`` for ``(M,)``."""
        return self._product(self.problem, self.f, self.g, v, with_cost=True)

    def _product(
        self, problem: Problem, f: Tensor, g: Tensor, v: Tensor, with_cost: bool = False
    ) -> Tensor:
        block = v[None] if v.dim() == 2 else v[None, :, None]
        row = (f / self.eps)[None]
        out = problem.plan_product(row, g[None], block, with_cost=with_cost)[0]
        return out if v.dim() == 2 else out[:, 0]

    def outer_cost(self, u: Tensor, v: Tensor) -> float:
        """``sum_ij u_i C(x_i, y_j) v_j`` of masses, or a bound from above."""
        problem = self.problem
        x, y = problem.source.positions, problem.target.positions

        def product(v: Tensor) -> Tensor:
            costs = kernel_sum(problem.cost, x, y, v[None, :, None], engine=problem.engine)
            return costs[0, :, 0]

        if isinstance(problem.cost, Opaque):
            return float(u @ product(v))
        assert isinstance(problem.cost, GroundCost)
        return problem.cost.bilinear(u, x[0], v, y[0], product)

    def whole(self, value: float) -> float:
        """The value for the masses as they are."""
        m = self.mass
        return m * value + self.eps * (m * m - m - m * math.log(m))


def seen_from_target(
    problem: Problem, f: Tensor, g: Tensor, item: int
) -> tuple[Problem, Tensor, Tensor]:
    """A problem and its potentials from the other side; pairs of that item are chosen for the rows there."""
    problem = problem.swapped()
    if isinstance(problem.pairs, KeptPairs):  # bounds are known for rows: theirs are new
        pairs = problem.pairs.screened_for(item, g[item], f[item])
        problem = replace(problem, pairs=KeptPairs(pairs.checks * len(f)))
    return problem, g, f
