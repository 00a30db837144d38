"""Formulas that are functions: of two clouds, of two points, or written in KeOps's language."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from ..errors import bad_input
from .base import Single

__all__ = ["Opaque", "Pointwise", "Symbolic"]


@dataclass(frozen=True)
class Opaque(Single):
    """A cost or kernel given as a Python function of ``(B, N, D)`` and ``(B, M, D)`` tensors.

    It returns a ``(B, N, M)`` tensor. Its derivatives are those that autograd finds, and only
    engines that run Python can evaluate it.
    """

    function: Callable[[Tensor, Tensor], Tensor]

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Values for all pairs, checked for their shape."""
        return self._checked(self.function(x, y), (len(x), x.shape[1], y.shape[1]))

    matrix = __call__

    def scaled(self, factor: float) -> Opaque:
        """The multiple of this kernel."""
        return type(self)(lambda x, y: self.function(x, y) * factor)

    def times(self, other: Single) -> Opaque:
        """The product with another kernel."""
        return Opaque(lambda x, y: self(x, y) * other.matrix(x, y))

    def _checked(self, value: Tensor, wanted: tuple[int, ...]) -> Tensor:
        if not isinstance(value, Tensor) or value.shape != wanted:
            came = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise bad_input("cost, kernel", f"values of shape {came}", f"a tensor {wanted}")
        return value


class Pointwise(Opaque):
    """A kernel written for one pair of points, which runs on tensors and on KeOps LazyTensors.

    Args:
        function: of ``x_i``, ``(..., N, 1, D)``, and ``y_j``, ``(..., 1, M, D)``; it reduces the
            last axis. Broadcasting makes it the matrix of all pairs.

    Example:
        >>> import torch
        >>> cauchy = Pointwise(lambda x_i, y_j: 1 / (1 + ((x_i - y_j) ** 2).sum(-1)))
        >>> cauchy(torch.zeros(1, 2, 3), torch.ones(1, 5, 3)).shape
        torch.Size([1, 2, 5])
    """

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Values for all pairs of ``(B, N, D)`` and ``(B, M, D)``."""
        value = self.function(x[..., :, None, :], y[..., None, :, :])
        return self._checked(value, (len(x), x.shape[1], y.shape[1]))

    matrix = __call__


@dataclass(frozen=True)
class Symbolic:
    """A ground cost as a KeOps formula of ``X`` and ``Y``, such as ``"SqDist(X,Y) / IntCst(2)"``.

    KeOps compiles and differentiates it; no other engine can read it.
    """

    expression: str
