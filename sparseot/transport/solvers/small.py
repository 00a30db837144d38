"""Small problems: the cost matrix is stored, and the descent is compiled from end to end."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ...engines.base import Engine, Formula
from ...engines.choose import stored_loops
from ...formulas import Radial
from ...operators.small import squares
from ...points import Points
from ..marginals import Marginals
from .all_pairs import DenseSoftmins
from .relaxation import Array, Outcome, Softmins, close

__all__ = ["StoredSoftmins", "softmins_of"]

FEW = 1 << 16  # pairs, up to which one thread on a stored matrix is faster than all on the points
PATIENCE = 60  # compiled sweeps, within which Newton's method ends if it finds a way,
RELAXED = 200  # and over-relaxed ones, from which it sets out again
EXACT, POLISH = 1e-15, 20  # error, and sweeps, that end a descent to rounding
CLOSED = -1e30  # the logarithm of zero


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
    def of(
        cls, source: Points, target: Points, cost: Radial, penalty: Marginals, eps: float
    ) -> StoredSoftmins:
        """The problem of a batch of one."""
        x, y = (
            c.positions.view(*c.positions.shape[-2:]).detach().double() for c in (source, target)
        )
        a, b = (c.weights.view(-1).detach().double().numpy() for c in (source, target))
        return cls(cost.polynomial(squares(x, y)).numpy(), a, b, penalty, eps)

    def first(self, g: Array, f: Array) -> Array:
        return self.step(0, f, g)[0] * (1 + self.eps * self.rates[0])

    def second(self, f: Array, g: Array) -> Array:
        return self.step(1, g, f)[0] * (1 + self.eps * self.rates[1])

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

    def sweeps(
        self,
        state: list[Array],
        tol: float,
        budget: float,
        rho2: float,
        watch: Callable[[Array, Array, float], None],
    ) -> Outcome:
        """Compiled ones; where Newton's method finds no way, over-relaxed ones in turn with them."""
        (f, g), spent, aim = (np.array(h) for h in state), 0.0, tol
        while True:
            state[:] = f, g
            error, count = self.descend(f, g, aim, math.ceil(min(budget - spent, PATIENCE)), rho2)
            spent += count
            found = close(self, f, g, spent)
            watch(f, g, found.error)
            if found.error <= tol or spent >= budget:
                return found
            if error <= aim:  # of one marginal, where the error of the other is larger
                aim *= 0.8 * tol / found.error
            elif rho2 > 0:
                found = super().sweeps(state, aim, min(budget - spent, RELAXED), rho2, watch)
                spent += found.sweeps
                if found.error <= tol or spent >= budget:
                    return replace(found, sweeps=spent)
                f[:], g[:] = found.f_prev, found.g

    def fixed_point(
        self,
        h: Array,
        *,
        tol: float,
        budget: float,
        watch: Callable[[float], None] = lambda error: None,
    ) -> Outcome:
        h, new, most = np.array(h), np.empty_like(h), 2 * math.ceil(budget)
        error, passes = self.loops.fixed_point(
            self.costs[0],
            self.a,
            self.logs[0],
            float(self.eps),
            self.rates[0],
            h,
            new,
            float(tol),
            most,
        )
        value = self.dual(new, h, self.kept(0, new))
        return Outcome(new, new, h, h, error, passes / 2, value)

    def polished(self, f: Tensor, g: Tensor, symmetric: bool) -> tuple[Tensor, Tensor]:
        """Potentials taken from the tolerance of a solve to rounding."""
        first, second = (np.array(h.numpy()) for h in (f, g))
        if symmetric:
            h = torch.from_numpy(self.fixed_point(first, tol=EXACT, budget=POLISH).f)
            return h, h
        self.descend(first, second, EXACT, POLISH, 1.0)
        return torch.from_numpy(first), torch.from_numpy(second)


def softmins_of(
    source: Points,
    target: Points,
    cost: Formula,
    penalty: Marginals,
    eps: float,
    engine: Engine,
    *,
    asked: bool,
) -> tuple[Softmins, str]:
    """Those of all pairs, and how: stored where they are few, unless an engine was asked for."""
    pairs = source.weights.shape[1] * target.weights.shape[1]
    few = pairs <= FEW and not asked and source.positions.device.type == "cpu"
    if few and isinstance(cost, Radial):
        stored = StoredSoftmins.of(source, target, cost, penalty, eps)
        return stored, "numba on a stored matrix"
    dense = DenseSoftmins(source, target, cost, penalty, eps, engine)
    return dense, f"{engine.name} on all pairs"
