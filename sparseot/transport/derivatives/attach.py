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

A cost that is a Python function has all of these where it can be traced and learns nothing. Others have first
derivatives of the value only, also in what they learn; so has what a schedule left unconverged, whose
potentials are frozen (:mod:`.envelope`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from ...formulas import GroundCost, Opaque
from ...points import Points
from ..problem import Problem
from ..solution import Solution
from .curvatures import Curvatures
from .envelope import dual, envelope
from .functions import PotentialsRule, ValueRule

__all__ = ["attach", "attached_value"]


def attach(problem: Problem, found: Solution, curvatures: Curvatures) -> tuple[Tensor, Tensor]:
    """The potentials ``(B, N)`` and ``(B, M)`` with their first derivatives."""
    if not (found.reports and _twice(problem, curvatures)):
        known = found.slopes
        f = g = envelope(problem, found.f, found.g_prev, slopes=known[0])
        if not problem.symmetric:
            g = envelope(problem.swapped(), found.g, found.f_prev, slopes=known[1])
        return (_Unknown.apply(f), _Unknown.apply(g)) if found.reports else (f, g)
    f, g = PotentialsRule.apply(*_arguments(problem, curvatures.problem), curvatures)
    return f, f if problem.symmetric else g


def attached_value(
    problem: Problem, found: Solution, value: Tensor | None, curvatures: Curvatures
) -> Tensor:
    """The number ``value`` ``(B,)`` with the derivatives of the transport cost.

    None takes the dual objective of the potentials after one exact update.
    """
    if value is not None and _twice(problem, curvatures):
        result: Tensor = ValueRule.apply(
            *_arguments(problem, curvatures.problem), value, curvatures
        )
        return result
    if value is not None:
        x, y, a, b = _arguments(problem, curvatures.problem)
        source, target = problem.source, problem.target
        problem = problem.of(
            replace(source, positions=x, weights=a), replace(target, positions=y, weights=b)
        )
    frozen = dual(problem, found, barred=True)
    return frozen if value is None else value.to(frozen) + (frozen - frozen.detach())


class _Unknown(Function):
    """Potentials of a cost whose second derivatives are not known, on which theirs depend."""

    @staticmethod
    def forward(ctx: Any, h: Tensor) -> Tensor:
        return h.view_as(h)

    @staticmethod
    def backward(ctx: Any, _: Tensor) -> None:
        raise RuntimeError(
            "Potentials have derivatives where the cost is |x - y|^p / p, its multiple, or a function that can "
            "be traced and learns nothing; of other costs the value has first ones."
        )


def _twice(problem: Problem, curvatures: Curvatures) -> bool:
    """Whether the cost has second derivatives that are known."""
    if isinstance(problem.cost, GroundCost):
        return True
    if not isinstance(problem.cost, Opaque) or problem is curvatures.problem:
        return False
    # here, for a light import of the library
    from ...operators.autograd.trees.traced import tree_of

    x, y = (c.positions for c in (curvatures.problem.source, curvatures.problem.target))
    return tree_of(problem.cost, x, y) is not None and not problem.cost.learnable(x, y)


def _arguments(problem: Problem, solved: Problem) -> tuple[Tensor, ...]:
    """Points and weights; those of imposed marginals of equal mass can only differ from equal ones.

    A cloud and itself has one of each: the second place is held. The problem that was ``solved`` has
    the same clouds, as numbers.
    """
    x, y, a, b = (
        *(c.positions for c in (problem.source, problem.target)),
        *(c.weights for c in (problem.source, problem.target)),
    )
    if problem.symmetric:
        y, b = y.detach(), b.detach()
    if problem.penalty.imposed:
        a, b = _without_mean(a, solved.source), _without_mean(b, solved.target)
    return x, y, a, b


def _without_mean(w: Tensor, cloud: Points) -> Tensor:
    """Weights, whose gradients are less their mean over all points but padding."""
    count = w.shape[-1]
    if all(size == count for size in cloud.sizes):
        mean = w.mean(-1, keepdim=True)
        return w - (mean - mean.detach())
    size = torch.tensor(cloud.sizes, dtype=w.dtype).to(w.device)[:, None]
    mean = w.sum(-1, keepdim=True) / size
    real = torch.arange(count, device=w.device) < size
    return w - torch.where(real, mean - mean.detach(), 0)
