r"""The interval of a transport cost from one pass over all pairs, whose sums a solve brought along.

The entries of that pass are rounded: :math:`\hat P_{ij} = P_{ij} (1 + \eta_{ij})`, and a bound on
:math:`|\eta|` is known. From below, the dual objective of f and of an update of g, by sums raised by that bound.
From above, a plan is made of :math:`\hat P` itself, whose objective is that of P but for
:math:`\varepsilon \max |\eta|`: it is scaled down to at most the marginals, :math:`s_{ij} = \xi \hat P_{ij} Y_j`, and closed
by a product (Altschuler, Weed and Rigollet, 2017). One factor :math:`\xi` serves all rows, which are as they should
be; so the marginals of what is missing are known from the columns alone: their mean cost from moments, and
the entropy of the rows' from Jensen's inequality, being convex,

.. math:: \sum_i a_i \varphi(1 - s_i / a_i) \le \sum_j \xi \hat c_j b_j\, \varphi(1 - Y_j),
    \qquad \varphi(t) = t \log t .
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ....formulas import GroundCost
from ...problem import Problem
from ...solution import Seen

__all__ = ["interval_seen"]

WRONG = 0.02  # error of an entry above which products in double precision are taken instead
LARGEST = 0.3  # mass of what is missing, likewise
ROOM = 4  # errors of sums, by which columns are scaled down further: what is missing is then known
SLACK = 4e-15  # rounding of what is added here, in double precision


def interval_seen(
    problem: Problem, seen: Seen, item: int, tol: float
) -> tuple[float, float] | None:
    """A lower and an upper bound; None where a pass in double precision has to tell.

    So it is where they are further apart than ``tol`` times the mean cost: errors of sums count by the temperature.
    """
    if not problem.penalty.imposed or max(seen.entry, seen.sums) > WRONG:
        return None
    found = _Sums(problem, seen, item)
    lower, upper = max(found.lower(), 0.0), found.upper()
    if upper is None or upper - lower > tol * found.mean_cost():
        return None
    return lower, upper


class _Sums:
    """What was seen, for clouds that are brought to mass one, and f to mean zero."""

    def __init__(self, problem: Problem, seen: Seen, item: int) -> None:
        assert isinstance(problem.cost, GroundCost)
        self.seen, self.eps, self.factor = seen, problem.eps, problem.cost.factor
        clouds, masses = [], []
        for cloud in (problem.source, problem.target):
            weights, points = cloud.weights[item].double(), cloud.positions[item].double()
            masses.append(float(weights.sum()))
            clouds.append((weights / masses[-1], points - seen.centre))
        (self.a, self.x), (self.b, self.y) = clouds
        self.mass = masses[0]
        self.wrong = seen.sums + abs(masses[1] / masses[0] - 1)
        level = self.a @ seen.f
        self.f, self.g = seen.f - level, seen.g + level + self.eps * math.log(self.mass)
        self.x2, self.y2 = self.x.square().sum(1), self.y.square().sum(1)
        size = sum(float(t.abs().max()) for t in (self.f, self.g, self.x2, self.y2))
        self.slack = SLACK * (size + self.eps)

    def mean_cost(self) -> float:
        """Of the product of both clouds."""
        squares = float(self.a @ self.x2 + self.b @ self.y2)
        return (
            self.mass * self.factor * (squares - 2 * float((self.a @ self.x) @ (self.b @ self.y)))
        )

    def lower(self) -> float:
        """The dual objective after an update of g that leaves a mass of at most one."""
        raised = self.seen.cols / ((1 - self.seen.entry) * (1 - self.wrong))
        value = self.a @ self.f + self.b @ (self.g - self.eps * raised.log())
        return self._whole(float(value) - self.slack)

    def upper(self) -> float | None:
        """The objective of the plan that is scaled down and closed."""
        seen, eps, wrong = self.seen, self.eps, self.wrong
        xi = min(1.0, (1 - wrong) / float(seen.rows.max()))
        Y = ((1 - ROOM * wrong) / (xi * seen.cols)).clamp(max=1.0)
        share = xi * Y * seen.cols  # of each column, known up to the error of sums
        heights = self.g + eps * (math.log(xi) + Y.log())
        value = float((self.b * share) @ heights + xi * (Y @ seen.heights) / self.mass)
        value += wrong * float(self.b @ heights.abs() + self.a @ self.f.abs()) + eps * seen.entry
        low, high = (1 - float(self.b @ share) * (1 + sign * wrong) for sign in (1, -1))
        if not 0 < low <= high < LARGEST:
            return None
        value += self._entropy(xi, Y, share, high) + self._cost(xi * Y, share, low, high)
        return self._whole(value + self.slack)

    def _entropy(self, xi: float, Y: Tensor, share: Tensor, high: float) -> float:
        """What the entropy of the product that closes the plan adds at most."""
        ends = [(1 - share * (1 + sign * self.wrong)).clamp(0, 1) for sign in (1, -1)]
        found = self.b @ torch.maximum(*(torch.xlogy(t, t) for t in ends))  # convex: at an end
        found += (1 - self.wrong) * xi * (self.b @ (self.seen.cols * torch.xlogy(1 - Y, 1 - Y)))
        rest = (1 - high) * math.log1p(-high) + 2 * high * math.log(high)
        return self.eps * (float(found) - rest)

    def _cost(self, factors: Tensor, share: Tensor, low: float, high: float) -> float:
        """The mean cost ``|x|^2 + |y|^2 - 2 x . y`` of that product, at most."""
        seen, wrong, lack = self.seen, self.wrong, self.b * (1 - share)
        spread = float(self.a @ self.x2), float(self.b @ self.y2)
        squares = spread[0] - float(factors @ seen.squares) / self.mass + float(lack @ self.y2)
        squares += wrong * sum(spread)
        mean_x = self.a @ self.x - (factors @ seen.moments) / self.mass
        mean_y = lack @ self.y
        off_x, off_y = (
            wrong * float(self.a @ self.x2.sqrt()),
            wrong * float(self.b @ self.y2.sqrt()),
        )
        dot = float(mean_x @ mean_y)
        away = float(mean_x.norm()) * off_y + float(mean_y.norm()) * off_x + off_x * off_y
        return self.factor * (squares - 2 * dot / (high if dot > 0 else low) + 2 * away / low)

    def _whole(self, value: float) -> float:
        """The value for the mass as it is: ``OT(m a, m b) = m OT(a, b) + eps (m^2 - m - m log m)``."""
        m = self.mass
        return m * value + self.eps * (m * m - m - m * math.log(m))
