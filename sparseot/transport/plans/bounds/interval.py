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
from dataclasses import dataclass

import torch
from torch import Tensor

from ....formulas import GroundCost
from ....operators.cg import descend
from ...derivatives.solved import Solved, divergence
from ...solution import OwnedSolution
from ..sums import PlanSums

__all__ = ["TIGHT", "UNIT", "Interval", "first_order", "interval", "value_bounds"]

TINY = 1e-290  # added to sums under the logarithm of a lower bound: none may underflow
ROUNDING = 4e-15  # relative to the largest potential and cost
UNIT = 1.1e-16  # of double precision
TIGHT = 20  # conjugate gradient steps of a tight certificate


@dataclass(frozen=True)
class Interval:
    """Bounds of one transport cost."""

    lower: float
    upper: float


def interval(sums: PlanSums, steps: int = 0) -> Interval:
    """Bounds for one item of a batch, from any potentials.

    Args:
        sums: products with the plan of the potentials.
        steps: conjugate gradient steps that repair the marginals before the plan is rounded;
            each takes two products with the plan, and 20 make the interval as narrow as the
            square of the error of the marginals in ordinary cases.
    """
    problem = sums.problem
    imposed = [math.isinf(rho) for rho in problem.penalty.rhos]
    ma, mb = (sums.mass * mass for mass in sums.masses)
    slack = ROUNDING * (sums.size * max(ma, mb) + sums.eps * ma * mb)
    wrong = UNIT * sums.size / sums.eps  # of the marginals of a plan: its exponents lose digits
    lower, upper = _lower(sums), _trivial(sums)
    if all(imposed):
        upper = min(upper, _rounded(sums))
        if problem.symmetric:
            upper = min(upper, _symmetric(sums.halved()))
        upper = min(upper, _repaired(sums, steps)) if steps and not problem.symmetric else upper
    elif sums.sound:
        upper = min(upper, _penalised(sums))
    return Interval(lower - slack, upper + slack + wrong * _spread(sums) * max(ma, mb))


def _spread(sums: PlanSums) -> float:
    """What a unit of mass may cost at another place, by the potentials."""
    heights = [h[w > 0] for h, w in ((sums.f, sums.a), (sums.g, sums.b))]
    return sum(sums.most(h) + sums.most(-h) for h in heights)


def value_bounds(solved: list[Solved], steps: int) -> tuple[Tensor, Tensor]:
    """Bounds ``(B,)`` of the value, less half of those of the self problems."""
    ends = []
    for part in solved:
        items = range(len(part.solution.reports))
        pairs = [_one(part, k, steps) for k in items]
        bounds = [[pair.lower, pair.upper] for pair in pairs]
        ends.append(torch.tensor(bounds, dtype=torch.float64))
    problem, own = solved[0].problem, ends[1:]
    low = divergence([ends[0][:, 0], *(end[:, 1] for end in own)], problem)
    high = divergence([ends[0][:, 1], *(end[:, 0] for end in own)], problem)
    value = divergence([part.numbers for part in solved], problem).to(low)
    return torch.minimum(low, value), torch.maximum(high, value)


def _one(part: Solved, item: int, steps: int) -> Interval:
    """Bounds for one item: from what its solve saw, or by products with its plan."""
    found = part.solution
    told = found.seen[item] if found.seen and not steps else None
    if told is not None:
        from .seen import interval_seen  # here, for a light import of the library

        ends = interval_seen(part.problem, told, item, found.reports[item].tol)
        if ends is not None:
            return Interval(*ends)
    cost = part.problem.cost
    square = isinstance(cost, GroundCost) and cost.power == 2
    if isinstance(found, OwnedSolution) and square and not steps:
        from ..own_sums import OwnSums  # here, for a light import of the library

        f, _, _, g_prev = found.parts
        return interval(OwnSums(part.problem, f, g_prev))
    return interval(PlanSums(part.problem, found.f, found.g_prev, item), steps)


