"""A problem and what was found for it, with derivatives where they are asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..precision import full_precision
from .attach import Curvatures, attach, attached_value
from .problem import Problem
from .report import Solution

__all__ = ["Solved", "sum_values"]


@dataclass(frozen=True)
class Solved:
    """A problem and its solution; a divergence has three of them."""

    problem: Problem
    solution: Solution

    @cached_property
    @full_precision
    def value(self) -> Tensor:
        """The dual value ``(B,)``, with its derivatives."""
        numbers = [report.value for report in self.solution.reports]
        value = torch.tensor(numbers, dtype=torch.float64, device=self.solution.f.device)
        return attached_value(self.problem, self.solution, value, self.curvatures)

    @cached_property
    @full_precision
    def potentials(self) -> tuple[Tensor, Tensor]:
        """Both potentials with their derivatives, in the gauge ``<a, f> = <b, g>`` if balanced."""
        f, g = attach(self.problem, self.solution, self.curvatures)
        problem = self.problem
        if problem.symmetric or not all(math.isinf(rho) for rho in problem.penalty.rhos):
            return f, g
        a, b = problem.source.weights, problem.target.weights
        excess = (a * f).sum(-1, keepdim=True) - (b * g).sum(-1, keepdim=True)
        shift = excess / (a.sum(-1, keepdim=True) + b.sum(-1, keepdim=True))
        return f - shift, g + shift

    @cached_property
    def curvatures(self) -> Curvatures:
        """What second derivatives share."""
        converged = all(report.converged for report in self.solution.reports)
        return Curvatures(self.problem.plain(), self.solution, converged)


def sum_values(solved: list[Solved]) -> Tensor:
    """The value ``(B,)`` in float64, less half of those of the self problems, without a graph."""
    numbers = [[report.value for report in part.solution.reports] for part in solved]
    values = torch.tensor(numbers, dtype=torch.float64)
    return values[0] - values[1:].sum(0) / 2
