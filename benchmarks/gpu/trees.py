"""Formulas whose kernels are judged without a card; see report.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from sparseot import LazyTensor
from sparseot.engines.trees.base import Reduction
from sparseot.engines.trees.triton.engine import TritonTrees

__all__ = ["FORMULAS"]

POINTS = 20_000
Task = Callable[[], object]


class Anywhere(TritonTrees):
    """The engine, on tensors of a CPU, whose kernels are recorded and never run."""

    def refuses(self, reduction: Reduction, like: Tensor) -> str | None:
        return None


class Clouds:
    """Variables of a formula: ``x(3)`` for rows, ``y(3)`` for columns."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        self.dtype = dtype
        self.tensors: list[Tensor] = []

    def _lazy(self, dim: int, axis: int) -> Any:
        self.tensors.append(torch.zeros(POINTS, dim, dtype=self.dtype, requires_grad=True))
        found = LazyTensor(self.tensors[-1], axis=axis)
        found.engine = Anywhere()
        return found

    def x(self, dim: int = 3) -> Any:
        return self._lazy(dim, 0)

    def y(self, dim: int = 3) -> Any:
        return self._lazy(dim, 1)


def squares(c: Clouds, dim: int = 3) -> Any:
    return ((c.x(dim) - c.y(dim)) ** 2).sum(-1)


def gaussian(c: Clouds, dim: int = 3) -> Any:
    return (-squares(c, dim) / 2).exp()


def matern(c: Clouds) -> Any:
    scaled = (3 * squares(c)).sqrt()
    return (1 + scaled) * (-scaled).exp()


def periodic(c: Clouds) -> Any:
    return (-(((c.x() - c.y()).abs() * 3).sin() ** 2).sum(-1)).exp()


def mahalanobis(c: Clouds) -> Any:
    gap = c.x() - c.y()
    return (-(gap | c.y(9).matvecmult(gap))).exp()


def force(c: Clouds) -> Any:
    gap = c.x() - c.y()
    inverse = 1 / (gap**2).sum(-1)
    return ((inverse**7 - inverse**4) * gap).sum(1)


def gradient(run: Callable[[Clouds], Any]) -> Callable[[Clouds], Any]:
    """The derivatives in rows and columns; the last kernel is that for columns."""
    return torch.enable_grad()(lambda c: torch.autograd.grad(run(c).sum(), c.tensors))


TABLE: dict[str, Callable[[Clouds], Any]] = {
    "Gaussian": lambda c: (gaussian(c) * c.y(1)).sum(1),
    "Gaussian's gradient, columns": gradient(lambda c: (gaussian(c) * c.y(1)).sum(1)),
    "Cauchy": lambda c: (1 / (1 + squares(c)) * c.y(1)).sum(1),
    "Matern 3/2": lambda c: (matern(c) * c.y(1)).sum(1),
    "Matern's gradient, columns": gradient(lambda c: (matern(c) * c.y(1)).sum(1)),
    "periodic": lambda c: (periodic(c) * c.y(1)).sum(1),
    "angle": lambda c: ((c.x() | c.y()).acos() * c.y(1)).sum(1),
    "Mahalanobis, a matrix for each j": lambda c: (mahalanobis(c) * c.y(1)).sum(1),
    "Lennard-Jones force": force,
    "logsumexp": lambda c: (-squares(c) / 2).logsumexp(1),
    "attention, 8 coordinates, 8 columns": lambda c: (c.x(8) | c.y(8)).sumsoftmaxweight(
        c.y(8), dim=1
    ),
    "argmin, D = 10": lambda c: squares(c, 10).argmin(dim=1),
    "10 smallest": lambda c: squares(c).argKmin(10, dim=1),
    "16 smallest, D = 16": lambda c: squares(c, 16).argKmin(16, dim=1),
    "64 smallest": lambda c: squares(c).argKmin(64, dim=1),
    "Gaussian, D = 16, 8 columns": lambda c: (gaussian(c, 16) * c.y(8)).sum(1),
    "attention, 64 coordinates, 64 columns": lambda c: (c.x(64) | c.y(64)).sumsoftmaxweight(
        c.y(64), dim=1
    ),
    "attention's gradient, columns": gradient(
        lambda c: (c.x(64) | c.y(64)).sumsoftmaxweight(c.y(64), dim=1)
    ),
    "exponentials times 64 columns, 64 coordinates": lambda c: (
        (c.x(64) | c.y(64)).exp() * c.y(64)
    ).sum(1),
    "logsumexp, 64 coordinates": lambda c: (c.x(64) | c.y(64)).logsumexp(1),
    "attention, 128 coordinates, 128 columns": lambda c: (c.x(128) | c.y(128)).sumsoftmaxweight(
        c.y(128), dim=1
    ),
}
DOUBLE = (
    "Gaussian", "Gaussian's gradient, columns", "Matern 3/2", "periodic", "Lennard-Jones force", "logsumexp",
    "argmin, D = 10", "16 smallest, D = 16", "64 smallest", "attention, 64 coordinates, 64 columns",
    "attention's gradient, columns", "exponentials times 64 columns, 64 coordinates",
)  # fmt: skip


def _task(run: Callable[[Clouds], Any], dtype: torch.dtype) -> Task:
    return torch.no_grad()(lambda: run(Clouds(dtype)))


def _named(names: Sequence[str], dtype: torch.dtype, suffix: str = "") -> dict[str, Task]:
    return {f"formula: {name}{suffix}": _task(TABLE[name], dtype) for name in names}


FORMULAS = _named(list(TABLE), torch.float32) | _named(DOUBLE, torch.float64, ", float64")
