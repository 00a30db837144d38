"""Products with one plan in double precision, and bounds on what they leave out."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from ..engines.base import Engine
from ..formulas import Opaque, Radial
from ..operators.autograd import kernel_sum
from ..points import Points
from .kept import KeptPairs
from .problem import Problem

__all__ = ["PlanSums"]

HUGE = 1e27  # row sums that may have been cut off


class PlanSums:
    """Products with the plan of one item, in double precision, and what it leaves out.

    Balanced problems are brought to mass one: ``OT(m a, m b) = m OT(a, b) + eps (m^2 - m - m log m)``.
    """

    def __init__(self, problem: Problem, f: Tensor, g: Tensor, item: int) -> None:
        self.given = problem, f, g, item
        engine = problem.engine
        if isinstance(engine, KeptPairs):
            engine = engine.certifying(item)
        self.a, self.b = (
            c.weights[item].detach().double() for c in (problem.source, problem.target)
        )
        self.f, self.g = f[item].detach().double(), g[item].detach().double()
        self.rhos, self.eps, self.mass = problem.penalty.rhos, problem.eps, 1.0
        self.rounding = 0.0  # of two masses that should be equal, relative
        if all(math.isinf(rho) for rho in self.rhos):
            self.mass = float(self.a.sum())
            self.rounding = abs(float(self.b.sum()) / self.mass - 1)
            self.a, self.b = self.a / self.mass, self.b / float(self.b.sum())
            self.f = self.f + self.eps * math.log(self.mass)
        source, target = (
            Points(c.positions[item : item + 1].detach().double(), w[None])
            for c, w in ((problem.source, self.a), (problem.target, self.b))
        )
        self.problem = replace(problem, source=source, target=target, engine=engine)
        self.back = self.problem.swapped()
        self.unit = self.rows(torch.ones_like(self.b))
        self.r = self.a * self.unit
        self.w = torch.zeros_like(self.a)
        if isinstance(engine, KeptPairs):
            f = self.f - self.eps * math.log(self.mass)
            self.w = engine.missed(f[None], self.g[None])[0]
        self.omitted = float(self.a @ self.w) * self.mass
        self.sound = bool((self.r <= HUGE * self.a).all() and self.w.isfinite().all())
        corners = [c.positions[0] for c in (source, target)]
        span = float((torch.cat(corners).amax(0) - torch.cat(corners).amin(0)).norm())
        cost = span**problem.p / problem.p if isinstance(problem.cost, Radial) else 0.0
        self.size = float(self.f.abs().max() + self.g.abs().max()) + cost

    def rows(self, v: Tensor) -> Tensor:
        """``sum_j b_j exp((f_i + g_j - C_ij) / eps) v_j`` for ``(M,)`` or ``(M, R)``."""
        return self._product(self.problem, self.f, self.g, v)

    def cols(self, u: Tensor) -> Tensor:
        """The same over the rows: ``sum_i a_i exp(...) u_i``."""
        return self._product(self.back, self.g, self.f, u)

    def _product(self, problem: Problem, f: Tensor, g: Tensor, v: Tensor) -> Tensor:
        x = problem.source.positions
        block = v[None] if v.dim() == 2 else v[None, :, None]
        row = (f / self.eps)[None]
        out = problem.plan_product(x, row, g[None], block)[0]
        return out if v.dim() == 2 else out[:, 0]

    def outer_cost(self, u: Tensor, v: Tensor) -> float:
        """``sum_ij u_i C(x_i, y_j) v_j``."""
        problem = self.problem
        x, y = problem.source.positions, problem.target.positions
        if isinstance(problem.cost, Opaque):
            return float(u @ torch.cat([problem.cost(r, y)[0] @ v for r in x.split(256, 1)]))
        assert isinstance(problem.cost, Radial)
        (term,) = problem.cost.terms
        if term.power != 2:
            engine = self._all_pairs()
            return float(
                u @ kernel_sum(problem.cost, x, y, v[None, :, None], engine=engine)[0, :, 0]
            )
        centre = (x[0].mean(0) + y[0].mean(0)) / 2
        x0, y0 = x[0] - centre, y[0] - centre
        squares = (u @ (x0**2).sum(1)) * v.sum() + (v @ (y0**2).sum(1)) * u.sum()
        return term.factor * float(squares - 2 * (u @ x0) @ (v @ y0))

    def _all_pairs(self) -> Engine:
        engine = self.problem.engine
        return engine.other if isinstance(engine, KeptPairs) else engine

    def whole(self, value: float) -> float:
        """The value for the masses as they are."""
        m = self.mass
        return m * value + self.eps * (m * m - m - m * math.log(m))