def _lower(sums: PlanSums) -> float:
    """The dual objective after an exact update of f, with all that may have been left out."""
    eps, rho, penalty = sums.eps, sums.rhos[0], sums.problem.penalty
    known = penalty.imposed and isinstance(sums.problem.cost, GroundCost)  # to be positive
    floor = 0.0 if known else -math.inf
    if not sums.sound:
        return sums.whole(floor) if penalty.imposed else floor
    some = sums.a > 0
    raised = torch.where(some, sums.r / torch.where(some, sums.a, 1) + sums.w + TINY, 1.0)
    move = -eps * raised.log() / (1 + eps / rho) - sums.f / (1 + rho / eps)
    move = move.where(some, 0.0)
    f, total = sums.f + move, sums.dot(sums.a, raised * (move / eps).exp())
    value = -eps * (total - math.prod(sums.masses))
    for side, (weights, h) in enumerate(((sums.a, f), (sums.b, sums.g))):
        value += sums.dot(weights, penalty.worth(side, h))
    return sums.whole(max(value, floor)) if penalty.imposed else value


def _trivial(sums: PlanSums) -> float:
    """The objective of the product of the marginals, or of no plan where none is imposed."""
    ma, mb = sums.masses
    first, second = (math.isinf(rho) for rho in sums.rhos)
    if not (first or second):
        return sums.rhos[0] * ma + sums.rhos[1] * mb + sums.eps * ma * mb
    mass = ma if first else mb
    share = mass / (ma * mb)
    value = share * sums.outer_cost(sums.a, sums.b)
    value += sums.eps * (mass * math.log(share) - mass + ma * mb)
    for weights, rho in ((ma, sums.rhos[0]), (mb, sums.rhos[1])):
        if not math.isinf(rho):
            value += rho * (mass * math.log(mass / weights) - mass + weights)
    return sums.whole(value) if first and second else value


def _rounded(sums: PlanSums) -> float:
    """The plan scaled down to at most the marginals, plus the product of what is missing."""
    X, Y, rows, cols = _scaled_down(sums)
    value = sums.dot(rows, sums.f + sums.eps * X.log())
    value += sums.dot(cols, sums.g + sums.eps * Y.log())
    return _closed(sums, value, rows, cols)


