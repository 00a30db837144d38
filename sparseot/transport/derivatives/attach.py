r"""Derivatives for what a solver found: the only place where solved potentials meet autograd.

A solver builds no graph. :func:`attach` gives its potentials one, and :func:`attached_value` the
value. They hold, for converged potentials:

* the values do not change: ``attach`` returns the numbers that the solver found;
* the gradient of the value is that of the envelope theorem, :math:`\partial_{x_i} OT = \sum_j P_{ij}\,
  \partial_1 C(x_i, y_j)`; in a it is, balanced, f less its mean (masses being equal, only the
  differences of weights are free), and penalised :math:`\rho + \varepsilon m_b - (\rho + \varepsilon)
  e^{-f_i / \rho}`;
* second derivatives of the value, and first ones of the potentials, are those of the implicit
  function theorem (:mod:`.implicit`); those beyond raise RuntimeError;
* clouds of one pair or of a batch, weights of exactly zero, float32 and float64; with
  ``problem.symmetric``, f is the potential of a cloud with itself and g is f;
* nothing of the size of the matrix is stored where matrices are large, and nothing at all is
  computed where no derivative is asked for.

A cost that is a Python function has first derivatives of the value only, also in what it learns.
"""

from __future__ import annotations

import warnings
from dataclasses import replace

import torch
from torch import Tensor

from ...formulas import Radial
from ...operators.softmin import first_order, softmin
from ...points import Points
from ..problem import Problem
from ..solvers.annealing import Potentials
from .curvature import Curvature, curvature
from .functions import PotentialsRule, ValueRule

__all__ = ["Curvatures", "attach", "attached_value"]


class Curvatures:
    """The second derivatives of a solved problem, item by item, made where they are asked for."""

    def __init__(self, problem: Problem, found: Potentials, converged: bool = True) -> None:
        self.problem, self.found, self.converged = problem, found, converged
        self.made: dict[int, Curvature] = {}

    def __getitem__(self, item: int) -> Curvature:
        if item not in self.made:
            if not self.converged:
                warnings.warn(
                    "Second derivatives of a plan that has not converged are off by about as much "
                    "as its marginals: allow more sweeps with Sinkhorn(max_sweeps=...).",
                    RuntimeWarning,
                    stacklevel=2,
                )
            self.made[item] = curvature(self.problem, self.found, item)
        return self.made[item]

    def dual(self, leaves: list[Tensor]) -> Tensor:
        """The dual value ``(B,)`` as a function of other tensors x, y, a, b of the same numbers."""
        x, y, a, b = leaves
        source = Points(x, a)
        target = source if self.problem.symmetric else Points(y, b)
        return _dual(replace(self.problem, source=source, target=target), self.found)


def attach(problem: Problem, found: Potentials, curvatures: Curvatures) -> tuple[Tensor, Tensor]:
    """The potentials ``(B, N)`` and ``(B, M)`` with their first derivatives."""
    if not isinstance(problem.cost, Radial):
        f = _envelope(problem, found.f, found.g_prev)
        return f, f if problem.symmetric else _envelope(problem.swapped(), found.g, found.f_prev)
    f, g = PotentialsRule.apply(*_arguments(problem), curvatures)
    return f, f if problem.symmetric else g


def attached_value(
    problem: Problem, found: Potentials, value: Tensor, curvatures: Curvatures
) -> Tensor:
    """The number ``value`` ``(B,)`` with the derivatives of the transport cost."""
    if isinstance(problem.cost, Radial):
        result: Tensor = ValueRule.apply(*_arguments(problem), value, curvatures)
        return result
    envelope = _dual(problem, found, barred=True)
    return value.to(envelope) + (envelope - envelope.detach())


def _arguments(problem: Problem) -> tuple[Tensor, ...]:
    """Points and weights; those of imposed marginals of equal mass can only differ from equal ones.

    A cloud and itself has one of each: the second place is held.
    """
    x, y, a, b = (
        *(c.positions for c in (problem.source, problem.target)),
        *(c.weights for c in (problem.source, problem.target)),
    )
    if problem.symmetric:
        y, b = y.detach(), b.detach()
    if problem.penalty.imposed:
        a, b = (w - (w.mean(-1, keepdim=True) - w.mean(-1, keepdim=True).detach()) for w in (a, b))
    return x, y, a, b


def _dual(problem: Problem, found: Potentials, barred: bool = False) -> Tensor:
    """The dual value ``(B,)`` with the envelope's derivatives."""
    source, target = problem.source, problem.target
    f = _envelope(problem, found.f, found.g_prev)
    g = f if problem.symmetric else _envelope(problem.swapped(), found.g, found.f_prev)
    if barred:
        source, target = (Points(c.positions, first_order(c.weights)) for c in (source, target))
    return problem.penalty.value(source, target, f, g, problem.eps)


def _envelope(problem: Problem, f: Tensor, g: Tensor) -> Tensor:
    """The damped softmin f of g, with its derivative in the points of the source."""
    x, learned = problem.source.positions, not isinstance(problem.cost, Radial)
    if not (torch.is_grad_enabled() and (x.requires_grad or learned)):
        return f
    damping = 1 / (1 + problem.eps / problem.penalty.rhos[0])
    y, b = problem.target.positions.detach(), problem.target.weights.detach()
    guess = f / damping
    return damping * softmin(problem.cost, x, y, b, g, guess, problem.eps, engine=problem.engine)
