"""The value at a place of sorted values that several ranks have, without bringing them together."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...pairs import Array
from .group import Ranks

__all__ = ["Search"]

FEW = 1 << 10  # values of all lists that are told, rather than how many lie below a threshold,
LEAST = 1 << 4  # and of each list, whatever their number
BUCKETS = 1 << 6  # of a list, at a time,
MOST_BUCKETS = 1 << 9  # and of all of them


class Search:
    """The value at a place, of the sorted values that all ranks have, for m lists of values at once.

    Values lie between two floats, of which as many as there are buckets are tried that have as many floats
    between them. After each count the bucket goes on that has the place.

    Args:
        ranks: who has values.
        values: m lists of those of this rank.
        counts: ``(m, P)`` how many each rank has.
        places: ``(m,)`` of what is wanted.
        low, high: ``(m,)`` the least and the largest of all ranks.
    """

    def __init__(
        self,
        ranks: Ranks,
        values: list[Tensor],
        counts: Array,
        places: Array,
        low: Array,
        high: Array,
    ) -> None:
        self.ranks, self.values, self.inside, self.places = ranks, [*values], counts, places
        self.kind = low.dtype  # of floats, and of whole numbers as wide
        self.bits = np.dtype(f"i{low.dtype.itemsize}")
        self.below = np.zeros_like(counts)
        # as whole numbers: the first that may be it, and the first that is too large
        self.first, self.end = (self._numbers(low), [n + 1 for n in self._numbers(high)])

    def found(self) -> tuple[Array, Array, Array]:
        """The values; how many of each rank are smaller, and how many of those that are equal come before the place."""
        few = max(LEAST, FEW // max(1, len(self.places)))  # so all that is told at once is short
        while asked := [
            j
            for j, (first, end) in enumerate(zip(self.first, self.end, strict=True))
            if end - first > 1 and self.inside[j].sum() > few
        ]:
            self._narrow(asked)
        found = self._floats(self.first)
        told = [j for j, first in enumerate(self.first) if self.end[j] - first > 1]
        if told:
            with self.ranks.telling():
                mine = torch.cat([self.values[j] for j in told])
            every = self.ranks.rows(mine, what="points").cpu().numpy()
            parts = np.split(every, np.cumsum(self.inside[told].T)[:-1])
            for k, j in enumerate(told):
                some = parts[k :: len(told)]
                found[j] = np.sort(np.concatenate(some))[self.places[j] - self.below[j].sum()]
                self.below[j] += [int((part < found[j]).sum()) for part in some]
                self.inside[j] = [int((part == found[j]).sum()) for part in some]
        left = (self.places - self.below.sum(1))[:, None]
        before = self.inside.cumsum(1) - self.inside
        return found, self.below, np.clip(left - before, 0, self.inside)

    def _narrow(self, asked: list[int]) -> None:
        """One round: how many values of each rank lie in each bucket."""
        buckets = max(2, min(BUCKETS, MOST_BUCKETS // len(asked)))
        table, ends = [], []
        with self.ranks.telling():
            for j in asked:
                first, span = self.first[j], self.end[j] - self.first[j]
                ends.append([first + span * k // buckets for k in range(buckets + 1)])
                inner = torch.from_numpy(self._floats(ends[-1][1:-1])).to(self.values[j].device)
                where = torch.bucketize(self.values[j], inner, right=True, out_int32=True)
                table.append(torch.bincount(where, minlength=buckets).int())
            mine = torch.stack(table)[None]
        counts = self.ranks.rows(mine, what="numbers").cpu().numpy().astype(np.int64)
        for k, j in enumerate(asked):
            below = self.below[j].sum() + counts[:, k].sum(0).cumsum()
            bucket = int(np.searchsorted(below, self.places[j], side="right"))
            self.below[j] += counts[:, k, :bucket].sum(1)
            self.inside[j] = counts[:, k, bucket]
            values, edges = self.values[j], ends[k][bucket : bucket + 2]
            low, high = self._floats([edges[0], min(edges[1], self.end[j] - 1)])
            kept = values >= low
            if edges[1] < self.end[j]:
                kept &= values < high
            self.values[j] = values[kept]
            self.first[j], self.end[j] = edges

    def _numbers(self, floats: Array) -> list[int]:
        """Floats as whole numbers of the same order, without gaps."""
        numbers: list[int] = _turned(floats.view(self.bits)).tolist()
        return numbers

    def _floats(self, numbers: list[int]) -> Array:
        """And back."""
        return _turned(np.array(numbers, self.bits)).view(self.kind)


def _turned(bits: Array) -> Array:
    """Bits of floats, of the negative ones in the other order; twice, as they were."""
    found: Array = np.where(bits < 0, bits ^ ((1 << 8 * bits.itemsize - 1) - 1), bits)
    return found
