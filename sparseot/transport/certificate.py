r"""An interval that contains the true transport cost, whatever the potentials it is computed from.

From below, the dual objective after one more exact update of f, in which the sums are raised by
what the pairs that were not visited may add. From above, the objective of a plan that has the right
marginals: that of the potentials, scaled down where its rows or columns are too heavy (Altschuler,
Weed and Rigollet, 2017, algorithm 2), plus the product of what is then missing. Penalised
marginals need no repair. All sums are taken in double precision.

With :math:`P` the plan of (f, g), :math:`\pi_{ij} = X_i P_{ij} Y_j`, and r', c' its marginals,

.. math::
    \langle \pi, C \rangle + \varepsilon KL(\pi | a \otimes b) = \langle r', f + \varepsilon \log X
    \rangle + \langle c', g + \varepsilon \log Y \rangle - \varepsilon \textstyle\sum \pi +
    \varepsilon m_a m_b,

so that a bound costs products of the plan with vectors and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..engines.base import Engine
from ..formulas import Opaque, Radial
from ..operators.autograd import kernel_sum
from ..points import Points
from .kept import KeptPairs
from .problem import Problem

__all__ = ["Interval", "interval"]

TINY = 1e-290  # added to sums under the logarithm of a lower bound: none may underflow
ROUNDING = 4e-15  # relative to the largest potential and cost
HUGE = 1e27  # row sums that may have been cut off


@dataclass(frozen=True)
class Interval:
    """Bounds of one transport cost; ``omitted`` bounds the mass of the pairs not visited."""

    lower: float
    upper: float
    omitted: float


def interval(problem: Problem, f: Tensor, g: Tensor, item: int, steps: int = 0) -> Interval:
    """Bounds for one item of a batch, from any potentials.

    Args:
        problem: the batch.
        f: ``(B, N)`` potential.
        g: ``(B, M)`` potential.
        item: which one.
        steps: conjugate gradient steps that repair the marginals before the plan is rounded;
            each takes two products with the plan, and 20 make the interval as narrow as the
            square of the error of the marginals in ordinary cases.
    """
    sums = _Sums(problem, f, g, item)
    imposed = [math.isinf(rho) for rho in problem.penalty.rhos]
    slack = ROUNDING * sums.size * float(torch.maximum(sums.a.sum(), sums.b.sum()))
    lower, upper = sums.lower(), sums.trivial()
    if all(imposed):
        upper = min(upper, _rounded(sums))
        if problem.symmetric:
            half = (f + g) / 2
            upper = min(upper, _symmetric(_Sums(problem, half, half, item)))
        upper = min(upper, _repaired(sums, steps)) if steps and not problem.symmetric else upper
    elif sums.sound:
        upper = min(upper, _penalised(sums))
    return Interval(lower - slack, upper + slack, sums.omitted)


class _Sums:
    """Products with the plan of one item, in double precision, and what it leaves out.

    Balanced problems are brought to mass one: ``OT(m a, m b) = m OT(a, b) + eps (m^2 - m - m log m)``.
    """

    def __init__(self, problem: Problem, f: Tensor, g: Tensor, item: int) -> None:
        engine = problem.engine
        if isinstance(engine, KeptPairs):
            engine = engine.certifying(item)
        self.a, self.b = (
            c.weights[item].detach().double() for c in (problem.source, problem.target)
        )
        self.f, self.g = f[item].detach().double(), g[item].detach().double()
        self.rhos, self.eps, self.mass = problem.penalty.rhos, problem.eps, 1.0
        if all(math.isinf(rho) for rho in self.rhos):
            self.mass = float(self.a.sum())
            self.a, self.b = self.a / self.mass, self.b / float(self.b.sum())
            self.f = self.f + self.eps * math.log(self.mass)
        source, target = (
            Points(c.positions[item : item + 1].detach().double(), w[None])
            for c, w in ((problem.source, self.a), (problem.target, self.b))
        )
        self.problem = replace(problem, source=source, target=target, engine=engine)
        self.back = self.problem.swapped()
        self.r = self.a * self.rows(torch.ones_like(self.b))
        self.w = torch.zeros_like(self.a)
        if isinstance(engine, KeptPairs):
            self.w = engine.missed(self.f - self.eps * math.log(self.mass), self.g)
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

    def lower(self) -> float:
        """The dual objective after an exact update of f, with all that may have been left out."""
        eps, (rho, other) = self.eps, self.rhos
        floor = 0.0 if all(math.isinf(r) for r in self.rhos) else -math.inf
        if not self.sound:
            return self.whole(floor) if floor == 0 else floor
        some = self.a > 0
        raised = torch.where(some, self.r / torch.where(some, self.a, 1) + self.w + TINY, 1.0)
        move = -eps * raised.log() / (1 + eps / rho) - self.f / (1 + rho / eps)
        f, total = self.f + move, float(self.a @ (raised * (move / eps).exp()))
        value = -eps * (total - float(self.a.sum() * self.b.sum()))
        for weights, h, r in ((self.a, f, rho), (self.b, self.g, other)):
            value += float(weights @ (h if math.isinf(r) else -r * torch.expm1(-h / r)))
        return self.whole(max(value, floor)) if all(map(math.isinf, self.rhos)) else value

    def trivial(self) -> float:
        """The objective of the product of the marginals, or of no plan where none is imposed."""
        ma, mb = float(self.a.sum()), float(self.b.sum())
        first, second = (math.isinf(rho) for rho in self.rhos)
        if not (first or second):
            return self.rhos[0] * ma + self.rhos[1] * mb + self.eps * ma * mb
        mass = ma if first else mb
        share = mass / (ma * mb)
        value = share * self.outer_cost(self.a, self.b)
        value += self.eps * (mass * math.log(share) - mass + ma * mb)
        for weights, rho in ((ma, self.rhos[0]), (mb, self.rhos[1])):
            if not math.isinf(rho):
                value += rho * (mass * math.log(mass / weights) - mass + weights)
        return self.whole(value) if first and second else value


def _rounded(sums: _Sums) -> float:
    """The plan scaled down to at most the marginals, plus the product of what is missing."""
    X = _at_most(sums.a, sums.r)
    cols = sums.b * sums.cols(X)
    Y = _at_most(sums.b, cols)
    rows = sums.a * X * sums.rows(Y)
    value = rows @ (sums.f + sums.eps * X.log()) + (cols * Y) @ (sums.g + sums.eps * Y.log())
    return _closed(sums, float(value), rows, cols * Y)


def _closed(sums: _Sums, value: float, rows: Tensor, cols: Tensor) -> float:
    """The objective of a plan too light, ``value`` its part, closed by a product."""
    eps, missing, lacking = sums.eps, (sums.a - rows).clamp(min=0), (sums.b - cols).clamp(min=0)
    d = float(torch.maximum(missing.sum(), lacking.sum()))
    if d <= 0:
        return sums.whole(value)
    if d >= 1:
        return math.inf
    value += sums.outer_cost(missing, lacking) / d - eps * (1 - d) * math.log1p(-d)
    for part, weights in ((missing, sums.a), (lacking, sums.b)):
        ratio = torch.where(part > 0, part / (d * torch.where(weights > 0, weights, 1)), 1.0)
        value += eps * float(part @ ratio.log())
    return sums.whole(value)


def _repaired(sums: _Sums, steps: int) -> float:
    """The plan P (1 + u_i + v_j) with the right marginals to first order, then rounded.

    ``log(1 + t) <= t`` bounds its entropy, so that products with vectors are all it takes.
    """
    a, b, eps = sums.a, sums.b, sums.eps
    r, c = sums.r.clamp(min=TINY), (b * sums.cols(torch.ones_like(a))).clamp(min=TINY)
    defect = a - r

    def schur(v: Tensor) -> Tensor:
        return c * v - b * sums.cols(a * sums.rows(v) / r)

    v = _conjugate_gradients(schur, (b - c) - b * sums.cols(defect / r), c, steps)
    u = (defect - a * sums.rows(v)) / r
    if not bool(u.isfinite().all() and v.isfinite().all()) or float(u.min() + v.min()) <= -0.999:
        return math.inf
    rows = r * (1 + u) + a * sums.rows(v)
    X = _at_most(a, rows)
    both = sums.cols(torch.stack((X * (1 + u), X), 1))
    cols = b * (both[:, 0] + v * both[:, 1])
    Y = _at_most(b, cols)
    s, t = u + X.log(), v + Y.log()
    parts = sums.rows(torch.stack((Y, Y * v, Y * t, Y * v * t), 1)) * (a * X)[:, None]
    rows = (1 + u) * parts[:, 0] + parts[:, 1]
    entropy = ((1 + u) * (s * parts[:, 0] + parts[:, 2]) + s * parts[:, 1] + parts[:, 3]).sum()
    value = rows @ sums.f + (cols * Y) @ sums.g + eps * entropy
    return _closed(sums, float(value), rows, cols * Y)


def _conjugate_gradients(
    matrix: Callable[[Tensor], Tensor], rhs: Tensor, diagonal: Tensor, steps: int
) -> Tensor:
    x, residual = torch.zeros_like(rhs), rhs
    z = residual / diagonal
    way, size = z, float(residual @ z)
    for _ in range(steps):
        if size <= 1e-30:
            break
        image = matrix(way)
        curve = float(way @ image)
        if curve <= 0:
            break
        x, residual = x + (size / curve) * way, residual - (size / curve) * image
        z = residual / diagonal
        new = float(residual @ z)
        way, size = z + (new / size) * way, new
    return x


def _symmetric(sums: _Sums) -> float:
    """A cloud and itself, f = g: what is missing goes on the diagonal, where it costs nothing."""
    eps, a = sums.eps, sums.a
    X = _at_most(a, sums.r)
    rows = a * X * sums.rows(X)
    some = a > 0
    logs = torch.where(some, a, 1).log()
    D = torch.where(some, (2 * logs + (sums.f + sums.g) / eps + 2 * X.log()).exp(), 0.0)
    e = (a - rows).clamp(min=0)
    change = torch.xlogy(D + e, D + e) - torch.xlogy(D, D) - 2 * e * logs
    value = rows @ (sums.f + eps * X.log()) + rows @ (sums.g + eps * X.log()) + eps * change.sum()
    return sums.whole(float(value))


def _penalised(sums: _Sums) -> float:
    """The objective of the plan itself, its columns rescaled where they are imposed."""
    eps, (rho, other) = sums.eps, sums.rhos
    cols = sums.b * sums.cols(torch.ones_like(sums.a))
    X, Y = torch.ones_like(sums.a), torch.ones_like(sums.b)
    rows = sums.r
    if math.isinf(rho):
        X = sums.a / rows
        rows, cols = sums.a, sums.b * sums.cols(X)
    elif math.isinf(other):
        Y = sums.b / cols
        rows, cols = sums.a * sums.rows(Y), sums.b
    linear = torch.where(rows > 0, rows * (sums.f + eps * X.log()), 0.0).sum()
    linear = linear + torch.where(cols > 0, cols * (sums.g + eps * Y.log()), 0.0).sum()
    value = float(linear - eps * rows.sum() + eps * sums.a.sum() * sums.b.sum())
    for weights, marginal, r in ((sums.a, rows, rho), (sums.b, cols, other)):
        if not math.isinf(r):
            ratio = torch.where(weights > 0, marginal / torch.where(weights > 0, weights, 1), 1.0)
            value += r * float(torch.xlogy(marginal, ratio).sum() - marginal.sum() + weights.sum())
    return value if math.isfinite(value) else math.inf


def _at_most(wanted: Tensor, found: Tensor) -> Tensor:
    """Factors at most one that bring ``found`` down to what is wanted; one where both are zero."""
    return torch.where(found > wanted, wanted / torch.where(found > 0, found, 1), 1.0)
