"""Products and factors of stored matrices, on one thread where they are small.

A library's product of 15 x 17 numbers wakes threads for four microseconds of work; where other
processes run, it waits for them for milliseconds.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch._C._functorch import is_legacy_batchedtensor

from ..engines.choose import matrix_loops

__all__ = ["cholesky", "exp_", "product", "solve", "squares", "substitute"]

SMALL = 1 << 21  # multiplications: half a millisecond on one thread


def product(left: Tensor, right: Tensor) -> Tensor:
    """``left @ right`` for matrices ``(N, M)`` and ``(M, R)``."""
    if not _plain(left.numel() * right.shape[1], left, right):
        return left @ right
    out = left.new_zeros(len(left), right.shape[1])
    matrix_loops().multiply(left.contiguous().numpy(), right.contiguous().numpy(), out.numpy())
    return out


def squares(x: Tensor, y: Tensor) -> Tensor:
    """Squared distances ``(N, M)``, from differences of coordinates."""
    if not _plain(len(x) * y.numel(), x, y):
        return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square_()
    here, there = x.numpy(), y.numpy()
    out = np.zeros((len(x), len(y)))
    for d in range(x.shape[1]):
        out += np.square(here[:, None, d] - there[:, d])
    return torch.from_numpy(out)


def exp_(exponents: Tensor) -> Tensor:
    """``exp`` in place."""
    if not _plain(exponents.numel(), exponents):
        return exponents.exp_()
    np.exp(exponents.numpy(), out=exponents.numpy())
    return exponents


def cholesky(matrix: Tensor) -> tuple[Tensor, float]:
    """The factor of a symmetric matrix, which it overwrites, and the smallest pivot (if positive)."""
    if not _plain(len(matrix) ** 3 // 6, matrix):
        factor, failed = torch.linalg.cholesky_ex(matrix)
        return factor, 0.0 if bool(failed) else float(factor.diagonal().min()) ** 2
    matrix = matrix.contiguous()
    return matrix, matrix_loops().cholesky(matrix.numpy())


def substitute(factor: Tensor, right: Tensor) -> Tensor:
    """``L^-1 right``, of a lower factor; what is above its diagonal is not read."""
    if not _plain(len(factor) * right.numel() // 2, factor, right):
        return torch.linalg.solve_triangular(factor, right, upper=False)
    out = right.clone(memory_format=torch.contiguous_format)
    matrix_loops().substitute(factor.numpy(), out.numpy())
    return out


def solve(factor: Tensor, right: Tensor) -> Tensor:
    """``(L L')^-1 right``."""
    if not _plain(len(factor) * right.numel(), factor, right):
        return torch.cholesky_solve(right, factor)
    out = right.clone(memory_format=torch.contiguous_format)
    matrix_loops().substitute(factor.numpy(), out.numpy())
    matrix_loops().substitute_back(factor.numpy(), out.numpy())
    return out


def _plain(work: int, *matrices: Tensor) -> bool:
    """Whether these are few numbers that Numba reads."""
    return work <= SMALL and all(
        m.dtype == torch.float64 and m.device.type == "cpu" and not is_legacy_batchedtensor(m)
        for m in matrices
    )
