"""Which pairs a LazyTensor visits: KeOps's six arrays, or the blocks of this library."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..engines.trees.base import Ranges
from ..errors import bad_input
from ..pairs import BlockPairs

__all__ = ["Pairs", "in_common", "pairs_of"]

Given = tuple["Pairs | None", Any]  # pairs, and what they were set by

NAMES = "ranges_i", "slices_i", "redranges_j", "ranges_j", "slices_j", "redranges_i"


@dataclass(frozen=True)
class Pairs:
    """The pairs of blocks, and the order of rows and columns that the blocks want; None for as they are."""

    ranges: Ranges
    order: tuple[Tensor, Tensor] | None = None

    def equals(self, other: Pairs) -> bool:
        """Whether these are the same pairs in the same order."""
        names = [field.name for field in fields(Ranges)]
        both = ((getattr(p.ranges, name) for p in (self, other)) for name in names)
        orders = self.order or (), other.order or ()
        return (
            all(np.array_equal(*arrays) for arrays in both)
            and len(orders[0]) == len(orders[1])
            and all(torch.equal(*pair) for pair in zip(*orders, strict=True))
        )

    @property
    def T(self) -> Pairs:
        """Rows and columns exchanged."""
        return Pairs(self.ranges.T, self.order and self.order[::-1])


def pairs_of(given: Any, rows: int | None, columns: int | None) -> Pairs:
    """The pairs that were set as ``K.ranges``.

    Raises:
        ValueError, TypeError: for what are not six arrays of integers, or ranges of other points.
    """
    if isinstance(given, BlockPairs):
        return _of_blocks(given, rows, columns)
    wanted = "KeOps's six arrays, the block pairs of Blocks(...).between(x, y), or None"
    if not isinstance(given, (tuple, list)) or len(given) != 6:
        raise bad_input("ranges", type(given).__name__, wanted, kind=TypeError)
    arrays = []
    for name, array in zip(NAMES, given, strict=True):
        numbers = array.detach().cpu().numpy() if isinstance(array, Tensor) else np.asarray(array)
        if numbers.dtype.kind not in "iu" or numbers.ndim != (1 if "slices" in name else 2):
            got = f"{numbers.dtype} of shape {numbers.shape}"
            kind = "(blocks,)" if "slices" in name else "(blocks, 2)"
            raise bad_input(name, got, f"integers of shape {kind}", kind=TypeError)
        arrays.append(numbers.astype(np.int64))
    ranges = Ranges(*arrays)
    for half, counts in ((ranges, (rows, columns)), (ranges.T, (columns, rows))):
        _check(half, *counts)
    return Pairs(ranges)


def in_common(one: Given, other: Given, what: str) -> Given:
    """The pairs of a formula made of two.

    Raises:
        ValueError: where they have different ones.
    """
    if one[0] is None or other[0] is None:
        return other if one[0] is None else one
    if not one[0].equals(other[0]):
        fix = "Make the formula of LazyTensors without ranges, and set those of the result."
        raise bad_input("ranges", f"two formulas with different ones in {what}", "the same", fix)
    return one


def _check(ranges: Ranges, rows: int | None, columns: int | None) -> None:
    """Refuses ranges that lead out of the arrays."""
    parts = ((ranges.rows, rows), (ranges.columns, columns))
    for part, most in parts:
        low, high = (part.min(initial=0), part.max(initial=0))
        if low < 0 or (most is not None and high > most) or (part[:, 0] > part[:, 1]).any():
            got, wanted = f"ranges from {low} to {high}", f"slices of {most} points"
            raise bad_input("ranges", got, wanted, "Ranges are pairs (first, last + 1).")
    steps = np.diff(ranges.slices, prepend=0)
    if (
        len(ranges.slices) != len(ranges.rows)
        or (steps < 0).any()
        or ranges.slices.max(initial=0) > len(ranges.columns)
    ):
        got = f"slices of {len(ranges.slices)} blocks up to {ranges.slices.max(initial=0)}"
        wanted = f"one for each of {len(ranges.rows)} blocks, up to {len(ranges.columns)}"
        raise bad_input("ranges", got, wanted, "They count redranges, and never fall.")


def _of_blocks(pairs: BlockPairs, rows: int | None, columns: int | None) -> Pairs:
    sizes = len(pairs.rows.order), len(pairs.columns.order)
    if (rows, columns) != sizes:
        raise bad_input("ranges", f"block pairs of {sizes} points", f"of {(rows, columns)} points")
    halves = []
    for half in (pairs, pairs.T):
        starts, first, last = half.runs
        blocks = np.stack((half.rows.starts[:-1], half.rows.starts[1:]), 1)
        halves += [blocks, starts[1:], np.stack((first, last), 1)]
    order = torch.from_numpy(pairs.rows.order), torch.from_numpy(pairs.columns.order)
    return Pairs(Ranges(*halves), order)
