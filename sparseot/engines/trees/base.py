"""What an engine of trees is: reductions of formulas over the pairs of rows and columns, without a graph."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from torch import Tensor

from ...formulas.trees.expressions import Expr, I, J
from ...formulas.trees.slots import hoisted, slot

__all__ = ["Ranges", "Reduction", "Size", "TreeEngine", "extent", "prepared"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Reduction:
    """What is reduced: formulas over slots, see :func:`sparseot.formulas.trees.slots.hoisted`.

    Attributes:
        kind: "sum"; "softmax", of a scalar formula and others, the weights; or "least", the smallest
            ``count`` values of a formula, for each of its coordinates.
        outputs: the formulas.
        slots: the leaves of the formulas, in the order of the tensors.
        sides: of sums, what each is a sum for: rows ``I``, columns ``J`` or parameters ``P``.
        count: how many values.
    """

    kind: str
    outputs: tuple[Expr, ...]
    slots: tuple[Expr, ...]
    sides: tuple[int, ...] = ()
    count: int = 1

    @property
    def width(self) -> int:
        """Numbers for each row."""
        if self.kind == "least":
            return self.count * self.outputs[0].dim
        return sum(e.dim for e in self.outputs)


@dataclass(frozen=True, eq=False)
class Ranges:
    """The pairs of blocks that are visited, as KeOps lays them out; equal to itself alone.

    Block b of rows is ``rows[b, 0] : rows[b, 1]``; it meets the columns of the runs
    ``columns[slices[b - 1] : slices[b]]``, each a first column and the one after the last.
    The other three say the same for blocks of columns.
    """

    rows: Array
    slices: Array
    columns: Array
    rows_of_columns: Array
    slices_of_columns: Array
    columns_of_rows: Array

    @cached_property
    def T(self) -> Ranges:
        """The same pairs, with rows and columns exchanged."""
        return Ranges(
            self.rows_of_columns,
            self.slices_of_columns,
            self.columns_of_rows,
            self.rows,
            self.slices,
            self.columns,
        )

    @property
    def opens(self) -> Array:
        """The first run of each block of rows."""
        opens: Array = np.concatenate(([0], self.slices))[:-1]
        return opens

    @property
    def pairs(self) -> int:
        """The number of pairs."""
        lengths = np.concatenate(([0], np.cumsum(self.columns[:, 1] - self.columns[:, 0])))
        met = lengths[self.slices] - lengths[self.opens]
        return int(((self.rows[:, 1] - self.rows[:, 0]) * met).sum())


@dataclass(frozen=True)
class Size:
    """Batch axes, rows and columns of a formula, and a tensor of its dtype on its device.

    A formula need not depend on what it is summed over.
    """

    batch: tuple[int, ...]
    rows: int
    columns: int
    like: Tensor


class TreeEngine(ABC):
    """A way of reducing trees. Tensors are ``(B, N, D)`` for rows, ``(B, M, D)`` for columns, ``(B, 1, D)``."""

    name: str

    @abstractmethod
    def refuses(self, reduction: Reduction, like: Tensor) -> str | None:
        """None, or a sentence that says why this engine cannot reduce this formula on this data."""

    @abstractmethod
    def sums(
        self, reduction: Reduction, tensors: Sequence[Tensor], ranges: Ranges | None
    ) -> list[Tensor]:
        """The sums of each output, ``(B, N, R)``, ``(B, M, R)`` or ``(B, 1, R)`` by its side."""

    @abstractmethod
    def softmax(
        self, reduction: Reduction, tensors: Sequence[Tensor], ranges: Ranges | None
    ) -> tuple[Tensor, Tensor]:
        """``log sum_j exp(F)``, ``(B, N, 1)``, and ``sum_j exp(F - that) w``, ``(B, N, R)``.

        A row that meets no column has minus infinity and zeros.
        """

    @abstractmethod
    def least(
        self, reduction: Reduction, tensors: Sequence[Tensor], ranges: Ranges | None
    ) -> tuple[Tensor, Tensor]:
        """The smallest values in order and their columns (int64), ``(B, N, K, D)``.

        Where there are fewer than K columns with numbers, infinity and -1: NaN is left out.
        """

    def __repr__(self) -> str:
        return f"<tree engine {self.name}>"


def extent(slots: Sequence[Expr], tensors: Sequence[Tensor]) -> tuple[int, int, int]:
    """How many items, rows and columns there are."""
    found = {I: 1, J: 1}
    for s, t in zip(slots, tensors, strict=True):
        if s.on in found:
            found[s.on] = t.shape[1]
    return len(tensors[0]), found[I], found[J]


def prepared(
    outputs: Sequence[Expr], size: Size
) -> tuple[tuple[Expr, ...], list[Expr], list[Tensor]]:
    """Formulas over slots, the slots, and their tensors with one batch axis; both sides have a slot."""
    spec, slots, tensors = hoisted(outputs, size.like)
    for side, height in ((I, size.rows), (J, size.columns)):
        if not any(s.on == side for s in slots):
            slots.append(slot(len(slots), 1, side))
            tensors.append(size.like.new_zeros(height, 1))
    items = math.prod(size.batch)
    flat = [t.expand(*size.batch, *t.shape[-2:]).reshape(items, *t.shape[-2:]) for t in tensors]
    return spec, slots, flat
