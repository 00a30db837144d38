"""Sinkhorn's algorithm on a grid, from coarse grids to the finest.

At a high temperature potentials are smooth: pixels are gathered in cells no wider than a share of the
blur, and potentials are interpolated between their centres when cells are split. The last
temperature ends on the grid itself, where all that a result tells is measured.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from ...engines.grids.engine import GridEngine
from ...points import Points
from ..problem import Problem
from ..solution import Level
from ..solvers.all_pairs import DenseSoftmins, Start, solve_own
from ..solvers.course import COARSE, RATIO, SWEEPS, Course, Found
from ..solvers.relaxation import alternate
from ..solvers.sinkhorn import Sinkhorn

__all__ = ["Cut", "GridSinkhorn", "cells", "coarser", "interpolated", "pooled", "schedule"]

WIDTH = 0.7  # of a cell, in blurs
FEWEST = 4  # cells along an axis
LIFTED = 1e-3  # tolerance on a coarse grid that is worth reaching
MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}
Cut = tuple[int, ...]  # pixels of a cell, along each axis


def cells(grid: GridEngine, blur: float) -> Cut:
    """The largest cells, of a power of two pixels along each axis, for that blur."""
    found = []
    for n, h in zip(grid.shape, grid.spacing, strict=True):
        size = 1
        while 2 * size * h <= WIDTH * blur and n >= 2 * size * FEWEST:
            size *= 2
        found.append(size)
    return tuple(found)


def schedule(grid: GridEngine, temperatures: Sequence[float]) -> list[tuple[float, Cut]]:
    """Temperatures and the cells that serve them; the last one ends on the grid itself."""
    steps = [(eps, cells(grid, math.sqrt(eps))) for eps in temperatures]
    fine = (1,) * len(grid.shape)
    return steps if steps[-1][1] == fine else [*steps, (steps[-1][0], fine)]


def coarser(grid: GridEngine, cut: Cut) -> GridEngine:
    """The grid of the cells; the grid itself where they are its pixels."""
    if all(size == 1 for size in cut):
        return grid
    shape = tuple(-(-n // size) for n, size in zip(grid.shape, cut, strict=True))
    return GridEngine(shape, tuple(h * k for h, k in zip(grid.spacing, cut, strict=True)))


def pooled(image: Tensor, shape: Sequence[int], cut: Cut) -> Tensor:
    """The weights ``(B, n)`` of the cells of images ``(B, N)``."""
    image = image.view(-1, *shape)
    for axis, size in enumerate(cut, 1):
        missing = -image.shape[axis] % size
        if missing:
            rest = list(image.shape)
            rest[axis] = missing
            image = torch.cat((image, image.new_zeros(rest)), axis)
        image = image.unflatten(axis, (-1, size)).sum(axis + 1)
    return image.flatten(1)


def interpolated(h: Tensor, grid: GridEngine, old: Cut, new: Cut) -> Tensor:
    """Potentials ``(B, n)`` of the cells of one cut at the centres of those of a finer one."""
    if old == new:
        return h
    coarse, fine = (coarser(grid, cut).shape for cut in (old, new))
    ratio = [k // size for k, size in zip(old, new, strict=True)]
    size = [n * k for n, k in zip(coarse, ratio, strict=True)]
    image = h.view(-1, 1, *coarse)
    image = functional.interpolate(image, size, mode=MODES[len(size)], align_corners=False)
    for axis, n in enumerate(fine, 2):
        image = image.narrow(axis, 0, n)
    return image.flatten(1)


@dataclass(frozen=True)
class GridSinkhorn(Sinkhorn):
    """The same options, on the grid that is the engine."""

    def all_pairs(self, problem: Problem) -> str | None:
        """On a grid all pairs are summed, and none is visited."""
        return "axis by axis"

    def solve_item(self, course: Course, start: Start, why: str) -> Found:
        """From coarse grids to the finest; a cloud and itself on the finest alone."""
        levels: list[Level] = []
        if course.problem.symmetric:
            outcome = solve_own(course, DenseSoftmins(course.problem), start, levels)
            course.bar.close()
            return Found(outcome, levels, f"grid ({why})")
        return _solve_pair(course, start, levels, f"grid ({why})")


def _solve_pair(course: Course, start: Start, levels: list[Level], how: str) -> Found:
    grid, last = course.problem.engine, course.problem.eps
    assert isinstance(grid, GridEngine)
    fine = (1,) * len(grid.shape)
    temperatures = course.temperatures(RATIO, start)
    steps = schedule(grid, temperatures) if start is None else [(last, fine)]
    solved: dict[Cut, DenseSoftmins] = {}
    if start is None:
        count = pooled(course.problem.source.weights, grid.shape, steps[0][1]).shape[1]
        zero = course.problem.source.weights.new_zeros(count)
        start = zero, zero
    (f, g), cut, stopped = start, steps[0][1], False
    for eps, new in steps:
        began = time.perf_counter()
        f, g = (interpolated(h[None], grid, cut, new)[0] for h in (f, g))
        cut, at_end = new, eps == last and new == fine
        if cut not in solved:
            solved[cut] = DenseSoftmins(_on_cells(course.problem, cut))
        softmins = solved[cut]
        softmins.eps = eps
        tol = course.tol if at_end else max(LIFTED if eps == last else COARSE, course.tol)
        budget = course.max_sweeps if eps == last else SWEEPS
        outcome = alternate(
            softmins,
            f,
            g,
            tol=tol,
            budget=1 if stopped else budget,
            rho2=course.rate(eps),
            watch=course.watch(eps),
        )
        stopped |= outcome.interrupted
        levels.append(course.level(eps, outcome, 1.0, began))
        f, g = outcome.f, outcome.g_prev
    course.bar.close()
    return Found(outcome, levels, how)


def _on_cells(problem: Problem, cut: Cut) -> Problem:
    """The same problem between the cells of both images."""
    grid = problem.engine
    assert isinstance(grid, GridEngine)
    coarse = coarser(grid, cut)
    if coarse is grid:
        return problem
    x = coarse.coordinates(problem.source.positions)[None]
    source, target = (
        Points(x, pooled(cloud.weights, grid.shape, cut))
        for cloud in (problem.source, problem.target)
    )
    return replace(problem, source=source, target=target, engine=coarse)
