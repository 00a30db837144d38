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
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from .errors import bad_input
from .points import check_positive

__all__ = [
    "Energy",
    "Gaussian",
    "Kernel",
    "InverseMultiquadric",
    "Laplacian",
    "Mixture",
    "Opaque",
    "Pointwise",
    "Radial",
    "Symbolic",
    "Term",
    "as_cost",
    "as_kernel",
    "as_kernels",
    "gibbs",
    "ground_cost",
    "matrix_of",
    "parts_of",
]


class Kernel:
    """What kernels share: their sums, products and multiples are kernels."""

    def __add__(self, other: Any) -> Mixture:
        if not isinstance(other, Kernel):
            return NotImplemented
        return Mixture((*parts_of(self), *parts_of(other)))

    def __mul__(self, other: Any) -> Kernel:
        if isinstance(other, Real):
            return _multiple(self, float(other))
        if not isinstance(other, Kernel):
            return NotImplemented
        return _product(self, other)

    __rmul__ = __mul__


@dataclass(frozen=True)
class Term:
    """One power of the squared distance: ``factor * (s + offset) ** (power / 2)``."""

    factor: float
    power: int


@dataclass(frozen=True)
class Radial(Kernel):
    """A radial profile, ``exp(-rate * s ** (decay / 2)) * sum of terms``.

    ``length`` is the tensor that gave the profile its scale, where derivatives in it are wanted.
    """

    terms: tuple[Term, ...]
    rate: float = 0.0
    decay: int = 2
    offset: float = 0.0
    length: Tensor | None = field(default=None, compare=False)

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

    def at_unit_length(self) -> tuple[Radial, Tensor]:
        """The profile of points in units of ``length``, and the factor that it then takes.

        Derivatives in the length are those of a rescaling of the points:
        ``k(s) = factor * unit(s / length ** 2)``.
        """
        assert self.length is not None
        (term,), size = self.terms, float(self.length.detach())
        unit = Radial(self.terms, self.rate * size**self.decay, self.decay, self.offset / size**2)
        return unit, self.length**term.power

    @property
    def singular(self) -> bool:
        """Whether the profile depends on the distance itself, not only on its square.

        Near-zero distances then matter to first order: engines must take differences of
        coordinates, not expand the square.
        """
        odd = any(term.power % 2 or term.power < 0 for term in self.terms)
        return (odd and self.offset == 0) or (self.decay == 1 and self.rate > 0)


class Gaussian(Radial):
    r"""The Gaussian kernel :math:`\exp(-|x-y|^2 / 2\sigma^2)`.

    ``sigma`` is in units of the points: a number, or a tensor of one to differentiate in.
    """

    def __init__(self, sigma: float | Tensor) -> None:
        sigma, length = _length("sigma", sigma)
        super().__init__((Term(1.0, 0),), rate=1 / (2 * sigma**2), length=length)

    def __repr__(self) -> str:
        return f"Gaussian(sigma={(2 * self.rate) ** -0.5:.6g})"


class Laplacian(Radial):
    r"""The Laplacian kernel :math:`\exp(-|x-y| / \sigma)`.

    ``sigma`` is in units of the points: a number, or a tensor of one to differentiate in.
    """

    def __init__(self, sigma: float | Tensor) -> None:
        sigma, length = _length("sigma", sigma)
        super().__init__((Term(1.0, 0),), rate=1 / sigma, decay=1, length=length)

    def __repr__(self) -> str:
        return f"Laplacian(sigma={1 / self.rate:.6g})"


class Energy(Radial):
    """The kernel ``-|x - y|`` of the energy distance (Székely and Rizzo, 2013)."""

    def __init__(self) -> None:
        super().__init__((Term(-1.0, 1),))

    def __repr__(self) -> str:
        return "Energy()"


class InverseMultiquadric(Radial):
    r"""The kernel :math:`1 / \sqrt{|x-y|^2 + c^2}`.

    ``c`` is in units of the points: a number, or a tensor of one to differentiate in.
    """

    def __init__(self, c: float | Tensor) -> None:
        c, length = _length("c", c)
        super().__init__((Term(1.0, -1),), offset=c**2, length=length)

    def __repr__(self) -> str:
        return f"InverseMultiquadric(c={self.offset**0.5:.6g})"


@dataclass(frozen=True)
class Mixture(Kernel):
    """A sum of kernels; each part is summed by the engine that suits it."""

    parts: tuple[Radial | Opaque, ...]

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.parts))


