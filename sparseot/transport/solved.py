"""A problem and what was found for it, with derivatives where they are asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from ..engines.openmp import on_one_thread
from ..operators.unchanged import Versions
from ..points import Points
from .attach import Curvatures, attach, attached_value
from .problem import Problem
from .report import Solution

__all__ = ["Solved", "divergence"]


@dataclass
class Solved:
    """A problem and its solution; a divergence has three of them.

    The problem has copies of the clouds, so that all that is computed later is of what was solved.
    ``given`` are the clouds as they came, with their graphs: derivatives reach them, no number is
    read from them.
    """

    problem: Problem
    solution: Solution
    given: tuple[Points, Points]

    def __post_init__(self) -> None:
        self.versions = Versions([t for c in self.given for t in (c.positions, c.weights)])

    @cached_property
    def numbers(self) -> Tensor:
        """The dual value ``(B,)`` in float64, without a graph."""
        found = [report.value for report in self.solution.reports]
        return torch.tensor(found, dtype=torch.float64, device=self.solution.f.device)

    @cached_property
    @on_one_thread
    def value(self) -> Tensor:
        """The dual value ``(B,)``, with its derivatives."""
        return attached_value(self.live, self.solution, self.numbers, self.curvatures)

    @cached_property
    @on_one_thread
    def potentials(self) -> tuple[Tensor, Tensor]:
        """Both potentials with their derivatives, in the gauge ``<a, f> = <b, g>`` if balanced."""
        live = self.live
        self.versions.check()
        f, g = attach(live, self.solution, self.curvatures)
        if live.symmetric or not live.penalty.imposed:
            return f, g
        a, b = live.source.weights, live.target.weights
        excess = (a * f).sum(-1, keepdim=True) - (b * g).sum(-1, keepdim=True)
        shift = excess / (a.sum(-1, keepdim=True) + b.sum(-1, keepdim=True))
        return f - shift, g + shift

    @cached_property
    def curvatures(self) -> Curvatures:
        """What second derivatives share."""
        converged = all(report.converged for report in self.solution.reports)
        return Curvatures(self.problem, self.solution, converged)

    @property
    def live(self) -> Problem:
        """The problem of the clouds as they came."""
        source, target = self.given
        return replace(self.problem, source=source, target=target)


def divergence(parts: list[Tensor], problem: Problem) -> Tensor:
    """The first of some values ``(B,)``, less half of the others, with what unequal masses add.

    Séjourné, Feydy, Vialard, Trouvé and Peyré, 2019, definition 6.
    """
    value, *own = parts
    for part in own:
        value = value - part / 2
    if not own:
        return value
    return value + problem.penalty.mass_term(problem.source, problem.target, problem.eps).to(value)
