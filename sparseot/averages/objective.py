r"""What a barycenter minimises: :math:`F(\mu) = \sum_k w_k \, S(\mu, \nu_k)`, with its gradient.

A divergence is taken apart, :math:`S = OT(\mu, \nu_k) - OT(\mu, \mu) / 2 - OT(\nu_k, \nu_k) / 2`: the
transport of the average to itself is one problem for all clouds, and those of the clouds to themselves
are solved once. Each solve starts from the potentials of the place before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..engines.choose import choose_engine
from ..points import Points
from ..transport.derivatives.solved import Solved
from ..transport.posed import solve_clouds
from ..transport.problem import check_cost
from ..transport.result import Transport
from ..transport.solution import Potentials
from ..transport.solvers.sinkhorn import Sinkhorn
from .ground import Ground

__all__ = ["Objective", "Place", "Support"]

Start = Transport | Potentials


@dataclass(frozen=True)
class Support:
    """Weighted points: ``(n, D)`` and ``(n,)``, in float64."""

    points: Tensor
    weights: Tensor


class Place:
    """The objective at one support.

    Attributes:
        support: where it is.
        value: the objective.
        transports: to each cloud, and last, debiased, to itself.
        sweeps: of these solves.
    """

    def __init__(
        self,
        support: Support,
        total: Tensor,
        leaves: tuple[Tensor, Tensor],
        solved: list[Transport],
    ) -> None:
        self.support, self.total, self.leaves = support, total, leaves
        self.value, self.transports = float(total.detach()), solved
        self.sweeps = sum(found.n_iter for found in solved)

    def gradient(self) -> tuple[Tensor, Tensor]:
        """In the points and in the weights, float64."""
        in_points, in_weights = torch.autograd.grad(self.total, self.leaves, retain_graph=True)
        return in_points.double(), in_weights.double()


class Objective:
    """The weighted sum of divergences to some clouds.

    Args:
        clouds: moved points ``(N_k, D)`` and weights ``(N_k,)`` of each.
        shares: how much each counts; they add up to one.
        solver: how problems are solved, and to which tolerance at last.
        ground: the cost, and where its points are.
        reach: how far mass is moved, or None.
        debias: whether it is a divergence, or the entropic transport cost.
    """

    def __init__(
        self,
        clouds: list[tuple[Tensor, Tensor]],
        shares: Tensor,
        solver: Sinkhorn,
        ground: Ground,
        reach: float | None,
        debias: bool,
    ) -> None:
        self.shares, self.solver, self.debias = shares.tolist(), solver, debias
        self.least = solver.tol or 0.0
        self.ground, self.reach = ground, reach
        self.clouds = [(x.clone(), a.clone()) for x, a in clouds]
        if debias:
            self._check()
        self.own = [self.solve(*cloud, *cloud) for cloud in self.clouds] if debias else []

    def _check(self) -> None:
        """Refuses a cost that is not symmetric, by which a cloud and itself have no divergence."""
        for x, a in self.clouds:
            cloud = Points(x[None], a[None])
            engine, _ = choose_engine(self.solver.engine, self.ground.cost, cloud.positions)
            check_cost(self.ground.cost, cloud, cloud, True, engine)

    def at(self, support: Support, starts: Sequence[Start] | None = None) -> Place:
        """The objective at a support; solves may start from those of a place near it, or from potentials."""
        like = self.clouds[0][0]
        with torch.enable_grad():
            x, a = (
                t.detach().clone().to(like).requires_grad_()
                for t in (support.points, support.weights)
            )
            there = self.ground.settled(x)
            sides = [*self.clouds, *([(there, a)] if self.debias else [])]
            firsts: Sequence[Start | None] = starts or [None] * len(sides)
            found = [
                self.solve(there, a, y, b, first)
                for (y, b), first in zip(sides, firsts, strict=True)
            ]
            return Place(support, self._total(found, a), (x, a), found)

    def solve(
        self, x: Tensor, a: Tensor, y: Tensor, b: Tensor, start: Start | None = None
    ) -> Transport:
        """One transport problem."""
        how: dict[str, Any] = {"blur": self.ground.blur, "p": self.ground.p, "reach": self.reach}
        how |= {"debias": False, "cost": self.ground.cost, "solver": self.solver, "init": start}
        parts = solve_clouds(x, y, a, b, **how)
        return Transport(*parts, self.solver)

    def solve_to(self, tol: float) -> None:
        """Sets the tolerance of solves from here on, which is never below the one that was asked for."""
        self.solver = replace(self.solver, tol=max(tol, self.least))

    def solved(self, place: Place) -> list[Solved]:
        """All problems that the value of a place was made of."""
        return [found.solved[0] for found in (*place.transports, *self.own)]

    def _total(self, found: list[Transport], a: Tensor) -> Tensor:
        """The objective in float64, with its graph."""
        costs = [one.solved[0].value[0].double() for one in found]
        total = sum(
            (w * cost for w, cost in zip(self.shares, costs, strict=False)), a.new_zeros(())
        )
        if not self.debias:
            return total
        total = total - costs[-1] / 2
        for w, own, (_, b) in zip(self.shares, self.own, self.clouds, strict=True):
            total = total - w * float(own.solved[0].numbers) / 2
            if self.reach is not None:  # masses may differ
                excess = a.double().sum() - b.double().sum()
                total = total + w * self.ground.eps / 2 * excess**2
        return total
