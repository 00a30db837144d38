"""Costs that are distances of points mapped linearly: lengths of axes, a matrix, features beside places."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..errors import bad_input
from ..formulas.given import ground_cost
from ..formulas.ground import GroundCost
from ..points import check_integer, numbers
from .base import EVEN, Cost, as_parameter

__all__ = ["Features", "Mahalanobis", "Scaled"]


class _Linear(Cost):
    """``|z - w|^p / p`` of points z and w that a linear map gives."""

    def formula(self, p: int) -> GroundCost:
        """The distance, or half of its square."""
        return ground_cost(p)


class Scaled(_Linear):
    r"""Axes in units of their own: :math:`|(x - y) / s|^p / p`, with p of the call.

    Args:
        scales: ``(D,)`` lengths s, or one for all axes; tensors are differentiated in.

    Raises:
        ValueError, TypeError: unless they are positive numbers, one for each coordinate.

    Example:
        >>> import torch, sparseot as so
        >>> x, y = torch.zeros(1, 2), torch.tensor([[3.0, 40.0]])
        >>> round(so.sinkhorn_divergence(x, y, cost=so.costs.Scaled([1.0, 10.0])).item(), 2)
        12.5
    """

    def __init__(self, scales: Any) -> None:
        super().__init__()
        self.scales = as_parameter("scales", scales, (0, 1))

    def prepare(self, points: Tensor, name: str = "x") -> Tensor:
        """The points, each coordinate divided by its length."""
        _positive("scales", self.scales)
        _of_dimension("scales", self.scales, points, name)
        return points / self.scales.to(points)

    def restore(self, points: Tensor) -> Tensor:
        """Each coordinate times its length."""
        return points * self.scales.to(points)

    def extra_repr(self) -> str:
        """The lengths."""
        return _numbers(self.scales)


class Mahalanobis(_Linear):
    r"""The distance of Mahalanobis (1936): :math:`|x - y|_M^p / p` with :math:`|v|_M^2 = v^\top M v`.

    With :math:`M = L L^\top` it is the distance of the points ``x @ L``. SciPy calls M ``VI``: the inverse of a
    covariance.

    Args:
        matrix: ``(D, D)`` M, symmetric and positive definite, or ``(D,)`` its diagonal; a tensor is
            differentiated in.

    Raises:
        ValueError, TypeError: for another matrix.

    Example:
        >>> import torch, sparseot as so
        >>> x, y = torch.zeros(1, 2), torch.tensor([[3.0, 4.0]])
        >>> round(so.sinkhorn_divergence(x, y, cost=so.costs.Mahalanobis([2.0, 0.5])).item(), 2)
        13.0
    """

    def __init__(self, matrix: Any) -> None:
        super().__init__()
        self.matrix = as_parameter("matrix", matrix, (1, 2))
        M = numbers(self.matrix)
        if M.dim() == 2 and (len(M) != M.shape[1] or (M - M.T).abs().max() > EVEN * M.abs().max()):
            got = f"shape {tuple(M.shape)}" if len(M) != M.shape[1] else "one that is not symmetric"
            raise bad_input("matrix", got, "a symmetric (D, D) matrix, or (D,) its diagonal")

    def prepare(self, points: Tensor, name: str = "x") -> Tensor:
        """The points times Cholesky's factor of the matrix, which is found in double precision."""
        _of_dimension("matrix", self.matrix, points, name)
        factor = self._factor().to(points)
        return points @ factor if factor.dim() == 2 else points * factor

    def restore(self, points: Tensor) -> Tensor:
        """The points, times the inverse of that factor."""
        factor = self._factor().to(points)
        if factor.dim() == 1:
            return points / factor
        found: Tensor = torch.linalg.solve_triangular(factor, points, upper=False, left=False)
        return found

    def _factor(self) -> Tensor:
        """That of Cholesky in double precision, or its diagonal."""
        matrix = self.matrix.double()
        if matrix.dim() == 1:
            _positive("matrix", matrix)
            return matrix.sqrt()
        matrix = (matrix + matrix.mT) / 2
        factor, wrong = torch.linalg.cholesky_ex(matrix)
        if bool(numbers(wrong)):
            least = float(torch.linalg.eigvalsh(numbers(matrix))[0])
            fix = "It is A @ A.T, with a multiple of the identity where it is singular."
            got = f"one with the eigenvalue {least:.3g}"
            raise bad_input("matrix", got, "a positive definite one", fix)
        found: Tensor = factor
        return found

    def extra_repr(self) -> str:
        """The shape."""
        return f"{tuple(self.matrix.shape)}"


class Features(_Linear):
    r"""Features beside places: :math:`(|x - y|^2 + \lambda |u - v|^2)^{p/2} / p`.

    For p = 2, :math:`|x - y|^2 / 2 + \lambda |u - v|^2 / 2`. A point is its place and its feature, one after the
    other: ``torch.cat((x, u), -1)``.

    Args:
        weight: :math:`\lambda`, in squares of lengths for a unit of the features; a tensor is differentiated in.
        size: how many coordinates, the last ones, are features.

    Raises:
        ValueError, TypeError: unless the weight is positive, and points have more coordinates than features.

    Example:
        >>> import torch, sparseot as so
        >>> x, y = torch.zeros(1, 3), torch.tensor([[3.0, 4.0, 2.0]])
        >>> round(so.sinkhorn_divergence(x, y, cost=so.costs.Features(0.5)).item(), 2)
        13.5
    """

    def __init__(self, weight: Any, size: int = 1) -> None:
        super().__init__()
        self.weight, self.size = as_parameter("weight", weight, (0,)), check_integer("size", size)

    def prepare(self, points: Tensor, name: str = "x") -> Tensor:
        """The points, their features times the root of the weight."""
        if points.shape[-1] <= self.size:
            got = f"points of {points.shape[-1]} coordinates, the last {self.size} of them features"
            raise bad_input(name, got, "a place before the feature", "torch.cat((x, u), -1)")
        return self._with_features_times(self._root(points), points)

    def restore(self, points: Tensor) -> Tensor:
        """The points, their features divided by that root."""
        return self._with_features_times(1 / self._root(points), points)

    def _root(self, points: Tensor) -> Tensor:
        _positive("weight", self.weight)
        return self.weight.to(points).sqrt()

    def _with_features_times(self, factor: Tensor, points: Tensor) -> Tensor:
        return torch.cat((points[..., : -self.size], points[..., -self.size :] * factor), -1)

    def extra_repr(self) -> str:
        """The weight, and how many features there are."""
        return f"{_numbers(self.weight)}, size={self.size}"


def _positive(name: str, value: Tensor) -> None:
    least = float(numbers(value).min())
    if not least > 0:
        raise bad_input(name, f"{least:g}", "positive numbers")


def _of_dimension(name: str, value: Tensor, points: Tensor, cloud: str) -> None:
    if value.dim() and len(value) != points.shape[-1]:
        wanted = f"{len(value)} coordinates, as {name} has"
        raise bad_input(cloud, f"points of dimension {points.shape[-1]}", wanted)


def _numbers(value: Tensor) -> str:
    return ", ".join(f"{v:.4g}" for v in value.detach().flatten().tolist())
