r"""Pairs drawn by a plan, and partners of given points.

A row is drawn by the row sums of the plan itself, then a column by that row, each by inverting a
cumulative sum in double precision (Devroye, 1986, "Non-uniform random variate generation", section
3.2). A draw takes one uniform number for its row and one for its column, and rows that were drawn
many times are summed once, so that what comes out depends on the numbers alone.

Where only kept pairs were visited, rows are drawn by their sums over these, and so are columns. A row
that may miss a share of its mass there, as that of a point without weight does, is summed over all pairs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ...engines.base import LOG2E
from ...engines.threads import even, share
from ...errors import bad_input
from ...pairs import Array
from ..problem import Problem
from ..pruned.kept_pairs import KeptPairs
from .rows import PlanRows, rows_of
from .sums import PlanSums

__all__ = ["PlanSampler", "uniform"]

LOWEST = 1e-30  # sums, for a unit of weight, that lost nothing

if TYPE_CHECKING:  # for a light import: NumPy's generators are loaded at their first use
    Generator = torch.Generator | np.random.Generator


class PlanSampler:
    """Draws from the plan of one item of a batch, row first; it keeps the row sums."""

    def __init__(self, problem: Problem, f: Tensor, g: Tensor, item: int) -> None:
        sums = PlanSums(problem, f, g, item)
        self.totals = sums.r.numpy(force=True).cumsum()
        self.empty = not (self.totals[-1] > LOWEST * float(sums.a.sum()))
        exponents = sums.problem.target.log_weights[0] + sums.g / sums.eps
        self.columns = exponents.numpy(force=True) * LOG2E
        self.scale = LOG2E / sums.eps
        self.near = rows_of(sums.problem)
        self.all = rows_of(replace(sums.problem, pairs=None))
        self.lost = np.zeros(len(self.totals), bool)
        if isinstance(problem.pairs, KeptPairs):
            tol = problem.pairs.checks[item].tol
            known = (sums.unit > LOWEST) & (sums.w <= tol * sums.unit)
            self.lost = ~known.numpy(force=True)

    def pairs(self, draws: Array) -> tuple[Array, Array]:
        """Rows and columns of ``(2, n)`` uniform draws."""
        if self.empty:
            fix = "Clouds much farther apart than reach exchange nothing: ask for a longer one."
            raise bad_input("sample", "a plan without mass", "clouds that share some", fix)
        rows = _places(self.totals, draws[0])
        return rows, self.partners(rows, draws[1])

    def partners(self, rows: Array, draws: Array) -> Array:
        """A column for each of the rows ``(n,)``, by a uniform draw."""
        found, lost = np.empty(len(rows), np.int64), self.lost[rows]
        for plan, some in ((self.near, ~lost), (self.all, lost)):
            places = some.nonzero()[0]
            if len(places):
                found[places] = self._drawn(plan, rows[places], draws[places])
        return found

    def _drawn(self, plan: PlanRows, rows: Array, draws: Array) -> Array:
        """The same, all of whose rows are summed over the pairs of that plan."""
        pieces = plan.pieces(np.unique(rows))
        firsts = np.cumsum([0, *map(len, pieces)])
        ranks = np.empty(len(self.totals), np.int64)
        ranks[np.concatenate(pieces)] = np.arange(firsts[-1])
        order = np.argsort(ranks[rows], kind="stable")
        starts = np.searchsorted(ranks[rows[order]], np.arange(firsts[-1] + 1))
        draws, found = draws[order], np.empty(len(rows), np.int64)

        def part(first: int, last: int) -> None:
            for k in range(first, last):
                ends = starts[firsts[k] : firsts[k + 1] + 1]
                cols, sums = self._cumulative(plan, pieces[k])
                for row, lo, hi in zip(sums, ends[:-1], ends[1:], strict=True):
                    found[lo:hi] = cols[_places(row, draws[lo:hi])]

        share(part, even(len(pieces), plan.shares(len(pieces))))
        out = np.empty_like(found)
        out[order] = found
        return out

    def _cumulative(self, plan: PlanRows, rows: Array) -> tuple[Array, Array]:
        """Columns, and the cumulative sums of the entries of some rows, each up to a factor."""
        cols, costs = plan.costs(rows)
        columns = torch.from_numpy(self.columns[cols])
        exponents = columns.sub(torch.from_numpy(costs), alpha=self.scale)
        exponents -= exponents.amax(1, keepdim=True)
        return cols, exponents.exp2_().cumsum(1).numpy()


def uniform(shape: tuple[int, ...], generator: Generator | None) -> Array:
    """Uniform draws in [0, 1), in double precision."""
    if isinstance(generator, np.random.Generator):
        return generator.random(shape)
    if generator is None:
        return torch.rand(shape, dtype=torch.float64).numpy()
    if not isinstance(generator, torch.Generator):
        fix = "A seed makes one: torch.Generator().manual_seed(0), or np.random.default_rng(0)."
        wanted = "a generator of torch or of NumPy"
        raise bad_input("generator", repr(generator), wanted, fix, TypeError)
    drawn = torch.rand(shape, dtype=torch.float64, device=generator.device, generator=generator)
    return drawn.numpy(force=True)


def _places(sums: Array, draws: Array) -> Array:
    """Where draws fall among cumulative sums; never where a sum adds nothing."""
    below = np.minimum(draws * sums[-1], np.nextafter(sums[-1], 0))
    return np.searchsorted(sums, below, side="right")
