"""Small problems: the cost matrix is stored, and the descent is compiled from end to end."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ...engines.choose import stored_loops
from ...formulas import GroundCost
from ...operators.small import squares
from ...points import CLOSED
from ..marginals import Marginals
from ..problem import Problem
from ..softmins import Array, Outcome, Softmins
from .progress import Stopped
from .relaxation import Watch, close, relaxed_sweeps

__all__ = ["StoredSoftmins", "compiled_fixed_point", "newton_sweeps"]

STORED_PAIRS = (
    1 << 16
)  # pairs, up to which one thread on a stored matrix is faster than all on the points
PATIENCE = 60  # compiled sweeps, within which Newton's method ends if it finds a way,
RELAXED = 200  # and over-relaxed ones, from which it sets out again
EXACT, POLISH = 1e-15, 20  # error, and sweeps, that end a descent to rounding


class StoredSoftmins(Softmins):
    """All pairs of two clouds of some hundred points; float64, whatever the points have.

    Args:
        costs: ``(N, M)``; symmetric, for a cloud and itself.
        a: ``(N,)`` weights.
        b: ``(M,)`` weights.
        penalty: how the marginals are held.
        eps: the temperature, which may be lowered between solves.
    """

    def __init__(self, costs: Array, a: Array, b: Array, penalty: Marginals, eps: float) -> None:
        self.a, self.b = (np.ascontiguousarray(w) for w in (a, b))  # one type for the loops
        self.penalty, self.eps = penalty, eps
        self.costs = costs, np.ascontiguousarray(costs.T)
        self.logs = tuple(np.log2(np.where(w > 0, w, 1)) + CLOSED * (w <= 0) for w in (a, b))
        self.rates = tuple(1 / rho for rho in penalty.rhos)
        self.loops = stored_loops()

    @classmethod
    def of(cls, problem: Problem) -> StoredSoftmins:
        """Those of a batch of one."""
        clouds, cost = (problem.source, problem.target), problem.cost
        assert isinstance(cost, GroundCost)
        x, y = (c.positions[0].detach().double() for c in clouds)
        a, b = (c.weights[0].detach().double().numpy() for c in clouds)
        costs = cost.polynomial(squares(x, y)).numpy()
        return cls(costs, a, b, problem.penalty, problem.eps)

    def step(self, side: int, here: Array, there: Array) -> tuple[Array, float, float]:
        out = np.empty_like(here)
        error, mass = self.loops.half_step(
            self.costs[side],
            (self.a, self.b)[side],
            self.logs[1 - side],
            here,
            there,
            float(self.eps),
            self.rates[side],
            out,
        )
        return out, error, mass

    def descend(
        self, f: Array, g: Array, tol: float, budget: int, rho2: float
    ) -> tuple[float, int]:
        """Sweeps and steps of Newton's method, in place: the error of one marginal, and their number."""
        sides = *self.costs, self.a, self.b, *self.logs, float(self.eps), *self.rates
        found: tuple[float, int] = self.loops.descend(*sides, f, g, float(tol), budget, rho2 > 0)
        return found

    def polished(self, f: Tensor, g: Tensor, symmetric: bool) -> tuple[Tensor, Tensor]:
        """Potentials taken from the tolerance of a solve to rounding."""
        first, second = (np.array(h.numpy()) for h in (f, g))
        if symmetric:
            h = torch.from_numpy(compiled_fixed_point(self, first, tol=EXACT, budget=POLISH).f)
            return h, h
        self.descend(first, second, EXACT, POLISH, 1.0)
        return torch.from_numpy(first), torch.from_numpy(second)


def newton_sweeps(
    softmins: Softmins, state: list[Array], tol: float, budget: float, rho2: float, watch: Watch
) -> Outcome:
    """Compiled ones; where Newton's method finds no way, over-relaxed ones in turn with them."""
    assert isinstance(softmins, StoredSoftmins)
    (f, g), spent, aim = (np.array(h) for h in state), 0.0, tol
    while True:
        state[:] = f, g
        most = math.ceil(min(budget - spent, PATIENCE))
        error, count = softmins.descend(f, g, aim, most, rho2)
        spent += count
        found = close(softmins, f, g, spent)
        watch(found.error)
        if found.error <= tol or spent >= budget:
            return found
        if error <= aim:  # of one marginal, where the error of the other is larger
            aim *= 0.8 * tol / found.error
        elif rho2 > 0:
            rest = min(budget - spent, RELAXED)
            found = relaxed_sweeps(softmins, state, aim, rest, rho2, watch)
            spent += found.sweeps
            if found.error <= tol or spent >= budget:
                return replace(found, sweeps=spent)
            f[:], g[:] = found.f_prev, found.g


def compiled_fixed_point(
    softmins: StoredSoftmins,
    h: Array,
    *,
    tol: float,
    budget: float,
    watch: Watch = lambda error: None,
) -> Outcome:
    """The potential of a cloud with itself, in one call; ``watch`` hears of its end."""
    h, new, most = np.array(h), np.empty_like(h), 2 * math.ceil(budget)
    matrix = softmins.costs[0], softmins.a, softmins.logs[0], float(softmins.eps), softmins.rates[0]
    error, passes = softmins.loops.fixed_point(*matrix, h, new, float(tol), most)
    value = softmins.dual(new, h, softmins.kept(0, new))
    try:
        watch(error)
    except Stopped:  # what was found is there
        return Outcome(new, new, h, h, error, passes / 2, value, True)
    return Outcome(new, new, h, h, error, passes / 2, value)
