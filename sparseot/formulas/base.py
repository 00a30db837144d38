"""What kernels share: their sums, products and multiples are kernels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import chain
from numbers import Real
from typing import Any

from torch import Tensor

__all__ = ["Kernel", "Mixture", "Single"]


class Kernel(ABC):
    """A kernel, or a sum of kernels."""

    @property
    @abstractmethod
    def parts(self) -> tuple[Single, ...]:
        """The terms of the sum; a single kernel is its own part."""

    @property
    def T(self) -> Kernel:
        """The kernel seen from its second cloud: its values at (y, x) are those of this one at (x, y)."""
        return Mixture(tuple(part.T for part in self.parts))

    def __add__(self, other: Any) -> Mixture:
        if not isinstance(other, Kernel):
            return NotImplemented
        return Mixture((*self.parts, *other.parts))

    def __mul__(self, other: Any) -> Kernel:
        if isinstance(other, Real):
            products = tuple(part.scaled(float(other)) for part in self.parts)
        elif isinstance(other, Kernel):
            products = tuple(chain(*([a.times(b) for b in other.parts] for a in self.parts)))
        else:
            return NotImplemented
        return products[0] if len(products) == 1 else Mixture(products)

    __rmul__ = __mul__


class Single(Kernel):
    """One kernel, which an engine can sum."""

    @property
    def parts(self) -> tuple[Single, ...]:
        """Itself."""
        return (self,)

    @property
    @abstractmethod
    def T(self) -> Single:
        """The kernel seen from its second cloud."""

    @abstractmethod
    def scaled(self, factor: float) -> Single:
        """The multiple of this kernel."""

    @abstractmethod
    def times(self, other: Single) -> Single:
        """The product of two kernels, entry by entry."""

    @abstractmethod
    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        """Values between all points of ``(B, N, D)`` and ``(B, M, D)``, stored: ``(B, N, M)``."""


@dataclass(frozen=True)
class Mixture(Kernel):
    """A sum of kernels; each part is summed by the engine that suits it."""

    terms: tuple[Single, ...]

    @property
    def parts(self) -> tuple[Single, ...]:
        """The kernels that are added."""
        return self.terms

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.terms))