def _scaled_down(sums: PlanSums) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Factors of rows and columns that leave a plan of at most the marginals, and those of that plan."""
    X = _at_most(sums.a, sums.r)
    cols = sums.b * sums.cols(X)
    Y = _at_most(sums.b, cols)
    return X, Y, sums.a * X * sums.rows(Y), cols * Y


def _closed(sums: PlanSums, value: float, rows: Tensor, cols: Tensor) -> float:
    """The objective of a plan too light, ``value`` its part, closed by a product."""
    eps, missing, lacking = sums.eps, (sums.a - rows).clamp(min=0), (sums.b - cols).clamp(min=0)
    d = max(sums.add(missing), sums.add(lacking))
    if d <= 0:
        return sums.whole(value)
    if d >= 1:
        return math.inf
    value += sums.outer_cost(missing, lacking) / d - eps * (1 - d) * math.log1p(-d)
    for part, weights in ((missing, sums.a), (lacking, sums.b)):
        ratio = torch.where(part > 0, part / (d * torch.where(weights > 0, weights, 1)), 1.0)
        value += eps * sums.dot(part, ratio.log())
    return sums.whole(value)


def _repaired(sums: PlanSums, steps: int, rounds: int = 3) -> float:
    """The plan P (1 + u_i + v_j) with the right marginals to first order, then rounded.

    ``log(1 + t) <= t`` bounds its entropy, so that products with vectors are all it takes.
    """
    a, b, eps = sums.a, sums.b, sums.eps
    r = sums.r.clamp(min=TINY)
    u, v = first_order(sums, steps)
    least = float(u.min() + v.min())
    if not bool(u.isfinite().all() and v.isfinite().all()):
        return math.inf
    if (
        least <= -0.9
    ):  # entries would be negative: first a step of the potentials, as far as it holds
        if not rounds:
            return math.inf
        problem, f, g, item = sums.given
        share = eps * min(1.0, -0.9 / least)
        f, g = f.double().clone(), g.double().clone()
        f[item] += share * u
        g[item] += share * v
        return _repaired(PlanSums(problem, f, g, item), steps, rounds - 1)
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


def first_order(sums: PlanSums, steps: int) -> tuple[Tensor, Tensor]:
    """u and v, ``(N,)`` and ``(M,)``, of the plan P (1 + u_i + v_j) that has the right marginals, nearly.

    Conjugate gradients find them, in two products with the plan a step.
    """
    a, b = sums.a, sums.b
    r, c = sums.r.clamp(min=TINY), (b * sums.cols(torch.ones_like(a))).clamp(min=TINY)
    defect, unit = a - r, c.rsqrt()  # in units of it, the system is the identity less something

    def schur(v: Tensor) -> Tensor:
        away = b * sums.cols(a * sums.rows(unit * v[:, 0]) / r)
        return v - (unit * away)[:, None]

    right = unit * ((b - c) - b * sums.cols(defect / r))
    v = unit * descend(schur, right[:, None], 1e-15, steps).x[:, 0]
    return (defect - a * sums.rows(v)) / r, v


def _symmetric(sums: PlanSums) -> float:
    """A cloud and itself, f = g: what is missing goes on the diagonal, where it costs nothing."""
    eps, a = sums.eps, sums.a
    X = _at_most(a, sums.r)
    rows = a * X * sums.rows(X)
    some = a > 0
    logs = torch.where(some, a, 1).log()
    D = torch.where(some, (2 * logs + (sums.f + sums.g) / eps + 2 * X.log()).exp(), 0.0)
    e = (a - rows).clamp(min=0)
    change = torch.xlogy(D + e, D + e) - torch.xlogy(D, D) - 2 * e * logs
    value = sums.dot(rows, sums.f + sums.g + 2 * eps * X.log()) + eps * sums.add(change)
    return sums.whole(value)


def _penalised(sums: PlanSums) -> float:
    """The objective of the plan itself, its columns rescaled where they are imposed."""
    eps, (rho, other) = sums.eps, sums.rhos
    cols = sums.b * sums.cols(torch.ones_like(sums.a))
    X, Y = torch.ones_like(sums.a), torch.ones_like(sums.b)
    rows = sums.r
    if math.isinf(rho):
        X = torch.where(rows > 0, sums.a / rows, 1.0)
        rows, cols = sums.a, sums.b * sums.cols(X)
    elif math.isinf(other):
        Y = torch.where(cols > 0, sums.b / cols, 1.0)
        rows, cols = sums.a * sums.rows(Y), sums.b
    value = sums.add(torch.where(rows > 0, rows * (sums.f + eps * X.log()), 0.0))
    value += sums.add(torch.where(cols > 0, cols * (sums.g + eps * Y.log()), 0.0))
    value += eps * (math.prod(sums.masses) - sums.add(rows))
    for weights, marginal, r in ((sums.a, rows, rho), (sums.b, cols, other)):
        if not math.isinf(r):
            value += r * sums.dot(weights, _divergence(marginal, weights))
    return value if math.isfinite(value) else math.inf


def _divergence(marginal: Tensor, weights: Tensor) -> Tensor:
    """``t log t - t + 1`` of their ratio t, with all digits where it is near one."""
    ratio = torch.where(weights > 0, marginal / torch.where(weights > 0, weights, 1), 1.0)
    excess = torch.where(
        weights > 0, (marginal - weights) / torch.where(weights > 0, weights, 1), 0
    )
    near = excess.abs() < 0.5
    return torch.where(near, ratio * excess.log1p(), torch.xlogy(ratio, ratio)) - excess


def _at_most(wanted: Tensor, found: Tensor) -> Tensor:
    """Factors at most one that bring ``found`` down to what is wanted; one where both are zero."""
    return torch.where(found > wanted, wanted / torch.where(found > 0, found, 1), 1.0)
