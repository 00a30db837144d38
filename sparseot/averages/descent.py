r"""Steps downhill: the fixed-point step of barycenters, improved by what the steps before have told.

The gradient of the objective is measured by the mass that it moves. In points, that makes the step
:math:`-\partial_{x_i} F / a_i = \sum_k w_k T_k(x_i) - T(x_i)`, to the mean of what the maps say (Cuturi and
Doucet, 2014, equation 8; debiased, with T the map of the average to itself); in logarithms of weights,
:math:`-(\partial_{a_i} F - c) / \varepsilon`, the step of Janati, Cuturi and Gramfort, 2020, algorithm 1. The limited-memory
quasi-Newton method (Nocedal and Wright, 2006, algorithm 7.4) starts from that metric, and each step is as
long as makes the objective fall. A long step needs no exact solves: their tolerance falls with what is left of the step.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..transport.result import Transport
from .ground import Ground
from .objective import Objective, Place, Support

__all__ = ["FINER", "Descent", "Moves", "Step"]

MEMORY = 12  # steps that are remembered
ENOUGH = 1e-4  # of the fall that the slope promises
SHRINK = 0.1, 0.5  # least and largest factor of a step that was too long
TRIES = 12  # lengths of a step
FACTOR = 2.0  # the largest change of a logarithm in one step
FINER = 1e-2  # tolerance of the solves, of the step that is left,
COARSEST = 1e-2  # at most
CURVED = 1e-8  # curvature, below which a step tells nothing


@dataclass(frozen=True)
class Step:
    """The state after a step of a barycenter.

    Attributes:
        value: the objective.
        error: what is left of the fixed-point step: the root of its mean square over the mass, in blurs
            for points, and in units of the logarithm for weights; for both, the root of the sum of both squares.
        solves: transport problems that were solved so far.
        sweeps: of these solves, so far.
    """

    value: float
    error: float
    solves: int
    sweeps: int


class Moves:
    """What moves, in units of the fixed-point step: points, in blurs, logarithms of weights, or both in turn.

    Args:
        free: "points", "weights" or "both"; of both, the numbers of the points come first.
        ground: where points are, and the units of length and of cost.
        balanced: whether the mass stays what it is.
    """

    def __init__(self, free: str, ground: Ground, balanced: bool) -> None:
        self.points, self.weights = free != "weights", free != "points"
        self.ground, self.balanced = ground, balanced

    def metric(self, support: Support) -> Tensor:
        """The mass that each number moves, relative to the whole."""
        a = support.weights / support.weights.sum()
        return self._joined(a.repeat_interleave(support.points.shape[1]), a)

    def gradient(self, place: Place) -> Tensor:
        """The gradient in that metric: less the step of the fixed-point iteration."""
        in_points, in_weights = place.gradient()
        a, blur, eps = place.support.weights, self.ground.blur, self.ground.eps
        slope = in_points / torch.where(a > 0, a, 1)[:, None] * (blur / eps)
        mean = a @ in_weights / a.sum() if self.balanced else 0.0
        return self._joined(slope.flatten(), (in_weights - mean) / eps)

    def unit(self, support: Support) -> float:
        """That of the objective."""
        return self.ground.eps * float(support.weights.sum())

    def longest(self, support: Support, step: Tensor) -> float:
        """How much of a step to try first: weights that change by orders of magnitude are not trusted."""
        _, logs = self._parts(support, step)
        return min(1.0, FACTOR / max(float(logs.abs().max()), 1e-300))

    def moved(self, support: Support, step: Tensor) -> Support:
        """The support after a step."""
        x, a = support.points, support.weights
        shift, logs = self._parts(support, step)
        if self.points:
            x = self.ground.settled(x + self.ground.blur * shift)
        if self.weights:
            a = a * logs.exp()
            a = a * (support.weights.sum() / a.sum()) if self.balanced else a
        return Support(x, a)

    def _joined(self, points: Tensor, weights: Tensor) -> Tensor:
        """The numbers of what moves."""
        return torch.cat([points] * self.points + [weights] * self.weights)

    def _parts(self, support: Support, step: Tensor) -> tuple[Tensor, Tensor]:
        """A step of the points, like them, and one of the weights; zero where they stay."""
        x, a = support.points, support.weights
        if self.points and self.weights:
            return step[: x.numel()].view_as(x), step[x.numel() :]
        return (
            (step.view_as(x), torch.zeros_like(a)) if self.points else (torch.zeros_like(x), step)
        )


class Descent:
    """A place, and the way down from it.

    Args:
        objective: what is to fall.
        start: where it starts.
        moves: what moves.
        ended: whether somebody asked for an end; what is solved then is not trusted.
        later: what moves once that has come to its end, or None.

    Attributes:
        place: where it is.
        report: all steps, the start first.
    """

    def __init__(
        self,
        objective: Objective,
        start: Support,
        moves: Moves,
        ended: Callable[[], bool],
        later: Moves | None = None,
    ) -> None:
        self.objective, self.moves, self.ended, self.later = objective, moves, ended, later
        self.memory: deque[tuple[Tensor, Tensor]] = deque(maxlen=MEMORY)
        self.solves = self.sweeps = 0
        self.report: list[Step] = []
        self.starts: list[Transport] | None = None
        # a divergence is a small difference of costs, in which errors of coarse solves do not cancel
        objective.solve_to(0.0 if objective.debias else COARSEST)
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
            return not self.ended() and self.refined() and self.step()
        length, place = found
        self._arrive(place)
        s, y = length * d, self.r - r
        if float(self.metric @ (s * y)) > CURVED * float(self.metric @ y.square()):
            self.memory.append((s, y))
        return True

    def goes_on(self) -> bool:
        """Whether other things move from here on."""
        if self.later is None:
            return False
        self.moves, self.later = self.later, None
        self.memory.clear()
        self.report[-1] = replace(self.report[-1], error=self._look(self.place))
        return True

    def refined(self) -> bool:
        """Solves the problems of the last step again, to the tolerance that was asked for; False where they are."""
        if self.objective.solver.tol == self.objective.least:
            return False
        self.report.pop()
        self._arrive(self.place, 0.0)
        return True

    def _arrive(self, place: Place, tol: float | None = None) -> None:
        """Ends a step there, once its problems are solved to a tolerance that suits the next one, or to the given one."""
        self.place, error = place, self._look(place)
        wanted = FINER * error if tol is None else tol
        if (
            max(wanted, self.objective.least) < (self.objective.solver.tol or 0.0) / 2
            or tol is not None
        ):
            self.objective.solve_to(wanted / 2)
            again = self._at(place.support)
            if not self.ended():
                self.place, error = again, self._look(again)
        self.report.append(Step(self.place.value, error, self.solves, self.sweeps))

    def _look(self, place: Place) -> float:
        """Takes the gradient at a place; its size."""
        self.starts = place.transports
        self.r, self.metric = self.moves.gradient(place), self.moves.metric(place.support)
        return float(self.metric @ self.r.square()) ** 0.5

    def _at(self, support: Support) -> Place:
        place = self.objective.at(support, self.starts)
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
        here = self.place
        length = self.moves.longest(here.support, d)
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
