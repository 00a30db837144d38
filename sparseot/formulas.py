r"""WHAT is summed: ground costs and kernels, each written once, as data that every engine reads.

A :class:`Radial` formula is a function of the squared distance :math:`s = |x - y|^2`,

.. math::  k(s) = \exp(-\lambda s^{q/2}) \sum_t c_t (s + o)^{p_t / 2}, \qquad q = 1, 2.

The family is closed under differentiation, so the gradient of a kernel sum is again a kernel
sum, and so is its Hessian. Negative powers of zero are zero: the distance has the (sub)gradient
zero where two points meet. An :class:`Opaque` formula is a Python function of the two clouds;
only engines that run Python can evaluate it. A :class:`Symbolic` one is written in KeOps's language.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .errors import bad_input
from .points import check_positive

__all__ = [
    "Energy",
    "Gaussian",
    "InverseMultiquadric",
    "Laplacian",
    "Opaque",
    "Radial",
    "Symbolic",
    "Term",
    "as_cost",
    "as_kernel",
    "gibbs",
    "ground_cost",
]


@dataclass(frozen=True)
class Term:
    """One power of the squared distance: ``factor * (s + offset) ** (power / 2)``."""

    factor: float
    power: int


@dataclass(frozen=True)
class Radial:
    """A radial profile, ``exp(-rate * s ** (decay / 2)) * sum of terms``."""

    terms: tuple[Term, ...]
    rate: float = 0.0
    decay: int = 2
    offset: float = 0.0

    def __call__(self, s: Any) -> Any:
        """Values at squared distances ``s``, a tensor or a KeOps LazyTensor."""
        value = self.polynomial(s)
        return value * (-self.rate * (s if self.decay == 2 else s.sqrt())).exp()

    def polynomial(self, s: Any) -> Any:
        """The factor before the exponential, ``sum of factor * (s + offset) ** (power / 2)``."""
        value = 0.0
        for term in self.terms:
            value = value + term.factor * _half_power(s + self.offset, term.power)
        return value

    def derivative(self) -> Radial:
        """The derivative with respect to ``s``, again a radial profile."""
        factors: dict[int, float] = {}
        for term in self.terms:
            if term.power:
                lower = term.power - 2
                factors[lower] = factors.get(lower, 0.0) + term.factor * term.power / 2
            if self.rate:
                lower = term.power if self.decay == 2 else term.power - 1
                factors[lower] = factors.get(lower, 0.0) - term.factor * self.rate * self.decay / 2
        terms = tuple(Term(factor, power) for power, factor in sorted(factors.items()))
        return Radial(terms, self.rate, self.decay, self.offset)

    @property
    def singular(self) -> bool:
        """Whether the profile depends on the distance itself, not only on its square.

        Near-zero distances then matter to first order: engines must take differences of
        coordinates, not expand the square.
        """
        odd = any(term.power % 2 or term.power < 0 for term in self.terms)
        return (odd and self.offset == 0) or (self.decay == 1 and self.rate > 0)


class Gaussian(Radial):
    r"""The Gaussian kernel :math:`\exp(-|x-y|^2 / 2\sigma^2)`; ``sigma`` in units of the points."""

    def __init__(self, sigma: float) -> None:
        check_positive(sigma=sigma)
        super().__init__((Term(1.0, 0),), rate=1 / (2 * sigma**2))

    def __repr__(self) -> str:
        return f"Gaussian(sigma={(2 * self.rate) ** -0.5:.6g})"


class Laplacian(Radial):
    r"""The Laplacian kernel :math:`\exp(-|x-y| / \sigma)`; ``sigma`` in units of the points."""

    def __init__(self, sigma: float) -> None:
        check_positive(sigma=sigma)
        super().__init__((Term(1.0, 0),), rate=1 / sigma, decay=1)

    def __repr__(self) -> str:
        return f"Laplacian(sigma={1 / self.rate:.6g})"


class Energy(Radial):
    """The kernel ``-|x - y|`` of the energy distance (Székely and Rizzo, 2013)."""

    def __init__(self) -> None:
        super().__init__((Term(-1.0, 1),))

    def __repr__(self) -> str:
        return "Energy()"


class InverseMultiquadric(Radial):
    r"""The kernel :math:`1 / \sqrt{|x-y|^2 + c^2}`; ``c`` in units of the points."""

    def __init__(self, c: float) -> None:
        check_positive(c=c)
        super().__init__((Term(1.0, -1),), offset=c**2)

    def __repr__(self) -> str:
        return f"InverseMultiquadric(c={self.offset**0.5:.6g})"


@dataclass(frozen=True)
class Opaque:
    """A cost or kernel given as a Python function of ``(B, N, D)`` and ``(B, M, D)`` tensors.

    It returns a ``(B, N, M)`` tensor. Its derivatives are those that autograd finds, and only
    engines that run Python can evaluate it.
    """

    function: Callable[[Tensor, Tensor], Tensor]

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Values for all pairs, checked for their shape."""
        value = self.function(x, y)
        wanted = (len(x), x.shape[1], y.shape[1])
        if not isinstance(value, Tensor) or value.shape != wanted:
            came = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise bad_input("cost, kernel", f"values of shape {came}", f"a tensor {wanted}")
        return value


