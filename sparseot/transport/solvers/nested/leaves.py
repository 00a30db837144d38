r"""All pairs, visited few times: the leaves of a tree stand for their points, until the last sweeps.

In many dimensions boxes bound nothing and no pair is left out. But at a temperature that is felt over many
points, the centroids of the leaves of a kd-tree, cut along principal axes, have nearly the potentials of
the points: eight points a leaf are a 64th of the pairs. They are solved at all temperatures, the softmin
of one side gives the potential of all points of the other, and a few sweeps over all pairs remove what is
left, the short waves. The last half-step brings along what derivatives and the interval ask for, both
marginals and both means of the plan, so that neither takes a pass of its own.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ....points import Points
from ...problem import Problem
from ...pruned.blocks.coarse import Cells
from ...solution import Level
from ..all_pairs import DenseSoftmins
from ..course import Course, Found
from ..progress import Stopped
from ..relaxation import PLAIN, alternate
from .last_pass import LastPass

__all__ = ["principal_axes", "solve_nested"]

LEAF = 8  # points in a leaf, and leaves in one of the next coarser level
FEWEST = 1000  # leaves, at the coarsest level, about
LIFTED = 0.002  # tolerance on leaves that is worth reaching
SURE = 0.9  # share of the tolerance that the estimate must be below
SAMPLE = 1 << 13  # points of a cloud from which principal axes are taken
AXES = 64  # that a tree may cut: it has twenty levels or so
DIRECT = 512  # dimensions up to which all axes are found
ROUNDS = 4  # of subspace iteration


def solve_nested(course: Course, *, why: str) -> Found:
    """The potentials of a problem of two clouds; ``why`` says why all pairs are visited."""
    levels, ends = list[Level](), LastPass(course.problem)
    f, g, stopped = _on_leaves(course, levels)
    found = _on_points(course, ends, f, g, levels, stopped)
    course.bar.close()
    how = f"{course.problem.engine.name} on all pairs, from leaves of a tree ({why})"
    return replace(found, engine=how)


def _on_leaves(course: Course, levels: list[Level]) -> tuple[Tensor, Tensor, bool]:
    """Potentials at all points from those of leaves, and whether someone stopped the sweeps."""
    problem, stopped = course.problem, False
    clouds = [c.positions[0].double() for c in (problem.source, problem.target)]
    weights = [c.weights[0].double() for c in (problem.source, problem.target)]
    axes, count = principal_axes(*clouds), min(map(len, clouds))
    along = [x @ axes for x in clouds]
    sizes = [LEAF]
    while count >= FEWEST * LEAF * sizes[-1]:
        sizes.append(LEAF * sizes[-1])
    pair: list[Cells] = []
    f = g = torch.empty(0)
    for size in [*sizes[::-1], 1]:
        trees = zip(clouds, weights, along, strict=True)
        new = [Cells.in_tree(*tree, size) for tree in trees]
        if pair:
            f, g = _carried(problem, pair, new, f, g)
        else:
            f, g = (torch.zeros_like(cells.weights) for cells in new)
        if size == 1:
            break
        began, softmins = time.perf_counter(), DenseSoftmins(_between(problem, new[0], new[1]))
        for eps, tol, most in course.schedule(None if not pair else True):
            softmins.eps, last = eps, eps == problem.eps
            outcome = alternate(
                softmins,
                f,
                g,
                tol=max(LIFTED, course.tol / 4) if last else tol,
                budget=1 if stopped else min(most, course.max_sweeps),
                rho2=course.rate(eps),
                watch=course.watch(eps),
            )
            f, g, stopped = outcome.f, outcome.g_prev, stopped or outcome.interrupted
            levels.append(course.level(eps, outcome, 1.0, began))
            began = time.perf_counter()
        pair = new
    return f, g, stopped


def _carried(
    problem: Problem, old: list[Cells], new: list[Cells], f: Tensor, g: Tensor
) -> tuple[Tensor, Tensor]:
    """At finer leaves: f is the softmin of g at the coarser ones, g what it was there, to start from."""
    f, guess = (h[coarse.holding(fine)] for h, coarse, fine in zip((f, g), old, new, strict=True))
    softmins = DenseSoftmins(_between(problem, new[0], old[1]))
    return softmins.step(0, f, g).value, guess


def _between(problem: Problem, X: Cells, Y: Cells) -> Problem:
    """The same problem between the leaves of both clouds."""
    like = problem.source.positions
    x, y = (Points(c.points[None].to(like), c.weights[None].to(like)) for c in (X, Y))
    return replace(problem, source=x, target=y)


def principal_axes(x: Tensor, y: Tensor) -> Tensor:
    """Orthonormal directions ``(D, at most 64)`` along which both clouds together vary most, then less.

    In many dimensions by subspace iteration (Halko, Martinsson and Tropp, 2011, algorithm 4.4): a tree asks for no more.
    """
    some = torch.cat([c[:: max(1, len(c) // SAMPLE)] for c in (x, y)])
    some, dim = some - some.mean(0), x.shape[1]
    if dim <= DIRECT:
        return torch.linalg.eigh(some.mT @ some)[1].flip(1)[:, :AXES]
    draw = torch.Generator().manual_seed(0)
    basis = torch.randn(dim, AXES, generator=draw, dtype=some.dtype).to(some.device)
    for _ in range(ROUNDS):
        basis = torch.linalg.qr(some.mT @ (some @ basis))[0]
    seen = some @ basis
    axes: Tensor = basis @ torch.linalg.eigh(seen.mT @ seen)[1].flip(1)
    return axes


def _on_points(
    course: Course, ends: LastPass, f: Tensor, g: Tensor, levels: list[Level], stopped: bool
) -> Found:
    """Plain sweeps over all pairs; over-relaxed ones where these are not enough."""
    problem, tol = course.problem, course.tol
    watch, keep = course.watch(problem.eps), course.keep(problem.eps)
    began = time.perf_counter()
    softmins, sweeps, found = ends.softmins, 0.0, None
    try:
        g = softmins.step(1, g, f).value
        plain = (
            PLAIN if tol >= LIFTED else 0
        )  # below, long waves are left, which relaxation removes
        while not (stopped or sweeps >= min(plain, course.max_sweeps)):
            here = softmins.step(0, f, g)
            f, sweeps = here.value, sweeps + 1
            if keep is not None:
                keep(f, g)
            watch(float(here.error))
            if ends.estimate(f, g) <= SURE * tol:
                found = ends.close(f, g, sweeps)
                if found.outcome.error <= tol:
                    break
                g = found.outcome.g
            else:
                g = softmins.step(1, g, f).value
        if found is None or found.outcome.error > tol:
            budget = 1 if stopped else max(course.max_sweeps - sweeps, 1)
            rate = course.rate(problem.eps)
            how: dict[str, Any] = {"rho2": rate, "watch": watch, "keep": keep}
            outcome = alternate(softmins, f, g, tol=tol, budget=budget, **how)
            sweeps, stopped = sweeps + outcome.sweeps, stopped or outcome.interrupted
            found = ends.close(outcome.f_prev, outcome.g_prev, sweeps)
    except Stopped:
        stopped = True
        found = ends.close(softmins.step(0, f, g).value, g, sweeps)
    outcome = replace(found.outcome, interrupted=stopped)
    levels.append(course.level(problem.eps, outcome, 1.0, began))
    return replace(found, outcome=outcome, levels=levels)
