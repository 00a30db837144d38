r"""Scaling a symmetric matrix to row sums of one, by products alone.

.. math:: P = \operatorname{diag}(d) \, A \operatorname{diag}(d), \qquad P 1 = 1, \qquad
    d \leftarrow \sqrt{d / (A d)}

Smooth errors, which hold up Sinkhorn's alternating updates on graphs, vanish in one step of the
symmetric one: an eigenvector of P to the eigenvalue :math:`\lambda` shrinks by
:math:`(1 - \lambda) / 2` (Knight, Ruiz and Uçar, 2014).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Scaling", "symmetric_scaling"]

Product = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Scaling:
    """The scaling d, the largest error of a row sum, and whether that is within the tolerance."""

    d: Tensor
    residual: float
    converged: bool
    products: int


def symmetric_scaling(product: Product, d: Tensor, tol: float, max_iter: int = 1000) -> Scaling:
    """The scaling of a symmetric non-negative matrix, from a first guess d > 0.

    Rows without entries keep their guess. Where there is no scaling (the pattern lacks total
    support, as a star without loops does) ``converged`` is False, and so it is for NaN and infinity.
    """
    residual = torch.inf
    for products in range(1, max_iter + 1):
        sums = product(d)
        filled = sums != 0
        error = (d * sums - 1).abs().where(filled, 0)
        residual = float(error.max()) if error.numel() else 0.0
        if residual <= tol or not math.isfinite(residual):
            return Scaling(d, residual, residual <= tol, products)
        d = (d / sums.where(filled, 1)).sqrt().where(filled, d)
    return Scaling(d, residual, False, max_iter)
