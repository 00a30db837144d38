r"""The matrix behind a plan, and the three sums over it that second derivatives are made of.

With :math:`e_{ij} = \exp((f_i + g_j - C_{ij}) / \varepsilon)` the plan is :math:`P_{ij} = a_i b_j e_{ij}`.
For a radial cost c(s), :math:`s = |x - y|^2`, and :math:`\delta = x_i - y_j`,

.. math::
    \partial_1 C = 2 c'(s)\, \delta, \qquad \partial_{11} C - \tfrac1\varepsilon \partial_1 C\,
    \partial_1 C^\top = 2 c'(s)\, I + (4 c''(s) - \tfrac4\varepsilon c'(s)^2)\, \delta \delta^\top,

so that three radial kernels are summed: e, :math:`2 c' e` and :math:`(4 c'' - 4 c'^2 / \varepsilon) e`.
For the squared distance they are multiples of each other, and one sum serves all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property

import torch
from torch import Tensor
from torch._C._functorch import is_legacy_batchedtensor

from ...engines.base import Engine, Pairs, reductions
from ...errors import bad_input
from ...formulas import GroundCost, Radial
from ...operators.small import by_rows, exp_, product, squares
from ...points import CLOSED

__all__ = ["Coupling", "Stored", "Summed"]


class Coupling(ABC):
    """Sums over the points of the target; ``T`` sums over those of the source."""

    kernels: tuple[Radial, Radial, Radial]
    shape: tuple[int, int]

    def rows(self, *wanted: tuple[int, Tensor]) -> list[Tensor]:
        """For each (k, v): the k-th kernel times v ``(M, ...)``, ``(N, ...)``, in one pass if it may be."""
        flat = [v.reshape(len(v), -1) for _, v in wanted]
        sizes = [v.shape[1] for v in flat]
        if all(not term.power for kernel in self.kernels for term in kernel.terms):
            right = flat[0] if len(flat) == 1 else torch.cat(flat, 1)
            parts = self._sum(0, right).split(sizes, 1)
            factors = [self.kernels[k].terms[0].factor for k, _ in wanted]
            parts = [part * c if c != 1 else part for part, c in zip(parts, factors, strict=True)]
        else:
            parts = [self._sum(k, v) for (k, _), v in zip(wanted, flat, strict=True)]
        return [
            part.reshape(len(part), *v.shape[1:])
            for part, (_, v) in zip(parts, wanted, strict=True)
        ]

    @property
    @abstractmethod
    def T(self) -> Coupling:
        """The same, seen from the target."""

    @abstractmethod
    def _sum(self, k: int, v: Tensor) -> Tensor:
        """The k-th kernel times ``(M, R)``."""


class Stored(Coupling):
    """Small problems: the matrices themselves."""

    def __init__(self, kernels: tuple[Radial, Radial, Radial], matrices: dict[int, Tensor]) -> None:
        self.kernels, self.matrices = kernels, matrices
        rows, cols = matrices[0].shape
        self.shape = rows, cols

    @classmethod
    def of(
        cls,
        x: Tensor,
        y: Tensor,
        a: Tensor,
        b: Tensor,
        f: Tensor,
        g: Tensor,
        cost: GroundCost,
        eps: float,
    ) -> Stored:
        """The matrices of two clouds and their potentials."""
        kernels, sizes = cost.profiles(eps), (len(x), len(y))
        matrices = {k: x.new_empty(sizes) for k in ((0, 1, 2) if cost.singular else (0,))}
        empty = a == 0, b == 0
        closed = all(bool(none.any()) for none in empty)

        def entries(rows: slice) -> None:
            apart = squares(x[rows], y)
            exponents = (f[rows, None] + g - cost.polynomial(apart)) / eps
            if closed:  # those between points without weight know no bound
                exponents.masked_fill_(empty[0][rows, None] & empty[1], CLOSED)
            e = exp_(exponents)
            for k, matrix in matrices.items():
                matrix[rows] = e * kernels[k].polynomial(apart) if k else e

        by_rows(entries, matrices[0])
        return cls(kernels, matrices)

    @cached_property
    def T(self) -> Coupling:
        return Stored(self.kernels, {k: matrix.mT for k, matrix in self.matrices.items()})

    def matrix(self, k: int) -> Tensor:
        """The k-th kernel, ``(N, M)``."""
        if k in self.matrices:
            return self.matrices[k]
        return self.matrices[0] * self.kernels[k].terms[0].factor

    def _sum(self, k: int, v: Tensor) -> Tensor:
        return product(self.matrices[k], v)


class Summed(Coupling):
    """Large problems: kernel sums by an engine, over all pairs or over those that were kept."""

    def __init__(
        self,
        clouds: tuple[Tensor, Tensor],
        weights: tuple[Tensor, Tensor],
        logs: tuple[Tensor, Tensor],
        kernels: tuple[Radial, Radial, Radial],
        engine: Engine,
        pairs: Pairs | None = None,
    ) -> None:
        self.clouds, self.weights, self.logs = clouds, weights, logs
        self.kernels, self.engine, self.pairs = kernels, engine, pairs
        self.shape = len(clouds[0]), len(clouds[1])
        self.bound = reductions(engine, clouds[0][None], clouds[1][None], pairs)

    @cached_property
    def T(self) -> Coupling:
        sides = (self.clouds[::-1], self.weights[::-1], self.logs[::-1])
        return Summed(*sides, self.kernels, self.engine, self.pairs and self.pairs.T)

    def _sum(self, k: int, v: Tensor) -> Tensor:
        """Where neither point has weight, exponents know no bound: such pairs are left out."""
        if is_legacy_batchedtensor(v):
            fix = "Leave it out, or use torch.func.hessian, which shares passes over the pairs."
            raise bad_input("vectorize", "True", "False, where the plan is not stored", fix)
        (a, b), (row, col) = self.weights, self.logs
        open_cols = b > 0
        out = self._pass(k, v, row, col.where(open_cols, CLOSED))
        if not bool(open_cols.all()) and bool(v[~open_cols].any()):
            out = out + self._pass(k, v, row.where(a > 0, CLOSED), col.where(~open_cols, CLOSED))
        return out

    def _pass(self, k: int, v: Tensor, row: Tensor, col: Tensor) -> Tensor:
        return self.bound.sum(self.kernels[k], v[None].contiguous(), row[None], col[None])[0]
