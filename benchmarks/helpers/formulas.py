"""Thirteen formulas of two clouds, for LazyTensors of either library, and as whole blocks of torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

__all__ = ["FORMULAS", "Case"]

BLOCK = 500  # rows of a block of torch's
ROOT3 = math.sqrt(3)


@dataclass(frozen=True)
class Case:
    """A formula, what is done with its rows, and the clouds that it is asked of.

    ``lazy`` and ``dense`` are functions of variables named as those of ``draw``: of LazyTensors, and of
    tensors that broadcast.
    """

    name: str
    lazy: Callable[..., Any]
    dense: Callable[..., Tensor]
    reduction: str = "sum"
    rows: dict[str, int] = field(default_factory=lambda: {"x": 3})
    columns: dict[str, int] = field(default_factory=lambda: {"y": 3, "v": 1})
    parameters: dict[str, int] = field(default_factory=dict)
    centred: bool = False

    def draw(self, n: int) -> dict[str, Tensor]:
        """Uniform variables; normal ones where they are centred."""
        generator = torch.Generator().manual_seed(0)
        draw = torch.randn if self.centred else torch.rand
        shapes = {name: (n, d) for name, d in (self.rows | self.columns).items()}
        shapes |= {name: (d,) for name, d in self.parameters.items()}
        return {name: draw(shape, generator=generator) for name, shape in shapes.items()}

    def reduced(self, LazyTensor: Any, data: dict[str, Tensor]) -> Tensor:
        """By LazyTensors."""
        variables = {
            name: LazyTensor(t[:, None] if name in self.rows else t[None] if t.dim() > 1 else t)
            for name, t in data.items()
        }
        found = self.lazy(**variables)
        if self.reduction == "least":
            return found.argKmin(10, dim=1)
        return getattr(found, self.reduction)(dim=1)

    def blockwise(self, data: dict[str, Tensor]) -> Tensor:
        """By torch, which stores some hundred rows at a time."""
        n = len(next(iter(data.values())))
        parts = []
        for first in range(0, n, BLOCK):
            views = {
                name: t[first : first + BLOCK, None] if name in self.rows else t
                for name, t in data.items()
            }
            parts.append(self._reduce(self.dense(**views)))
        return torch.cat(parts)

    def _reduce(self, found: Tensor) -> Tensor:
        if self.reduction == "least":
            return found.topk(10, dim=1, largest=False).indices
        if self.reduction == "argmin":
            return found.argmin(1, keepdim=True)
        return found if self.reduction == "sum" else found.logsumexp(1, keepdim=True)


def _squares(x: Tensor, y: Tensor) -> Tensor:
    return ((x - y) ** 2).sum(-1)


def _angles(x: Any, y: Any) -> Any:
    """The arc-cosine kernel of order one (Cho and Saul, 2009), by LazyTensors."""
    norms = x.norm2() * y.norm2()
    cosine = ((x | y) / norms).clamp(-0.999999, 0.999999)
    angle = cosine.acos()
    return norms * ((1 - cosine**2).sqrt() + (math.pi - angle) * cosine)


def _dense_angles(x: Tensor, y: Tensor) -> Tensor:
    norms = x.norm(dim=-1) * y.norm(dim=-1)
    cosine = ((x[:, 0] @ y.T) / norms).clamp(-0.999999, 0.999999)
    return norms * ((1 - cosine**2).sqrt() + (math.pi - cosine.acos()) * cosine)


def _force(squares: Any) -> Any:
    """Lennard-Jones, softened, per difference of places."""
    inverse = 1 / (squares + 0.01)
    sixth = inverse**3 * 1e-3
    return (2 * sixth**2 - sixth) * inverse


def _matern(distances: Any) -> Any:
    return (1 + ROOT3 * distances) * (-ROOT3 * distances).exp()


def _quadratic(x: Tensor, y: Tensor, s: Tensor) -> Tensor:
    apart, metric = x - y, s.view(-1, 3, 3)
    return torch.einsum("ijk,jkl,ijl->ij", apart, metric.expand(len(y), 3, 3), apart)


FORMULAS = [
    Case(
        "Gaussian",
        lambda x, y, v: (-((x - y) ** 2).sum(-1) * 10).exp() * v,
        lambda x, y, v: (-_squares(x, y) * 10).exp() @ v,
    ),
    Case(
        "Cauchy",
        lambda x, y, v: 1 / (1 + ((x - y) ** 2).sum(-1) * 10) * v,
        lambda x, y, v: (1 / (1 + _squares(x, y) * 10)) @ v,
    ),
    Case(
        "Matern 3/2",
        lambda x, y, v: _matern(((x - y) ** 2).sum(-1).sqrt()) * v,
        lambda x, y, v: _matern(_squares(x, y).sqrt()) @ v,
    ),
    Case(
        "Laplacian with a metric",
        lambda x, y, v, s: (-(x - y).weightedsqnorm(s).sqrt()).exp() * v,
        lambda x, y, v, s: (-_squares(x * s.sqrt(), y * s.sqrt()).sqrt()).exp() @ v,
        parameters={"s": 3},
    ),
    Case(
        "Mahalanobis, a matrix for each j",
        lambda x, y, v, s: (-(x - y).weightedsqnorm(s)).exp() * v,
        lambda x, y, v, s: (-_quadratic(x, y, s)).exp() @ v,
        columns={"y": 3, "v": 1, "s": 9},
    ),
    Case(
        "periodic",
        lambda x, y, v: (-2 * (((x - y) * math.pi).sin() ** 2).sum(-1)).exp() * v,
        lambda x, y, v: (-2 * (((x - y) * math.pi).sin() ** 2).sum(-1)).exp() @ v,
    ),
    Case(
        "arc-cosine",
        lambda x, y, v: _angles(x, y) * v,
        lambda x, y, v: _dense_angles(x, y) @ v,
        centred=True,
    ),
    Case(
        "Lennard-Jones force",
        lambda x, y: _force(((x - y) ** 2).sum(-1)) * (x - y),
        lambda x, y: (_force(_squares(x, y))[..., None] * (x - y)).sum(1),
        columns={"y": 3},
    ),
    Case(
        "winding number",
        lambda x, y, u: (u | (y - x)) * (((x - y) ** 2).sum(-1) + 1e-4).rsqrt() ** 3,
        lambda x, y, u: ((u * (y - x)).sum(-1) * (_squares(x, y) + 1e-4) ** -1.5).sum(
            1, keepdim=True
        ),
        columns={"y": 3, "u": 3},
    ),
    Case(
        "logsumexp",
        lambda x, y: -((x - y) ** 2).sum(-1) * 50,
        lambda x, y: -_squares(x, y) * 50,
        "logsumexp",
        columns={"y": 3},
    ),
    Case(
        "argmin of k-means, D = 10",
        lambda x, y: ((x - y) ** 2).sum(-1),
        lambda x, y: _squares(x, y),
        "argmin",
        rows={"x": 10},
        columns={"y": 10},
    ),
    Case(
        "10 nearest, D = 3",
        lambda x, y: ((x - y) ** 2).sum(-1),
        lambda x, y: _squares(x, y),
        "least",
        columns={"y": 3},
    ),
    Case(
        "attention, 64 coordinates, 64 columns",
        lambda x, y, v: ((x | y) / 8).exp() * v,
        lambda x, y, v: (x[:, 0] @ y.T / 8).exp() @ v,
        rows={"x": 64},
        columns={"y": 64, "v": 64},
    ),
]
