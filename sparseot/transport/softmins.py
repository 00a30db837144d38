"""Softmins of one problem at one temperature: what a sweep asks for, over whichever pairs.

All vectors are float64 and stay on the device of the points.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from ..engines.base import LOG2E
from ..pairs import Array
from .marginals import Marginals

__all__ = ["Found", "HalfStep", "Number", "Outcome", "Softmins", "Step", "Vector"]

LARGEST = 600.0  # exponent whose exponential is a number
Found = TypeVar("Found")
Number = Tensor | float
Vector = Tensor | Array  # arrays in small problems only


class Step(NamedTuple):
    """The exact update of one potential, and what its marginal was before it."""

    value: Tensor  # the damped softmin
    error: Number  # L1 distance of the marginal from the one that is wanted, relative to the mass
    mass: Number  # of the plan
    sound: Number | None = None  # whether all of this may be used; None where that was seen to


HalfStep = Callable[[int, Tensor, Tensor], Step]


class Softmins(ABC):
    """Both updates of one problem."""

    a: Tensor
    b: Tensor
    eps: float
    penalty: Marginals

    @abstractmethod
    def step(self, side: int, here: Tensor, there: Tensor, look: bool = True) -> Step:
        """The exact update of the potential ``here``, and the marginal of the plan of both.

        Without a ``look`` nothing waits for the device in the steady state, and the step is to be
        taken again with one where it turns out not to be sound.
        """

    @property
    def ahead(self) -> bool:
        """Whether half-steps run before it is known that those before were sound."""
        return self.a.device.type != "cpu"

    def told(
        self, run: Callable[[HalfStep], tuple[Found, Sequence[Number]]]
    ) -> tuple[Found, list[float]]:
        """What some half-steps find, and the numbers that they tell, which are read all at once.

        Where one of them was not sound, all are taken again, with a look at each.
        """
        if self.ahead:
            sound: list[Number] = []

            def step(side: int, here: Tensor, there: Tensor) -> Step:
                found = self.step(side, here, there, look=False)
                if found.sound is not None:
                    sound.append(found.sound)
                return found

            result, numbers = run(step)
            values = self._read([*numbers, *sound])
            if all(values[len(numbers) :]):
                return result, values[: len(numbers)]
        result, numbers = run(self.step)
        return result, [float(t) for t in numbers]

    def _read(self, numbers: Sequence[Number]) -> list[float]:
        """Numbers of the device, by one transfer."""
        kind = {"dtype": torch.float64, "device": self.a.device}
        found: list[float] = torch.stack([torch.as_tensor(t, **kind) for t in numbers]).tolist()  # type: ignore[arg-type]
        return found

    def damped(
        self, side: int, here: Tensor, softmin: Tensor, ratio: Tensor, sound: Tensor | None = None
    ) -> Step:
        """A step from the softmin, and from how much too large the marginal of the plan is."""
        damped = self.penalty.damped(side, softmin, self.eps)
        if self.ahead:
            weights = (self.a, self.b)[side]
            lack = (ratio - self.penalty.wanted(side, here)).abs_()
            lost, mass = self.total(torch.dot(weights, lack), torch.dot(weights, ratio))
            return Step(damped, lost / self.masses[side], mass, sound)
        # on a CPU, where numbers are read at once, NumPy takes half of the time
        shares, rows = self._shares[side], ratio.numpy()
        missing = abs(rows - self.penalty.wanted(side, here.numpy()))
        lost, mass = self.total(float((shares * missing).sum()), float((shares * rows).sum()))
        return Step(damped, lost / self.masses[side], mass, sound)

    def total(self, *parts: Number) -> tuple[Number, ...]:
        """Sums over all points, of those over the points that are here."""
        return parts

    def most(self, part: Number) -> Number:
        """The largest number of all points, of that of the points that are here."""
        return part

    def _number(self, t: Tensor) -> Number:
        """Read at once, unless that would be waiting for the device."""
        return t if self.ahead else t.item()

    def ratio(self, here: Tensor, softmin: Tensor) -> Tensor:
        """By what factor the marginal is too large at each point, from the softmin there."""
        # base 2, for torch.exp is slow where it underflows
        return ((here - softmin) * (LOG2E / self.eps)).clamp(max=LARGEST * LOG2E).exp2()

    @cached_property
    def _shares(self) -> tuple[Array, Array]:
        """The weights of both clouds as arrays."""
        return self.a.numpy(), self.b.numpy()

    @cached_property
    def masses(self) -> tuple[float, float]:
        """The masses of both clouds."""
        first, second = self.total(float(self.a.sum()), float(self.b.sum()))
        return float(first), float(second)

    def dual(self, f: Vector, g: Vector, total: Number) -> Number:
        """The dual objective of two potentials, whose plan has the mass ``total``."""
        value = -self.eps * (total - math.prod(self.masses))
        first, second = self.total(
            *(self.mean(k, self.penalty.worth, h) for k, h in enumerate((f, g)))
        )
        return value + first + second

    def kept(self, side: int, h: Vector) -> Number:
        """The mass of a plan whose marginal on one side is what its potential wants."""
        imposed = math.isinf(self.penalty.rhos[side])
        if imposed:
            return self.masses[side]
        return self.total(self.mean(side, self.penalty.wanted, h))[0]

    def mean(self, side: int, of: Callable[[int, Any], Any], h: Vector) -> Number:
        """The sum over the points of one cloud, that are here, of what their weights are worth by a potential."""
        return self._number(torch.dot((self.a, self.b)[side], of(side, h)))

    def shift(self, f: Tensor, g: Tensor) -> Tensor | None:
        """The constant that is best moved from g to f; None where both marginals are imposed."""
        rates = [1 / rho for rho in self.penalty.rhos]
        if not any(rates):
            return None
        logs = []
        for w, h, rate in zip((self.a, self.b), (f, g), rates, strict=True):
            exponents = (-h * (rate * LOG2E)).where(w > 0, -math.inf)
            top = self.most(exponents.max() if len(w) else -math.inf)
            (total,) = self.total(torch.dot(w, (exponents - top).exp2()))
            logs.append(top + torch.as_tensor(total, dtype=w.dtype).log2())
        return (logs[0] - logs[1]) / (sum(rates) * LOG2E)


@dataclass(frozen=True)
class Outcome:
    """Potentials at the end: f is the update of ``g_prev``, g that of ``f_prev``.

    Two clouds end with ``f_prev = f``; a cloud and itself with f = g, the update of one h.
    """

    f: Tensor
    g: Tensor
    f_prev: Tensor
    g_prev: Tensor
    error: float  # relative L1 error of the marginals of the plan of (f_prev, g_prev)
    sweeps: float
    value: float  # the dual objective of (f_prev, g), or of (f, g_prev) for a cloud and itself
    interrupted: bool = False

    def met(self, tol: float) -> bool:
        """Whether the tolerance was met, by numbers."""
        return self.error <= tol and math.isfinite(self.value)
