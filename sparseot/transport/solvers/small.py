"""Small problems: the cost matrix is stored, and the descent is compiled from end to end."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...engines.choose import stored_loops
from ...formulas import GroundCost, Symbolic
from ...operators.small import squares
from ...pairs import Array
from ...points import CLOSED
from ..marginals import Marginals
from ..problem import Problem
from ..softmins import Number, Outcome, Softmins, Step, Vector
from .progress import Stopped
from .relaxation import Watch, relaxed_sweeps

__all__ = ["StoredSoftmins", "compiled_fixed_point", "newton_sweeps"]

STORED_PAIRS = (
    1 << 16
)  # pairs, up to which one thread on a stored matrix is faster than all on the points
PATIENCE = 60  # compiled sweeps, within which Newton's method ends if it finds a way,
RELAXED = 200  # and over-relaxed ones, from which it sets out again
EXACT, POLISH = 1e-15, 20  # error, and sweeps, that end a descent to rounding


class StoredSoftmins(Softmins):
    """All pairs of two clouds of some hundred points; float64, whatever the points have.

    The compiled loops see the vectors as NumPy arrays, which share their memory.

    Args:
        costs: ``(N, M)``; symmetric, for a cloud and itself.
        a: ``(N,)`` weights.
        b: ``(M,)`` weights.
        penalty: how the marginals are held.
        eps: the temperature, which may be lowered between solves.
    """

    def __init__(self, costs: Tensor, a: Tensor, b: Tensor, penalty: Marginals, eps: float) -> None:
        self.a, self.b = a.contiguous(), b.contiguous()  # one type for the loops
        self.penalty, self.eps = penalty, eps
        self.costs = costs.numpy(), costs.T.contiguous().numpy()
        self.weights = self.a.numpy(), self.b.numpy()
        self.logs = tuple(np.log2(np.where(w > 0, w, 1)) + CLOSED * (w <= 0) for w in self.weights)
        self.rates = tuple(1 / rho for rho in penalty.rhos)
        self.loops = stored_loops()

    @classmethod
    def of(cls, problem: Problem) -> StoredSoftmins:
        """Those of a batch of one; a function sees the points in their own precision."""
        clouds, cost = (problem.source, problem.target), problem.cost
        assert not isinstance(cost, Symbolic)
        x, y = (c.positions.detach() for c in clouds)
        a, b = (c.weights[0].detach().double() for c in clouds)
        if isinstance(cost, GroundCost):
            costs = cost.polynomial(squares(x[0].double(), y[0].double()))
        else:
            costs = cost(x, y)[0].detach().double().contiguous()
        return cls(costs, a, b, problem.penalty, problem.eps)

    def step(self, side: int, here: Tensor, there: Tensor, look: bool = True) -> Step:
        out = torch.empty_like(here)
        return Step(out, *self.half_step(side, here.numpy(), there.numpy(), out.numpy()))

    def half_step(self, side: int, here: Array, there: Array, out: Array) -> tuple[float, float]:
        """The update into ``out``; the error of the marginal before it, and its mass."""
        weights, logs = self.weights[side], self.logs[1 - side]
        both = here, there, float(self.eps), self.rates[side], out
        found: tuple[float, float] = self.loops.half_step(self.costs[side], weights, logs, *both)
        return found

    def mean(self, side: int, of: Callable[[int, Any], Any], h: Vector) -> Number:
        vector = h.numpy() if isinstance(h, Tensor) else h
        return float(np.einsum("i,i", self.weights[side], of(side, vector)))

    def descend(
        self, f: Array, g: Array, tol: float, budget: int, rho2: float
    ) -> tuple[float, int]:
        """Sweeps and steps of Newton's method, in place: the error of one marginal, and their number."""
        sides = *self.costs, *self.weights, *self.logs, float(self.eps), *self.rates
        found: tuple[float, int] = self.loops.descend(*sides, f, g, float(tol), budget, rho2 > 0)
        return found

    def polished(self, f: Tensor, g: Tensor, symmetric: bool) -> tuple[Tensor, Tensor]:
        """Potentials taken from the tolerance of a solve to rounding."""
        if symmetric:
            h = compiled_fixed_point(self, f, tol=EXACT, budget=POLISH).f
            return h, h
        f, g = f.clone(), g.clone()
        self.descend(f.numpy(), g.numpy(), EXACT, POLISH, 1.0)
        return f, g


def newton_sweeps(
    softmins: Softmins, state: list[Tensor], tol: float, budget: float, rho2: float, watch: Watch
) -> Outcome:
    """Compiled ones; where Newton's method finds no way, over-relaxed ones in turn with them."""
    assert isinstance(softmins, StoredSoftmins)
    (f, g), spent, aim = (h.numpy().copy() for h in state), 0.0, tol
    vectors = torch.from_numpy(f), torch.from_numpy(g)
    while True:
        state[:] = vectors
        most = math.ceil(min(budget - spent, PATIENCE))
        error, count = softmins.descend(f, g, aim, most, rho2)
        spent += count
        found = _close(softmins, vectors, f, g, spent)
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
            f[:], g[:] = found.f_prev.numpy(), found.g_prev.numpy()


def _close(
    softmins: StoredSoftmins, vectors: tuple[Tensor, Tensor], f: Array, g: Array, sweeps: float
) -> Outcome:
    """As that of all softmins, by arrays, which are cheaper to make; ``vectors`` are views of both."""
    last = np.empty_like(g)
    error, _ = softmins.half_step(1, g, f, last)
    value = float(softmins.dual(f, last, softmins.kept(1, last)))
    (here, there), new = vectors, torch.from_numpy(last)
    return Outcome(here, new, here, there, error, sweeps + 0.5, value)


def compiled_fixed_point(
    softmins: StoredSoftmins,
    h: Tensor,
    *,
    tol: float,
    budget: float,
    watch: Watch = lambda error: None,
) -> Outcome:
    """The potential of a cloud with itself, in one call; ``watch`` hears of its end."""
    h, new, most = h.clone(), torch.empty_like(h), 2 * math.ceil(budget)
    weights, logs = softmins.weights[0], softmins.logs[0]
    matrix = softmins.costs[0], weights, logs, float(softmins.eps), softmins.rates[0]
    both = h.numpy(), new.numpy()
    error, passes = softmins.loops.fixed_point(*matrix, *both, float(tol), most)
    value = float(softmins.dual(new, h, softmins.kept(0, new)))
    try:
        watch(error)
    except Stopped:  # what was found is there
        return Outcome(new, new, h, h, error, passes / 2, value, True)
    return Outcome(new, new, h, h, error, passes / 2, value)