@dataclass(frozen=True)
class Opaque(Kernel):
    """A cost or kernel given as a Python function of ``(B, N, D)`` and ``(B, M, D)`` tensors.

    It returns a ``(B, N, M)`` tensor. Its derivatives are those that autograd finds, and only
    engines that run Python can evaluate it.
    """

    function: Callable[[Tensor, Tensor], Tensor]

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Values for all pairs, checked for their shape."""
        return self._checked(self.function(x, y), (len(x), x.shape[1], y.shape[1]))

    def _checked(self, value: Tensor, wanted: tuple[int, ...]) -> Tensor:
        if not isinstance(value, Tensor) or value.shape != wanted:
            came = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise bad_input("cost, kernel", f"values of shape {came}", f"a tensor {wanted}")
        return value


class Pointwise(Opaque):
    """A kernel written for one pair of points, which runs on tensors and on KeOps LazyTensors.

    Args:
        function: of ``x_i``, ``(..., N, 1, D)``, and ``y_j``, ``(..., 1, M, D)``; it reduces the
            last axis. Broadcasting makes it the matrix of all pairs.

    Example:
        >>> cauchy = Pointwise(lambda x_i, y_j: 1 / (1 + ((x_i - y_j) ** 2).sum(-1)))
        >>> cauchy(torch.zeros(1, 2, 3), torch.ones(1, 5, 3)).shape
        torch.Size([1, 2, 5])
    """

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Values for all pairs of ``(B, N, D)`` and ``(B, M, D)``."""
        value = self.function(x[..., :, None, :], y[..., None, :, :])
        return self._checked(value, (len(x), x.shape[1], y.shape[1]))


def parts_of(formula: Kernel) -> tuple[Radial | Opaque, ...]:
    """The parts of a sum of kernels; a single one is its own part."""
    if isinstance(formula, Mixture):
        return formula.parts
    assert isinstance(formula, Radial | Opaque)
    return (formula,)


def _multiple(formula: Kernel, factor: float) -> Kernel:
    if isinstance(formula, Radial):
        terms = tuple(Term(factor * term.factor, term.power) for term in formula.terms)
        return Radial(terms, formula.rate, formula.decay, formula.offset, formula.length)
    if isinstance(formula, Mixture):
        return Mixture(sum((parts_of(_multiple(part, factor)) for part in formula.parts), ()))
    assert isinstance(formula, Opaque)
    return type(formula)(lambda x, y: formula.function(x, y) * factor)


def _product(left: Kernel, right: Kernel) -> Kernel:
    """The product: a radial profile where it has the form of one, else a function of points."""
    if isinstance(left, Mixture) or isinstance(right, Mixture):
        products = (parts_of(_product(a, b)) for a in parts_of(left) for b in parts_of(right))
        return Mixture(sum(products, ()))
    if isinstance(left, Radial) and isinstance(right, Radial):
        if left.length is not None or right.length is not None:
            fix = "Multiply kernels whose lengths are numbers."
            raise bad_input("*", "a kernel with a length to differentiate in", "fixed ones", fix)
        alike = left.decay == right.decay or not left.rate or not right.rate
        flat = [k for k in (left, right) if not any(term.power for term in k.terms)]
        if alike and (left.offset == right.offset or flat):
            terms = tuple(
                Term(a.factor * b.factor, a.power + b.power)
                for a in left.terms
                for b in right.terms
            )
            decay = left.decay if left.rate else right.decay
            offset = right.offset if flat and flat[0] is left else left.offset
            return Radial(terms, left.rate + right.rate, decay, offset)
    return Opaque(lambda x, y: matrix_of(left, x, y) * matrix_of(right, x, y))


def matrix_of(formula: Kernel, x: Tensor, y: Tensor) -> Tensor:
    """Values between all points of ``(B, N, D)`` and ``(B, M, D)``, stored: ``(B, N, M)``."""
    if isinstance(formula, Radial):
        values: Tensor = formula((x[:, :, None] - y[:, None]).square().sum(-1))
        return values
    assert isinstance(formula, Opaque)
    return formula(x, y)


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
    if isinstance(kernel, Mixture):
        fix = "Losses are linear in their kernel: add the losses of its parts."
        raise bad_input("kernel", f"the sum {kernel}", "one kernel", fix)
    if isinstance(kernel, Radial):
        return kernel
    return _opaque("kernel", kernel, "such as kernels.Gaussian(0.1), or a function of (x, y)")


def as_kernels(kernel: Any) -> tuple[Radial | Opaque, ...]:
    """The parts of what a user gives as a kernel, which may be a sum."""
    return kernel.parts if isinstance(kernel, Mixture) else (as_kernel(kernel),)


def _length(name: str, value: Any) -> tuple[float, Tensor | None]:
    """A positive length, and the tensor that it came as, if any."""
    if not isinstance(value, Tensor):
        check_positive(**{name: value})
        return float(value), None
    if value.numel() != 1:
        raise bad_input(name, f"a tensor of shape {tuple(value.shape)}", "one number")
    check_positive(**{name: value.item()})
    return value.item(), value.reshape(()) if value.requires_grad else None


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
