r"""Eigenpairs of symmetric operators, with the residuals that certify them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import bad_input
from .base import Array, Operator, as_tensor, like

__all__ = ["EigenPairs", "eigsh"]


@dataclass(frozen=True)
class EigenPairs:
    """Eigenpairs in increasing order; unpacks as ``values, vectors``, like SciPy's.

    Attributes:
        values: ``(k,)`` eigenvalues.
        vectors: ``(N, k)`` orthonormal eigenvectors.
        residuals: ``(k,)`` norms ``|A u - value u|``: an eigenvalue lies at most that far.
        products: how many vectors were multiplied.
        converged: whether all residuals are below the tolerance.
    """

    values: Array
    vectors: Array
    residuals: Array
    products: int
    converged: bool

    def __iter__(self) -> Iterator[Array]:
        return iter((self.values, self.vectors))


def eigsh(
    operator: Operator,
    k: int = 6,
    which: str = "LM",
    *,
    tol: float | None = None,
    max_products: int = 20_000,
    seed: int = 0,
) -> EigenPairs:
    r"""A few eigenpairs of a symmetric operator, by a restarted block Krylov method.

    A basis grows by the residuals of the wanted pairs, a Rayleigh-Ritz step finds the best pairs
    in it, and it is cut back to them when it is full (Davidson's method without preconditioner,
    which spans the Krylov space). Blocks of products cost little more than single ones.

    Args:
        operator: symmetric, ``(N, N)``; a kernel matrix, a Laplacian, or a sum of operators.
        k: number of pairs, below N.
        which: "LA" (largest), "SA" (smallest), or "LM" (largest magnitude).
        tol: residuals to reach, relative to the operator's norm; None means 1e-5 in single
            precision, 1e-9 in double.
        max_products: budget; reaching it is a warning and ``converged=False``.
        seed: seed of the random start.

    Returns:
        :class:`EigenPairs`, of the kind, dtype and device of the operator's points.

    Raises:
        ValueError: if k or which is not as described, or the operator is not square or symmetric.

    References:
        Saad, 2011, "Numerical methods for large eigenvalue problems", sections 6.4 and 8.4.

    Example:
        >>> from sparseot.operators.base import Diagonal
        >>> pairs = eigsh(Diagonal(torch.arange(100.0)), k=2, which="LA")
        >>> [round(v, 3) for v in pairs.values.tolist()], pairs.converged
        ([98.0, 99.0], True)
    """
    _check(operator, k, which)
    n = operator.shape[-1]
    reference = as_tensor(operator.reference, operator.reference)
    if tol is None:
        tol = 1e-9 if reference.dtype == torch.float64 else 1e-5
    block = k + 2
    if n <= max(8 * block, 60):  # the basis would be the whole space
        ritz, vectors = torch.linalg.eigh(as_tensor(operator.to_dense(), reference))
        chosen = _preference(ritz, which)[:k]
        values, vectors = ritz[chosen], vectors[:, chosen]
        residuals = (operator.product(vectors) - vectors * values).norm(dim=0)
        return _sorted(operator, values, vectors, residuals, n, True)

    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(n, block, generator=generator, dtype=torch.float64).to(reference)
    basis = torch.linalg.qr(start).Q
    images = operator.product(basis)
    products, limit = block, max(8 * block, 60)
    while True:
        small = basis.mT @ images
        ritz, rotation = torch.linalg.eigh((small + small.mT) / 2)
        order = _preference(ritz, which)
        best = rotation[:, order[:block]]
        vectors, values, norm = basis @ best, ritz[order[:block]], float(ritz.abs().max())
        error = images @ best - vectors * values
        residuals = error[:, :k].norm(dim=0)
        converged = bool((residuals <= tol * norm).all())
        if converged or products >= max_products:
            break
        if basis.shape[1] + block > limit:
            kept = rotation[:, order[: 2 * block]]
            basis, images = basis @ kept, images @ kept
        fresh = _orthonormal(error[:, error.norm(dim=0) > tol * norm], basis)
        basis = torch.cat((basis, fresh), 1)
        images = torch.cat((images, operator.product(fresh)), 1)
        products += fresh.shape[1]
    if not converged:
        warnings.warn(
            f"eigsh stopped after {products} products with a relative residual of "
            f"{float(residuals.max()) / norm:.1e}, {tol:.0e} was wanted: raise max_products or tol.",
            RuntimeWarning,
            stacklevel=2,
        )
    return _sorted(operator, values[:k], vectors[:, :k], residuals, products, converged)


def _sorted(
    operator: Operator,
    values: Tensor,
    vectors: Tensor,
    residuals: Tensor,
    products: int,
    converged: bool,
) -> EigenPairs:
    """The pairs in increasing order, as arrays of the operator's kind."""
    order = values.argsort()
    parts = values[order], vectors[:, order], residuals[order]
    values_, vectors_, residuals_ = (like(part, operator.reference) for part in parts)
    return EigenPairs(values_, vectors_, residuals_, products, converged)


def _preference(ritz: Tensor, which: str) -> Tensor:
    """Indices of Ritz values, the wanted ones first."""
    key: dict[str, Any] = {"LA": -ritz, "SA": ritz, "LM": -ritz.abs()}
    indices: Tensor = key[which].argsort()
    return indices


def _orthonormal(block: Tensor, basis: Tensor) -> Tensor:
    """The block made orthonormal to the basis and in itself; twice is enough (Kahan, Parlett)."""
    for _ in range(2):
        block = block / block.norm(dim=0).clamp_min(torch.finfo(block.dtype).tiny)
        block = block - basis @ (basis.mT @ block)
        block = torch.linalg.qr(block).Q
    return block


def _check(operator: Operator, k: int, which: str) -> None:
    if not isinstance(operator, Operator):
        fix = "SciPy's own eigsh takes its LinearOperators and sparse matrices."
        wanted = "a kernel matrix, a Laplacian or a sum of operators"
        raise bad_input("operator", type(operator).__name__, wanted, fix, TypeError)
    n = operator.shape[-1]
    if len(operator.shape) != 2 or operator.shape[0] != n:
        raise bad_input("operator", f"shape {tuple(operator.shape)}", "a square matrix (N, N)")
    if not 0 < k < n:
        raise bad_input("k", str(k), f"a number from 1 to {n - 1}, below the size of the operator")
    if which not in ("LM", "LA", "SA"):
        fix = 'For the smallest eigenvalues of a Laplacian, which are positive, take "SA".'
        raise bad_input("which", repr(which), '"LM", "LA" or "SA"', fix)
    generator = torch.Generator().manual_seed(1)
    reference = as_tensor(operator.reference, operator.reference)
    pair = torch.randn(n, 2, generator=generator, dtype=torch.float64).to(reference)
    form = pair.mT @ operator.product(pair)
    if float((form[0, 1] - form[1, 0]).abs()) > 1e-4 * n**0.5 * float(form.abs().max()):
        fix = (
            "For others take the eigenpairs of K.T @ K, whose values are the squared singular ones."
        )
        raise bad_input("operator", "one that is not symmetric", "a symmetric operator", fix)
