"""Rows of kept sums: those that may have lost something, seen and taken over all pairs; and squares, from products."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...operators.small import squares
from .clouds import BlockCloud
from .scales import Scale

__all__ = ["softmins_of", "times_squares"]

ROWS = 1 << 20  # pairs at a time; the heap does not take up the holes that larger ones leave


def softmins_of(x: Tensor, other: BlockCloud, there: Tensor, scale: Scale) -> Tensor:
    """The softmins ``(n,)`` at points ``(n, D)`` of a potential ``there`` of all points of a cloud."""
    logs = there * scale.height + other.log_weights.view(-1)[: other.n]
    found, rows = logs.new_empty(len(x)), max(1, ROWS // other.n)
    for k in range(0, len(x), rows):
        costs = scale.cost.polynomial(squares(x[k : k + rows], other.points))
        exponents = costs.mul_(-scale.height).add_(logs)
        top = exponents.amax(1)
        total = exponents.sub_(top[:, None]).exp2_().sum(1)
        found[k : k + rows] = (top + total.log2()) / -scale.height
    return found


def times_squares(products: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, v: Tensor) -> Tensor:
    """Products with ``|x_i - y_j|^2 = |x_i|^2 - 2 x_i . y_j + |y_j|^2`` from ``products`` without, about the centre of y."""
    x, y = x - y.mean(0), y - y.mean(0)
    columns = torch.cat((torch.ones_like(y[:, :1]), y, y.square().sum(1, keepdim=True)), 1)
    sums = products((columns[:, :, None] * v[:, None]).flatten(1))
    sums = sums.view(len(x), columns.shape[1], -1)
    factors = torch.cat((x.square().sum(1, keepdim=True), -2 * x, torch.ones_like(x[:, :1])), 1)
    return (factors[:, :, None] * sums).sum(1)
