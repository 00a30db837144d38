r"""A bound on the error of a gradient, from the width of the interval of the value.

Let P be the plan of potentials (f, g) whose rows are exact, :math:`p` its row sums, Q the true plan
and q its row sums. The duality gap of (f, g), at most the width of the interval, is at least
:math:`\varepsilon\, KL(Q | P) + \rho\, KL(q | p)`. For forces :math:`\psi_{ij} = \partial_1 C(x_i, y_j)`
with row means :math:`\bar\psi_i`, the variational formula of KL and Bernstein's bound of an exponential
moment give, whatever the unit vectors :math:`u_i`,

.. math::
    \sum_{ij} (Q - P)_{ij}\, u_i \cdot (\psi_{ij} - \bar\psi_i) \le \sqrt{2 V K} + R K / 3, \qquad
    V = \sum_{ij} P_{ij} |\psi_{ij} - \bar\psi_i|^2,

with K the bound on KL and R on :math:`|\psi_{ij} - \bar\psi_i|`. Balanced, q = p and the left side is
the error of the gradient; else the error of q is bounded alike. What pairs that were not visited may
move is added, and so is the distance of the gradient that autograd returns from the one of P in
double precision, which is measured.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ....errors import bad_input
from ....formulas import GroundCost, Radial, Term
from ....operators.autograd.kernel_sums import kernel_sum
from ....points import Points
from ...derivatives.solved import Solved
from ..sums import PlanSums, seen_from_target
from .interval import interval

__all__ = ["gradient_error"]

TINY = 1e-290  # a sum that is none
DIGITS = 1e-13  # of a variance, relative to the squared deviation: what double precision loses


def gradient_error(solved: list[Solved], side: int, steps: int, dtype: torch.dtype) -> Tensor:
    """Bounds ``(B,)`` on the sum of the errors' lengths, of the gradient in one cloud, of that dtype."""
    parts = [solved[0]] + ([solved[1 + side]] if len(solved) == 3 else [])
    if not isinstance(parts[0].problem.cost, GroundCost):
        fix = "Only multiples of powers of the distance are bounded."
        raise bad_input("gradient_error", "a cost that is a function", "a radial cost", fix)
    returned = torch.stack([_returned(part, side) / k for k, part in enumerate(parts, 1)]).sum(0)
    returned = returned.to(dtype).double()
    bounds = []
    for item in range(len(parts[0].solution.reports)):
        found = [_Rows.of(part, side, item) for part in parts]
        exact = found[0].force - (found[1].force if found[1:] else 0.0)
        missed = (returned[item] - exact).norm(dim=-1).sum()
        bound = sum((rows.error(steps) for rows in found), float(missed))
        bounds.append(bound if math.isfinite(bound) else math.inf)
    return torch.tensor(bounds, dtype=torch.float64)


def _returned(part: Solved, side: int) -> Tensor:
    """The gradient of one part's value as autograd returns it."""
    problem, own = part.problem, part.problem.symmetric
    clouds = [
        Points(c.positions.detach(), c.weights.detach()) for c in (problem.source, problem.target)
    ]
    side = 0 if own else side
    x = clouds[side].positions.requires_grad_()
    moving = clouds[0], clouds[0] if own else clouds[1]
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(Solved(problem, part.solution, moving).value.sum(), x)
    return -gradient if own else gradient


@dataclass
class _Rows:
    """The plan of one item whose rows are exact: its forces, and how far they may be wrong."""

    sums: PlanSums
    masses: Tensor  # of the rows of the visited pairs
    whole: Tensor  # of all pairs, at most
    mean: Tensor  # force of a row, by its mass
    force: Tensor  # (N, D), the gradient

    @staticmethod
    def of(part: Solved, side: int, item: int) -> _Rows:
        problem, found = part.problem, part.solution
        f, g = found.f, found.g_prev
        if side and not problem.symmetric:
            problem, f, g = seen_from_target(problem, found.f_prev, found.g, item)
        sums = PlanSums(problem, f, g, item)
        some, forces, centred = sums.unit > TINY, *_forces(sums)
        mean = torch.where(some[:, None], forces / sums.unit[:, None], centred)
        masses = _row_masses(sums, sums.unit)
        whole = _row_masses(sums, sums.unit + sums.w + TINY)
        return _Rows(sums, masses, whole, mean, sums.mass * masses[:, None] * mean)

    def error(self, steps: int) -> float:
        """The bound."""
        sums, (rho, _), eps = self.sums, self.sums.rhos, self.sums.eps
        pair = interval(sums, steps)
        gap = max(pair.upper - pair.lower, 0.0) / sums.mass
        share = sums.w / (sums.unit + sums.w + TINY)  # of the whole rows, that was not visited
        variance, deviation = _spread(sums, self.mean)
        lengths = self.mean.norm(dim=-1)
        V = float(self.whole @ (variance + deviation**2 * (share + DIGITS)))
        R = deviation * (1 + float(share.max()))
        bound = _bernstein(V, R, gap / eps) + deviation * float(self.whole @ share)
        bound += float((self.whole - self.masses) @ lengths)
        bound += sums.rounding * float(self.masses @ lengths)
        if not math.isinf(rho):
            moved = float(self.whole @ (lengths + deviation * share) ** 2)
            longest = float(lengths.where(sums.a > 0, 0.0).max())
            bound += _bernstein(moved, longest + R, gap / (eps + rho))
        return sums.mass * bound


