r"""A Gaussian as a short Fourier series on a box, and what a sum by it costs.

On a box of side L that leaves the points a margin, the Gaussian of width sigma is, up to ``tol``,

.. math::  k(z) = \sum_{|f| \le F} \hat k(f)\, e^{2 \pi i f z / L}, \qquad
           \hat k(f) = \frac{\sqrt{2 \pi} \sigma}{L}\, e^{-2 (\pi \sigma f / L)^2},

in each coordinate (Poisson summation): the margin sees to the periodic images, F to the tail.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..formulas import Radial

__all__ = ["MOST_MODES", "Grid", "is_gaussian"]

MOST_MODES = 2**26  # half a GiB of coefficients in single precision


def is_gaussian(formula: object) -> bool:
    """Whether a formula is a multiple of a Gaussian."""
    return (
        isinstance(formula, Radial)
        and formula.rate > 0
        and formula.decay == 2
        and not any(term.power for term in formula.terms)
    )


@dataclass(frozen=True)
class Grid:
    """The box around two clouds, ``centre`` and ``sides`` in the units of the points."""

    centre: Tensor
    sides: Tensor
    modes: tuple[int, ...]

    @classmethod
    def around(cls, kernel: Radial, x: Tensor, y: Tensor, tol: float) -> Grid:
        """The smallest grid that represents a Gaussian between ``(N, D)`` and ``(M, D)`` points."""
        reach = math.sqrt(2 * math.log(1 / tol))
        sigma = (2 * kernel.rate) ** -0.5
        low = torch.minimum(x.amin(0), y.amin(0)).double()
        high = torch.maximum(x.amax(0), y.amax(0)).double()
        sides = high - low + reach * sigma
        half = (sides * (reach / (2 * math.pi * sigma))).ceil().tolist()
        return cls((low + high) / 2, sides, tuple(2 * int(n) + 2 for n in half))

    @property
    def size(self) -> int:
        """The number of modes."""
        return math.prod(self.modes)

    def place(self, x: Tensor, dtype: torch.dtype) -> list[Tensor]:
        """The points' coordinates as angles in [-pi, pi)."""
        angles = (x.double() - self.centre) * (2 * math.pi / self.sides)
        return [angle.contiguous() for angle in angles.to(dtype).unbind(-1)]

    def spectrum(self, kernel: Radial) -> Tensor:
        """The coefficients of the kernel, of shape ``modes``, on the device of the points."""
        sigma = (2 * kernel.rate) ** -0.5
        table = torch.tensor(sum(term.factor for term in kernel.terms), dtype=torch.float64)
        for side, n in zip(self.sides.tolist(), self.modes, strict=True):
            f = np.arange(-(n // 2), n // 2) / side
            axis = math.sqrt(2 * math.pi) * sigma / side * np.exp(-2 * (math.pi * sigma * f) ** 2)
            table = table.to(self.sides.device)[..., None] * torch.from_numpy(axis).to(
                self.sides.device
            )
        return table

    def seconds(self, points: int, dtype: torch.dtype) -> float:
        """About how long one product takes, on one core of 2025."""
        return (4e-8 * points * len(self.modes) + 7e-8 * self.size) * (
            3 if dtype == torch.float64 else 1
        )
