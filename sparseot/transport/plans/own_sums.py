"""Products with a plan over kept pairs that ranks share, each of which has the points of its blocks only."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor

from ...formulas import GroundCost
from ...points import log_weights
from ..problem import Problem
from ..pruned.kept_pairs import KeptPairs
from .sums import PlanSums

__all__ = ["OwnSums"]


class OwnSums(PlanSums):
    """The same of one pair of clouds, whose vectors are of the points of the blocks here, in their order.

    Numbers are of all ranks, and the same on all. The cost is a multiple of the square of the distance.
    """

    def __init__(self, problem: Problem, f: Tensor, g: Tensor) -> None:
        assert isinstance(problem.pairs, KeptPairs)
        self.problem, self.pairs = problem, problem.pairs.certifying(0)
        (self.check,) = self.pairs.checks
        self.clouds = self.check.clouds
        weights = [cloud.weights for cloud in self.clouds]
        self.own = f.double(), g.double()
        self._hold(problem, weights, [*self.own])
        self._take()

    def halved(self) -> OwnSums:
        """Those of a cloud and itself, for the mean of both potentials."""
        half = (self.own[0] + self.own[1]) / 2
        return OwnSums(self.problem, half, half)

    def add(self, v: Tensor) -> float:
        return self.clouds[0].total(float(v.sum()))[0]

    def dot(self, u: Tensor, v: Tensor) -> float:
        return self.clouds[0].total(float(u @ v))[0]

    def most(self, v: Tensor) -> float:
        return self.clouds[0].highest(v)

    def _missed(self, pairs: KeptPairs, f: Tensor, g: Tensor) -> Tensor:
        return self.check.own_missed(f, g)

    def _span(self) -> float:
        (low, high), (below, above) = (cloud.corners for cloud in self.clouds)
        return float((torch.maximum(high, above) - torch.minimum(low, below)).norm())

    def rows(self, v: Tensor) -> Tensor:
        return self._sum(0, self.f, self.g, self.b, v)

    def cols(self, u: Tensor) -> Tensor:
        return self._sum(1, self.g, self.f, self.a, u)

    def costs(self, v: Tensor) -> Tensor:
        return self._sum(0, self.f, self.g, self.b, v, with_cost=True)

    def _sum(
        self, side: int, here: Tensor, there: Tensor, w: Tensor, v: Tensor, with_cost: bool = False
    ) -> Tensor:
        cost, pairs = cast(GroundCost, self.problem.cost), cast(KeptPairs, self.pairs)
        kernel = cost.weighted_gibbs(self.eps) if with_cost else cost.gibbs(self.eps)
        cols = there + log_weights(w) * self.eps
        values = v if v.dim() == 2 else v[:, None]
        found = (pairs.T if side else pairs).own_sum(kernel, values, here, cols)
        return found if v.dim() == 2 else found[:, 0]

    def outer_cost(self, u: Tensor, v: Tensor) -> float:
        """By moments about one centre."""
        X, Y = self.clouds
        centre = (X.centre + Y.centre) / 2
        moments = []
        for cloud, w in ((X, u), (Y, v)):
            way = cloud.points - centre
            means = [self.dot(w, c) for c in way.T]
            moments.append((self.add(w), self.dot(w, way.square_().sum(1)), means))
        (mass, square, mean), (other, second, there) = moments
        inner = math.fsum(s * t for s, t in zip(mean, there, strict=True))
        factor = cast(GroundCost, self.problem.cost).factor
        return factor * (square * other + second * mass - 2 * inner)
