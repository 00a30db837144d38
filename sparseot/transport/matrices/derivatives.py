r"""Potentials, value and plan of a stored matrix of costs, differentiated in it and in the weights.

With :math:`\lambda = 1 / (1 + \varepsilon / \rho)`, one where a marginal is imposed, potentials are a zero of

.. math::
    R_i = f_i + \lambda_a \varepsilon \log \sum_j b_j e^{(g_j - C_{ij}) / \varepsilon}, \qquad
    R'_j = g_j + \lambda_b \varepsilon \log \sum_i a_i e^{(f_i - C_{ij}) / \varepsilon},

whose Jacobian is made of the plan, its rows and its columns normalised. The implicit function theorem gives the
derivatives of f and g by one dense system; the gradient of the value is the plan in C, and in the weights an
expression of the potentials, so that its derivative needs nothing else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from ...errors import bad_input
from ..marginals import Marginals

__all__ = ["Solved", "plan_of", "potentials_of", "value_of"]


@dataclass(frozen=True)
class Solved:
    """What was found: potentials ``(B, N)`` and ``(B, M)`` in float64, f the damped softmin of g."""

    f: Tensor
    g: Tensor
    eps: float
    penalty: Marginals

    @property
    def damping(self) -> tuple[float, float]:
        """The factors of both softmins."""
        one, two = (1 / (1 + self.eps / rho) for rho in self.penalty.rhos)
        return one, two


def potentials_of(C: Tensor, a: Tensor, b: Tensor, found: Solved) -> tuple[Tensor, Tensor]:
    """Both potentials with their derivatives; balanced, in the gauge ``<a, f> = <b, g>``."""
    f, g = _Potentials.apply(C, a, b, found)
    if not found.penalty.imposed:
        return f, g
    excess = (a * f).sum(-1, keepdim=True) - (b * g).sum(-1, keepdim=True)
    shift = excess / (a.sum(-1, keepdim=True) + b.sum(-1, keepdim=True))
    return f - shift, g + shift


def plan_of(C: Tensor, a: Tensor, b: Tensor, found: Solved) -> Tensor:
    """The plan ``(B, N, M)`` with its derivatives."""
    f, g = _Potentials.apply(C, a, b, found)
    return _plan(C, a, b, f, g, found.eps)


def value_of(C: Tensor, a: Tensor, b: Tensor, number: Tensor, found: Solved) -> Tensor:
    """The value ``(B,)``, which is the ``number`` that was found, with first and second derivatives."""
    value: Tensor = _Value.apply(C, a, b, number, found)
    return value


def _plan(C: Tensor, a: Tensor, b: Tensor, f: Tensor, g: Tensor, eps: float) -> Tensor:
    return (
        a[:, :, None] * b[:, None] * ((f[:, :, None] + g[:, None] - C) / eps).clamp(max=600.0).exp()
    )


class _Value(Function):
    """The number, whose gradient is made of the potentials."""

    @staticmethod
    def forward(ctx: Any, C: Tensor, a: Tensor, b: Tensor, number: Tensor, found: Solved) -> Tensor:
        ctx.save_for_backward(C, a, b)
        ctx.found = found
        return number.clone()

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        (C, a, b), found = ctx.saved_tensors, ctx.found
        f, g = _Potentials.apply(C, a, b, found)
        plan = _plan(C, a, b, f, g, found.eps)
        slopes = (_slope(found, 0, f, b), _slope(found, 1, g, a))
        each = cotangent[:, None]
        return cotangent[:, None, None] * plan, each * slopes[0], each * slopes[1], None, None


def _slope(found: Solved, side: int, h: Tensor, other: Tensor) -> Tensor:
    """The derivative of the value in the weights of one side; of two imposed ones, less its mean."""
    penalty, eps = found.penalty, found.eps
    slope: Tensor = penalty.worth(side, h) - eps * penalty.wanted(side, h)
    slope = slope + eps * other.sum(-1, keepdim=True)
    return slope - slope.mean(-1, keepdim=True) if penalty.imposed else slope


class _Potentials(Function):
    """f and g as functions of the costs and of the weights."""

    @staticmethod
    def forward(ctx: Any, C: Tensor, a: Tensor, b: Tensor, found: Solved) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(C, a, b)
        ctx.found = found
        return found.f.clone(), found.g.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, u: Tensor, v: Tensor) -> tuple[Tensor | None, ...]:
        (C, a, b), found = ctx.saved_tensors, ctx.found
        rows, by_b = _normalised(b, found.g, C, found.eps)
        cols, by_a = _normalised(a, found.f, C.mT, found.eps)
        one, two = found.damping
        rows, cols, imposed = one * rows, two * cols, found.penalty.imposed
        if len(u[0]) <= len(v[0]):  # the smaller system
            w, z = _adjoint(rows, cols, u, v, a if imposed else None)
        else:
            z, w = _adjoint(cols, rows, v, u, b if imposed else None)
        in_C = w[:, :, None] * rows + (z[:, :, None] * cols).mT
        in_a = -two * found.eps * (z[:, None] @ by_a)[:, 0]
        in_b = -one * found.eps * (w[:, None] @ by_b)[:, 0]
        return in_C, in_a, in_b, None


def _normalised(b: Tensor, g: Tensor, C: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """The plan with rows of sum one, and the same without the factor of the weights."""
    exponents = (g[:, None] - C) / eps
    logs = (exponents + b.clamp(min=1e-300).log()[:, None]).logsumexp(-1, keepdim=True)
    free = (exponents - logs).clamp(max=600.0).exp()
    return free * b[:, None], free


def _adjoint(
    rows: Tensor, cols: Tensor, u: Tensor, v: Tensor, a: Tensor | None
) -> tuple[Tensor, Tensor]:
    """w and z with ``w + cols' z = u`` and ``rows' w + z = v``; ``a`` are the weights if constants are a null space."""
    right = u - (v[:, None] @ cols)[:, 0]
    system = -(rows @ cols).mT
    system.diagonal(dim1=-2, dim2=-1).add_(1.0)
    if a is not None:
        system += (a / a.sum(-1, keepdim=True))[:, :, None]
    w, wrong = torch.linalg.solve_ex(system, right[..., None])
    w = w[..., 0]
    if bool(wrong.any()) or not math.isfinite(float(w.sum())):
        fix = "Take a larger reg, or detach() the potentials."
        raise bad_input(
            "reg", "a plan that falls into parts, whose derivatives are unknown", "one", fix
        )
    return w, v - (w[:, None] @ rows)[:, 0]
