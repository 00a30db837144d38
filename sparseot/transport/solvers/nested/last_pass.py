r"""The last half-step of a solve over all pairs, and what it brings along.

Of the plan P of the last two potentials it takes both marginals, and the means :math:`\sum_j P_{ij} y_j` and
:math:`\sum_i P_{ij} x_i`, with one exponential a pair: the error of the marginals, the value, its derivatives in all
points, and an interval (:mod:`...plans.bounds.seen`). It costs about three half-steps, so that the error is first estimated
from some columns.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from ....engines.choose import load
from ....formulas import GroundCost
from ....points import Points
from ...problem import Problem
from ...softmins import Outcome
from ...solution import Seen
from ..all_pairs import DenseSoftmins
from ..course import Found
from ..relaxation import close

__all__ = ["LastPass"]

SAMPLE = 1024  # points at which the error is estimated
LOWEST, HIGHEST = 1e-12, 1e12  # shares of marginals that lost nothing


class LastPass:
    """The last half-step of a problem between two clouds, over all pairs, and all that it tells."""

    def __init__(self, problem: Problem) -> None:
        self.problem, self.softmins = problem, DenseSoftmins(problem)
        target, draw = problem.target, torch.Generator().manual_seed(0)
        carrying = (target.weights[0] > 0).nonzero()[:, 0]  # the others have no error
        order = torch.randperm(len(carrying), generator=draw)[:SAMPLE]
        self.some = some = carrying[order.to(carrying.device)]
        self.scale = len(carrying) / max(len(some), 1)
        sample = Points(target.positions[:, some], target.weights[:, some])
        self.sample = DenseSoftmins(replace(problem, target=sample))

    def estimate(self, f: Tensor, g: Tensor) -> float:
        """The error of the columns of the plan, from some of them."""
        found = self.sample.step(1, g[self.some], f)
        share = self.scale * self.sample.masses[1] / self.softmins.masses[1]
        return float(found.error) * share

    def close(self, f: Tensor, g: Tensor, sweeps: float) -> Found:
        """The exact update of g from f, the update of g before it, and all that this pass tells.

        Without a pass that tells all, as with weights of zero, the update alone.
        """
        softmins, seen = self.softmins, self._pass(f, g)
        if seen is None:
            return Found(close(softmins, f, g, sweeps), [], "")
        told, slopes = seen
        last = softmins.damped(1, g, g - softmins.eps * told.cols.log(), told.cols)
        value = float(softmins.dual(f, last.value, softmins.kept(1, last.value)))
        outcome = Outcome(f, last.value, f, g, float(last.error), sweeps + 0.5, value)
        return Found(outcome, [], "", slopes=slopes, seen=told)

    def _pass(self, f: Tensor, g: Tensor) -> tuple[Seen, tuple[Tensor, Tensor]] | None:
        """What one pass sees of the plan of (f, g), and the slopes of both updates of these."""
        problem, softmins, cost = self.problem, self.softmins, self.problem.cost
        assert isinstance(cost, GroundCost)
        clouds = problem.source, problem.target
        if cost.power != 2 or not all(bool((c.weights > 0).all()) for c in clouds):
            return None
        x, y = (c.positions[0].double() for c in clouds)
        centre, counts = (x.mean(0) + y.mean(0)) / 2, (len(x), len(y))
        x, y, level = x - centre, y - centre, float(softmins.a @ f) / softmins.masses[0]
        one = torch.ones_like
        right = torch.cat((one(y[:, :1]), y), 1)
        more = x.square().sum(1, keepdim=True), (f - level)[:, None]
        left = torch.cat((one(x[:, :1]), x, *more), 1)
        like = problem.source.positions
        row, col = (  # of entries that are one on average
            (log[0].double() + h / softmins.eps + math.log(count))[None].to(like)
            for log, h, count in zip(softmins.logs, (f, g), counts, strict=True)
        )
        right, left, eps = (
            right[None].to(like),
            left[None].to(like),
            like.new_full((1,), softmins.eps),
        )
        engine = problem.engine if problem.engine.name != "numba" else load("tiles")
        pairs = engine.bind(problem.source.positions, problem.target.positions)
        found = pairs.both_ways(cost, eps, row, col, right, left)
        if found is None:
            return None
        rows, cols = (t[0] / (len(x) * len(y)) for t in found[:2])
        shares = rows[:, 0] / softmins.a, cols[:, 0] / softmins.b
        if not all(bool(((t > LOWEST) & (t < HIGHEST)).all()) for t in shares):
            return None
        means = rows[:, 1:] / rows[:, :1], cols[:, 1:-2] / cols[:, :1]
        first, second = (
            2 * cost.factor / (1 + softmins.eps / rho) * (points - mean)
            for points, mean, rho in zip((x, y), means, problem.penalty.rhos, strict=True)
        )
        entry, sums = found[2]
        seen = Seen(
            f,
            g,
            *shares,
            centre,
            heights=cols[:, -1],
            moments=cols[:, 1:-2],
            squares=cols[:, -2],
            level=level,
            entry=entry,
            sums=sums,
        )
        return seen, (first, second)
