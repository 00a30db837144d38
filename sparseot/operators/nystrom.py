"""A preconditioner of kernel matrices with noise, from some of their columns."""

from __future__ import annotations

import torch
from torch import Tensor

from ..engines.openmp import threads_for
from ..errors import bad_input
from ..points import check_positive
from ..precision import full_precision
from .arrays import Array, as_tensor, like
from .base import Operator
from .kernel_matrix import KernelMatrix

__all__ = ["nystrom"]


@full_precision
def nystrom(K: KernelMatrix, noise: float, rank: int = 300, *, seed: int = 0) -> Operator:
    r"""A preconditioner of ``K + noise I``: the inverse of its Nyström approximation.

    With m random points z, ``K`` is near :math:`K_{xz} K_{zz}^{-1} K_{zx}`, whose sum with the
    noise is inverted by Woodbury's formula in ``O(N m)`` a vector.

    Args:
        K: the symmetric, positive definite matrix of a kernel, ``(N, N)``.
        noise: what is added to its diagonal.
        rank: the number m of points, whose ``(N, m)`` columns are stored.
        seed: of the random points.

    References:
        Frangella, Tropp and Udell, 2023, "Randomized Nyström preconditioning".

    Example:
        >>> import torch
        >>> import sparseot as so
        >>> K = so.KernelMatrix(so.kernels.Gaussian(0.1), so.datasets.spiral(2000))
        >>> b = torch.ones(2000)
        >>> M = nystrom(K, noise=1e-2)
        >>> plain = so.conjugate_gradient(K + 1e-2 * so.Diagonal(b), b, tol=1e-4)
        >>> quick = so.conjugate_gradient(K + 1e-2 * so.Diagonal(b), b, tol=1e-4, preconditioner=M)
        >>> quick.products < plain.products / 2
        True
    """
    check_positive(noise=noise, rank=rank)
    if K.y is not K.x or K.batched:
        raise bad_input("K", f"shape {K.shape}", "the matrix of one cloud with itself")
    with threads_for(K.shape[0] * rank**2):
        return _Nystrom(_half(K, noise, rank, seed), noise, K)


def _half(K: KernelMatrix, noise: float, rank: int, seed: int) -> Tensor:
    """The matrix H of :class:`_Nystrom`, ``(m, N)``."""
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(K.shape[0], generator=generator)[:rank]
    points = K.x[0].detach().double()  # single precision would not see that it is definite
    chosen = chosen.to(points.device)
    columns = KernelMatrix(K.kernel, points, points[chosen], tol=0).to_dense().detach()
    corner = columns[chosen]
    jitter = 1e-10 * float(corner.diagonal().sum())
    lower, failed = torch.linalg.cholesky_ex(corner + jitter * torch.eye(len(corner)).to(corner))
    if int(failed) or not bool(lower.isfinite().all()):
        fix = "Gaussian and Laplacian kernels are; others may need a larger noise, or no preconditioner."
        raise bad_input("K", "a matrix that is not positive definite", "x' K x > 0", fix)
    features = torch.linalg.solve_triangular(lower, columns.mT, upper=False).mT
    inner = features.mT @ features + noise * torch.eye(len(corner)).to(corner)
    return torch.linalg.solve_triangular(torch.linalg.cholesky(inner), features.mT, upper=False)


class _Nystrom(Operator):
    """``(I - H' H) / noise``."""

    def __init__(self, half: Tensor, noise: float, K: KernelMatrix) -> None:
        self.reference, self.shape, self.noise = K.reference, K.shape, noise
        self.half = half

    def product(self, v: Tensor) -> Tensor:
        block = v.double()  # a difference of nearly equal vectors where the noise is small
        return ((block - self.half.mT @ (self.half @ block)) / self.noise).to(v)

    def transpose(self) -> Operator:
        return self

    def diagonal(self) -> Array:
        entries = (1 - self.half.square().sum(0)) / self.noise
        return like(entries.to(as_tensor(self.reference, self.reference)), self.reference)

    def __repr__(self) -> str:
        return f"Nyström preconditioner of rank {len(self.half)}"
