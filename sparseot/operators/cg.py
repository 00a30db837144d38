r"""Linear systems with operators that are known by their products."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..engines.openmp import NUMBERS, threads_for
from ..errors import bad_input, warn_user
from ..points import check_positive
from ..precision import full_precision
from .arrays import Array, as_tensor, like
from .base import Operator
from .given import as_operator

__all__ = [
    "Descent",
    "Indefinite",
    "LinearSolution",
    "conjugate_gradient",
    "descend",
    "descended",
]


class Indefinite(ValueError):
    """A matrix that should be positive definite is not."""


@dataclass(frozen=True)
class LinearSolution:
    """What :func:`conjugate_gradient` returns.

    Attributes:
        x: the solution, of the shape of b.
        residuals: ``|b - A x| / |b|`` of each column, from the last iterate itself.
        products: how many vectors were multiplied by A.
        converged: whether all residuals are below the tolerance.

    Example:
        >>> import torch
        >>> import sparseot as so
        >>> found = so.conjugate_gradient(so.Diagonal(torch.tensor([1.0, 2.0])), torch.ones(2))
        >>> found.x.tolist(), found.converged
        ([1.0, 0.5], True)
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
        operator: A, ``(N, N)``, such as ``K + Diagonal(noise)``. Of one that ranks of a group share, b, x0
            and x are the rows of each.
        b: ``(N,)`` or ``(N, R)`` right-hand sides.
        preconditioner: an operator, or a function of ``(N, R)`` blocks, near the inverse of A and
            positive definite, such as :func:`sparseot.nystrom`; None takes none.
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
    check_positive(tol=tol, max_products=max_products)
    operator = as_operator(operator)
    spreads = operator.spreads if isinstance(operator, Operator) else None
    if spreads is not None:
        b, x0 = spreads[0].whole("b", b), None if x0 is None else spreads[0].whole("x0", x0)
    found = descended(operator, b, preconditioner, x0, tol, max_products, progress)
    if spreads is not None:
        found = replace(found, x=spreads[0].own(found.x))
    if not found.converged:
        warn_user(
            f"conjugate_gradient stopped after {found.products} products at a relative residual of "
            f"{float(found.residuals.max()):.1e}, {tol:.0e} was wanted: raise max_products or tol, add a "
            "preconditioner such as nystrom(...), or work in float64.",
        )
    return found


def descended(
    operator: Operator,
    b: Array,
    preconditioner: Operator | Callable[[Tensor], Tensor] | None = None,
    x0: Array | None = None,
    tol: float = 1e-6,
    max_products: int = 10_000,
    progress: bool = False,
) -> LinearSolution:
    """The solution, as far as it was found.

    Raises:
        ValueError: if shapes do not fit; Indefinite, if the operator turns out not to be positive definite.
    """
    n = operator.shape[-1]
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
        unit, how = _unit(right), (_as_function(preconditioner), tol, max_products, bar)
        x, residuals, products = _refined(operator, right / unit, x / unit, *how)
    x = (x * unit).reshape(b.shape)
    converged = float(residuals.max()) <= tol
    return LinearSolution(like(x, b), like(residuals, b), products, converged)


def _unit(right: Tensor) -> Tensor:
    """A power of two for each column, about its largest entry: squares are then numbers."""
    power = torch.frexp(right.abs().amax(0)).exponent.clamp(-120, 120)
    return torch.exp2(power.to(right))


def _refined(
    operator: Operator,
    right: Tensor,
    x: Tensor,
    precondition: Callable[[Tensor], Tensor],
    tol: float,
    max_products: int,
    bar: Any,
) -> tuple[Tensor, Tensor, int]:
    """The solution, its true residuals, and the products: from what was reached, again and again.

    The residuals of the iteration run ahead of true ones.
    """
    sizes = right.norm(dim=0)
    x = x * (sizes > 0)
    worst, last, products = 0.0, math.inf, 0
    while True:
        x, spent = _iterate(operator, right, x, precondition, tol, max_products - products, bar)
        residuals = (right - operator.product(x)).norm(dim=0) / sizes.where(sizes > 0, 1)
        products += spent + right.shape[1]
        last, worst = worst or last, float(residuals.max())
        if worst <= tol or products >= max_products or not worst < 0.5 * last:
            return x, residuals, products


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
    r, sizes, columns = right, right.norm(dim=0), right.shape[1]
    first, best = 0, math.inf
    if bool(x.any()):
        r, first = right - operator.product(x), columns

    def told(norms: Tensor) -> bool:
        nonlocal best
        best = float((norms / sizes.clamp_min(torch.finfo(x.dtype).tiny)).max())
        if math.isfinite(best):
            bar.update()
            bar.set_postfix_str(f"residual {best:.1e}")
        return math.isfinite(best)

    most = -(-(max_products - first) // columns)
    found = descend(operator.product, r, tol * sizes, most, precondition, told)
    if found.indefinite and not best < 1e-3:  # below it, rounding has eaten the last directions
        fix = "Add a positive diagonal, as in K + Diagonal(noise)."
        got = "one that is not positive definite"
        raise bad_input("operator", got, "x' A x > 0", fix, Indefinite)
    return x + found.x, first + found.steps * columns


class Descent(NamedTuple):
    """What :func:`descend` found: x, after how many steps, and whether it met ``p' A p <= 0``."""

    x: Tensor
    steps: int
    indefinite: bool


def descend(
    product: Callable[[Tensor], Tensor],
    r: Tensor,
    goal: Tensor | float,
    most: int,
    precondition: Callable[[Tensor], Tensor] = lambda r: r,
    told: Callable[[Tensor], bool] = lambda norms: True,
) -> Descent:
    """The iteration itself, from zero, for all columns of ``A x = r`` at once.

    Args:
        product: A times ``(N, R)``.
        r: ``(N, R)``, finite.
        goal: norms of the residuals to reach, ``(R,)`` or one for all.
        most: steps.
        precondition: near the inverse of A.
        told: hears the norms of the residuals after each step, and ends it by saying False.
    """
    tiny = torch.finfo(r.dtype).tiny
    x, z, steps = torch.zeros_like(r), precondition(r), 0
    p, old, done = z, (r * z).sum(0), r.norm(dim=0) <= goal
    while steps < most and not bool(done.all()):
        image, steps = product(p), steps + 1
        curvature = (p * image).sum(0)
        if bool(((curvature <= 0) & ~done).any()):
            return Descent(x, steps, True)
        step = (old / curvature.clamp_min(tiny)).masked_fill(done, 0)
        x, r = x + step * p, r - step * image
        z = precondition(r)
        new = (r * z).sum(0)
        p, old = z + (new / old.clamp_min(tiny)) * p, new
        norms = r.norm(dim=0)
        done = norms <= goal
        if not told(norms):
            break
    return Descent(x, steps, False)


def _as_function(
    preconditioner: Operator | Callable[[Tensor], Tensor] | None,
) -> Callable[[Tensor], Tensor]:
    if preconditioner is None:
        return lambda v: v
    return preconditioner.product if isinstance(preconditioner, Operator) else preconditioner
