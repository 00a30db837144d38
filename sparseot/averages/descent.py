r"""Steps downhill: the fixed-point step of barycenters, improved by what the steps before have told.

The gradient of the objective is measured by the mass that it moves. In points, that makes the step
:math:`-\partial_{x_i} F / a_i = \sum_k w_k T_k(x_i) - T(x_i)`, to the mean of what the maps say (Cuturi and
Doucet, 2014, equation 8; debiased, with T the map of the average to itself); in logarithms of weights,
:math:`-(\partial_{a_i} F - c) / \varepsilon`, the step of Janati, Cuturi and Gramfort, 2020, algorithm 1. The limited-memory
quasi-Newton method (Nocedal and Wright, 2006, algorithm 7.4) starts from that metric, and each step is as
long as makes the objective fall.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .objective import Objective, Place, Support

__all__ = ["Descent", "Moves", "Step"]

MEMORY = 12  # steps that are remembered
ENOUGH = 1e-4  # of the fall that the slope promises
SHRINK = 0.1, 0.5  # least and largest factor of a step that was too long
TRIES = 12  # lengths of a step
FACTOR = 2.0  # the largest change of a logarithm in one step
CURVED = 1e-8  # curvature, below which a step tells nothing


@dataclass(frozen=True)
class Step:
    """The state after a step of a barycenter.

    Attributes:
        value: the objective.
        error: what is left of the fixed-point step: the root of its mean square over the mass, in blurs
            for points, and in units of the logarithm for weights.
        solves: transport problems that were solved so far.
        sweeps: of these solves, so far.
    """

    value: float
    error: float
    solves: int
    sweeps: int


class Moves:
    """What moves, in units of the fixed-point step: points, in blurs, or logarithms of weights.

    Args:
        points: whether it is the points, or else the weights.
        blur: the unit of length.
        balanced: whether the mass stays what it is.
    """

    def __init__(self, points: bool, blur: float, balanced: bool) -> None:
        self.points, self.blur, self.balanced = points, blur, balanced

    def metric(self, support: Support) -> Tensor:
        """The mass that each number moves, relative to the whole."""
        a = support.weights / support.weights.sum()
        return a.repeat_interleave(support.points.shape[1]) if self.points else a

    def gradient(self, place: Place) -> Tensor:
        """The gradient in that metric: less the step of the fixed-point iteration."""
        in_points, in_weights = place.gradient()
        a = place.support.weights
        if self.points:
            mass = torch.where(a > 0, a, 1)[:, None]
            return (in_points / mass / self.blur).flatten()
        mean = a @ in_weights / a.sum() if self.balanced else 0.0
        return (in_weights - mean) / self.blur**2

    def unit(self, support: Support) -> float:
        """That of the objective."""
        return self.blur**2 * float(support.weights.sum())

    def longest(self, step: Tensor) -> float:
        """How much of a step to try first: weights that change by orders of magnitude are not trusted."""
        return 1.0 if self.points else min(1.0, FACTOR / max(float(step.abs().max()), 1e-300))

    def moved(self, support: Support, step: Tensor) -> Support:
        """The support after a step."""
        x, a = support.points, support.weights
        if self.points:
            return Support(x + self.blur * step.view_as(x), a)
        a = a * step.exp()
        return Support(x, a * (support.weights.sum() / a.sum()) if self.balanced else a)


class Descent:
    """A place, and the way down from it.

    Args:
        objective: what is to fall.
        start: where it starts.
        moves: what moves.
        ended: whether somebody asked for an end; what is solved then is not trusted.

    Attributes:
        place: where it is.
        report: all steps, the start first.
    """

    def __init__(
        self, objective: Objective, start: Support, moves: Moves, ended: Callable[[], bool]
    ) -> None:
        self.objective, self.moves, self.ended = objective, moves, ended
        self.memory: deque[tuple[Tensor, Tensor]] = deque(maxlen=MEMORY)
        self.solves = self.sweeps = 0
        self.report: list[Step] = []
        self._arrive(self._at(start))

    def step(self) -> bool:
        """One step; False where no length of it makes the objective fall."""
        r, metric = self.r, self.metric
        d = self._direction()
        if not float(metric @ (r * d)) < 0:
            self.memory.clear()
            d = -r
        found = self._search(d)
        if found is None and self.memory and not self.ended():
            self.memory.clear()
            d = -r
            found = self._search(d)
        if found is None:
            return False
        length, place = found
        self._arrive(place)
        s, y = length * d, self.r - r
        if float(self.metric @ (s * y)) > CURVED * float(self.metric @ y.square()):
            self.memory.append((s, y))
        return True

    def _arrive(self, place: Place) -> None:
        self.place, self.r = place, self.moves.gradient(place)
        self.metric = self.moves.metric(place.support)
        error = float(self.metric @ self.r.square()) ** 0.5
        self.report.append(Step(place.value, error, self.solves, self.sweeps))

    def _at(self, support: Support) -> Place:
        place = self.objective.at(support, self.place.transports if self.report else None)
        self.solves += len(place.transports)
        self.sweeps += place.sweeps
        return place

    def _direction(self) -> Tensor:
        """Less the inverse of the Hessian, as far as the memory knows it, times the gradient."""
        metric, q, shares = self.metric, self.r.clone(), []
        for s, y in reversed(self.memory):
            shares.append(float(metric @ (s * q)) / float(metric @ (s * y)))
            q -= shares[-1] * y
        if self.memory:
            s, y = self.memory[-1]
            q *= float(metric @ (s * y)) / float(metric @ y.square())
        for (s, y), share in zip(self.memory, reversed(shares), strict=True):
            q += (share - float(metric @ (y * q)) / float(metric @ (s * y))) * s
        return -q

    def _search(self, d: Tensor) -> tuple[float, Place] | None:
        """A length of the step that makes the objective fall, and where it leads."""
        here, length = self.place, self.moves.longest(d)
        slope = self.moves.unit(here.support) * float(self.metric @ (self.r * d))
        for _ in range(TRIES):
            there = self._at(self.moves.moved(here.support, length * d))
            if self.ended():
                return None
            change = there.value - here.value
            if change <= ENOUGH * length * slope:
                return length, there
            best = -slope * length / (2 * (change - slope * length))  # of the parabola
            length *= min(max(best, SHRINK[0]), SHRINK[1])
        return None
