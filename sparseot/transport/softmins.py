"""Softmins of one problem at one temperature: what a sweep asks for, over whichever pairs."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .marginals import Marginals

__all__ = ["Array", "Outcome", "Softmins"]

Array = np.ndarray[Any, Any]  # not tensors: torch would wake threads beside our own


def dot(a: Array, b: Array) -> float:
    """The scalar product, on this thread: BLAS would wake others, which spin beside our own."""
    return float(np.einsum("i,i", a, b))


class Softmins(ABC):
    """Both updates of one problem; potentials are float64 vectors."""

    a: Array
    b: Array
    eps: float
    penalty: Marginals

    @abstractmethod
    def step(self, side: int, here: Array, there: Array) -> tuple[Array, float, float]:
        """The exact update of one potential, and what its marginal was before it.

        Returns:
            The damped softmin; the L1 distance, relative to the mass, of the marginal of the
            plan of (here, there) from the one that is wanted; and the mass of that plan.
        """

    def damped(
        self, side: int, here: Array, softmin: Array, ratio: Array
    ) -> tuple[Array, float, float]:
        """A step from the softmin, and from how much too large the marginal of (here, there) is."""
        weights, rho = (self.a, self.b)[side], self.penalty.rhos[side]
        lack = np.abs(ratio - self.penalty.wanted(side, here))
        error = dot(weights, lack) / self.masses[side]
        return softmin / (1 + self.eps / rho), error, dot(weights, ratio)

    @cached_property
    def masses(self) -> tuple[float, float]:
        """The masses of both clouds."""
        return float(self.a.sum()), float(self.b.sum())

    def dual(self, f: Array, g: Array, total: float) -> float:
        """The dual objective of two potentials, whose plan has the mass ``total``."""
        value = -self.eps * (total - math.prod(self.masses))
        for side, (weights, h) in enumerate(((self.a, f), (self.b, g))):
            value += dot(weights, self.penalty.worth(side, h))
        return value

    def kept(self, side: int, h: Array) -> float:
        """The mass of a plan whose marginal on one side is what its potential wants."""
        weights, imposed = (self.a, self.b)[side], math.isinf(self.penalty.rhos[side])
        return self.masses[side] if imposed else dot(weights, self.penalty.wanted(side, h))

    def shift(self, f: Array, g: Array) -> float:
        """The constant that is best moved from g to f; zero where both marginals are imposed."""
        rates = [1 / rho for rho in self.penalty.rhos]
        if not any(rates):
            return 0.0
        logs = []
        for w, h, rate in zip((self.a, self.b), (f, g), rates, strict=True):
            exponents = np.where(w > 0, -h * rate, -np.inf)
            top = exponents.max()
            logs.append(top + math.log(dot(w, np.exp(exponents - top))))
        return float(logs[0] - logs[1]) / sum(rates)


@dataclass(frozen=True)
class Outcome:
    """Potentials at the end: f is the update of ``g_prev``, g that of ``f_prev``.

    Two clouds end with ``f_prev = f``; a cloud and itself with f = g, the update of one h.
    """

    f: Array
    g: Array
    f_prev: Array
    g_prev: Array
    error: float  # relative L1 error of the marginals of the plan of (f_prev, g_prev)
    sweeps: float
    value: float  # the dual objective of (f_prev, g), or of (f, g_prev) for a cloud and itself
    interrupted: bool = False

    def met(self, tol: float) -> bool:
        """Whether the tolerance was met, by numbers."""
        return self.error <= tol and math.isfinite(self.value)
