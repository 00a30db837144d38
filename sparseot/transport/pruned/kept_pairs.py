"""The pairs that were kept for a solved problem: sums over them for plans, maps and derivatives."""

from __future__ import annotations

from copy import copy

import torch
from torch import Tensor

from ...engines.base import Formula, PlanPairs, Reductions
from ...engines.kept import TileRows
from ...formulas import Radial
from .blocks.clouds import BlockCloud
from .memory import give_back
from .softmins import PrunedSoftmins

__all__ = ["KeptPairs", "worth"]

WORTH: dict[float, float] = {1: 4e6, 2: 1e6}  # pairs, by the power of the distance,
BETWEEN = 1e6  # and for powers between


def worth(p: float) -> float:
    """How many pairs there must be, or choosing some costs more than visiting all."""
    return WORTH.get(p, BETWEEN)


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
            check.forget()
            check.recast(dtype)  # which lets go of what loops read
            check.trim()
        return self

    @property
    def T(self) -> KeptPairs:
        """The same pairs, seen from the other cloud."""
        return KeptPairs(self.checks, 1 - self.side)

    def reductions(self) -> Reductions:
        return _KeptReductions(self.checks, self.side)

    def own_sum(self, kernel: Radial, v: Tensor, row: Tensor, col: Tensor) -> Tensor:
        """``sum_j exp((row_i + col_j) / eps) k(x_i, y_j) v_j`` of the rows of one item that are here, ``(n, R)``.

        ``row`` ``(n,)``, ``col`` ``(m,)`` and ``v`` ``(m, R)`` are of the points here, in the order of the blocks.
        """
        (check,) = self.checks
        return _own_sum(check, self.side, kernel, v, row, col)

    @property
    def tiles(self) -> tuple[BlockCloud, BlockCloud, TileRows]:
        """Of the pairs of one item: the clouds of rows and columns in blocks, and their tiles."""
        (check,), side = self.checks, self.side
        tiles = check.loops.whole(check.tiles.sides[side])
        return check.clouds[side].alone, check.clouds[1 - side].alone, tiles

    def item(self, item: int) -> KeptPairs:
        """The pairs of one item, in double precision."""
        return self._double([copy(self.checks[item])])

    def double(self) -> KeptPairs:
        """The same pairs, in double precision."""
        return self._double([copy(check) for check in self.checks])

    def certifying(self, item: int) -> KeptPairs:
        """All pairs that passed the screen of one item, in double precision."""
        check = copy(self.checks[item])
        check.tiles, check.marks = check.screened, [None, None]
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
            give_back(check.clouds[0].n)
            check.recast(torch.float64)
        return KeptPairs(checks, self.side if side is None else side)


class _KeptReductions(Reductions):
    def __init__(self, checks: list[PrunedSoftmins], side: int) -> None:
        self.checks, self.side = checks, side

    def sum(
        self, kernel: Formula, v: Tensor, row: Tensor | None = None, col: Tensor | None = None
    ) -> Tensor:
        """For the Gibbs kernel times powers of the distance, with both scalings."""
        assert row is not None and col is not None and isinstance(kernel, Radial)
        found = []
        for k, check in enumerate(self.checks):
            here, there = check.clouds[self.side], check.clouds[1 - self.side]
            rows, cols = (
                cloud.own(log[k].detach()).double() * check.eps
                for log, cloud in ((row, here), (col, there))
            )
            values = there.own(v[k].detach())
            mine = _own_sum(check, self.side, kernel, values, rows, cols)
            del rows, cols, values
            found.append(here.whole(mine))
        return (found[0][None] if len(found) == 1 else torch.stack(found)).to(v.dtype)


def _own_sum(
    check: PrunedSoftmins, side: int, kernel: Radial, v: Tensor, row: Tensor, col: Tensor
) -> Tensor:
    """The sum for the rows of that side that are here."""
    assert not kernel.offset
    if any(term.power < 0 for term in kernel.terms):  # differences of large numbers follow
        check = _recast(check, torch.float64)
    first, *rest = (
        check.products(side, row, col, v, term.power).mul_(term.factor) for term in kernel.terms
    )
    check.forget()  # scalings are new each time
    return sum(rest, first)


def _recast(check: PrunedSoftmins, dtype: torch.dtype) -> PrunedSoftmins:
    """The same, whose loops run in this dtype."""
    new = copy(check)
    new.recast(dtype)
    return new
