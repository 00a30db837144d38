r"""Linear systems whose matrix is a formula, and where autograd meets them.

With :math:`(K + \alpha) a = b`, K symmetric, and the cotangent g of a, that of b is
:math:`\lambda = (K + \alpha)^{-1} g`, and that of the variables of K is the derivative of
:math:`-\langle \lambda, K a \rangle` with :math:`\lambda` and a held: a system again, and a sum over pairs, so
that derivatives of every order follow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from ....engines.openmp import own_settings
from ....engines.trees.base import Size, prepared
from ....errors import bad_input, warn_user
from ....formulas.trees.algebra import mul
from ....formulas.trees.expressions import Expr, I, J, rebuilt
from ....formulas.trees.slots import slot, variable
from ...cg import Indefinite, descended
from .sums import How, pulled, tree_sums

__all__ = ["tree_solve"]


@dataclass(frozen=True)
class _System:
    """The matrix as a formula over slots, what stands on its diagonal, and how exact a solution is."""

    formula: Expr
    slots: tuple[Expr, ...]
    how: How
    alpha: float
    tol: float


def tree_solve(e: Expr, b: Tensor, alpha: float, tol: float, size: Size, how: How) -> Tensor:
    """The solution of ``(K + alpha) a = b``, ``(..., N, R)``, for a symmetric positive formula K."""
    (formula,), slots, tensors = prepared((e,), size)
    system = _System(formula, tuple(slots), how, alpha, tol)
    right = b.expand(*size.batch, *b.shape[-2:])
    found: Tensor = TreeSolve.apply(
        system, right.reshape(math.prod(size.batch), *b.shape[-2:]), *tensors
    )
    return found.view(right.shape)


class TreeSolve(Function):
    """Solutions of systems, differentiable to any order."""

    @staticmethod
    @own_settings
    def forward(ctx: Any, system: _System, b: Tensor, *tensors: Tensor) -> Tensor:
        matrix = _Matrix(system, b, tensors)
        a = matrix.items(_solved(matrix, matrix.columns(b), system))
        ctx.system = system
        ctx.save_for_backward(a, *tensors)
        return a

    @staticmethod
    @own_settings
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        a, *tensors = ctx.saved_tensors
        system: _System = ctx.system
        multiplier = TreeSolve.apply(system, g, *tensors)
        slots = list(system.slots)
        columns, rows = (slot(len(slots) + k, a.shape[-1], on) for k, on in enumerate((J, I)))
        image = mul(system.formula, columns)
        known = [*tensors, a, -multiplier]
        need = ctx.needs_input_grad[2:]
        return (
            None,
            multiplier,
            *pulled([image], [rows], [*slots, columns, rows], known, need, system.how),
        )


def _solved(matrix: _Matrix, b: Tensor, system: _System) -> Tensor:
    """The solution of some columns; what is said names K.solve and its arguments."""
    try:
        found = descended(matrix, b, tol=system.tol)  # type: ignore[arg-type]
    except Indefinite:
        fix = "Take a larger alpha, or a symmetric positive formula."
        got = "a formula that is not positive definite"
        raise bad_input("K.solve", got, "v' (K + alpha) v > 0", fix) from None
    if not found.converged:
        worst = float(found.residuals.max())
        warn_user(
            f"K.solve stopped after {found.products} products at a relative residual of {worst:.1e}, "
            f"eps={system.tol:g} was asked for: take a larger eps or alpha, or work in float64."
        )
    solution: Tensor = found.x
    return solution


class _Matrix:
    """K + alpha as conjugate gradients want it: the items of a batch stand side by side as columns."""

    def __init__(self, system: _System, b: Tensor, tensors: tuple[Tensor, ...]) -> None:
        self.system, self.reference = system, b
        self.tensors = [t.detach() for t in tensors]
        items, n, _ = b.shape
        self.shape = n, n
        self.size = Size((items,), n, n, b)

    def columns(self, b: Tensor) -> Tensor:
        return b.detach().movedim(0, 1).flatten(1)

    def items(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (len(self.reference), -1)).movedim(1, 0).contiguous()

    def product(self, x: Tensor) -> Tensor:
        """K x + alpha x, ``(N, items R)``."""
        v = self.items(x)
        filled = {
            s: variable(t, s.on) for s, t in zip(self.system.slots, self.tensors, strict=True)
        }
        (formula,) = rebuilt([self.system.formula], filled)
        with torch.no_grad():
            (image,) = tree_sums([mul(formula, variable(v, J))], [I], self.size, self.system.how)
        return self.columns(image) + self.system.alpha * x