def _row_masses(sums: PlanSums, unit: Tensor) -> Tensor:
    """The marginal of the rows after an exact update of f, whose sums are ``unit``."""
    rho, eps = sums.rhos[0], sums.eps
    if math.isinf(rho):
        return sums.a
    exponents = (eps * unit.log() - sums.f) / (eps + rho)
    return sums.a * exponents.where(sums.a > 0, 0.0).exp()


def _bernstein(variance: float, deviation: float, divergence: float) -> float:
    return math.sqrt(2 * variance * divergence) + deviation * divergence / 3


def _forces(sums: PlanSums) -> tuple[Tensor, Tensor]:
    r"""The sums :math:`\sum_j b_j e_{ij} \partial_1 C(x_i, y_j)`, ``(N, D)``, and a force for no sums."""
    problem = sums.problem
    assert isinstance(problem.cost, GroundCost)
    x, y = problem.source.positions, problem.target.positions
    centre = y.mean(1, keepdim=True)
    v = torch.cat((torch.ones_like(y[..., :1]), y - centre), -1)
    col = problem.target.log_weights + sums.g / problem.eps
    kernel = problem.cost.profiles(problem.eps)[1]
    row = (sums.f / problem.eps)[None]
    out = kernel_sum(kernel, x, y, v, row, col, engine=problem.engine, pairs=problem.pairs)[0]
    way = (x - centre)[0]
    return out[:, :1] * way - out[:, 1:], problem.cost.force(way)


def _spread(sums: PlanSums, mean: Tensor) -> tuple[Tensor, float]:
    """Variances ``(N,)`` of the forces in each row, and the largest deviation from its mean."""
    problem = sums.problem
    assert isinstance(problem.cost, GroundCost)
    factor = problem.cost.factor
    if problem.cost.power == 1:  # forces of one length
        variance = (factor**2 - mean.square().sum(-1)).clamp(min=0)
        return variance, 2 * factor
    if problem.cost.power != 2:
        return _spread_between(sums, mean, problem.cost)
    x, y = problem.source.positions[0], problem.target.positions[0]
    scale, centre = 2 * factor, y.mean(0)
    squares = (y - centre).square().sum(-1)
    partner = x - mean / scale
    mean_square = sums.rows(squares) / sums.unit.clamp(min=TINY)
    variance = mean_square - (partner - centre).square().sum(-1)
    low, high = y.amin(0), y.amax(0)
    deviation = float(torch.maximum(partner - low, high - partner).norm(dim=-1).max())
    return scale**2 * variance.clamp(min=0), scale * deviation


def _spread_between(sums: PlanSums, mean: Tensor, cost: GroundCost) -> tuple[Tensor, float]:
    """The same for a power between: the squared length of a force is a power of the distance too."""
    problem, steep = sums.problem, cost.factor * cost.power
    kernel = cost.gibbs(sums.eps)
    kernel = Radial((Term(steep**2, 2 * cost.power - 2),), kernel.rate, kernel.decay)
    x, y = problem.source.positions, problem.target.positions
    col = problem.target.log_weights + sums.g / sums.eps
    row, one = (sums.f / sums.eps)[None], torch.ones_like(y[..., :1])
    squares = kernel_sum(kernel, x, y, one, row, col, engine=problem.engine, pairs=problem.pairs)
    points = torch.cat((x[0], y[0]))
    longest = steep * float((points.amax(0) - points.amin(0)).norm()) ** (cost.power - 1)
    variance = squares[0, :, 0] / sums.unit.clamp(min=TINY) - mean.square().sum(-1)
    return variance.clamp(min=0), longest + float(mean.norm(dim=-1).max())
