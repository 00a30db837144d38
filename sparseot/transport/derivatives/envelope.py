"""The envelope theorem: values and first derivatives from one softmin of frozen potentials."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...formulas import Opaque
from ...operators.autograd.softmin import first_order, sloped, softmin
from ...operators.autograd.transforms import is_plain
from ...points import Points, unwrap
from ..problem import Problem
from ..solution import Potentials

__all__ = ["dual", "envelope", "without_second"]


def dual(problem: Problem, found: Potentials, barred: bool = False) -> Tensor:
    """The dual value ``(B,)`` with the envelope's derivatives.

    Points reach the value through one of both potentials. What a cost learns would reach it through
    both, as if the plan had twice its mass: it takes half of either.
    """
    source, target, share = problem.source, problem.target, 0.5
    known = found.slopes
    f = envelope(problem, found.f, found.g_prev, share, known[0])
    g = f
    if not problem.symmetric:
        g = envelope(problem.swapped(), found.g, found.f_prev, share, known[1])
    if barred:
        source, target = without_second(source), without_second(target)
    return problem.penalty.value(source, target, f, g, problem.eps)


def envelope(
    problem: Problem, f: Tensor, g: Tensor, learnt: float = 1.0, slopes: Tensor | None = None
) -> Tensor:
    """The damped softmin f of g, with its derivative in the points of the source.

    And with the share ``learnt`` of that in what a cost learns. ``slopes`` are that derivative, where it
    is known.
    """
    x, learned = problem.source.positions, isinstance(problem.cost, Opaque)
    if unwrap(x) is x and not is_plain(x):
        raise RuntimeError(
            "Frozen potentials have no forward derivative. Backward ones they have; both belong to losses "
            "that are solved to a tolerance, tol=..."
        )
    if not (torch.is_grad_enabled() and (x.requires_grad or learned)):
        return f
    if slopes is not None:
        return sloped(f, x, slopes)
    damping = 1 / (1 + problem.eps / problem.penalty.rhos[0])
    y, b = problem.target.positions.detach(), problem.target.weights.detach()
    guess = f / damping
    clouds = x, y, b, g, guess
    there: dict[str, Any] = {"engine": problem.engine, "pairs": problem.pairs, "learnt": learnt}
    return damping * softmin(problem.cost, *clouds, problem.eps, **there)


def without_second(cloud: Points) -> Points:
    """The same cloud; weights are differentiated once, as points are."""
    return Points(cloud.positions, first_order(cloud.weights))
