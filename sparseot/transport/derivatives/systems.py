"""The linear systems of second derivatives: factored where they are small, else iterated."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from ...errors import bad_input
from ...operators import small
from ...operators.base import Operator
from ...operators.cg import conjugate_gradient
from .sums.coupling import Coupling, Stored

__all__ = ["Definite"]

SPLIT = 1e-12  # eigenvalues below it belong to parts of a plan between which nothing moves


class Definite:
    """A positive definite system ``sqrt(c) A sqrt(c)``, by its normal form A.

    Args:
        e: the plan, which is stored or not.
        c: ``(M,)``; zero where a point has no weight, and there the solution is.
        product: A times ``(M, R)``.
        matrix: A, of a plan that is stored.
        tol: relative residual of the solution, where it is found by iteration.
    """

    def __init__(
        self,
        e: Coupling,
        c: Tensor,
        product: Callable[[Tensor], Tensor],
        matrix: Callable[[Stored], Tensor],
        tol: float,
    ) -> None:
        self.e, self.product, self.matrix, self.tol = e, product, matrix, tol
        self.units = torch.where(c > 0, c, 1).rsqrt() * (c > 0)
        self.residual, self.products = 0.0, 0

    @cached_property
    def factor(self) -> Tensor:
        """Cholesky's factor of the normal form."""
        assert isinstance(self.e, Stored)
        matrix = self.matrix(self.e)
        factor, least = small.cholesky(matrix)
        if not least >= SPLIT:
            raise bad_input(
                "blur",
                "one at which the plan falls into parts between which no mass moves",
                "a plan whose potentials are determined by their derivatives",
                "Take a larger blur, or a reach.",
            )
        return factor

    def half(self, right: Tensor) -> Tensor:
        """Of stored systems: W with ``W' W = right' S^-1 right``."""
        scaled = self.units[:, None] * right
        return small.substitute(self.factor, scaled)

    def solve(self, right: Tensor) -> Tensor:
        """The solution ``(M, R)``, zero where c is."""
        units = self.units[:, None]
        if isinstance(self.e, Stored):
            return units * small.solve(self.factor, units * right)
        found = conjugate_gradient(_Matrix(self.product, right), units * right, tol=self.tol)
        self.residual = max(self.residual, float(found.residuals.max()))
        self.products += found.products
        return units * found.x


class _Matrix(Operator):
    """A symmetric product, for the conjugate gradients."""

    def __init__(self, function: Callable[[Tensor], Tensor], reference: Tensor) -> None:
        self.function, self.reference = function, reference
        self.shape = (len(reference), len(reference))

    def product(self, v: Tensor) -> Tensor:
        return self.function(v)

    def transpose(self) -> Operator:
        return self

    def diagonal(self) -> Tensor:
        raise NotImplementedError("It is known by its products.")
