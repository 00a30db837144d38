"""An engine that sums over the kept pairs of a solved problem: for plans, maps and derivatives."""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..engines.base import Engine, Formula, Reductions
from ..formulas import Radial
from ..pairs import BlockPairs
from .sparse import SparseSoftmins

__all__ = ["KeptPairs"]


class KeptPairs(Engine):
    """Plan-like sums between the two clouds of each problem; others go to another engine.

    Args:
        checks: the last check of each item of a batch, which chose the pairs.
        other: what sums between any other clouds, over all pairs.
        dtype: of the loops.
    """

    name = "numba"

    def __init__(self, checks: list[SparseSoftmins], other: Engine, dtype: torch.dtype) -> None:
        self.checks, self.other = checks, other
        for check in checks:
            check.trim()
            alike = check.alike
            if alike:  # who asks for their sums cannot say from which side
                check.tiles = check.tiles.both_ways()
            single = dtype == torch.float32 and not alike
            check.recast(np.float32 if single else np.float64)

    def refuses(self, formula: Formula, x: Tensor, pairs: BlockPairs | None = None) -> str | None:
        """Whatever the other engine refuses."""
        return self.other.refuses(formula, x, pairs)

    def bind(self, x: Tensor, y: Tensor, pairs: BlockPairs | None = None) -> Reductions:
        """The reductions between these clouds, over kept pairs where they are those that were solved."""
        if pairs is not None:
            return self.other.bind(x, y, pairs)
        for side in (0, 1):
            if self._are(x, side) and self._are(y, 1 - side):
                return _KeptReductions(self.checks, side, self.other, x, y)
        return self.other.bind(x, y)

    def certifying(self, item: int) -> KeptPairs:
        """All pairs that passed the screen of one item, in double precision."""
        check = copy(self.checks[item])
        check.tiles, check.peaks = check.screened, [None, None]
        return KeptPairs([check], self.other, torch.float64)

    def double(self) -> KeptPairs:
        """The same pairs, in double precision."""
        return KeptPairs([copy(check) for check in self.checks], self.other, torch.float64)

    def item(self, item: int) -> KeptPairs:
        """The pairs of one item, in double precision."""
        return KeptPairs([copy(self.checks[item])], self.other, torch.float64)

    def missed(self, f: Tensor, g: Tensor, side: int = 0) -> Tensor:
        """Bounds ``(B, N)`` on what the sums of the rows miss at these potentials.

        With ``side`` 1 for the sums of the columns, f being the potential of the target.
        """
        found = []
        for check, *both in zip(self.checks, f.numpy(), g.numpy(), strict=True):
            rows = check.turned(*both) if side else check
            found.append(torch.from_numpy(rows.missed(*both)))
        return torch.stack(found)

    def _are(self, x: Tensor, side: int) -> bool:
        clouds = [check.clouds[side] for check in self.checks]
        if x.shape != (len(clouds), clouds[0].n, clouds[0].dim):
            return False
        points = x.detach().numpy()
        return all(
            np.array_equal(item[cloud.order], cloud.points)
            for item, cloud in zip(points, clouds, strict=True)
        )


class _KeptReductions(Reductions):
    def __init__(
        self, checks: list[SparseSoftmins], side: int, other: Engine, x: Tensor, y: Tensor
    ) -> None:
        self.checks, self.side, self.other, self.clouds = checks, side, other, (x, y)

    def sum(
        self, kernel: Formula, v: Tensor, row: Tensor | None = None, col: Tensor | None = None
    ) -> Tensor:
        """Over kept pairs for multiples of the Gibbs kernel with both scalings."""
        factor = self._factor(kernel)
        if factor is None or row is None or col is None:
            return self.other.bind(*self.clouds).sum(kernel, v, row, col)
        found = []
        for k, check in enumerate(self.checks):
            here, there = check.clouds[self.side], check.clouds[1 - self.side]
            rows, cols = (
                (log[k].detach().numpy() * check.eps)[cloud.order]
                for log, cloud in ((row, here), (col, there))
            )
            out = check.products(self.side, rows, cols, v[k].detach().numpy()[there.order])
            found.append(torch.from_numpy(out[here.inverse] * factor))
        return torch.stack(found).to(v.dtype)

    def logsumexp(
        self, cost: Formula, eps: Tensor, col: Tensor, guess: Tensor | None = None
    ) -> Tensor:
        """Over all pairs: what is kept suits only the potentials that were found."""
        return self.other.bind(*self.clouds).logsumexp(cost, eps, col, guess)

    def _factor(self, kernel: Any) -> float | None:
        """The multiple of the Gibbs kernel that this is, or None."""
        gaussian = isinstance(kernel, Radial) and kernel.decay == 2
        if not gaussian or any(term.power for term in kernel.terms):
            return None
        if abs(kernel.rate * 2 * self.checks[0].eps - 1) > 1e-9:
            return None
        return sum(term.factor for term in kernel.terms)
