"""What all ways of solving one problem share, and what each of them returns."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...points import Points
from ..problem import Problem
from ..pruned.blocks.clouds import BlockCloud
from ..pruned.kept_pairs import KeptPairs
from ..pruned.softmins import PrunedSoftmins
from ..softmins import Outcome
from ..solution import Level, OwnedSolution, Report, Seen
from .progress import Bar
from .relaxation import Keep, guessed_rate

if TYPE_CHECKING:
    from .checkpoint import Checkpoint

__all__ = ["COARSE", "RATIO", "SWEEPS", "Course", "Found", "temperatures"]

RATIO = 4.0  # of successive temperatures, where all pairs are visited
COARSE = 0.01  # tolerance there, at all temperatures but the last,
SWEEPS = 30  # and sweeps, at most
FAR = 10.0  # sides of a box that holds nearly all of the mass, beyond which points are outliers
NEARLY = 0.01  # of the mass, that this box leaves out on either side
SPREAD = 16.0  # mean distances from the mean, up to which no side is that long


def pace_side(source: Points, target: Points, longest: float) -> float:
    """The longest side of the box around both clouds, or around the bulk of their mass.

    A few points so far away that the box around all others is ten times smaller do not count.
    """
    if longest <= SPREAD * max(_spread(source), _spread(target)):
        return longest
    bulk = _bulk_side(source, target)
    return bulk if longest > FAR * bulk > 0 else longest


def _spread(cloud: Points) -> float:
    """The mean distance of the mass from its mean, along the axis where it is largest."""
    x, w = (t.double() for t in cloud.here)
    mass = cloud.total(w.sum()).clamp(min=1e-300)
    mean = cloud.total(w @ x) / mass
    return float((cloud.total(w @ (x - mean).abs()) / mass).amax())


def _bulk_side(source: Points, target: Points) -> float:
    """The longest side of the box that leaves out a hundredth of the mass at each of its ends."""
    points = torch.cat((source.positions[0], target.positions[0])).double()
    weights = [cloud.weights[0].double() for cloud in (source, target)]
    shares = torch.cat([w / w.sum().clamp(min=1e-300) / 2 for w in weights])
    longest = 0.0
    for coordinate in points.T:
        values, order = coordinate.sort()
        below = shares[order].cumsum(0)
        first, last = torch.searchsorted(below, below.new_tensor([NEARLY, 1 - NEARLY])).tolist()
        longest = max(longest, float(values[min(last, len(values) - 1)] - values[first]))
    return longest


class Course:
    """One problem of one item, and how far and how fast to go.

    Args:
        problem: a batch of one.
        tol: relative L1 error of the marginals.
        max_sweeps: largest number of sweeps at the last temperature.
        accelerate: whether updates are over-relaxed.
        bar: who watches.
        sides: of the box around both clouds.
    """

    def __init__(
        self,
        problem: Problem,
        tol: float,
        max_sweeps: int,
        accelerate: bool,
        bar: Bar,
        sides: list[float],
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self.checkpoint = checkpoint
        self.problem, self.tol, self.max_sweeps, self.sides = problem, tol, max_sweeps, sides
        self.accelerate, self.bar, self.began = accelerate, bar, time.perf_counter()

    @cached_property
    def side(self) -> float:
        """The longest side of the box around the bulk of both clouds."""
        return pace_side(self.problem.source, self.problem.target, max(self.sides))

    @property
    def outliers(self) -> bool:
        """Whether some points are far away from the bulk."""
        return self.side < max(self.sides)

    def temperatures(self, ratio: float, start: object) -> list[float]:
        """From that of the diameter to the last one; the last one only, where there is a start."""
        problem, length = self.problem, math.hypot(*self.sides)
        if start is not None:
            return [problem.eps]
        return temperatures(max(length, problem.blur) ** problem.p, problem.eps, ratio)

    def schedule(self, start: object) -> list[tuple[float, float, int]]:
        """Of a solve over all pairs: temperatures, their tolerances, and how many sweeps each may take."""
        *coarse, last = self.temperatures(RATIO, start)
        steps = [(eps, max(COARSE, self.tol), SWEEPS) for eps in coarse]
        return [*steps, (last, self.tol, self.max_sweeps)]

    def rate(self, eps: float) -> float:
        """The factor of the slowest error under a plain sweep; zero for plain sweeps throughout."""
        if not self.accelerate:
            return 0.0
        damping = math.prod(1 / (1 + eps / rho) for rho in self.problem.penalty.rhos)
        return guessed_rate(eps, self.side**self.problem.p, damping)

    def watch(self, eps: float) -> Callable[[float], None]:
        """What is called with the error after each sweep at that temperature."""
        blur = self.blur(eps)
        return lambda error: self.bar.update(blur, error, self.tol)

    def keep(self, eps: float, clouds: tuple[BlockCloud, BlockCloud] | None = None) -> Keep | None:
        """What is called with the potentials of each sweep; they are kept at the last temperature only.

        They are in the order of the points, or in that of ``clouds`` in blocks.
        """
        if (checkpoint := self.checkpoint) is None or eps > self.problem.eps:
            return None
        if clouds is None:
            return lambda f, g: checkpoint.offer(lambda: (f, g))
        X, Y = clouds
        return lambda f, g: checkpoint.offer(lambda: (X.whole(f), Y.whole(g)), X.most)

    def blur(self, eps: float) -> float:
        """The length that belongs to a temperature."""
        return float(eps ** (1 / self.problem.p))

    def level(
        self,
        eps: float,
        found: Outcome,
        kept: float,
        began: float,
        sizes: Sequence[int] | None = None,
    ) -> Level:
        """What one temperature took; ``sizes`` are those of the clouds, where potentials are not of all points."""
        seconds = time.perf_counter() - began
        first, second = sizes or (len(found.f), len(found.g))
        return Level(self.blur(eps), (first, second), found.sweeps, found.error, kept, seconds)

    def levels(self, sizes: tuple[int, int], took: Sequence[Sequence[float]]) -> list[Level]:
        """What all temperatures took at once, ``(eps, error, sweeps)`` of each: seconds by their sweeps."""
        spent = (time.perf_counter() - self.began) / sum(sweeps for *_, sweeps in took)
        return [
            Level(self.blur(eps), sizes, sweeps, error, 1.0, spent * sweeps)
            for eps, error, sweeps in took
        ]


@dataclass
class Found:
    """How one problem was solved: the last outcome, in the order of its points unless it is ``apart``, and its evidence."""

    outcome: Outcome
    levels: list[Level]
    engine: str
    pruned: PrunedSoftmins | None = None  # of the last check, where pairs were left out
    omitted: float = 0.0
    slopes: tuple[Tensor | None, Tensor | None] = None, None  # of both potentials at their points
    seen: Seen | None = None
    seconds: float = field(default=0.0)
    apart: bool = False  # whether potentials are of the blocks of this rank, in their order

    def owned(
        self, reports: list[Report], problem: Problem, kept: Checkpoint | None
    ) -> OwnedSolution:
        """The solution of one problem of clouds that ranks have apart; the first one writes down what is kept."""
        end, check = self.outcome, self.pruned
        assert check is not None
        parts = [h.to(problem.source.like.dtype) for h in (end.f, end.g)]
        parts += [
            h if now is then else then.to(h)
            for h, now, then in zip(parts, (end.f, end.g), (end.f_prev, end.g_prev), strict=True)
        ]
        solution = OwnedSolution(parts, check.clouds, reports, KeptPairs([check]))
        if kept is not None:
            kept.write(solution.f_prev[0], solution.g[0])
        return solution

    def report(self, course: Course) -> Report:
        """The same for users."""
        return Report(
            self.outcome.met(course.tol),
            math.ceil(sum(level.sweeps for level in self.levels)),
            self.outcome.error,
            self.outcome.value,
            course.tol,
            self.engine,
            tuple(self.levels),
            1.0 if self.pruned is None else self.pruned.kept_fraction,
            self.omitted,
            time.perf_counter() - course.began,
        )


def temperatures(first: float, last: float, ratio: float) -> list[float]:
    """From ``first`` down to exactly ``last``, by equal factors of at most ``ratio``."""
    steps = max(0, math.ceil(math.log(first / last) / math.log(ratio)))
    return [last * (first / last) ** (k / max(steps, 1)) for k in range(steps, 0, -1)] + [last]
