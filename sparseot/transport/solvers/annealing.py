r"""The averaged, annealed Sinkhorn schedule of GeomLoss: a fixed number of symmetric updates.

The temperature falls from :math:`\text{diameter}^p` to :math:`\text{blur}^p` by a factor
:math:`\text{scaling}^p` a step; each step computes both updates from the old potentials and
averages; the last is a full update of both, from which gradients are taken (Feydy, 2020,
algorithm 3.5). It stops when the schedule ends, not when a residual is small: with the default
``scaling=0.5`` values are off by some 1e-3, gradients by some percent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from ...engines.base import Engine, Reductions
from ...errors import bad_input
from ...formulas import GroundCost
from ...points import Points, bounding_diameter, check_positive
from ..problem import CostFormula, Problem
from ..solution import Potentials, Solution, Solver

__all__ = ["AveragedAnnealing"]


@dataclass(frozen=True)
class AveragedAnnealing(Solver):
    """GeomLoss's schedule; a batch follows one schedule per item.

    Args:
        scaling: ratio of successive blurs, in (0, 1).
        diameter: length at which the temperatures start; None for the diagonal of the box.
        engine: "auto", the name of an engine, or an engine.
    """

    scaling: float = 0.5
    diameter: float | None = None
    engine: str | Engine = "auto"

    def __post_init__(self) -> None:
        check_positive(scaling=self.scaling, diameter=self.diameter)
        if self.scaling >= 1:
            got = f"{self.scaling:g}"
            raise bad_input("scaling", got, "a ratio between 0 and 1", "0.5 is usual.")

    def solve(self, problem: Problem, start: Potentials | None = None) -> Solution:
        return self.solve_all([problem], [start])[0]

    @torch.no_grad()
    def solve_all(
        self, problems: Sequence[Problem], starts: Sequence[Potentials | None]
    ) -> list[Solution]:
        """The schedule starts from zero, whatever the ``starts``.

        Clouds of equal size make one batch of all problems, seen from both sides: then one softmin a
        step updates all. So do others that are padded, where the engine has it so. (Other costs are left
        alone: the order of their points matters, and small matrices of functions are kept from one
        softmin to the next.)
        """
        first = problems[0]
        lengths = bounding_diameter(first.source, first.target)
        if self.diameter is not None:
            lengths = torch.full_like(lengths, self.diameter)
        sizes = {size for problem in problems for size in problem.sizes}
        own = [problem.symmetric for problem in problems]
        programs, items = len(own) * len(lengths), (2 * len(own) - sum(own)) * len(lengths)
        equal = len(sizes) == 1 or first.engine.pads(max(sizes), items, programs, lengths.device)
        if not equal or not isinstance(first.cost, GroundCost):
            return [self._one(problem, lengths) for problem in problems]
        return self._together(problems, lengths, max(sizes))

    def _one(self, problem: Problem, lengths: Tensor) -> Solution:
        """One problem: its second potentials by softmins of their own."""
        source, target = problem.source, problem.target
        towards = _Update.of(problem, source, target)
        if problem.symmetric:
            course = self._course(problem, lengths)
            now, h, _ = _averaged(course, towards, lambda now, f, *rest: f)
            new, slopes = towards.last(*now, h, h)
            return Solution(new, new, h, h, slopes=(slopes, slopes))
        back = _Update.of(problem.swapped(), target, source)

        def turned(now: Step, _: Tensor, f: Values, g: Values, weight: Weight) -> Tensor:
            return _mean(g, back(*now, f, g), weight)

        now, f, g = _averaged(self._course(problem, lengths), towards, turned)
        (f_new, on_x), (g_new, on_y) = towards.last(*now, g, f), back.last(*now, f, g)
        return Solution(f_new, g_new, f, g, slopes=(on_x, on_y))

    def _together(self, problems: Sequence[Problem], lengths: Tensor, count: int) -> list[Solution]:
        """All problems, and those of two clouds from both sides: second potentials are another's first.

        Clouds are padded to ``count`` points.
        """
        items, sides, partner, blocks = len(lengths), [], [], 0
        for problem in problems:
            two = [(problem.source, problem.target), (problem.target, problem.source)]
            sides += two[:1] if problem.symmetric else two
            partner += [blocks] if problem.symmetric else [blocks + 1, blocks]
            blocks = len(sides)
        here, there = (_stacked([pair[k] for pair in sides], count) for k in (0, 1))
        first = problems[0]
        places = [block * items + k for block in partner for k in range(items)]
        firsts = [at for at, other in enumerate(places) if at <= other]
        firsts.sort(key=lambda at: places[at] == at)  # those that take twice as long come first
        holders, pairs = torch.tensor(places + firsts, device=lengths.device).tensor_split(
            [len(places)]
        )

        towards = _Update.of(first, here, there)
        course = self._course(first, lengths.repeat(blocks))
        steps = _Steps(first.engine, first.cost, course.together, blocks == 1)
        f_prev = towards.annealed(course, pairs, holders)
        if f_prev is None:
            clouds = here.positions, there.positions, there.log_weights
            f_prev = first.engine.repeated(steps, *clouds, *course.tensors, holders)
        if f_prev is None:
            f_prev = steps.taken(towards, course, holders)
        g_prev = f_prev if blocks == 1 else f_prev.index_select(0, holders)
        f_new, slopes = towards.last(*course.steps[-1], g_prev, f_prev)
        f, g = f_new.split(items), g_prev.split(items)
        moved = None if slopes is None else slopes.split(items)
        found, block = [], 0
        for problem in problems:
            mine, theirs = block, block + (not problem.symmetric)
            n, m = problem.sizes
            potentials = f[mine][:, :n], f[theirs][:, :m], g[theirs][:, :n], g[mine][:, :m]
            gradients = (
                (None, None) if moved is None else (moved[mine][:, :n], moved[theirs][:, :m])
            )
            found.append(Solution(*potentials, slopes=gradients))
            block = theirs + 1
        return found

    def _course(self, problem: Problem, lengths: Tensor) -> _Course:
        """The schedule of these items, on the device of the points."""
        like = problem.source.positions
        schedule, start = _schedule(problem.p, tuple(lengths.tolist()), problem.blur, self.scaling)
        together = not start.any()
        schedule, start = schedule.to(like), start.to(like.device)
        return _Course(schedule, -schedule * problem.penalty.damping(schedule), start, together)


Step = tuple[Tensor, Tensor]  # temperatures, and minus their damped values
Weight = Tensor | float
Values = Tensor | None  # a potential of it, or none yet
Other = Callable[[Step, Tensor, Values, Values, Weight], Tensor]


@dataclass(frozen=True)
class _Course:
    """Temperatures ``(T, B, 1)``, minus their damped values, and when each item starts ``(B, 1)``."""

    temperatures: Tensor
    damped: Tensor
    start: Tensor
    together: bool

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.temperatures, self.damped, self.start

    @cached_property
    def steps(self) -> list[Step]:
        return list(zip(self.temperatures.unbind(), self.damped.unbind(), strict=True))


def _averaged(course: _Course, towards: _Update, other: Other) -> tuple[Step, Tensor, Tensor]:
    """The last step, and both potentials before it, which it updates in full.

    ``other`` gives the second potentials, averaged too, from the first ones, or from both of before.
    """
    steps = course.steps
    f = towards(*steps[0], None, None)
    g = other(steps[0], f, None, None, 1.0)
    for step, now in enumerate(steps):
        # Weight of the new iterate: items with a shorter schedule wait at first.
        weight = 0.5 if course.together else 0.5 * (course.start <= step).to(f)
        next_f = _mean(f, towards(*now, g, f), weight)
        f, g = next_f, other(now, next_f, f, g, weight)
    return steps[-1], f, g


def _mean(old: Tensor | None, new: Tensor, weight: Weight) -> Tensor:
    return new if old is None else torch.lerp(old, new, weight)


class _Update:
    """The damped softmin over one cloud, seen from the points of another."""

    def __init__(
        self, sums: Reductions, cost: CostFormula, log_weights: Tensor, moves: bool = False
    ) -> None:
        self.sums, self.cost, self.log_weights, self.moves = sums, cost, log_weights, moves

    @staticmethod
    def of(problem: Problem, here: Points, there: Points) -> _Update:
        sums = problem.engine.bind(here.positions, there.positions)
        return _Update(sums, problem.cost, there.log_weights, here.moves)

    def __call__(self, eps: Tensor, damped: Tensor, g: Tensor | None, f: Tensor | None) -> Tensor:
        """The new f ``(B, N)`` from the other potential g; the old f is the engine's guess.

        ``eps`` ``(B, 1)`` is a temperature for each item, ``damped`` minus its damped value.
        """
        return damped * self.sums.logsumexp(*self._task(eps, damped, g, f))

    def annealed(self, course: _Course, firsts: Tensor, partner: Tensor) -> Tensor | None:
        """All but the last step at once, where the engine does so."""
        times = course.temperatures[..., 0], course.damped[..., 0], course.start[:, 0]
        return self.sums.annealed(self.cost, *times, self.log_weights, firsts, partner)

    def last(
        self, eps: Tensor, damped: Tensor, g: Tensor, f: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """The same, with its gradient where the same pass gives it and the points may want it."""
        task = self._task(eps, damped, g, f)
        both = self.sums.logsumexp_slopes(*task) if self.moves else None
        if both is None:
            return damped * self.sums.logsumexp(*task), None
        return damped * both[0], (-damped / eps)[..., None] * both[1]

    def _task(self, eps: Tensor, damped: Tensor, g: Tensor | None, f: Tensor | None) -> Any:
        col = self.log_weights if g is None else torch.addcdiv(self.log_weights, g, eps)
        return self.cost, eps.view(-1), col, None if f is None else f / damped


@dataclass(frozen=True)
class _Steps:
    """All steps but the last of a batch whose second potentials are first ones of other items.

    A function of tensors alone, so that an engine may record what it launches; equal ones do the same.
    """

    engine: Engine
    cost: CostFormula
    together: bool
    own: bool  # whether each item is its own partner

    def __call__(
        self, x: Tensor, y: Tensor, log_weights: Tensor, temperatures: Tensor, damped: Tensor,
        start: Tensor, holders: Tensor,
    ) -> Tensor:  # fmt: skip
        """The first potentials ``(B, N)``; ``holders`` ``(B,)`` are the items whose first ones are the second ones."""
        towards = _Update(self.engine.bind(x, y), self.cost, log_weights)
        course = _Course(temperatures, damped, start, self.together)
        return self.taken(towards, course, holders)

    def taken(self, towards: _Update, course: _Course, holders: Tensor) -> Tensor:
        """The same, of clouds that are bound."""

        def other(now: Step, f: Tensor, *rest: Any) -> Tensor:
            return f if self.own else f.index_select(0, holders)

        return _averaged(course, towards, other)[1]


def _stacked(clouds: list[Points], count: int) -> Points:
    """Clouds as one batch, filled up with copies of their last point, of weight zero."""
    positions, weights = [], []
    for c in clouds:
        more = count - c.weights.shape[1]
        last = c.positions[:, -1:].expand(-1, more, -1)
        positions.append(torch.cat((c.positions, last), 1) if more else c.positions)
        weights.append(pad(c.weights, (0, more)) if more else c.weights)
    return Points(torch.cat(positions), torch.cat(weights), moves=any(c.moves for c in clouds))


@lru_cache(maxsize=64)
def _schedule(
    p: int, diameters: tuple[float, ...], blur: float, scaling: float
) -> tuple[Tensor, Tensor]:
    """Temperatures ``(T, B, 1)`` and the step ``(B, 1)`` at which each item's schedule starts.

    Schedules end together; before its start an item waits at its first temperature.
    """
    lists = []
    for length in diameters:
        length = length if length > 1e-9 * blur else blur  # all points in one place
        between = np.arange(p * np.log(length), p * np.log(blur), p * np.log(scaling))
        lists.append([length**p, *np.exp(between), blur**p])
    steps = max(map(len, lists))
    start = torch.tensor([[steps - len(temperatures)] for temperatures in lists])
    padded = [[t[0]] * (steps - len(t)) + t for t in lists]
    return torch.tensor(padded, dtype=torch.float64).T[..., None].contiguous(), start
