"""From two clouds to solved problems: the one way, whatever is asked of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..clouds import points_pair
from ..engines.base import Formula
from ..engines.choose import choose_engine
from ..engines.ranks.rows import SharedRows
from ..errors import bad_input
from ..formulas import GroundCost, Moved, Opaque, posed
from ..formulas.given import solved_cost
from ..operators.arrays import Array, like, of_one_kind, refuse_learnt
from ..operators.autograd.spread import Spread
from ..operators.autograd.transforms import outside
from ..points import Points, check_positive, lacks_digits
from .derivatives.solved import Solved
from .marginals import Reach, marginals
from .problem import CostFormula, Problem, check_cost
from .result import Transport
from .solution import Potentials, Solver
from .solvers.sinkhorn import Sinkhorn

__all__ = [
    "Found",
    "Init",
    "brought",
    "solve_apart",
    "solve_clouds",
    "solve_points",
    "with_tolerance",
]

Found = tuple[list[Solved], bool, Array]
Init = Transport | Potentials | str | os.PathLike[str] | None


def solve_clouds(
    x: Array,
    y: Array,
    a: Array | None,
    b: Array | None,
    *,
    blur: float,
    p: int,
    reach: Reach,
    debias: bool,
    cost: Formula | Callable[[Tensor, Tensor], Tensor] | str | None,
    solver: Solver,
    init: Init = None,
) -> Found:
    """The problem of two clouds and, debiased, those of each and itself, solved.

    The one way from clouds to solutions, whatever the solver; ``init`` may be potentials of the first problem. Also whether it is a batch, and an
    empty array of the kind and dtype of answers.
    """
    (x, y, a, b), first = of_one_kind(x=x, y=y, a=a, b=b)
    source, target, batched = points_pair(x, y, a, b)
    reference = source.positions.detach().new_empty(0)
    check_positive(blur=blur)
    found = posed(cost, p, source, target, own=debias)
    source, target, formula = found.source, found.target, found.cost
    refuse_learnt(first, source.positions, target.positions)
    if isinstance(formula, Opaque) and not isinstance(first, Tensor):
        refuse_learnt(first, formula(source.positions[:, :1], target.positions[:, :1]))
    how: dict[str, Any] = {"blur": blur, "p": found.p, "reach": reach, "debias": debias}
    how |= {"solver": solver, "init": init, "came": found.came, "beyond": found.beyond}
    solved = solve_points(source, target, formula, **how)
    return solved, batched, like(reference, first)


def solve_apart(
    spreads: dict[str, Spread],
    kind: Array,
    *,
    blur: float,
    p: int,
    reach: Reach,
    debias: bool,
    cost: Any,
    solver: Sinkhorn,
    init: Init = None,
) -> Found | None:
    """The same of clouds of which each rank has some rows, where no rank needs all: over kept pairs, and |x - y|^p / p.

    None for others, and where something is wrong with the clouds: who puts them together says what.
    """
    if cost is not None:
        return None
    from .pruned.blocks.apart import apart  # here, for a light import of the library

    check_positive(blur=blur)
    if (clouds := apart(spreads)) is None:
        return None
    formula, _ = solved_cost(None, p, debias)
    engine, _ = choose_engine(solver.engine, formula, clouds[0].like, clouds[1].like)
    trial = Problem(*clouds, formula, marginals(reach, p), p, float(blur), engine)
    if not solver.keeps(trial):
        return None
    how: dict[str, Any] = {"blur": blur, "p": p, "reach": reach, "debias": debias}
    solved = solve_points(*clouds, formula, **how, solver=solver, init=init)
    return brought((solved, False, like(clouds[0].like.new_empty(0), kind)), spreads)


def brought(found: Found, spreads: dict[str, Spread]) -> Found:
    """The same; its gradients reach what this rank gave of x, y, a and b."""
    from .derivatives.owned import bring  # here, for a light import of the library

    bring(found[0], [spreads.get(name) for name in "xyab"])
    return found


def solve_points(
    source: Points,
    target: Points,
    cost: CostFormula,
    *,
    blur: float,
    p: float,
    reach: Reach,
    debias: bool,
    solver: Solver,
    init: Init = None,
    came: Moved | None = None,
    beyond: float = 0.0,
    named: str = "blur",
) -> list[Solved]:
    """The problem of two clouds that were checked and, debiased, those of each and itself, solved.

    ``came`` are the clouds of the caller, where a cost moved them; ``beyond`` is the size of costs that distances
    do not show; ``named`` is the argument that sets the temperature.
    """
    penalty, like = marginals(reach, p), source.like
    penalty.check(source, target)
    if penalty.imposed and (source.rounding or target.rounding):
        target = target.of_mass(source)
    if debias and penalty.rhos[0] != penalty.rhos[1]:
        fix = "Give one reach for both clouds, or debias=False."
        raise bad_input("reach", f"the pair {reach} with debias=True", "one length", fix)
    engine, told = choose_engine(solver.engine, cost, like, target.like)
    ours = isinstance(engine, SharedRows)  # clouds of ranks are not the caller's
    plain = outside(lambda: (source.copy(ours), target.copy(ours)), like)
    blur = float(blur)  # powers of NumPy's numbers have their few digits
    problem = Problem(*plain, cost, penalty, p, blur, engine, told=told, named=named)
    problem = _over_few(problem, solver, debias)
    share = solver.rounding(problem)
    if outside(lambda: lacks_digits(*plain, p, blur, share, beyond), like):
        new = like.dtype != torch.float64
        if ours and new and source.held is source and solver.keeps(problem):
            from .pruned.narrow import narrow  # here, for a light import of the library

            source, target, plain = narrow(source, target, penalty.imposed)
        else:
            source, target = source.double(), target.double()
            if penalty.imposed:
                target = target.of_mass(source)
            plain = outside(lambda: (source.copy(new), target.copy(new)), like)
        problem = problem.of(*plain)
    outside(lambda: solver.check(problem), like)
    cost = problem.cost
    outside(lambda: check_cost(cost, *plain, debias, engine), like)
    problem = replace(problem, even=debias or isinstance(cost, GroundCost))
    problems, given = [problem], [(source, target)]
    if debias:
        problems += [problem.own(problem.source), problem.own(problem.target)]
        given += [(source, source), (target, target)]
    starts = _starts(init, problem, debias)
    found = outside(lambda: solver.solve_all(problems, starts), like)
    solved = []
    for one, solution, clouds in zip(problems, found, given, strict=True):
        if solution.pairs is not None:
            one = replace(one, pairs=solution.pairs.to(like.dtype))
        solved.append(Solved(one, solution, clouds, came))
    return solved


def _over_few(problem: Problem, solver: Solver, debias: bool) -> Problem:
    """The same, with the cost that kept pairs know of a function, where they will be kept in all of its parts."""
    ground = problem.cost.ground if isinstance(problem.cost, Opaque) else None
    if ground is None or not isinstance(solver, Sinkhorn):
        return problem
    new = replace(problem, cost=ground, even=True)
    parts = [new, *(new.own(cloud) for cloud in (new.source, new.target) if debias)]
    return new if all(solver.all_pairs(part) is None for part in parts) else problem


def with_tolerance(solver: Sinkhorn, tol: float) -> Sinkhorn:
    """The solver, with the tolerance of the function that it was given to unless it has its own."""
    if not isinstance(solver, Sinkhorn):
        fix = "Schedules that ask for no tolerance belong to sinkhorn_divergence."
        raise bad_input("solver", type(solver).__name__, "Sinkhorn(...)", fix, TypeError)
    check_positive(tol=tol)
    return replace(solver, tol=float(solver.tol or tol))


def _starts(init: Init, problem: Problem, debias: bool) -> list[Potentials | None]:
    """The potentials of an earlier result, checked against the clouds."""
    count = 3 if debias else 1
    if init is None or isinstance(init, Potentials):
        return [init, None, None][:count]
    if isinstance(init, (str, os.PathLike)):
        from .solvers.checkpoint import read_checkpoint  # here, for a light import of the library

        if len(problem.source.like) > 1:
            raise bad_input(
                "init", "a folder, with a batch of clouds", "one pair", "Solve one by one."
            )
        n, m = problem.sizes
        return read_checkpoint(init, [(n, m), (n, n), (m, m)][:count], problem.source.like)
    if not isinstance(init, Transport):
        raise bad_input(
            "init", type(init).__name__, "an earlier Transport, or a folder", kind=TypeError
        )
    wanted = tuple(cloud.like.shape[:2] for cloud in (problem.source, problem.target))
    earlier = init.solved[0].solution
    got = (earlier.f.shape, earlier.g.shape)
    if got != wanted:
        sizes = [tuple(shape) for shape in (*got, *wanted)]
        raise bad_input(
            "init", f"potentials of shapes {sizes[0]}, {sizes[1]}", f"{sizes[2]}, {sizes[3]}"
        )
    starts: list[Potentials | None] = [solved.solution for solved in init.solved[:count]]
    return starts + [None] * (count - len(starts))
