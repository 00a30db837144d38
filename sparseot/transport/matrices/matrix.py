"""A stored matrix as a cost: points are numbers of its rows and columns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ...clouds import check_weights, rounding
from ...errors import bad_input
from ...formulas import Opaque
from ...formulas.trees.axes import Untraceable
from ...points import Points
from ...precision import at_least_single

__all__ = ["Matrix", "StoredCost", "as_matrix", "items"]


@dataclass(frozen=True)
class Matrix:
    """Costs ``(B, N, M)``, copied; the number i of a row stands at i steps on a line, in the item k.

    Steps are such that this line is as long as costs differ: so temperatures fall from there.
    """

    costs: Tensor

    @cached_property
    def steps(self) -> Tensor:
        """Those of each item, ``(B,)``."""
        low, high = self.costs.flatten(1).aminmax(dim=1)
        span = high - low
        length = max(self.costs.shape[1:]) - 1
        return torch.where(span > 0, span, 1.0) / max(length, 1)

    def places(self, side: int) -> Tensor:
        """Points ``(B, N, 2)`` of the rows, or of the columns."""
        items, size = len(self.costs), self.costs.shape[1 + side]
        numbers = torch.arange(size).to(self.costs) * self.steps[:, None]
        which = torch.arange(items).to(self.costs)[:, None].expand(items, size)
        return torch.stack((numbers, which), -1)

    @cached_property
    def turned(self) -> Tensor:
        """The transposed costs, whose rows lie in memory one after the other; made where loops run over them."""
        return self.costs.mT.contiguous()

    @property
    def formula(self) -> StoredCost:
        """The cost of such points."""
        return StoredCost(self._of_places, stored=self)

    def _of_places(self, x: Any, y: Any) -> Any:
        if not isinstance(x, Tensor):
            raise Untraceable("it is stored")
        parts = [
            self.costs[k][self.numbers(x[i], k)][:, self.numbers(y[i], k)]
            for i, k in enumerate(items(x))
        ]
        return (parts[0][None] if len(parts) == 1 else torch.stack(parts)).to(x)

    def numbers(self, places: Tensor, k: int) -> Any:
        """Which rows, or columns, points of the item k are: a slice where they follow each other."""
        found = (places[:, 0] / self.steps[k].to(places)).round().long()
        first = int(found[0])
        if bool((found == torch.arange(len(found), device=found.device) + first).all()):
            return slice(first, first + len(found))
        return found


@dataclass(frozen=True)
class StoredCost(Opaque):
    """A matrix as a function of the points that stand for its rows and columns, or columns and rows."""

    stored: Matrix | None = None
    back: bool = False

    @property
    def T(self) -> StoredCost:
        """The transposed matrix."""
        function = self.function
        return StoredCost(
            lambda y, x: function(x, y).mT, self.clouds[::-1], self.stored, not self.back
        )

    def rows(self, k: int) -> Tensor:
        """The costs of the item k, those of a point of the first cloud in a row."""
        assert self.stored is not None
        return (self.stored.turned if self.back else self.stored.costs)[k]

    def covers(self, x: Tensor, y: Tensor) -> bool:
        """Whether two clouds are all rows and all columns, in their order."""
        assert self.stored is not None
        shape = self.rows(0).shape
        if (x.shape[1], y.shape[1]) != shape:
            return False
        found = [self.stored.numbers(t[i], k) for t in (x, y) for i, k in enumerate(items(t))]
        return all(isinstance(part, slice) and part.start == 0 for part in found)


def items(places: Tensor) -> list[int]:
    """The items of a batch that points belong to."""
    return [round(float(k)) for k in places[:, 0, 1]]


def as_matrix(
    C: Tensor, a: Tensor | None, b: Tensor | None
) -> tuple[Tensor, tuple[Tensor, Tensor], Matrix, tuple[Points, Points]]:
    """The costs ``(B, N, M)`` and the weights with their graphs, and what is solved: copies."""
    kinds = [getattr(weights, "dtype", None) for weights in (a, b)]
    _check(C)
    C, a, b = at_least_single(C, a, b)
    batched = C.dim() == 3
    like = (C[..., :1], C.mT[..., :1])  # a point for each row, and for each column
    given = [check_weights(n, w, t, "C") for n, w, t in zip("ab", (a, b), like, strict=True)]
    if not batched:
        C, given = C[None], [w[None] for w in given]
    matrix = Matrix(C.detach().clone())
    points = [
        Points(matrix.places(side), given[side], rounding(given[side], kinds[side]))
        for side in (0, 1)
    ]
    return C, (given[0], given[1]), matrix, (points[0], points[1])


def _check(C: Any) -> None:
    if not isinstance(C, Tensor):
        raise bad_input("C", type(C).__name__, "a tensor or an array", kind=TypeError)
    if not C.is_floating_point():
        fix = "Call .double(); of an array, .astype(float)."
        raise bad_input("C", f"dtype {C.dtype}", "float32 or float64", fix, TypeError)
    if C.dim() not in (2, 3) or 0 in C.shape:
        raise bad_input("C", f"shape {tuple(C.shape)}", "costs (N, M), or (B, N, M) of a batch")
    if not bool(C.detach().isfinite().all()):
        fix = "Where two must not meet, give a large number, far above all others."
        raise bad_input("C", "NaN or infinite costs", "finite ones", fix)
