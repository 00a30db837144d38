r"""Linear systems with operators that are known by their products."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..engines.openmp import NUMBERS, threads_for
from ..errors import bad_input, warn_user
from ..points import check_positive
from ..precision import full_precision
from .arrays import Array, as_tensor, like
from .base import Operator
from .kernel_matrix import KernelMatrix

__all__ = ["LinearSolution", "conjugate_gradient", "nystrom"]


@dataclass(frozen=True)
class LinearSolution:
    """What :func:`conjugate_gradient` returns.

    Attributes:
        x: the solution, of the shape of b.
        residuals: ``|b - A x| / |b|`` of each column, from the last iterate itself.
        products: how many vectors were multiplied by A.
        converged: whether all residuals are below the tolerance.
    """

    x: Array
    residuals: Array
    products: int
    converged: bool


@full_precision
def conjugate_gradient(
    operator: Operator,
    b: Array,
    *,
    preconditioner: Operator | Callable[[Tensor], Tensor] | None = None,
    x0: Array | None = None,
    tol: float = 1e-6,
    max_products: int = 10_000,
    progress: bool = False,
) -> LinearSolution:
    r"""Solves ``A x = b`` for a symmetric positive definite operator by conjugate gradients.

    The columns of b share their products with A; each has its own step lengths.

    Args:
        operator: A, ``(N, N)``, such as ``K + Diagonal(noise)``.
        b: ``(N,)`` or ``(N, R)`` right-hand sides.
        preconditioner: an operator, or a function of ``(N, R)`` blocks, near the inverse of A and
            positive definite, such as :func:`nystrom`; None takes none.
        x0: where to start, of the shape of b; None means zero.
        tol: the residual to reach, relative to that of x = 0.
        max_products: budget; reaching it is a warning and ``converged=False``.
        progress: show a bar that counts steps.

    Returns:
        :class:`LinearSolution`, of the kind of b; it carries no gradient.

    Raises:
        ValueError: if shapes do not fit or A turns out not to be positive definite.

    References:
        Hestenes and Stiefel, 1952, "Methods of conjugate gradients for solving linear systems".

    Example:
        >>> from sparseot.operators.base import Diagonal
        >>> solution = conjugate_gradient(Diagonal(torch.tensor([1.0, 2.0, 4.0])), torch.ones(3))
        >>> [round(v, 4) for v in solution.x.tolist()], solution.converged
        ([1.0, 0.5, 0.25], True)
    """
    n = operator.shape[-1]
    check_positive(tol=tol, max_products=max_products)
    if len(operator.shape) != 2 or operator.shape[0] != n:
        raise bad_input("operator", f"shape {tuple(operator.shape)}", "a square matrix (N, N)")
    right = as_tensor(b, operator.reference, "b")
    if right.dim() not in (1, 2) or len(right) != n:
        raise bad_input("b", f"shape {tuple(b.shape)}", f"({n},) or ({n}, R)")
    if x0 is not None and x0.shape != b.shape:
        raise bad_input("x0", f"shape {tuple(x0.shape)}", f"{tuple(b.shape)}, as b has")
    from tqdm.auto import tqdm  # here, for a light import of the library

    bar = tqdm(unit=" steps", disable=not progress)
    with torch.no_grad(), bar, threads_for(NUMBERS * math.prod(b.shape)):
        right = right.reshape(n, -1)
        x = torch.zeros_like(right) if x0 is None else as_tensor(x0, right, "x0").reshape(n, -1)
        for name, block in (("b", right), ("x0", x)):
            if not right.shape[1] or not bool(torch.isfinite(block).all()):
                got = f"shape {tuple(b.shape)}, NaN, infinity or nothing"
                raise bad_input(name, got, "finite numbers")
        unit = _unit(right)
        right, x = right / unit, x / unit
        sizes = right.norm(dim=0)
        x, precondition = x * (sizes > 0), _as_function(preconditioner)
        worst, last, products = 0.0, math.inf, 0
        while True:  # recursive residuals run ahead of true ones: go on from what was reached
            x, spent = _iterate(operator, right, x, precondition, tol, max_products - products, bar)
            residuals = (right - operator.product(x)).norm(dim=0) / sizes.where(sizes > 0, 1)
            products += spent + right.shape[1]
            last, worst = worst or last, float(residuals.max())
            if worst <= tol or products >= max_products or not worst < 0.5 * last:
                break
    converged = worst <= tol
    if not converged:
        warn_user(
            f"conjugate_gradient stopped after {products} products at a relative residual of "
            f"{worst:.1e}, {tol:.0e} was wanted: raise max_products or tol, add a preconditioner "
            "such as nystrom(...), or work in float64.",
        )
    x = (x * unit).reshape(b.shape)
    return LinearSolution(like(x, b), like(residuals, b), products, converged)


def _unit(right: Tensor) -> Tensor:
    """A power of two for each column, about its largest entry: squares are then numbers."""
    power = torch.frexp(right.abs().amax(0)).exponent.clamp(-120, 120)
    return torch.exp2(power.to(right))


def _iterate(
    operator: Operator,
    right: Tensor,
    x: Tensor,
    precondition: Callable[[Tensor], Tensor],
    tol: float,
    max_products: int,
    bar: Any,
) -> tuple[Tensor, int]:
    """The solution and the products that it took."""
    tiny = torch.finfo(x.dtype).tiny
    goal = tol * right.norm(dim=0)
    products, best = 0, float("inf")
    r = right
    if bool(x.any()):
        r, products = right - operator.product(x), x.shape[1]
    z = precondition(r)
    p, old = z, (r * z).sum(0)
    while not bool((r.norm(dim=0) <= goal).all()) and products < max_products:
        image = operator.product(p)
        products += p.shape[1]
        curvature = (p * image).sum(0)
        done = r.norm(dim=0) <= goal
        if bool(((curvature <= 0) & ~done).any()):
            if best < 1e-3:  # rounding has eaten the last directions
                break
            fix = "Add a positive diagonal, as in K + Diagonal(noise)."
            raise bad_input("operator", "one that is not positive definite", "x' A x > 0", fix)
        step = (old / curvature.clamp_min(tiny)).masked_fill(done, 0)
        x, r = x + step * p, r - step * image
        z = precondition(r)
        new = (r * z).sum(0)
        p, old = z + (new / old.clamp_min(tiny)) * p, new
        best = float((r.norm(dim=0) / right.norm(dim=0).clamp_min(tiny)).max())
        if not math.isfinite(best):
            break
        bar.update()
        bar.set_postfix_str(f"residual {best:.1e}")
    return x, products


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


def _as_function(
    preconditioner: Operator | Callable[[Tensor], Tensor] | None,
) -> Callable[[Tensor], Tensor]:
    if preconditioner is None:
        return lambda v: v
    return preconditioner.product if isinstance(preconditioner, Operator) else preconditioner
