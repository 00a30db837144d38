r"""Derivatives for what a solver found: the only place where solved potentials meet autograd.

A solver builds no graph. :func:`attach` gives its potentials one, and :func:`attached_value` the
value. Whatever is put here in their place must satisfy, for converged potentials:

* the values do not change: ``attach`` returns the numbers that the solver found;
* f moves with the source (x, a) and g with the target (y, b) at least as the envelope theorem
  wants it, so that ``attached_value`` has the exact first derivative in x, y, a and b:
  :math:`\partial_{x_i} OT = \sum_j P_{ij}\, \partial_1 C(x_i, y_j)` and, balanced,
  :math:`\partial_{a_i} OT = f_i` (up to a constant); penalised, :math:`\rho + \varepsilon m_b -
  (\rho + \varepsilon) e^{-f_i / \rho}`;
* clouds of one pair or of a batch, weights of exactly zero, float32 and float64; with
  ``problem.symmetric``, f is the potential of a cloud with itself and g is f;
* nothing of the size of the matrix is stored, and nothing at all is computed where no derivative
  is asked for.

Here the envelope theorem is all: other derivatives raise RuntimeError.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..formulas import Opaque
from ..operators.softmin import first_order, softmin
from ..points import Points
from .annealing import Potentials
from .problem import Problem

__all__ = ["attach", "attached_value"]


def attach(problem: Problem, found: Potentials) -> tuple[Tensor, Tensor]:
    """The potentials ``(B, N)`` and ``(B, M)`` with their first derivatives in the points."""
    f = _attached(problem, found.f, found.g_prev)
    if problem.symmetric:
        return f, f
    return f, _attached(problem.swapped(), found.g, found.f_prev)


def attached_value(problem: Problem, found: Potentials, value: Tensor) -> Tensor:
    """The number ``value`` ``(B,)`` with the derivatives of the transport cost."""
    source, target = (
        Points(cloud.positions, first_order(cloud.weights))
        for cloud in (problem.source, problem.target)
    )
    f, g = attach(problem, found)
    if not any(t.requires_grad for t in (f, g, source.weights, target.weights)):
        return value
    envelope = problem.penalty.value(source, target, f, g, problem.eps)
    return value.to(envelope) + (envelope - envelope.detach())


def _attached(problem: Problem, f: Tensor, g: Tensor) -> Tensor:
    """The damped softmin f of g, with its derivative in the points of the source."""
    x, learned = problem.source.positions, isinstance(problem.cost, Opaque)
    if not (torch.is_grad_enabled() and (x.requires_grad or learned)):
        return f
    damping = 1 / (1 + problem.eps / problem.penalty.rhos[0])
    y, b = problem.target.positions.detach(), problem.target.weights.detach()
    guess = f / damping
    return damping * softmin(problem.cost, x, y, b, g, guess, problem.eps, engine=problem.engine)
