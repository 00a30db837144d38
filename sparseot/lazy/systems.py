"""Formulas of numbers as operators, and as the matrices of linear systems."""

from __future__ import annotations

from typing import Any

from ..engines.openmp import own_settings
from ..errors import bad_input
from ..operators.arrays import Array, as_tensor, like
from ..operators.autograd.trees.solve import tree_solve
from ..operators.scipy_operator import ScipyNames
from .matrix import LazyMatrix
from .reductions import Reductions, in_order

__all__ = ["Systems"]


class Systems(Reductions, ScipyNames):
    """What a LazyTensor is to linear algebra: an operator, and the matrix of a system."""

    def as_operator(self) -> LazyMatrix:
        """The matrix of a formula of numbers, for this library's ``eigsh`` and its like."""
        return LazyMatrix(self)

    @own_settings
    def solve(self, b: Any, alpha: float = 1e-10, eps: float = 1e-6, **hints: Any) -> Array:
        r"""The solution of :math:`(K + \alpha) a = b`, K symmetric and positive definite.

        By conjugate gradients, with derivatives of every order in b and in the variables of K.

        Args:
            b: ``(N,)``, ``(N, R)`` or batches ``(..., N, R)``, or Vi of some.
            alpha: what is added to the diagonal.
            eps: the residual ``|b - (K + alpha) a| / |b|`` of each column to be reached; where it is not,
                there is a warning.

        Returns:
            a, of the shape and kind of b.

        Raises:
            ValueError: if K is not square, b has another length, or K + alpha is not positive definite.
        """
        b = b.tree.attr.tensor if isinstance(b, Systems) and b.tree.op == "leaf" else b
        n, m = self.frame.rows_known, self.frame.columns_known
        if self.tree.dim > 1 or n is None or n != m:
            got = f"{n} rows and {m} columns of {self.tree.dim} coordinates"
            raise bad_input("solve", got, "a square matrix of numbers")
        (tree,), size, how, order = self._turned([self.tree], 1, hints)
        right = as_tensor(b, self.frame.like, "b")
        block = right[:, None] if right.dim() == 1 else right
        if block.dim() < 2 or block.shape[-2] != n:
            raise bad_input("b", f"shape {tuple(right.shape)}", f"({n},) or (..., {n}, R)")
        block = block if order is None else block.index_select(-2, order[0].to(block.device))
        found = in_order(tree_solve(tree, block, alpha, eps, size, how), order, size)
        return like(found[..., 0] if right.dim() == 1 else found, b)
