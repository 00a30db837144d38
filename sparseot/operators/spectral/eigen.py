r"""Eigenpairs of symmetric operators, with the residuals that certify them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...engines.openmp import threads_for
from ...errors import bad_input, warn_user
from ...points import refuse_tensor
from ...precision import full_precision
from ..arrays import Array, as_tensor, like
from ..base import Operator
from ..coarse_space import CoarseSpace
from ..given import as_operator

__all__ = ["EigenPairs", "eigsh"]


@dataclass(frozen=True)
class EigenPairs:
    """Eigenpairs in increasing order; unpacks as ``values, vectors``, like SciPy's.

    Attributes:
        values: ``(k,)`` eigenvalues.
        vectors: ``(N, k)`` orthonormal eigenvectors; of an operator that ranks of a group share, the
            rows of this one.
        residuals: ``(k,)`` norms ``|A u - value u|``: an eigenvalue lies at most that far.
        products: how many vectors were multiplied.
        converged: whether all residuals are below the tolerance.

    Example:
        >>> import torch
        >>> import sparseot as so
        >>> values, vectors = so.eigsh(so.Diagonal(torch.arange(50.0)), 2)
        >>> [round(value, 3) for value in values.tolist()]
        [48.0, 49.0]
    """

    values: Array
    vectors: Array
    residuals: Array
    products: int
    converged: bool

    def __iter__(self) -> Iterator[Array]:
        return iter((self.values, self.vectors))


@full_precision
def eigsh(
    operator: Operator,
    k: int = 6,
    which: str = "LM",
    *,
    tol: float | None = None,
    max_products: int = 20_000,
    seed: int = 0,
    progress: bool = False,
) -> EigenPairs:
    r"""A few eigenpairs of a symmetric operator, by a restarted block Krylov method.

    A basis grows by the residuals of the wanted pairs, a Rayleigh-Ritz step finds the best pairs
    in it, and it is cut back to them when it is full (Davidson's method without preconditioner,
    which spans the Krylov space). Blocks of products cost little more than single ones. For the
    smallest pairs of the normed Laplacian of a Gaussian on many points, residuals are first
    corrected on a coarse graph of voxels, and a few steps suffice.

    Args:
        operator: symmetric, ``(N, N)``; a kernel matrix, a Laplacian, or a sum of operators.
        k: number of pairs, below N.
        which: "LA" (largest), "SA" (smallest), or "LM" (largest magnitude).
        tol: residuals to reach, relative to the operator's norm; None means 1e-5 in single
            precision, 1e-9 in double.
        max_products: budget; reaching it is a warning and ``converged=False``.
        seed: seed of the random start.
        progress: show a bar that counts products.

    Returns:
        :class:`EigenPairs`, of the kind, dtype and device of the operator's points, without gradients.

    Raises:
        ValueError: if k or which is not as described, or the operator is not square, symmetric and
            finite.

    References:
        Saad, 2011, "Numerical methods for large eigenvalue problems", sections 6.4 and 8.4.

    Example:
        >>> from sparseot.operators.base import Diagonal
        >>> pairs = eigsh(Diagonal(torch.arange(100.0)), k=2, which="LA")
        >>> [round(v, 3) for v in pairs.values.tolist()], pairs.converged
        ([98.0, 99.0], True)
    """
    operator = as_operator(operator)
    _check(operator, k, which)
    basis = max(8 * (k + 2), 60)
    with torch.no_grad(), threads_for(operator.shape[-1] * basis**2):
        found = _solve(operator, k, which, tol, max_products, seed, progress)
    if operator.spreads is None:
        return found
    return replace(found, vectors=operator.spreads[0].own(found.vectors))


def _solve(
    operator: Operator,
    k: int,
    which: str,
    tol: float | None,
    max_products: int,
    seed: int,
    progress: bool,
) -> EigenPairs:
    """Dense where the basis would be the whole space, else by iteration."""
    refuse_tensor("tol", tol)
    norm = _check_symmetry(operator)
    n = operator.shape[-1]
    reference = as_tensor(operator.reference, operator.reference)
    if tol is None:
        tol = 1e-9 if reference.dtype == torch.float64 else 1e-5
    block = k + 2
    if n <= min(max(8 * block, 60), 4096):  # the basis would be the whole space
        ritz, vectors = torch.linalg.eigh(_finite(as_tensor(operator.to_dense(), reference)))
        chosen = _preference(ritz, which)[:k]
        values, vectors = ritz[chosen], vectors[:, chosen]
        residuals = _norms(_finite(operator.product(vectors)) - vectors * values)
        found = values, vectors, residuals, max(norm, float(ritz.abs().max()))
        return _judged(operator, *found, tol, n)

    multiply = _Counted(operator, progress)
    with multiply.bar:
        coarse = operator.coarse(block + 1) if which == "SA" else None
        basis, precondition = _start(multiply, coarse, block, reference, seed)
        found = _iterate(multiply, basis, precondition, k, which, tol, norm, max_products)
    return _judged(operator, *found, tol, multiply.products)


def _judged(
    operator: Operator,
    values: Tensor,
    vectors: Tensor,
    residuals: Tensor,
    norm: float,
    tol: float,
    products: int,
) -> EigenPairs:
    """The pairs in increasing order, and whether all residuals are below the tolerance."""
    converged = bool((residuals <= tol * norm).all())
    if not converged:
        warn_user(
            f"eigsh stopped after {products} products with a relative residual of "
            f"{float(residuals.max()) / norm:.1e}, {tol:.0e} was wanted: raise max_products or tol.",
        )
    order = values.argsort()
    parts = values[order], vectors[:, order], residuals[order].to(values)
    values_, vectors_, residuals_ = (like(part, operator.reference) for part in parts)
    return EigenPairs(values_, vectors_, residuals_, products, converged)


class _Counted:
    """The products with an operator, counted, shown, and refused where they are not finite."""

    def __init__(self, operator: Operator, progress: bool) -> None:
        from tqdm.auto import tqdm  # here, for a light import of the library

        self.operator, self.products = operator, 0
        self.bar = tqdm(unit=" products", disable=not progress)

    def __call__(self, v: Tensor) -> Tensor:
        self.products += v.shape[1]
        self.bar.update(v.shape[1])
        return _finite(self.operator.product(v))


def _finite(product: Tensor) -> Tensor:
    """NaN would pass every test of symmetry, and of convergence that asks for what is too large."""
    if not bool(product.isfinite().all()):
        fix = "Look at its weights and at its diagonal."
        raise bad_input("operator", "products with NaN or infinity", "finite numbers", fix)
    return product


def _start(
    multiply: _Counted, coarse: CoarseSpace | None, block: int, reference: Tensor, seed: int
) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """An orthonormal start, and how residuals are corrected."""
    if coarse is None:
        generator = torch.Generator().manual_seed(seed)
        shape = multiply.operator.shape[-1], block
        start = torch.randn(*shape, generator=generator, dtype=torch.float64).to(reference)
        return torch.linalg.qr(start).Q, lambda residuals: residuals

    def smooth(rough: Tensor) -> Tensor:
        """One product with A = I - L takes the steps between voxels out of a vector."""
        return rough - multiply(rough)

    def correct(residuals: Tensor) -> Tensor:
        return residuals + smooth(coarse.correct(residuals))

    return torch.linalg.qr(smooth(coarse.start(block))).Q, correct


def _iterate(
    multiply: _Counted,
    basis: Tensor,
    precondition: Callable[[Tensor], Tensor],
    k: int,
    which: str,
    tol: float,
    norm: float,
    max_products: int,
) -> tuple[Tensor, Tensor, Tensor, float]:
    """Values, vectors and residuals of the k best pairs, and the norm as far as it was seen."""
    block = basis.shape[1]
    images, limit = multiply(basis), max(8 * block, 60)
    while True:
        small = _gram(basis, images)
        ritz, rotation = torch.linalg.eigh((small + small.mT) / 2)
        order = _preference(ritz, which)
        values, rotation = ritz[order].to(basis), rotation[:, order].to(basis)
        norm = max(norm, float(ritz.abs().max()))
        goal = tol * norm
        vectors, error = basis @ rotation[:, :block], images @ rotation[:, :block]
        error -= vectors * values[:block]
        sizes = _norms(error)
        multiply.bar.set_postfix_str(f"residual {float(sizes[:k].max()):.1e}")
        if bool((sizes[:k] <= goal).all()) or multiply.products >= max_products:
            return values[:k], vectors[:, :k], sizes[:k], norm
        if basis.shape[1] + block > limit:
            # Rounding must not add up over restarts: orthonormal again, images along with it.
            basis, upper = torch.linalg.qr(basis @ rotation[:, : 2 * block])
            images = images @ rotation[:, : 2 * block]
            images = torch.linalg.solve_triangular(upper, images, upper=True, left=False)
        fresh = _orthonormal(precondition(error[:, sizes > goal]), basis)
        basis = torch.cat((basis, fresh), 1)
        images = torch.cat((images, multiply(fresh)), 1)


def _preference(ritz: Tensor, which: str) -> Tensor:
    """Indices of Ritz values, the wanted ones first."""
    key: dict[str, Any] = {"LA": -ritz, "SA": ritz, "LM": -ritz.abs()}
    indices: Tensor = key[which].argsort()
    return indices


def _orthonormal(block: Tensor, basis: Tensor) -> Tensor:
    """The block made orthonormal to the basis and in itself; twice is enough (Kahan, Parlett)."""
    for _ in range(2):
        block = block / _norms(block).clamp_min(torch.finfo(block.dtype).tiny).to(block)
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
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 0 < k < n:
        raise bad_input("k", str(k), f"an integer from 1 to {n - 1}, below the operator's size")
    if which not in ("LM", "LA", "SA"):
        fix = 'For the smallest eigenvalues of a Laplacian, which are positive, take "SA".'
        raise bad_input("which", repr(which), '"LM", "LA" or "SA"', fix)


def _check_symmetry(operator: Operator) -> float:
    """Refuses operators that are not symmetric; a lower bound of the norm, near it if flat."""
    n, generator = operator.shape[-1], torch.Generator().manual_seed(1)
    reference = as_tensor(operator.reference, operator.reference)
    pair = torch.randn(n, 2, generator=generator, dtype=torch.float64).to(reference)
    image = _finite(operator.product(pair))
    form = pair.double().mT @ image.double()
    size = float(_norms(pair).max() * _norms(image).max())
    rounding = 1e-10 if reference.dtype == torch.float64 else 1e-6
    if float((form[0, 1] - form[1, 0]).abs()) > rounding * size:
        fix = "For others take the eigenpairs of K.T @ K: values are squared singular ones."
        raise bad_input("operator", "one that is not symmetric", "a symmetric operator", fix)
    return float((_norms(image) / _norms(pair)).max())


def _norms(block: Tensor) -> Tensor:
    """Norms of the columns in double precision, where squares neither overflow nor vanish."""
    return torch.linalg.vector_norm(block, dim=0, dtype=torch.float64)


def _gram(left: Tensor, right: Tensor) -> Tensor:
    """``left.T @ right``, summed in float64: small values stand beside sums of a million terms."""
    rows = 1 << 14
    return torch.stack(
        [(a.mT @ b).double() for a, b in zip(left.split(rows), right.split(rows), strict=True)]
    ).sum(0)
