r"""All pairs of pixels of a regular grid, without visiting any.

The squared distance is a sum over the axes, so its Gaussian is a product: sums over all pixels are sums
along lines of the first axis, then of the second, and so on. For n pixels along each of D axes that is
:math:`D n^{D + 1}` multiplications in the place of :math:`n^{2 D}`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...errors import bad_input
from ...formulas import GroundCost, Radial
from ...pairs import BlockPairs
from ...points import log_weights
from ..base import LOG2E, Engine, Formula, Reductions
from ..spectrum import is_gaussian
from .axes import averages

__all__ = ["GridEngine", "GridReductions"]


class GridEngine(Engine):
    """Sums over the pixels of one grid; points are its pixels, in the order of their memory.

    Args:
        shape: pixels along each axis.
        spacing: distance of neighbours along each axis.
    """

    name = "grid"

    def __init__(self, shape: tuple[int, ...], spacing: tuple[float, ...]) -> None:
        self.shape, self.spacing = shape, spacing

    @property
    def size(self) -> int:
        """How many pixels there are."""
        return math.prod(self.shape)

    def refuses(self, formula: Formula, x: Tensor, pairs: BlockPairs | None = None) -> str | None:
        """Refuses what is no product over the axes."""
        if isinstance(formula, GroundCost) and formula.power == 2:
            return None
        if is_gaussian(formula):
            return None
        return "On a grid sums are taken axis by axis, which |x - y|^2 and its Gaussian allow."

    def bind(self, x: Tensor, y: Tensor, pairs: BlockPairs | None = None) -> GridReductions:
        """Coordinates are known from the spacing; only numbers of points are read."""
        if not x.shape[1] == y.shape[1] == self.size:
            got = f"{x.shape[1]:,} and {y.shape[1]:,}"
            fix = "solve_sample takes points that are anywhere."
            raise bad_input("points", got, f"the {self.size:,} pixels of the grid", fix)
        return GridReductions(self)

    def coordinates(self, like: Tensor) -> Tensor:
        """Those of all pixels, ``(N, D)``; the first pixel is the origin."""
        axes = [
            torch.arange(n, dtype=like.dtype, device=like.device) * h
            for n, h in zip(self.shape, self.spacing, strict=True)
        ]
        return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).view(-1, len(axes))


class GridReductions(Reductions):
    """Sums over the pixels of one grid, in double precision."""

    def __init__(self, grid: GridEngine) -> None:
        self.grid = grid

    def logsumexp(
        self, cost: Formula, eps: Tensor, col: Tensor, guess: Tensor | None = None
    ) -> Tensor:
        assert isinstance(cost, GroundCost)
        found = [
            self.averaged(cost.factor / t, c[None])[0]
            for t, c in zip(eps.tolist(), col, strict=True)
        ]
        return torch.cat(found).to(col)

    def sum(
        self, kernel: Formula, v: Tensor, row: Tensor | None = None, col: Tensor | None = None
    ) -> Tensor:
        assert isinstance(kernel, Radial)
        if not is_gaussian(kernel):
            return self._weighted(kernel, v, row, col)
        factor = sum(term.factor for term in kernel.terms)
        largest = v.detach().abs().amax(-1).double()
        logs = log_weights(largest)
        logs = logs if col is None else logs + col.double()
        alone = v.shape[-1] == 1 and bool((v >= 0).all())
        shares = None if alone else v / largest.where(largest > 0, 1.0)[..., None]
        logs, means = self.averaged(kernel.rate, logs, shares)
        total = factor * (logs if row is None else logs + row.double()).exp()[..., None]
        return (total if means is None else total * means).to(v)

    def averaged(
        self, rate: float, logs: Tensor, values: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        r"""Logarithms of :math:`\sum_j e^{c_j - \text{rate} |x_i - x_j|^2}`, and means of values under it.

        Args:
            rate: of the Gaussian.
            logs: ``(B, N)`` exponents c.
            values: ``(B, N, R)``, or None.
        """
        shape, spacing = self.grid.shape, self.grid.spacing
        c = (logs.double() * LOG2E).view(-1, *shape)
        v = None if values is None else values.double().movedim(-1, 0).reshape(-1, *c.shape)
        c, v = averages(c, v, [rate * LOG2E * h**2 for h in spacing])
        means = None if v is None else v.flatten(2).movedim(0, -1)
        return c.flatten(1) / LOG2E, means

    def _weighted(
        self, kernel: Radial, v: Tensor, row: Tensor | None, col: Tensor | None
    ) -> Tensor:
        """Sums of a multiple of the squared distance times its Gaussian, by moments about the centre."""
        (term,) = kernel.terms
        assert term.power == 2 and kernel.decay == 2 and kernel.offset == 0
        y = self.grid.coordinates(v.double())
        y = y - y.mean(0)
        square = y.square().sum(1, keepdim=True)
        columns = [v, square * v, *(y[:, d, None] * v for d in range(y.shape[1]))]
        gibbs = Radial((type(term)(term.factor, 0),), kernel.rate, kernel.decay)
        found = self.sum(gibbs, torch.cat([c.double() for c in columns], -1), row, col)
        mass, squares, *moments = found.split(v.shape[-1], -1)
        crossed = sum(y[:, d, None] * moment for d, moment in enumerate(moments))
        return (square * mass + squares - 2 * crossed).to(v)
