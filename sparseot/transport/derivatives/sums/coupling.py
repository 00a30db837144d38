r"""The matrix behind a plan, :math:`e_{ij} = \exp((f_i + g_j - C_{ij}) / \varepsilon)`, and sums over it.

The plan is :math:`P_{ij} = a_i b_j e_{ij}`. Products with e are taken by whatever is fast; sums that
need the directions from point to point are taken patch by patch (:mod:`.patches`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor
from torch._C._functorch import is_legacy_batchedtensor

from ....engines.base import Engine, reductions
from ....errors import bad_input
from ....formulas import GroundCost
from ....operators.small import by_rows, exp_, product, squares
from ....points import CLOSED
from ...pruned.kept_pairs import KeptPairs
from .patches import Optimum, Work, over_all, over_tiles

__all__ = ["Coupling", "Stored", "Summed"]


class Coupling(ABC):
    """Sums over the points of the target; ``T`` sums over those of the source."""

    def __init__(self, at: Optimum) -> None:
        self.at = at
        self.shape = len(at.points[0]), len(at.points[1])

    def rows(self, *wanted: Tensor) -> list[Tensor]:
        """e times each of some values ``(M, ...)``, ``(N, ...)``, in one pass."""
        flat = [v.reshape(len(v), -1) for v in wanted]
        parts = self._sum(flat[0] if len(flat) == 1 else torch.cat(flat, 1))
        parts = parts.split([v.shape[1] for v in flat], 1)
        return [
            part.reshape(len(part), *v.shape[1:]) for part, v in zip(parts, wanted, strict=True)
        ]

    @property
    @abstractmethod
    def T(self) -> Coupling:
        """The same, seen from the target."""

    @abstractmethod
    def patches(self, work: Work, size: tuple[int, ...], v: Tensor) -> Tensor:
        """The sum ``(N, *size)`` of what ``work`` makes of patches and values ``(M, ...)``."""

    @abstractmethod
    def _sum(self, v: Tensor) -> Tensor:
        """e times ``(M, R)``."""


class Stored(Coupling):
    """Small problems: the matrix itself, ``(N, M)``."""

    def __init__(self, at: Optimum, matrix: Tensor) -> None:
        super().__init__(at)
        self.matrix = matrix

    @classmethod
    def of(cls, at: Optimum) -> Stored:
        """The matrix of two clouds and their potentials."""
        (x, y), (f, g) = at.points, at.potentials
        matrix, costs = x.new_empty(len(x), len(y)), _costs(at)

        def entries(rows: slice) -> None:
            exponents = (f[rows, None] + g - costs(rows)) / at.eps
            if at.empty is not None:
                exponents.masked_fill_(at.empty[0][rows, None] & at.empty[1], CLOSED)
            matrix[rows] = exp_(exponents)

        by_rows(entries, matrix)
        return cls(at, matrix)

    @cached_property
    def T(self) -> Coupling:
        return Stored(self.at.T, self.matrix.mT)

    def patches(self, work: Work, size: tuple[int, ...], v: Tensor) -> Tensor:
        return over_all(self.at, work, size, v, self.matrix)

    def _sum(self, v: Tensor) -> Tensor:
        return product(self.matrix, v)


class Summed(Coupling):
    """Large problems: kernel sums by an engine, over all pairs or over those that were kept."""

    def __init__(self, at: Optimum, engine: Engine, pairs: KeptPairs | None = None) -> None:
        super().__init__(at)
        self.engine, self.pairs, self.kernel = engine, pairs, at.cost.gibbs(at.eps)
        x, y = at.points
        self.bound = reductions(engine, x[None], y[None], pairs)

    @cached_property
    def T(self) -> Coupling:
        return Summed(self.at.T, self.engine, self.pairs and self.pairs.T)

    def patches(self, work: Work, size: tuple[int, ...], v: Tensor) -> Tensor:
        _refuse_mapped(v)
        if self.pairs is None:
            return over_all(self.at, work, size, v)
        return over_tiles(self.at, work, size, v, self.pairs.tiles)

    def _sum(self, v: Tensor) -> Tensor:
        """Where neither point has weight, exponents know no bound: such pairs are left out."""
        _refuse_mapped(v)
        row, col = (h / self.at.eps for h in self.at.potentials)
        open_rows, open_cols = (w > 0 for w in self.at.weights)
        out = self._pass(v, row, col.where(open_cols, CLOSED))
        if not bool(open_cols.all()) and bool(v[~open_cols].any()):
            out = out + self._pass(v, row.where(open_rows, CLOSED), col.where(~open_cols, CLOSED))
        return out

    def _pass(self, v: Tensor, row: Tensor, col: Tensor) -> Tensor:
        return self.bound.sum(self.kernel, v[None].contiguous(), row[None], col[None])[0]


def _costs(at: Optimum) -> Callable[[slice], Tensor]:
    """Rows ``(n, M)`` of the matrix of costs."""
    (x, y), cost = at.points, at.cost
    if isinstance(cost, GroundCost):
        return lambda rows: cost.polynomial(squares(x[rows], y))
    from ....formulas.trees.dense import values  # here, for a light import of the library
    from ....formulas.trees.expressions import I, J
    from ....formulas.trees.slots import leaves

    tree = cost.tree(x[None], y[None])

    def some(rows: slice) -> Tensor:
        known = {
            leaf: {I: t[:, rows, None], J: t[:, None]}.get(leaf.on, t)
            for leaf in leaves(tree)
            for t in [leaf.attr.tensor.detach()]
        }
        (found,) = values([tree], known, x)
        return found[0, ..., 0]

    return some


def _refuse_mapped(v: Tensor) -> None:
    if is_legacy_batchedtensor(v):
        fix = "Leave it out, or use torch.func.hessian, which shares passes over the pairs."
        raise bad_input("vectorize", "True", "False, where the plan is not stored", fix)
