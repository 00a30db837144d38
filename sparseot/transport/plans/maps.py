r"""Barycentric maps: where a plan sends the points of its source, and any other point.

At a new point x the mean of y under :math:`b_j e^{(g_j - C(x, y_j)) / \varepsilon}` is wanted. Where
only kept pairs were visited, new points are put in blocks too, and tiles are screened for them as for
the points of the source. That takes a potential at the new points, which must not be too low: with s
the softmin of g and T the map, :math:`|x|^2 / 2 - s(x)` is convex and has the gradient T, so that

.. math::
    s(x) \le s(x_k) + (x - x_k) \cdot (x_k - T(x_k)) + \tfrac12 |x - x_k|^2

at each point :math:`x_k` of the source; the nearest one serves. Other powers have bounds of that form too
(:mod:`..pruned.scales`). The sums that come out are checked
against the bound on what was dropped, and rows that may miss something are taken over all pairs.
"""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from ...engines.base import LOG2E
from ...engines.choose import neighbour_kernels, no_kernels
from ...engines.openmp import thread_count
from ...formulas import GroundCost, Opaque
from ...operators.autograd.kernel_sums import kernel_sum
from ...points import log_weights
from ..problem import Problem
from ..pruned.blocks.clouds import SIZE, BlockCloud
from ..pruned.kept_pairs import KeptPairs, worth
from ..pruned.softmins import PrunedSoftmins
from ..solution import OwnedSolution

__all__ = ["mapped", "mapped_blocks", "mapped_points"]

MISSED = 1e-5  # share of the sums that a new point's dropped tiles may hold
FAR = 40.0  # temperatures by which the potential may be overestimated: exp of it is still a number
LOWEST, HIGHEST = 1e-30, 1e30  # sums that lost nothing
LOW_DIMENSION, ENTRIES = 16, 1 << 24  # of a search by kernels; and distances of a tile without them
HALF = 0.5  # of a row whose kept pairs hold what matters; the whole is one


def mapped(problem: Problem, f: Tensor, g: Tensor, values: Tensor | None = None) -> Tensor:
    """The mean ``(B, N, R)`` of the partners of each point of the source.

    Partners are the points of the target, or ``values`` ``(B, M, R)`` in their place. Rows whose visited pairs may miss a share of the sum are taken over all pairs.
    """
    pairs, rho = problem.pairs, problem.penalty.rhos[0]
    means, total = _means(problem, g, values, _softmin(problem, f))
    known = (total > LOWEST) & (total < HIGHEST)
    if isinstance(pairs, KeptPairs):
        known &= total > HALF
        if not math.isinf(rho):  # sums of the plan, which are near one where they are imposed
            sums = (-f / rho).double().exp() * total
            known &= pairs.missed(f.double(), g.double()) <= pairs.checks[0].tol * sums
    for k, row in enumerate(known):
        lost = (~row).nonzero()[:, 0]
        if len(lost):
            x = problem.source.positions[k : k + 1, lost]
            means[k, lost] = _over_all_pairs(problem, k, x, g, values)
    return means


def mapped_blocks(problem: Problem, found: OwnedSolution, side: int) -> Tensor | None:
    """The same for the points of one side in the blocks of this rank, ``(n, D)`` in their order.

    None where rows of some rank may miss something.
    """
    assert isinstance(problem.pairs, KeptPairs) and isinstance(problem.cost, GroundCost)
    (check,), pairs, rho = problem.pairs.checks, problem.pairs, problem.penalty.rhos[side]
    here, there = found.clouds[side], found.clouds[1 - side]
    f, g = (h.double() for h in (found.parts[side], found.parts[1 - side]))
    centre = there.centre
    columns = torch.cat((there.points - centre, torch.ones_like(there.points[:, :1])), 1)
    rows, cols = f * (1 + problem.eps / rho), log_weights(there.weights) * problem.eps + g
    pairs = pairs.T if side else pairs
    sums = pairs.own_sum(problem.cost.gibbs(problem.eps), columns, rows, cols)
    total = sums[:, -1]
    known = (total > HALF) & (total < HIGHEST)
    if not math.isinf(rho):
        if side:
            check = check.like(here, there)
            check.build(f, g, 0.0)
        known &= check.own_missed(f, g) <= pairs.checks[0].tol * (-f / rho).exp() * total
    if here.highest((~known).double()) > 0:
        return None
    return centre + sums[:, :-1] / sums[:, -1:]


def mapped_points(
    problem: Problem, f: Tensor, g: Tensor, points: Tensor, values: Tensor | None = None
) -> Tensor:
    """The entropic map ``(B, K, R)`` at new points ``(B, K, D)``; ``values`` as :func:`mapped` takes them."""
    if isinstance(problem.cost, Opaque):
        problem.cost.check(points, problem.target.positions, ("points", "the target"))
    pairs, count = problem.pairs, points.shape[1] * g.shape[1]
    if not isinstance(pairs, KeptPairs) or count < worth(problem.p):
        items = [_over_all_pairs(problem, k, x[None], g, values) for k, x in enumerate(points)]
        return torch.stack(items)
    softmins, slopes, found = _softmin(problem, f), torch.zeros_like(problem.source.positions), []
    if pairs.checks[0].scale.sloped:
        slopes = _slopes(problem, f, g, softmins)
    for k, check in enumerate(pairs.checks):
        known = (t[k].double() for t in (softmins, slopes, points))
        new = _NewPoints(check, pairs.side, *known)
        out, lost = new.means(g[k].double(), None if values is None else values[k].double())
        some = out.to(points)
        if len(lost):
            some[lost] = _over_all_pairs(problem, k, points[k : k + 1, lost], g, values)
        found.append(some)
    return torch.stack(found)


