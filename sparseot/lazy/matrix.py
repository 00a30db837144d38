"""A LazyTensor of numbers as an operator, for eigenpairs and Laplacians."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..engines.openmp import own_settings
from ..errors import bad_input
from ..formulas.trees.dense import values
from ..formulas.trees.expressions import P
from ..formulas.trees.slots import leaves
from ..operators.arrays import Array, like
from ..operators.base import Operator

__all__ = ["LazyMatrix"]


class LazyMatrix(Operator):
    """The matrix ``(..., N, M)`` of a formula of numbers; it reads the arrays of the formula at each product."""

    def __init__(self, tensor: Any) -> None:
        if tensor.tree.dim > 1 or tensor.frame.like is None:
            got = f"a formula of shape {tensor.shape}"
            raise bad_input("K", got, "a matrix of numbers", "Sum over coordinates: K.sum(-1).")
        self.tensor, self.shape = tensor, tensor.shape
        empty = tensor.frame.like.detach().new_empty(0)
        self.reference: Array = empty.numpy() if tensor.frame.of_numpy else empty

    @property
    def live(self) -> tuple[Tensor, ...]:
        """The tensors of the formula."""
        return tuple(leaf.attr.tensor for leaf in leaves(self.tensor.tree))

    def product(self, v: Tensor) -> Tensor:
        """The product with ``(..., M, R)``."""
        found: Tensor = self.tensor @ v
        return found

    def transpose(self) -> Operator:
        return LazyMatrix(self.tensor.T)

    @own_settings
    def diagonal(self) -> Array:
        """The values for pairs of equal numbers, ``(..., min(N, M))``."""
        if self.tensor.ranges is not None:
            fix = "Set ranges to None, or keep the diagonal yourself."
            raise bad_input("K.diagonal()", "a matrix of some pairs", "one of all pairs", fix)
        count = min(self.shape[-2:])
        known = {
            leaf: leaf.attr.tensor if leaf.on == P else leaf.attr.tensor[..., :count, :]
            for leaf in leaves(self.tensor.tree)
        }
        (found,) = values([self.tensor.tree], known, self.tensor.frame.like)
        return like(found[..., 0].expand(*self.shape[:-2], count), self.reference)

    def __repr__(self) -> str:
        return f"LazyMatrix({self.tensor!r})"
