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
        self.pairs = (
            problem.pairs.certifying(item) if isinstance(problem.pairs, KeptPairs) else None
        )
        weights = [c.weights[item].double() for c in (problem.source, problem.target)]
        self._hold(problem, weights, [f[item].double(), g[item].double()])
        source, target = (
            Points(c.positions[item : item + 1].double(), w[None])
            for c, w in ((problem.source, self.a), (problem.target, self.b))
        )
        self.problem = replace(problem, source=source, target=target, pairs=self.pairs)
        self.back = self.problem.swapped()
        self._take()

    def _hold(self, problem: Problem, weights: list[Tensor], potentials: list[Tensor]) -> None:
        """Weights and potentials, of mass one where marginals are imposed."""
        self.rhos, self.eps, self.mass = problem.penalty.rhos, problem.eps, 1.0
        self.a, self.b = weights
        self.f, self.g = (
            problem.penalty.held(side, h, w, self.eps)
            for side, (h, w) in enumerate(zip(potentials, weights, strict=True))
        )
        self.rounding = 0.0  # of two masses that should be equal, relative
        self.masses = self.add(self.a), self.add(self.b)
        if problem.penalty.imposed:
            self.mass, other = self.masses
            self.rounding = abs(other / self.mass - 1)
            self.a, self.b = self.a / self.mass, self.b / other
            self.f = self.f + self.eps * math.log(self.mass)
            self.masses = self.add(self.a), self.add(self.b)

    def _take(self) -> None:
        """The sums of the rows, and what they leave out."""
        self.unit = self.rows(torch.ones_like(self.b))
        self.r = self.a * self.unit
        self.w = torch.zeros_like(self.a)
        if self.pairs is not None:
            self.w = self._missed(self.pairs, self.f - self.eps * math.log(self.mass), self.g)
        self.omitted = self.dot(self.a, self.w) * self.mass
        unsound = ~((self.r <= HUGE * self.a) & self.w.isfinite())
        self.sound = self.most(unsound.double()) <= 0
        cost = self.problem.cost
        far = cost.largest(self._span()) if isinstance(cost, GroundCost) else 0.0
        self.size = self.most(self.f.abs()) + self.most(self.g.abs()) + far

    def halved(self) -> PlanSums:
        """The same, for the mean of both potentials of a cloud and itself."""
        problem, f, g, item = self.given
        return PlanSums(problem, (f + g) / 2, (f + g) / 2, item)

    # --- numbers of all points ---

    def add(self, v: Tensor) -> float:
        """The sum over all points of ``(N,)`` or ``(M,)`` numbers,"""
        return float(v.sum())

    def dot(self, u: Tensor, v: Tensor) -> float:
        """that of products,"""
        return float(u @ v)

    def most(self, v: Tensor) -> float:
        """and the largest of them; minus infinity of none."""
        return float(v.amax()) if len(v) else -math.inf

    def _missed(self, pairs: KeptPairs, f: Tensor, g: Tensor) -> Tensor:
        return pairs.missed(f[None], g[None])[0]

    def _span(self) -> float:
        corners = [c.positions[0] for c in (self.problem.source, self.problem.target)]
        return float((torch.cat(corners).amax(0) - torch.cat(corners).amin(0)).norm())

    # --- products ---

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