def _slopes(problem: Problem, f: Tensor, g: Tensor, softmins: Tensor) -> Tensor:
    """The gradients ``(B, N, D)`` of the softmin in the points of the source."""
    cost, eps, x, y = problem.cost, problem.eps, problem.source.positions, problem.target.positions
    assert isinstance(cost, GroundCost)
    if cost.power == 2:
        return 2 * cost.factor * (x - mapped(problem, f, g))
    centre = y.mean(1, keepdim=True)
    v = torch.cat((torch.ones_like(y[..., :1]), y - centre), -1)
    logs = softmins / eps, problem.target.log_weights + g / eps
    how: dict[str, Any] = {"engine": problem.engine, "pairs": problem.pairs}
    sums = kernel_sum(cost.profiles(eps)[1], x, y, v, *logs, **how)
    found = sums[..., :1] * (x - centre) - sums[..., 1:]
    return found - (found * x).sum(-1, keepdim=True) * x if cost.arc else found  # along the sphere


def _over_all_pairs(
    problem: Problem, k: int, points: Tensor, g: Tensor, values: Tensor | None
) -> Tensor:
    """The map ``(K, R)`` of one item at any points ``(1, K, D)``."""
    own = None if values is None else values[k : k + 1]
    return _means(problem.item(k), g[k : k + 1], own, x=points)[0][0]


def _softmin(problem: Problem, f: Tensor) -> Tensor:
    """What a potential is before it is damped."""
    return f * (1 + problem.eps / problem.penalty.rhos[0])


def _means(
    problem: Problem,
    g: Tensor,
    values: Tensor | None,
    softmin: Tensor | None = None,
    x: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Means of the target ``(B, N, D)``, about its centre for the digits' sake, and the rows' sums."""
    y = problem.target.positions if values is None else values
    centre = y.mean(1, keepdim=True)
    row = problem.log_rows(g, x=x) if softmin is None else softmin / problem.eps
    columns = torch.cat((y - centre, torch.ones_like(y[..., :1])), -1)
    sums = problem.plan_product(row, g, columns, x=x)
    return centre + sums[..., :-1] / sums[..., -1:], sums[..., -1]


class _NewPoints:
    """New points in blocks, with a potential that is nowhere too low."""

    def __init__(
        self, check: PrunedSoftmins, side: int, softmin: Tensor, slopes: Tensor, points: Tensor
    ) -> None:
        self.check, self.side, self.eps = check, side, check.eps
        here, self.there = check.clouds[side], check.clouds[1 - side]
        here_points = here.given[0].double()
        nearest = _nearest(here_points, points)
        way = points - here_points[nearest]
        self.guess, rise = check.scale.above(way, softmin[nearest], slopes[nearest])
        self.points, self.near = points, rise <= FAR * self.eps

    def means(self, g: Tensor, values: Tensor | None) -> tuple[Tensor, Tensor]:
        """Means of the target ``(K, R)``, and the numbers of those rows that are not known."""
        there = self.there
        y = there.points if values is None else there.own(values)
        out, lost = g.new_zeros(len(self.points), y.shape[1]), torch.ones_like(self.near)
        known = self.near.nonzero()[:, 0]
        if len(known):
            weights = g.new_full((len(known),), 1 / len(known))
            cloud = BlockCloud(self.points[known], weights, there.ranks)
            means, sure = self._sums(cloud, cloud.own(self.guess[known]), g, y)
            means, sure = cloud.whole(means), cloud.whole(sure)
            places = known[sure]
            out[places], lost[places] = means[sure], False
        return out, lost.nonzero()[:, 0]

    def _sums(self, cloud: BlockCloud, row: Tensor, g: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Means for the points of a cloud, and which of them are sure."""
        new = self.check.like(cloud, self.there)
        new.tol = min(self.check.tol, MISSED)
        there = self.there
        col = there.own(g)
        new.build(row, col, 0.0)
        logs = there.log_weights.view(-1)[: there.n] * (self.eps / LOG2E)
        centre = there.mean(y)
        columns = torch.cat((y - centre, torch.ones_like(logs)[:, None]), 1)
        sums = new.products(0, row, col + logs, columns)
        total = sums[:, -1]
        bound = new.tiles.omitted.repeat_interleave(SIZE)[: cloud.n]
        sure = (bound <= MISSED * total) & (total < HIGHEST)
        return centre + sums[:, :-1] / total[:, None], sure


def _nearest(cloud: Tensor, points: Tensor) -> Tensor:
    """The numbers of points of a cloud that are the nearest, up to rounding: any near one serves.

    By a tree on a CPU; on a device by kernels where they run, else by tiles of all distances.
    """
    if cloud.device.type == "cpu":
        scipy = import_module("scipy.spatial")  # here, for a light import of the library
        _, nearest = scipy.cKDTree(cloud.numpy()).query(points.numpy(), workers=thread_count())
        return torch.from_numpy(nearest)
    if cloud.shape[1] <= LOW_DIMENSION and no_kernels(cloud.device) is None:
        middle = cloud.mean(0)
        here, there = ((t - middle).float() for t in (points, cloud))
        found: Tensor = neighbour_kernels().nearest(here, there, 1)[:, 0]
        return found
    rows = max(1, ENTRIES // len(cloud))
    return torch.cat([torch.cdist(some, cloud).argmin(1) for some in points.split(rows)])
