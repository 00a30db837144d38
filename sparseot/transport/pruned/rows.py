"""Rows of kept sums: those that may have lost something, taken over all pairs; and squares, from products."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ...operators.small import squares
from .blocks.clouds import BlockCloud
from .scales import Scale

__all__ = ["log_sums", "times_squares"]

ROWS = 1 << 20  # pairs at a time; the heap does not take up the holes that larger ones leave


def log_sums(x: Tensor, other: BlockCloud, there: Tensor, scale: Scale) -> Tensor:
    """Logarithms in base 2, ``(n,)``, of what points ``(n, D)`` have of the points of a cloud that are here.

    ``there`` is the potential of these.
    """
    if not other.n:
        return there.new_full((len(x),), -math.inf)
    logs = there * scale.height + other.log_weights.view(-1)[: other.n]
    x, points = (scale.cost.settled(t.double()) for t in (x, other.points))
    found, rows = logs.new_empty(len(x)), max(1, ROWS // other.n)
    for k in range(0, len(x), rows):
        costs = scale.cost.polynomial(squares(x[k : k + rows], points))
        exponents = costs.mul_(-scale.height).add_(logs)
        top = exponents.amax(1)
        total = exponents.sub_(top[:, None]).exp2_().sum(1)
        found[k : k + rows] = top + total.log2()
    return found


def times_squares(
    products: Callable[[Tensor], Tensor], here: BlockCloud, there: BlockCloud, v: Tensor
) -> Tensor:
    """Products with ``|x_i - y_j|^2 = |x_i|^2 - 2 x_i . y_j + |y_j|^2`` from ``products`` without, about the centre of y."""
    x, y = here.points - there.centre, there.points - there.centre
    columns = torch.cat((torch.ones_like(y[:, :1]), y, y.square().sum(1, keepdim=True)), 1)
    sums = products((columns[:, :, None] * v[:, None]).flatten(1))
    sums = sums.view(len(x), columns.shape[1], v.shape[1])
    factors = torch.cat((x.square().sum(1, keepdim=True), -2 * x, torch.ones_like(x[:, :1])), 1)
    return (factors[:, :, None] * sums).sum(1)