@dataclass(frozen=True)
class Symbolic:
    """A ground cost as a KeOps formula of ``X`` and ``Y``, such as ``"SqDist(X,Y) / IntCst(2)"``.

    KeOps compiles and differentiates it; no other engine can read it.
    """

    expression: str


def ground_cost(p: int) -> Radial:
    """The cost ``|x - y|^p / p`` for p = 1 or 2."""
    if isinstance(p, bool) or p not in (1, 2):
        raise bad_input("p", repr(p), "1 or 2", "Other costs can be given as cost=function(x, y).")
    return Radial((Term(1 / p, int(p)),))


def as_cost(cost: Any, p: int) -> Radial | Opaque | Symbolic:
    """A ground cost from what a user gives: None for ``|x - y|^p / p``, a formula or a function.

    Of the radial formulas, multiples of the distance and of its square are costs.
    """
    if cost is None:
        return ground_cost(p)
    if isinstance(cost, str | Symbolic):
        return Symbolic(cost) if isinstance(cost, str) else cost
    if isinstance(cost, Radial):
        plain = cost.rate == 0 and cost.offset == 0 and len(cost.terms) == 1
        if plain and cost.terms[0].power in (1, 2) and cost.terms[0].factor > 0:
            return cost
        wanted = "a multiple of the distance or of its square"
        raise bad_input("cost", repr(cost), wanted, "Give others as a function of (x, y).")
    return _opaque("cost", cost, "a function of (x, y), a KeOps formula string, or None")


def as_kernel(kernel: Any) -> Radial | Opaque:
    """A kernel from what a user gives: a radial formula, or a function of (x, y)."""
    if isinstance(kernel, Radial):
        return kernel
    return _opaque("kernel", kernel, "such as kernels.Gaussian(0.1), or a function of (x, y)")


def _opaque(name: str, formula: Any, wanted: str) -> Opaque:
    if isinstance(formula, Opaque):
        return formula
    if isinstance(formula, type) or not callable(formula):
        raise bad_input(name, repr(formula), wanted, kind=TypeError)
    return Opaque(formula)


def gibbs(cost: Radial, eps: float) -> Radial:
    """The Gibbs kernel ``exp(-cost / eps)``: a Gaussian for p = 2, a Laplacian for p = 1."""
    (term,) = cost.terms
    return Radial((Term(1.0, 0),), rate=term.factor / eps, decay=term.power)


def _half_power(s: Any, power: int) -> Any:
    if power == 0:
        return 1.0
    if power % 2 == 0 and power > 0:
        return s ** (power // 2)
    if power > 0:
        return s.sqrt() * s ** (power // 2) if power > 1 else s.sqrt()
    if isinstance(s, Tensor):
        return torch.where(s > 0, s, 1).pow(power / 2) * (s > 0)
    root = s.rsqrt()  # KeOps: rsqrt(0) = 0
    return root if power == -1 else root ** (-power)
