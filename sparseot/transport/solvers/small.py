"""Small problems: the cost matrix is stored, and the descent is compiled from end to end."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...engines.choose import stored_loops
from ...formulas import GroundCost, Opaque, Symbolic
from ...operators.small import squares
from ...pairs import Array
from ...points import CLOSED
from ..marginals import Marginals
from ..problem import Problem
from ..softmins import Number, Outcome, Softmins, Step, Vector
from ..solution import Level
from .course import Course
from .progress import Stopped
from .relaxation import Watch, alternate, relaxed_sweeps

__all__ = ["StoredSoftmins", "compiled_fixed_point", "cooled", "newton_sweeps"]

STORED_PAIRS = (
    1 << 16
)  # pairs, up to which one thread on a stored matrix is faster than all on the points
PATIENCE = 60  # compiled sweeps, within which Newton's method ends if it finds a way,
SLICE = 2000  # sweeps, after which who waits for a solve may be heard
RELAXED = 200  # and over-relaxed ones, from which it sets out again
Settling = tuple[float, float, float, float]  # a temperature, tolerance, budget, and patience
Start = tuple[Tensor, Tensor] | None
Cloud = tuple[Tensor, Tensor]
EXACT, POLISH = 1e-15, 20  # error, and sweeps, that end a descent to rounding


class StoredSoftmins(Softmins):
    """All pairs of two clouds of some hundred points; float64, whatever the points have.

    The compiled loops see the vectors as NumPy arrays, which share their memory.

    Args:
        cost: a ground cost; of others the caller fills ``costs`` with values.
        penalty: how marginals are held.
        eps: the temperature, which may be lowered between solves.
        source: points ``(n, D)`` and weights ``(n,)``; ``target`` likewise, None for the same.
    """

    def __init__(
        self,
        cost: Any,
        penalty: Marginals,
        eps: float,
        source: Cloud,
        target: Cloud | None = None,
    ) -> None:
        self.penalty, self.eps = penalty, eps
        (x, self.a), (y, self.b) = _numbers(*source), _numbers(*(target or source))
        self.weights = self.a.numpy(), self.b.numpy()
        self.masses = float(self.weights[0].sum()), float(self.weights[1].sum())
        self.logs = np.empty(len(self.a)), np.empty(len(self.b))
        self.rates = tuple(1 / rho for rho in self.penalty.rhos)
        back = np.empty((len(self.b), len(self.a)))
        forth = back if target is None else np.empty(back.shape[::-1])
        self.costs, self.loops = (forth, back), stored_loops()
        known = isinstance(cost, GroundCost) and not cost.between
        rule = (float(cost.factor), int(cost.power)) if known else (0.0, 2)
        found = forth[: len(forth) if target else 0], back, *self.logs
        self.loops.prepare(x, y, *self.weights, *rule, CLOSED, *found)
        if isinstance(cost, GroundCost) and not known:
            here, there = (cost.settled(torch.from_numpy(points).T) for points in (x, y))
            back[:] = cost.polynomial(squares(there, here)).numpy()
            forth[:] = back.T

    @staticmethod
    def of(problem: Problem) -> StoredSoftmins:
        """Those of a batch of one."""
        cost, clouds = problem.cost, (problem.source, problem.target)
        assert not isinstance(cost, Symbolic)
        parts = [(c.positions[0], c.weights[0]) for c in clouds]
        target = None if problem.target is problem.source else parts[1]
        new = StoredSoftmins(cost, problem.penalty, problem.eps, parts[0], target)
        if isinstance(cost, Opaque):  # a function sees the points in their own precision
            forth, back = new.costs
            forth[:] = cost(*(c.positions.detach() for c in clouds))[0].detach().double().numpy()
            back[:] = forth.T
        return new

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

    def cool(
        self, schedule: Sequence[Settling], f: Tensor, g: Tensor, accelerate: bool
    ) -> tuple[Outcome, list[list[float]], bool]:
        """Sweeps and steps of Newton's method, in place, at the temperatures of a schedule.

        Also the error and the sweeps of each; and whether the last one is at its end, not given up.
        """
        self.eps, last, told = schedule[-1][0], torch.empty_like(g), np.empty((len(schedule), 2))
        sides, both = (*self.costs, *self.weights, *self.logs), (f.numpy(), g.numpy(), last.numpy())
        rows = np.array(schedule, dtype=np.float64)
        end: bool = self.loops.cool(*sides, rows, *self.rates, *both, accelerate, told)
        error, sweeps = told[-1].tolist()
        value = float(self.dual(f, last, self.kept(1, last)))
        return Outcome(f, last, f, g, error, sweeps, value), told.tolist(), end

    def polished(self, f: Tensor, g: Tensor, symmetric: bool) -> tuple[Tensor, Tensor]:
        """Potentials taken from the tolerance of a solve to rounding."""
        if symmetric:
            h = compiled_fixed_point(self, f, tol=EXACT, budget=POLISH).f
            return h, h
        f, g = f.clone(), g.clone()
        self.cool([(self.eps, EXACT, POLISH, POLISH)], f, g, True)
        return f, g


def _numbers(x: Tensor, w: Tensor) -> tuple[Array, Tensor]:
    """Points, coordinate by coordinate, and weights, in float64."""
    return x.T.contiguous().double().numpy(), w.double().contiguous()


def newton_sweeps(
    softmins: Softmins,
    state: list[Tensor],
    tol: float,
    budget: float,
    rho2: float,
    watch: Watch,
    astray: bool = False,
) -> Outcome:
    """Compiled ones; where Newton's method finds no way, over-relaxed ones in turn with them.

    ``astray`` starts with these.
    """
    assert isinstance(softmins, StoredSoftmins)
    (f, g), spent = (h.clone() for h in state), 0.0
    while True:
        if not astray:
            state[:] = f, g
            step = softmins.eps, tol, math.ceil(budget - spent), PATIENCE
            found, _, end = softmins.cool([step], f, g, rho2 > 0)
            watch(found.error)
            if end:
                return replace(found, sweeps=spent + found.sweeps)
            spent += found.sweeps
        rest = min(budget - spent, RELAXED)
        found = relaxed_sweeps(softmins, state, tol, rest, rho2, watch)
        spent += found.sweeps
        if found.error <= tol or spent >= budget:
            return replace(found, sweeps=spent)
        f, g, astray = found.f_prev.clone(), found.g_prev.clone(), False


def cooled(course: Course, softmins: StoredSoftmins, start: Start, levels: list[Level]) -> Outcome:
    """The potentials of two clouds from a high temperature on, in one call.

    Where Newton's method finds no way at the last temperature, sweeps go on from there.
    """
    sizes = len(softmins.a), len(softmins.b)
    f, g = (h.clone() for h in start or (softmins.a.new_zeros(size) for size in sizes))
    steps, ended = course.schedule(start), course.bar.ended
    schedule = [(eps, tol, 1 if ended else min(most, SLICE), PATIENCE) for eps, tol, most in steps]
    found, told, end = softmins.cool(schedule, f, g, course.accelerate)
    while end and found.error > course.tol and found.sweeps < course.max_sweeps and not ended:
        ended, spent = course.bar.ended, found.sweeps  # a slice was spent
        most = 1 if ended else min(SLICE, course.max_sweeps - spent)
        found, again, end = softmins.cool(
            [(softmins.eps, course.tol, most, PATIENCE)], f, g, course.accelerate
        )
        found = replace(found, sweeps=spent + found.sweeps)
        told[-1] = [again[0][0], found.sweeps]
    if not end:
        eps, spent = softmins.eps, found.sweeps
        rest, sweeps = course.max_sweeps - spent, partial(newton_sweeps, astray=True)
        how: dict[str, Any] = {"rho2": course.rate(eps), "watch": course.watch(eps)}
        found = alternate(softmins, f, g, tol=course.tol, budget=rest, sweeps=sweeps, **how)
        told[-1] = [found.error, spent + found.sweeps]
    levels += course.levels(
        sizes, [(eps, *own) for (eps, *_), own in zip(steps, told, strict=True)]
    )
    return replace(found, interrupted=found.interrupted or ended)


def compiled_fixed_point(
    softmins: StoredSoftmins,
    h: Tensor,
    *,
    tol: float,
    budget: float,
    watch: Watch = lambda error: None,
) -> Outcome:
    """The potential of a cloud with itself, in one call; ``watch`` hears of its end.

    Its passes divide the error by six and take less than a tenth of a millisecond, so that it ends long before a checkpoint is due.
    """
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
