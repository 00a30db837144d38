r"""The minima :math:`\min_j C(x_i, y_j) - g_j` over all pairs, of which few are visited where pairs were kept.

Over all pairs the minimum is a softmin with unit weights, which is never above it, at a temperature that leaves no
digit of difference. Where pairs were kept, temperatures fall in two stages from that of the plan, each with a screen of its own around
the last softmin, and what a screen leaves out is bounded and added to the sum under the logarithm.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ...points import CLOSED, Points
from ..problem import Problem
from ..pruned.clouds import BlockCloud
from ..pruned.kept_pairs import KeptPairs
from ..pruned.softmins import PrunedSoftmins

__all__ = ["minima"]

HARD = 1e-9  # temperature of a minimum, relative to potentials and costs
STAGES = (0.125, 1e-6), (0.025, 1e-12)  # temperatures relative to that of the plan, and tolerances
HIGHEST = 1e25  # sums whose exponents may have been cut off
TINY = 1e-290  # added to sums under the logarithm: none may underflow


def minima(problem: Problem, near: Tensor, g: Tensor, weights: Tensor, size: float) -> Tensor:
    """Lower bounds ``(N,)`` of the minima, exact but for rounding unless pairs crowd at the minimum.

    Args:
        problem: one item, in double precision.
        near: ``(N,)`` potential of the source, some temperatures from the softmin of g at most.
        g: ``(M,)`` potential of the target.
        weights: ``(M,)``, of the target; points without weight do not count.
        size: of the largest potentials and costs.
    """
    if isinstance(problem.pairs, KeptPairs):
        return _over_few(problem, problem.pairs, near, g, weights, size)
    hard = max(HARD * size, 1e-300)
    col = (g / hard).where(weights > 0, CLOSED)[None].contiguous()
    sums = problem.engine.bind(problem.source.positions, problem.target.positions)
    return -hard * sums.logsumexp(problem.cost, g.new_full((1,), hard), col)[0]


def _over_few(
    problem: Problem, pairs: KeptPairs, near: Tensor, g: Tensor, weights: Tensor, size: float
) -> Tensor:
    check, eps, here = pairs.checks[0], problem.eps, problem.source.positions[0]
    uniform = torch.ones_like(here[:, 0]) / len(here), (weights > 0).to(g) / (weights > 0).sum()
    source = BlockCloud(here, uniform[0])
    target = BlockCloud(problem.target.positions[0], uniform[1])
    softmin = eps * problem.log_rows(g[None], near[None])[0]  # of the visited pairs
    guess = softmin.where(softmin.isfinite(), near)
    for cooler, tol in STAGES:
        rest = check.cost, check.penalty, cooler * eps, tol, torch.float64, check.engine
        guess, total = _softmin(PrunedSoftmins(source, target, *rest), guess, g)
    lost = (~(total < HIGHEST)).nonzero()[:, 0]
    if len(lost):
        some = Points(here[None, lost], uniform[0][None, lost])
        all_pairs = replace(problem, source=some, pairs=None)
        guess[lost] = minima(all_pairs, near[lost], g, weights, size)
    return guess


def _softmin(screen: PrunedSoftmins, guess: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    """A softmin with unit weights, lowered by what was not visited, and the sum of its exponentials."""
    source, target = screen.clouds
    here, there, weights = guess[source.order], g[target.order], target.weights[:, None]
    screen.build(here, there, 0.0)
    sums = screen.products(0, here, there, weights)[source.inverse, 0] + screen.missed(guess, g)
    total = (sums + TINY) / weights.max()
    return guess - screen.eps * total.log(), total
