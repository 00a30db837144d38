"""One problem over all pairs: temperatures that fall, and sweeps at each of them."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor

from ...formulas import Symbolic
from ..problem import Problem
from ..softmins import Outcome, Softmins, Step
from ..solution import Level
from .course import Course, Found
from .relaxation import alternate, self_fixed_point
from .small import STORED_PAIRS, StoredSoftmins, compiled_fixed_point, cooled, newton_sweeps

__all__ = ["DenseSoftmins", "is_stored", "solve_all_pairs", "solve_own"]

Start = tuple[Tensor, Tensor] | None


class DenseSoftmins(Softmins):
    """The softmins of a batch of one, by its engine; ``eps`` may be lowered between solves."""

    def __init__(self, problem: Problem) -> None:
        source, target = problem.source, problem.target
        x, y = source.positions, target.positions
        self.costs, self.penalty, self.eps = (
            (problem.cost, problem.cost.T),
            problem.penalty,
            problem.eps,
        )
        self.a, self.b = (c.weights[0].double() for c in (source, target))
        self.logs = source.log_weights, target.log_weights
        self.temperature: tuple[float, Tensor] | None = None
        towards = problem.engine.bind(x, y)
        self.sums = towards, towards if problem.symmetric else problem.engine.bind(y, x)

    def step(self, side: int, here: Tensor, there: Tensor, look: bool = True) -> Step:
        softmin, sound = self._softmin(side, there, here, look)
        return self.damped(side, here, softmin, self.ratio(here, softmin), sound)

    def _temperature(self, eps: float) -> Tensor:
        """As a tensor, made once for all half-steps at it."""
        if self.temperature is None or self.temperature[0] != eps:
            self.temperature = eps, self.logs[0].new_full((1,), eps)
        return self.temperature[1]

    def _softmin(
        self, side: int, other: Tensor, guess: Tensor, look: bool
    ) -> tuple[Tensor, Tensor | None]:
        """``-eps log sum_j b_j exp((g_j - C_ij) / eps)``; ``guess`` is what it may be."""
        logs, sums = self.logs[1 - side], self.sums[side]
        col = logs + (other / self.eps)[None].to(logs)
        shift = (guess * (-1 / self.eps))[None].to(logs)
        task = self.costs[side], self._temperature(self.eps), col, shift
        found, sound = (sums.logsumexp(*task), None) if look else sums.guessed(*task)
        return -self.eps * found[0].double(), sound


def is_stored(problem: Problem, asked: bool) -> bool:
    """Whether the costs of all pairs are stored: there are few, and no engine was ``asked`` for."""
    pairs = problem.source.weights.shape[1] * problem.target.weights.shape[1]
    few = pairs <= STORED_PAIRS and problem.source.positions.device.type == "cpu"
    return few and not asked and not isinstance(problem.cost, Symbolic)


def solve_all_pairs(course: Course, start: Start, *, asked: bool, why: str) -> Found:
    """The potentials of a problem; small ones are stored, unless an engine was ``asked`` for."""
    problem, levels = course.problem, list[Level]()
    if is_stored(problem, asked):
        softmins: Softmins = StoredSoftmins.of(problem)
        how = "numba on a stored matrix"
    else:
        softmins, how = DenseSoftmins(problem), f"{problem.engine.name} on all pairs"
    if problem.symmetric:
        outcome = solve_own(course, softmins, start, levels)
    elif isinstance(softmins, StoredSoftmins) and not course.bar.shown:
        outcome = cooled(course, softmins, start, levels)
    else:
        outcome = _pair(course, softmins, start, levels)
    course.bar.close()
    return Found(outcome, levels, f"{how} ({why})")


def _pair(course: Course, softmins: Softmins, start: Start, levels: list[Level]) -> Outcome:
    """Two clouds, from a high temperature on."""
    stopped = False
    sweeps = newton_sweeps if isinstance(softmins, StoredSoftmins) else None
    f, g = start or (torch.zeros_like(softmins.a), torch.zeros_like(softmins.b))
    for eps, tol, most in course.schedule(start):
        began, softmins.eps = time.perf_counter(), eps
        budget, watch = 1 if stopped else most, course.watch(eps)
        how: dict[str, Any] = {"rho2": course.rate(eps), "watch": watch, "sweeps": sweeps}
        how["keep"] = course.keep(eps)
        outcome = alternate(softmins, f, g, tol=tol, budget=budget, **how)
        stopped |= outcome.interrupted
        levels.append(course.level(eps, outcome, 1.0, began))
        f, g = outcome.f, outcome.g_prev
    return outcome


def solve_own(course: Course, softmins: Softmins, start: Start, levels: list[Level]) -> Outcome:
    """A cloud and itself, at the last temperature only."""
    began, h = time.perf_counter(), torch.zeros_like(softmins.a)
    h = softmins.step(0, h, h).value / 2 if start is None else start[0]
    how: dict[str, Any] = {"tol": course.tol, "budget": course.max_sweeps}
    how["watch"] = course.watch(softmins.eps)
    if isinstance(softmins, StoredSoftmins):
        outcome = compiled_fixed_point(softmins, h, **how)
    else:
        outcome = self_fixed_point(softmins, h, keep=course.keep(softmins.eps), **how)
    levels.append(course.level(softmins.eps, outcome, 1.0, began))
    return outcome
