r"""Multilevel Sinkhorn: coarse clouds at high temperatures, kept pairs only, and a last check.

At a temperature :math:`\text{blur}_k^2` points that share a cell of side 1.4 blurs look alike: their centroid stands for
them, and only the last temperatures see all points. Softmins carry a solution to the next clouds. At the end pairs are
chosen anew, and marginals summed to known rounding, with bounds on the pairs left out (Schmitzer, 2019; Feydy, 2020, 3.3).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ...engines.base import Engine
from ...engines.ranks.rows import SharedRows
from ...formulas import GroundCost
from ..marginals import Marginals
from ..pruned.blocks.clouds import BlockCloud
from ..pruned.blocks.coarse import ApartCells, Carried, Cells, whole_cells
from ..pruned.memory import check_memory, give_back
from ..pruned.softmins import PrunedSoftmins
from ..softmins import Outcome
from ..solution import Level
from .course import Course, Found
from .relaxation import alternate, self_fixed_point
from .small import STORED_PAIRS, StoredSoftmins

__all__ = ["Multilevel", "solve_kept_pairs"]

RATIO = 2.5  # of successive temperatures
CELL = 1.4  # side of a cell, in blurs
WIDEST = 0.1  # and in sides of the box around both clouds without outliers, at most
COARSE = 0.005  # tolerance at all temperatures but the last
SWEEPS = 300  # there, at most; tens where no mass must cross a gap of hundreds of blurs
FINER = 1.3  # factor by which cells shrink at the last temperature, while they have few pairs:
FEW = 0.15  # of those of the points
SINGLE = 1e-4  # tolerance below which the loops run in double precision
SLACK = 0.8  # share of the tolerance to sweep for, so that the last check finds it met
FINEST = 1 / 20  # of the tolerance, below which sweeping for less does not help the check

Start = tuple[Tensor, Tensor] | None


def solve_kept_pairs(
    course: Course,
    start: Start,
    cut: dict[Hashable, Cells],
    *,
    engine: str | Engine,
    memory: float | None,
) -> Found:
    """The potentials of a problem in the order of its points, or of blocks of ranks, and the error over all pairs."""
    problem = course.problem
    ranks = engine.ranks.size if isinstance(engine, SharedRows) else 1
    check_memory(memory, sum(problem.sizes), problem.source.like.shape[-1], ranks)
    solver = Multilevel(course, cut, engine, memory)
    found = solver.own(start) if problem.symmetric else solver.pair(start)
    course.bar.close()
    return found


class Multilevel:
    """The solve of one problem, level by level.

    Args:
        course: the problem, and how far to go.
        cut: clouds in blocks, by the identity of the cloud and by where its points are, that problems
            and items of a batch share.
        engine: "numba" or "tiles", or one of them shared by ranks.
        memory: bytes that points and kept tiles may take.
    """

    def __init__(
        self,
        course: Course,
        cut: dict[Hashable, Cells],
        engine: str | Engine,
        memory: float | None,
    ) -> None:
        problem = course.problem
        assert isinstance(problem.cost, GroundCost)
        self.cost = problem.cost
        self.course, self.engine, self.memory = course, engine, memory
        inner = engine.asked if isinstance(engine, SharedRows) else engine
        self.compiled = inner == "numba"  # so that all ranks find the same of few pairs
        self.penalty, self.eps, self.tol = problem.penalty, problem.eps, course.tol
        self.dtype = torch.float32 if self.tol >= SINGLE else torch.float64
        self.ranks = engine.ranks if isinstance(engine, SharedRows) else None
        X, Y = (whole_cells(c, cut, self.ranks) for c in (problem.source, problem.target))
        self.whole, self.blocks = (X, Y), (X.blocks, Y.blocks)
        self.levels: list[Level] = []
        self.cells = 0.0, self.whole  # the last, and their width
        self.stopped = False

    # --- two clouds ---

    def pair(self, start: Start) -> Found:
        """Coarse clouds first; then all points, from what these tell."""
        if start is None:
            return self._last(self._from_coarse())
        return self._last([X.own(h) for X, h in zip(self.blocks, start, strict=True)])

    def _from_coarse(self) -> list[Tensor]:
        """Potentials of the points of blocks, carried from the coarse clouds, which are let go of."""
        now = None
        for eps, width in self._levels():
            cells = self._cells(width)
            if eps > self.eps or not all(c.whole for c in cells):  # those are swept at the end
                now = self._coarse(self._carried(now, cells, eps), eps)
        now, self.cells = self._carried(now, self.whole, self.eps), (0.0, self.whole)
        values = now.values
        return [c.own(values.pop(0)) for c in self.whole]  # and nobody holds the others

    def _levels(self) -> list[tuple[float, float]]:
        """Temperatures, and the widths of cells, of all levels but that of the points."""
        problem, widest = self.course.problem, WIDEST * self.course.side
        temperatures = self.course.temperatures(RATIO, None)
        found = [(eps, min(CELL * self.course.blur(eps), widest)) for eps in temperatures]
        _, last = found.pop()
        if (problem.p == 1 or self.course.outliers) and found:
            # coarse cells tell all of a plan with p = 1 but what is near, and where outliers go
            coarse = width = found[-1][1]
            while width > last / 2 and self._few(width / FINER):
                width /= FINER
            found += [(self.eps, side) for side in dict.fromkeys((coarse, width))]
        return found

    def _few(self, width: float) -> bool:
        """Whether cells of that width have few pairs, compared with the points."""
        cells = math.prod(c.count(width) for c in self.whole)
        return cells <= FEW * math.prod(c.size for c in self.whole)

    def _carried(self, old: Carried | None, cells: tuple[Cells, Cells], eps: float) -> Carried:
        """Potentials at finer cells; zero at first."""
        if old is None:
            return Carried(cells, [torch.zeros_like(c.weights, dtype=torch.float64) for c in cells])
        return Carried(cells, [self._finer(side, old, cells[side], eps) for side in range(2)])

    def _finer(self, side: int, old: Carried, new: Cells, eps: float) -> Tensor:
        """One potential at finer cells: the softmin of the coarser other one.

        Sweeps begin with the softmin of the second one. Of this a guess, for which tiles are chosen, is enough where
        the softmin takes longer.
        """
        there, other = old.cells[1 - side], old.values[1 - side]
        if new is old.cells[side] or there.whole:
            return old.at(side, new)
        penalty = self.penalty.swapped() if side else self.penalty
        if (stored := self._stored((new, there), eps, penalty)) is not None:
            near = new.gathered(old.near(side, new))
            return new.mine(stored.step(0, near, other).value)
        guess = old.at(side, new)
        if side == 1:
            return guess
        X, Y = new.blocks, there.blocks
        give_back(X.n)
        softmins = self._softmins((X, Y), eps, COARSE, torch.float32)
        return new.every(softmins.step(0, new.own(guess), there.own(other)).value)

    def _coarse(self, now: Carried, eps: float) -> Carried:
        """The potentials of cells at one temperature."""
        began, cells, (f, g) = time.perf_counter(), now.cells, now.values
        tol = max(COARSE, self.tol) if eps > self.eps else self.tol / 2
        if self.course.outliers:  # whose mass is small
            tol = self.tol / 4
        how: dict[str, Any] = {"rho2": self.course.rate(eps), "watch": self.course.watch(eps)}
        how |= {"tol": tol, "budget": 1 if self.stopped else min(SWEEPS, self.course.max_sweeps)}
        if (stored := self._stored(cells, eps, self.penalty)) is not None:
            f, g = (c.gathered(h) for c, h in zip(cells, (f, g), strict=True))
            found, kept = alternate(stored, f, g, **how), 1.0
            values = [c.mine(h) for c, h in zip(cells, (found.f, found.g_prev), strict=True)]
        else:
            X, Y = cells
            dtype = self.dtype if tol < COARSE else torch.float32
            softmins = self._softmins((X.blocks, Y.blocks), eps, tol, dtype)
            found = alternate(softmins, X.own(f), Y.own(g), **how)
            values, kept = [X.every(found.f), Y.every(found.g_prev)], softmins.kept_fraction
        self.stopped |= found.interrupted
        self.levels.append(self.course.level(eps, found, kept, began, [c.size for c in cells]))
        return Carried(cells, values)

    def _last(self, values: list[Tensor]) -> Found:
        """From potentials in the order of the blocks."""
        (X, Y), state = self.blocks, values

        def sweep(softmins: PrunedSoftmins, tol: float, budget: float) -> Outcome:
            how: dict[str, Any] = {"rho2": self.course.rate(self.eps), "tol": tol, "budget": budget}
            how["keep"] = self.course.keep(self.eps, (X, Y))
            return alternate(softmins, *state, watch=self.course.watch(self.eps), **how)

        def resume(found: Outcome, checked: Outcome) -> None:
            state[:] = checked.f, checked.g

        return self._to_the_end(sweep, self._check, resume)

    def _check(self, exact: PrunedSoftmins, found: Outcome, sweeps: float) -> tuple[Outcome, float]:
        """Both marginals over tiles chosen from scratch, with a bound on all others."""
        f, g = found.f, found.g
        exact.build(f, g, 0.0)
        new = exact.step(1, g, f).value
        rise = exact.clouds[1].highest(new - g) / self.eps
        last = exact.step(0, f, new)
        omitted = exact.omitted * math.exp(min(max(rise, 0.0), 700.0))
        error = float(last.error) + omitted / exact.masses[0]
        value = float(exact.dual(last.value, new, exact.kept(0, last.value)))
        return Outcome(last.value, new, f, new, error, sweeps + 1, value), omitted

    # --- a cloud and itself ---

    def own(self, start: Start) -> Found:
        """At the last temperature only, which is enough for a cloud and itself."""
        X, first = self.blocks[0], self._softmins(self.blocks, self.eps, self.tol, self.dtype)
        state = [torch.zeros_like(X.weights) if start is None else X.own(start[0])]
        if start is None:
            first.diagonal()
            state[0] = first.step(0, state[0], state[0]).value / 2

        def sweep(softmins: PrunedSoftmins, tol: float, budget: float) -> Outcome:
            how: dict[str, Any] = {"watch": self.course.watch(self.eps), "tol": tol}
            how["keep"] = self.course.keep(self.eps, (X, X))
            return self_fixed_point(softmins, state[0], budget=budget, **how)

        def resume(found: Outcome, checked: Outcome) -> None:
            state[0] = (found.f_prev + 2 * checked.f) / 3

        return self._to_the_end(sweep, self._check_own, resume)

    def _check_own(
        self, exact: PrunedSoftmins, found: Outcome, sweeps: float
    ) -> tuple[Outcome, float]:
        h = found.f_prev
        exact.build(h, h, 0.0)
        last = exact.step(0, h, h)
        new, error = last.value, float(last.error) + exact.omitted / exact.masses[0]
        value = float(exact.dual(new, h, exact.kept(0, new)))
        return Outcome(new, new, h, h, error, sweeps + 0.5, value), exact.omitted

    def _to_the_end(
        self,
        sweep: Callable[[PrunedSoftmins, float, float], Outcome],
        check: Callable[[PrunedSoftmins, Outcome, float], tuple[Outcome, float]],
        resume: Callable[[Outcome, Outcome], None],
    ) -> Found:
        """Sweeps at the last temperature, and checks, until one of these finds the tolerance met."""
        began, wanted, sweeps = time.perf_counter(), SLACK * self.tol, 0.0
        softmins = self._softmins(self.blocks, self.eps, self.tol, self.dtype)
        while True:
            budget = 1 if self.stopped else self.course.max_sweeps - sweeps
            found = sweep(softmins, wanted, budget)
            sweeps += found.sweeps
            exact, rounding = softmins.checking()
            softmins.rest()
            give_back(self.blocks[0].n)
            checked, omitted = check(exact, found, sweeps)
            checked = replace(checked, error=checked.error + rounding)
            self.stopped |= found.interrupted
            wanted /= 2
            spent = sweeps >= self.course.max_sweeps or wanted < FINEST * self.tol
            if checked.error <= self.tol or self.stopped or spent:
                kept = softmins.kept_fraction
                sizes = [cloud.count for cloud in self.blocks]
                self.levels.append(self.course.level(self.eps, checked, kept, began, sizes))
                how = f"{self.engine} on kept pairs of blocks"
                apart = isinstance(self.whole[0], ApartCells)
                return Found(self._in_order(checked), self.levels, how, exact, omitted, apart=apart)
            resume(found, checked)

    def _in_order(self, found: Outcome) -> Outcome:
        """Potentials in the order of the points; where ranks have these apart, of those in the blocks here."""
        f, g = (c.every(h) for c, h in zip(self.whole, (found.f, found.g), strict=True))
        f_prev = f if found.f_prev is found.f else self.whole[0].every(found.f_prev)
        g_prev = g if found.g_prev is found.g else self.whole[1].every(found.g_prev)
        return Outcome(f, g, f_prev, g_prev, found.error, found.sweeps, found.value)

    def _stored(
        self, cells: tuple[Cells, Cells], eps: float, penalty: Marginals
    ) -> StoredSoftmins | None:
        """The softmins over all pairs of cells, where there are few."""
        if not self.compiled or math.prod(c.size for c in cells) > STORED_PAIRS:
            return None
        source, target = ((c.gathered(c.points.double()), c.gathered(c.weights)) for c in cells)
        return StoredSoftmins(self.cost, penalty, eps, source, target)

    def _softmins(
        self,
        clouds: tuple[BlockCloud, BlockCloud],
        eps: float,
        tol: float,
        dtype: torch.dtype,
    ) -> PrunedSoftmins:
        rest = self.penalty, eps, tol, dtype, self.engine, self.memory
        return PrunedSoftmins(clouds[0], clouds[1], self.cost, *rest)

    def _cells(self, width: float) -> tuple[Cells, Cells]:
        """The cells of both clouds; the points themselves where these are few enough."""
        if self.cells[0] != width:
            before, pairs = self.cells[0], zip(self.whole, self.cells[1], strict=True)
            X, Y = (  # never back from points to cells
                c if before and seen.whole else c.coarser(width, self.cost.settled)
                for c, seen in pairs
            )
            self.cells = width, (X, Y)
        return self.cells[1]
