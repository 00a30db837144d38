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

__all__ = ["Matrix", "as_matrix"]


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

    @property
    def formula(self) -> Opaque:
        """The cost of such points."""
        return Opaque(self._of_places)

    def _of_places(self, x: Any, y: Any) -> Any:
        if not isinstance(x, Tensor):
            raise Untraceable("it is stored")
        items = [round(float(k)) for k in x[:, 0, 1]]
        parts = [
            self.costs[k][self._numbers(x[i], k)][:, self._numbers(y[i], k)]
            for i, k in enumerate(items)
        ]
        return (parts[0][None] if len(parts) == 1 else torch.stack(parts)).to(x)

    def _numbers(self, places: Tensor, k: int) -> Any:
        """Which rows, or columns, points are: a slice where they follow each other."""
        found = (places[:, 0] / self.steps[k].to(places)).round().long()
        first = int(found[0])
        if bool((found == torch.arange(len(found), device=found.device) + first).all()):
            return slice(first, first + len(found))
        return found


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
