r"""Radial profiles, data that every engine reads.

A :class:`Radial` formula is a function of the squared distance :math:`s = |x - y|^2`,

.. math::  k(s) = \exp(-\lambda s^{q/2}) \sum_t c_t (s + o)^{p_t / 2}, \qquad q = 1, 2.

The family is closed under differentiation, so the gradient of a kernel sum is again a kernel
sum, and so is its Hessian. Negative powers of zero are zero: the distance has the (sub)gradient
zero where two points meet.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual

from ..errors import bad_input
from ..held import Watch
from ..points import check_positive, refuse_map, transformed
from .base import Single
from .functions import Opaque

__all__ = ["Energy", "Gaussian", "InverseMultiquadric", "Laplacian", "Radial", "Term"]


@dataclass(frozen=True)
class Term:
    """One power of the squared distance: ``factor * (s + offset) ** (power / 2)``."""

    factor: float
    power: float


@dataclass(frozen=True)
class Radial(Single):
    """A radial profile, ``exp(-rate * s ** (decay / 2)) * sum of terms``.

    ``length`` is the tensor that gave the profile its scale, where derivatives in it are wanted;
    ``watch`` tells whether it has changed since.
    """

    terms: tuple[Term, ...]
    rate: float = 0.0
    decay: float = 2
    offset: float = 0.0
    length: Tensor | None = field(default=None, compare=False)
    watch: Watch | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.length is not None and self.watch is None and not torch.compiler.is_compiling():
            object.__setattr__(self, "watch", Watch(self.length))

    def __call__(self, s: Any) -> Any:
        """Values at squared distances ``s``, a tensor or a KeOps LazyTensor."""
        value = self.polynomial(s)
        return value * (-self.rate * half_power(s, self.decay)).exp()

    def polynomial(self, s: Any) -> Any:
        """The factor before the exponential, ``sum of factor * (s + offset) ** (power / 2)``."""
        value = 0.0
        for term in self.terms:
            value = value + term.factor * half_power(s + self.offset, term.power)
        return value

    def derivative(self) -> Radial:
        """The derivative with respect to ``s``, again a radial profile."""
        factors: dict[float, float] = {}
        for term in self.terms:
            if term.power:
                lower = term.power - 2
                factors[lower] = factors.get(lower, 0.0) + term.factor * term.power / 2
            if self.rate:
                lower = term.power + self.decay - 2
                factors[lower] = factors.get(lower, 0.0) - term.factor * self.rate * self.decay / 2
        terms = tuple(Term(factor, power) for power, factor in sorted(factors.items()))
        return Radial(terms, self.rate, self.decay, self.offset)

    @property
    def T(self) -> Self:
        """Itself: distances are symmetric."""
        return self

    def at_unit_length(self) -> tuple[Radial, Tensor]:
        """The profile of points in units of ``length``, and the factor that it then takes.

        Derivatives in the length are those of a rescaling of the points:
        ``k(s) = factor * unit(s / length ** 2)``.
        """
        assert self.length is not None
        (term,), size = self.terms, float(self.length.detach())
        unit = Radial(self.terms, self.rate * size**self.decay, self.decay, self.offset / size**2)
        return unit, self.length**term.power

    def at_length(self) -> Radial:
        """The profile, of one at unit length, as kernels of a tensor are while code is compiled."""
        assert self.length is not None
        size = float(self.length.detach())
        _check_length("length", size)
        rate, offset = self.rate / size**self.decay, self.offset * size**2
        length = self.length if self.length.requires_grad else None
        return Radial(self.terms, rate, self.decay, offset, length)

    def refuse_moved(self) -> None:
        """Raises RuntimeError where the length is no longer what the profile was made of."""
        if self.watch is not None:
            self.watch.check("kernel", "a length that was")

    def scaled(self, factor: float) -> Radial:
        """The multiple of this profile."""
        terms = tuple(Term(factor * term.factor, term.power) for term in self.terms)
        return Radial(terms, self.rate, self.decay, self.offset, self.length, self.watch)

    def times(self, other: Single) -> Single:
        """The product: a radial profile where it has the form of one, else a function of points."""
        if not isinstance(other, Radial):
            return Opaque(lambda x, y: self.matrix(x, y) * other.matrix(x, y))
        if self.length is not None or other.length is not None:
            fix = "Multiply kernels whose lengths are numbers."
            raise bad_input("*", "a kernel with a length to differentiate in", "fixed ones", fix)
        alike = self.decay == other.decay or not self.rate or not other.rate
        constant = [not any(term.power for term in k.terms) for k in (self, other)]
        if not alike or not (self.offset == other.offset or any(constant)):
            return Opaque(lambda x, y: self.matrix(x, y) * other.matrix(x, y))
        terms = tuple(
            Term(a.factor * b.factor, a.power + b.power) for a in self.terms for b in other.terms
        )
        decay = self.decay if self.rate else other.decay
        offset = other.offset if constant[0] else self.offset
        return Radial(terms, self.rate + other.rate, decay, offset)

    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        """Values between all points of ``(B, N, D)`` and ``(B, M, D)``, stored: ``(B, N, M)``."""
        values: Tensor = self((x[:, :, None] - y[:, None]).square().sum(-1))
        return values

    @property
    def between(self) -> bool:
        """Whether some power of the distance is no whole number, which few engines know."""
        return any(power % 1 for power in (self.decay, *(term.power for term in self.terms)))

    @property
    def function(self) -> Opaque:
        """The same as a function of points, which can be traced; negative powers of zero are zero."""

        def values(x: Any, y: Any) -> Any:
            s = ((x[:, :, None] - y[:, None]) ** 2).sum(-1)
            value = 0.0
            for term in self.terms:
                power = _between(s + self.offset, term.power / 2) if term.power else 1.0
                value = value + term.factor * power
            return value * (_between(s, self.decay / 2) * -self.rate).exp() if self.rate else value

        return Opaque(values)

    @property
    def singular(self) -> bool:
        """Whether the profile depends on the distance itself, not only on its square.

        Near-zero distances then matter to first order: engines must take differences of
        coordinates, not expand the square.
        """
        odd = any(term.power % 2 or term.power < 0 for term in self.terms)
        return (odd and self.offset == 0) or (self.decay != 2 and self.rate > 0)

    @property
    def unbounded(self) -> bool:
        """Whether the profile is the larger, the nearer two points are."""
        return self.offset == 0 and any(term.power < 0 for term in self.terms)


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
    """The kernel ``-|x - y|`` of the energy distance (Székely and Rizzo, 2013).

    Example:
        >>> import torch
        >>> import sparseot as so
        >>> K = so.KernelMatrix(so.kernels.Energy(), torch.tensor([[0.0], [3.0]]))
        >>> K.to_dense().tolist()
        [[0.0, -3.0], [-3.0, 0.0]]
    """

    def __init__(self) -> None:
        super().__init__((Term(-1.0, 1),))

    def __repr__(self) -> str:
        return "Energy()"


class InverseMultiquadric(Radial):
    r"""The kernel :math:`1 / \sqrt{|x-y|^2 + c^2}`.

    ``c`` is in units of the points: a number, or a tensor of one to differentiate in.

    Example:
        >>> import torch
        >>> import sparseot as so
        >>> K = so.KernelMatrix(so.kernels.InverseMultiquadric(1.0), torch.tensor([[0.0], [3.0**0.5]]))
        >>> K.to_dense().round(decimals=3).tolist()
        [[1.0, 0.5], [0.5, 1.0]]
    """

    def __init__(self, c: float | Tensor) -> None:
        c, length = _length("c", c)
        super().__init__((Term(1.0, -1),), offset=c**2, length=length)

    def __repr__(self) -> str:
        return f"InverseMultiquadric(c={self.offset**0.5:.6g})"


def _length(name: str, value: Any) -> tuple[float, Tensor | None]:
    """A positive length, and the tensor that it came as, if any."""
    if not isinstance(value, Tensor):
        _check_length(name, value)
        return float(value), None
    if value.numel() != 1:
        raise bad_input(name, f"a tensor of shape {tuple(value.shape)}", "one number")
    if torch.compiler.is_compiling():  # it has no number yet: see at_length
        return 1.0, value.reshape(())
    refuse_map(value, f"{name}, the length of a kernel")
    _check_length(name, value.item())
    moves = value.requires_grad or transformed(value) or unpack_dual(value).tangent is not None
    return value.item(), value.reshape(()) if moves else None


def _check_length(name: str, value: Any) -> None:
    check_positive(**{name: value})
    if not 1e-100 < float(value) < 1e100:
        raise bad_input(
            name, f"{value:g}", "a length between 1e-100 and 1e100", "Rescale the points."
        )


def _root(s: Any) -> Any:
    """The square root, with the derivative zero at zero."""
    if isinstance(s, Tensor):
        return torch.where(s > 0, s, 1).sqrt() * (s > 0)
    return s.sqrt()


def half_power(s: Any, power: float) -> Any:
    """``s ** (power / 2)``; negative powers of zero are zero, as derivatives there are."""
    if power == 0:
        return 1.0
    if power % 2 == 0 and power > 0:
        return s ** (power // 2)
    if power % 1:
        return _between(s, power / 2)
    if power > 0:
        return _root(s) * s ** (power // 2) if power > 1 else _root(s)
    if isinstance(s, Tensor):
        return torch.where(s > 0, s, 1).pow(power / 2) * (s > 0)
    root = s.rsqrt()  # KeOps: rsqrt(0) = 0
    return root if power == -1 else root ** (-power)


def _between(s: Any, power: float) -> Any:
    """A power that is no multiple of a half, of a tensor or of a stand-in for one."""
    known = torch.where(s > 0, s, 1.0)
    if isinstance(s, Tensor):
        return known.pow(power) * (s > 0)
    return torch.where(s > 0, (known.log() * power).exp(), 0.0)
