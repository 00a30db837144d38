"""The Hessian of a loop of Sinkhorn updates, by autograd through every one of them.

It is what a library without an implicit rule would return: as slow as its graph is long, and as wrong
as the loop has not converged. For teaching and for tests.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...errors import bad_input
from ...formulas import GroundCost
from ...operators.base import Array, Operator
from ...points import Points
from ..problem import Problem

__all__ = ["UnrolledHessian"]


PASS = (
    2**15
)  # numbers of an intermediate result, for the columns that share a pass through the graph


class UnrolledHessian(Operator):
    """Second derivatives of the dual value after ``n_iter`` updates from zero potentials.

    Args:
        problems: that of two clouds, and those of each with itself if debiased.
        wrt: "x", "y", "a" or "b".
        n_iter: updates of both potentials; they are at the last temperature throughout.
    """

    symmetric = True

    def __init__(self, problems: list[Problem], wrt: str, n_iter: int) -> None:
        if isinstance(n_iter, bool) or not isinstance(n_iter, int) or n_iter < 1:
            raise bad_input("n_iter", repr(n_iter), "a number of updates, at least 1")
        self.wrt, self.n_iter = wrt, n_iter
        first = problems[0]
        cloud = first.source if wrt in "xa" else first.target
        like = cloud.positions if wrt in "xy" else cloud.weights
        self.of, self.moving = tuple(like.shape[1:]), like.detach().double().requires_grad_()
        self.shape, self.reference = (math.prod(self.of),) * 2, like.new_empty(0)
        pairs = first.source.positions.shape[1] * first.target.positions.shape[1]
        self.together = max(1, PASS // pairs)
        with torch.enable_grad():
            value = self._value(first, wrt)
            if len(problems) > 1:
                own = problems[1] if wrt in "xa" else problems[2]
                value = value - self._value(own, "x" if wrt in "xy" else "a") / 2
                value = value + first.penalty.mass_term(*self._clouds(first, wrt), first.eps)
            (self.gradient,) = torch.autograd.grad(value.sum(), self.moving, create_graph=True)

    def _value(self, problem: Problem, wrt: str) -> Tensor:
        """The dual value with its whole graph."""
        return unrolled_value(problem, *self._clouds(problem, wrt), self.n_iter)

    def _clouds(self, problem: Problem, wrt: str) -> tuple[Points, Points]:
        """The clouds in float64, one of them with what moves."""
        source, target = problem.source.double(), problem.target.double()
        cloud = source if wrt in "xa" else target
        moved = Points(
            self.moving if wrt in "xy" else cloud.positions,
            self._simplex(problem) if wrt in "ab" else cloud.weights,
        )
        source, target = (moved, target) if wrt in "xa" else (source, moved)
        return source, moved if problem.symmetric else target

    def _simplex(self, problem: Problem) -> Tensor:
        """Weights; where their sum is imposed, only their differences move."""
        if not problem.penalty.imposed:
            return self.moving
        mean = self.moving.mean(-1, keepdim=True)
        return self.moving - (mean - mean.detach())

    def product(self, v: Tensor) -> Tensor:
        rows = v.detach().double().mT.reshape(-1, 1, *self.of)
        found = [
            torch.autograd.grad(
                self.gradient, self.moving, some, retain_graph=True, is_grads_batched=True
            )[0]
            for some in rows.split(self.together)
        ]
        return torch.cat(found).view(len(rows), -1).mT.to(v.dtype)

    def transpose(self) -> Operator:
        return self

    def diagonal(self) -> Array:
        return self.to_dense().reshape(self.shape).diagonal()

    def to_dense(self) -> Array:
        """The whole Hessian, ``(N, D, N, D)`` or ``(N, N)``, a few passes through the graph."""
        return super().to_dense().reshape(self.of + self.of)

    def __repr__(self) -> str:
        rows, cols = self.shape
        return f"<unrolled Hessian in {self.wrt}, {rows:,} x {cols:,}, {self.n_iter} updates>"


def unrolled_value(problem: Problem, source: Points, target: Points, n_iter: int) -> Tensor:
    """The dual value ``(B,)`` after some updates, as a function that autograd sees through."""
    if not isinstance(problem.cost, GroundCost):
        raise bad_input("cost", repr(problem.cost), "a radial cost")
    squares = (source.positions[:, :, None] - target.positions[:, None]).square().sum(-1)
    apart: Tensor | float = 1.0
    if problem.cost.singular:  # autograd knows no derivative of the root at zero
        apart = (squares > 0).to(squares)
        squares = squares.where(squares > 0, 1.0)
    cost, eps, rhos = problem.cost(squares) * apart, problem.eps, problem.penalty.rhos
    a, b = source.weights, target.weights
    damping = [1 / (1 + eps / rho) for rho in rhos]

    def update(k: int, h: Tensor) -> Tensor:
        costs, weights = (cost, b) if k == 0 else (cost.mT, a)
        sums = (weights.log()[:, None] + (h[:, None] - costs) / eps).logsumexp(-1)
        return -damping[k] * eps * sums

    f, g = torch.zeros_like(a), torch.zeros_like(b)
    for _ in range(n_iter):
        if problem.symmetric:
            f = g = (f + update(0, f)) / 2
        else:
            f = update(0, g)
            g = update(1, f)
    plan = a[..., None] * b[:, None] * ((f[..., None] + g[:, None] - cost) / eps).exp()
    value = -eps * (plan.sum((-1, -2)) - a.sum(-1) * b.sum(-1))
    for side, (weights, h) in enumerate(((a, f), (b, g))):
        value = value + (weights * problem.penalty.worth(side, h)).sum(-1)
    return value
