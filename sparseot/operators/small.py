"""Products and factors of stored matrices: compiled where they are small, else shared by our threads.

A library's product of 15 x 17 numbers wakes threads for four microseconds of work; where other
processes run, it waits for them for milliseconds. Its large ones run on one thread each here, on
ranges of rows or columns, and a factorisation is made of them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch._C._functorch import is_legacy_batchedtensor

from ..engines.choose import matrix_loops
from ..engines.openmp import NUMBERS, one_thread, thread_count
from ..engines.threads import share_ranges

__all__ = ["by_rows", "cholesky", "exp_", "product", "solve", "squares", "substitute"]

SMALL = 1 << 21  # multiplications: half a millisecond on one thread
FAST = 4  # times as many as others take at a time, by a library
ROOM = 1 << 17  # numbers of a temporary
PANEL = 192  # columns of a factor at a time


def product(left: Tensor, right: Tensor) -> Tensor:
    """``left @ right`` for matrices ``(N, M)`` and ``(M, R)``."""
    work = left.numel() * right.shape[1]
    if _here(left, right):
        out = left.new_zeros(len(left), right.shape[1])
        if _plain(work, left, right):
            loops = matrix_loops()
            loops.multiply(left.contiguous().numpy(), right.contiguous().numpy(), out.numpy())
        else:
            _share(len(left), lambda k: torch.mm(left[k], right, out=out[k]), work)
        return out
    return left @ right


def squares(x: Tensor, y: Tensor) -> Tensor:
    """Squared distances ``(N, M)``, from differences of coordinates."""
    if _plain(len(x) * y.numel(), x, y):
        here, there = x.numpy(), y.numpy()
        out = np.zeros((len(x), len(y)))
        for d in range(x.shape[1]):
            out += np.square(here[:, None, d] - there[:, d])
        return torch.from_numpy(out)
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square_()


def exp_(exponents: Tensor) -> Tensor:
    """``exp`` in place."""
    if not _plain(exponents.numel(), exponents):
        return exponents.exp_()
    np.exp(exponents.numpy(), out=exponents.numpy())
    return exponents


def by_rows(entries: Callable[[slice], None], matrix: Tensor) -> None:
    """Has ``entries`` write ranges of the rows of a matrix, which our threads share.

    Temporaries of so few rows stay in the cache.
    """
    if _here(matrix):
        rows = max(1, ROOM // matrix.shape[1])
        _share(len(matrix), entries, NUMBERS * matrix.numel(), rows)
    else:
        entries(slice(0, len(matrix)))


def cholesky(matrix: Tensor) -> tuple[Tensor, float]:
    """The factor of a symmetric matrix, which it overwrites, and the smallest pivot (if positive).

    Panel by panel, what a panel leaves for the rest being subtracted by all threads (Golub and Van
    Loan, 2013, "Matrix computations", section 4.2.9); above the diagonal stands what stood there.
    """
    n = len(matrix)
    if not _here(matrix):
        return _pivot(*torch.linalg.cholesky_ex(matrix))
    if _plain(n**3 // 6, matrix):
        matrix = matrix.contiguous()
        return matrix, matrix_loops().cholesky(matrix.numpy())
    for k in range(0, n, PANEL):
        corner, rest = matrix[k : k + PANEL, k : k + PANEL], matrix[k + PANEL :, k + PANEL :]
        factor, least = _pivot(*torch.linalg.cholesky_ex(corner))
        if not least > 0:
            return matrix, least
        corner.copy_(factor)
        below = matrix[k + PANEL :, k : k + PANEL]
        below.copy_(substitute(factor, below.mT).mT)
        _subtract(rest, below)
    return matrix, float(matrix.diagonal().min()) ** 2


def _subtract(rest: Tensor, below: Tensor) -> None:
    """``rest - below below'``, in place and up to the diagonal."""

    def rows(k: slice) -> None:
        rest[k, : k.stop].addmm_(below[k], below[: k.stop].mT, alpha=-1)

    quarter = -(-len(rest) // (4 * thread_count()))  # the last rows are the longest
    _share(len(rest), rows, len(rest) * below.numel() // 2, quarter)


def _pivot(factor: Tensor, failed: Tensor) -> tuple[Tensor, float]:
    return factor, 0.0 if bool(failed) else float(factor.diagonal().min()) ** 2


def substitute(factor: Tensor, right: Tensor) -> Tensor:
    """``L^-1 right``, of a lower factor; what is above its diagonal is not read."""
    work = len(factor) * right.numel() // 2
    if not _here(factor, right):
        return torch.linalg.solve_triangular(factor, right, upper=False)
    out = right.clone(memory_format=torch.contiguous_format)
    if _plain(work, factor, right):
        matrix_loops().substitute(factor.numpy(), out.numpy())
        return out

    def columns(k: slice) -> None:
        out[:, k] = torch.linalg.solve_triangular(factor, right[:, k], upper=False)

    _share(right.shape[1], columns, work)
    return out


def solve(factor: Tensor, right: Tensor) -> Tensor:
    """``(L L')^-1 right``."""
    work = len(factor) * right.numel()
    if not _here(factor, right):
        return torch.cholesky_solve(right, factor)
    out = right.clone(memory_format=torch.contiguous_format)
    if _plain(work, factor, right):
        matrix_loops().substitute(factor.numpy(), out.numpy())
        matrix_loops().substitute_back(factor.numpy(), out.numpy())
        return out

    def columns(k: slice) -> None:
        out[:, k] = torch.cholesky_solve(right[:, k], factor)

    _share(right.shape[1], columns, work)
    return out


def _share(size: int, run: Callable[[slice], object], work: float, grain: int = 0) -> None:
    """Runs a library on ranges of rows or columns, on one thread each, where that pays."""
    many = thread_count(of_torch=True)
    grain = (grain or -(-size // many)) if many > 1 else size
    with one_thread():
        share_ranges(size, lambda lo, hi: run(slice(lo, hi)), grain, work / FAST)


def _here(*matrices: Tensor) -> bool:
    """Whether these are numbers in this machine's memory."""
    return all(m.device.type == "cpu" and not is_legacy_batchedtensor(m) for m in matrices)


def _plain(work: int, *matrices: Tensor) -> bool:
    """Whether these are few numbers that Numba reads."""
    return work <= SMALL and _here(*matrices) and all(m.dtype == torch.float64 for m in matrices)
