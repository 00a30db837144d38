"""The pairs that were kept for a solved problem: sums over them for plans, maps and derivatives."""

from __future__ import annotations

from copy import copy
from typing import Any

import torch
from torch import Tensor

from ...engines.base import Formula, PlanPairs, Reductions
from .softmins import PrunedSoftmins

__all__ = ["WORTH", "KeptPairs"]

WORTH = 1e6  # pairs, below which choosing some of them costs more than visiting all


class KeptPairs(PlanPairs):
    """The pairs of each item of a batch, chosen by its last check.

    Args:
        checks: the softmins of the last check of each item.
        side: 0 for rows in the source, 1 for rows in the target.
    """

    def __init__(self, checks: list[PrunedSoftmins], side: int = 0) -> None:
        self.checks, self.side = checks, side

    def to(self, dtype: torch.dtype) -> KeptPairs:
        """The pairs that turned out to hold something, for sums in that precision."""
        for check in self.checks:
            check.trim()
            check.recast(dtype)
        return self

    @property
    def T(self) -> KeptPairs:
        """The same pairs, seen from the other cloud."""
        return KeptPairs(self.checks, 1 - self.side)

    def reductions(self) -> Reductions:
        return _KeptReductions(self.checks, self.side)

    def item(self, item: int) -> KeptPairs:
        """The pairs of one item, in double precision."""
        return self._double([copy(self.checks[item])])

    def double(self) -> KeptPairs:
        """The same pairs, in double precision."""
        return self._double([copy(check) for check in self.checks])

    def certifying(self, item: int) -> KeptPairs:
        """All pairs that passed the screen of one item, in double precision."""
        check = copy(self.checks[item])
        check.tiles, check.peaks = check.screened, [None, None]
        return self._double([check])

    def screened_for(self, item: int, f: Tensor, g: Tensor) -> KeptPairs:
        """The pairs of one item, chosen for the rows of its potentials f ``(N,)`` and g ``(M,)``."""
        return self._double([self.checks[item].seen_from(self.side, f.double(), g.double())], 0)

    def missed(self, f: Tensor, g: Tensor) -> Tensor:
        """Bounds ``(B, N)`` on what the sums of the rows miss at these potentials."""
        found = []
        for check, *both in zip(self.checks, f, g, strict=True):
            rows = check.seen_from(1, *both) if self.side else check
            found.append(rows.missed(*both))
        return torch.stack(found)

    def _double(self, checks: list[PrunedSoftmins], side: int | None = None) -> KeptPairs:
        for check in checks:
            check.recast(torch.float64)
        return KeptPairs(checks, self.side if side is None else side)


class _KeptReductions(Reductions):
    def __init__(self, checks: list[PrunedSoftmins], side: int) -> None:
        self.checks, self.side = checks, side

    def sum(
        self, kernel: Formula, v: Tensor, row: Tensor | None = None, col: Tensor | None = None
    ) -> Tensor:
        """For multiples of the Gibbs kernel, with both scalings."""
        assert row is not None and col is not None
        factor, found = _multiple(kernel), []
        for k, check in enumerate(self.checks):
            here, there = check.clouds[self.side], check.clouds[1 - self.side]
            rows, cols = (
                (log[k].detach().double() * check.eps)[cloud.order]
                for log, cloud in ((row, here), (col, there))
            )
            out = check.products(self.side, rows, cols, v[k].detach()[there.order])
            found.append(out[here.inverse] * factor)
        return torch.stack(found).to(v.dtype)


def _multiple(kernel: Any) -> float:
    """What the Gibbs kernel is multiplied by."""
    assert not any(term.power for term in kernel.terms), "sums over kept pairs are of Gibbs kernels"
    return sum(term.factor for term in kernel.terms)
