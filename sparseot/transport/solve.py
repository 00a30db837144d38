r"""``solve_sample``: entropic transport between two clouds, solved to a tolerance."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor

from ..clouds import points_pair
from ..engines.base import Formula
from ..engines.choose import choose_engine
from ..engines.openmp import own_settings
from ..engines.ranks.group import Ranks
from ..engines.ranks.rows import SharedRows
from ..errors import bad_input, warn_user
from ..formulas import GroundCost, Moved, Opaque, posed
from ..operators.arrays import Array, like, of_one_kind, refuse_learnt
from ..operators.autograd.compiled import eagerly
from ..operators.autograd.over_ranks import on_ranks
from ..operators.autograd.spread import Spread, group_of
from ..operators.autograd.transforms import outside
from ..points import Points, check_positive, lacks_digits, of_mass
from ..ragged.batches import as_batches
from .derivatives.solved import Solved
from .marginals import Reach, marginals
from .problem import CostFormula, Problem, check_cost
from .result import Transport
from .solution import Potentials, Solver
from .solvers.progress import deferred
from .solvers.sinkhorn import Sinkhorn
from .transports import Transports, of_groups

__all__ = ["say_what_failed", "solve_clouds", "solve_points", "solve_sample", "with_tolerance"]

Init = Transport | Potentials | str | os.PathLike[str] | None


@eagerly
@own_settings
def solve_sample(
    x: Array,
    y: Array,
    a: Array | None = None,
    b: Array | None = None,
    *,
    batch: Any = None,
    blur: float,
    p: int = 2,
    reach: Reach = None,
    debias: bool = False,
    tol: float = 1e-3,
    cost: Formula | Callable[[Tensor, Tensor], Tensor] | str | None = None,
    solver: Sinkhorn | None = None,
    init: Transport | Transports | str | os.PathLike[str] | None = None,
    group: Any = None,
) -> Transport:  # what most calls return; Transports read likewise
    r"""Entropic optimal transport between two weighted clouds, to a tolerance.

    .. math::
        OT_\varepsilon(\alpha, \beta) = \min_P \, \langle P, C \rangle
        + \varepsilon KL(P \,|\, a \otimes b)
        \quad \text{with} \quad P 1 = a, \; P^\top 1 = b

    with :math:`C = |x - y|^p / p` and :math:`\varepsilon = \text{blur}^p`; with ``reach``, a
    marginal is free at the price ``reach**p * KL``. The result carries its own evidence: the error
    of the marginals over all pairs, whether the tolerance was met, and an interval that contains
    the true value.

    Args:
        x: ``(N, D)`` or ``(B, N, D)`` points, tensor or NumPy array; of half precision there are
            values in float32, with gradients in half precision.
        y: ``(M, D)`` or ``(B, M, D)`` points, of the same kind.
        a: ``(N,)`` or ``(B, N)`` weights; None means 1/N. Points ``(N, D)`` with weights ``(B, N)``
            are a batch on one support.
        b: ``(M,)`` or ``(B, M)`` weights.
        batch: a pair of sorted vectors, ``(n,)`` and ``(m,)``, the set of each point of x and of y, as in
            PyG: for sets of different sizes, which may also be lists of clouds, or nested tensors, in the
            place of x and y (see "Sets of different sizes" in the guide).
        blur: smoothing length, in the units of the points.
        p: exponent of the ground cost, 1 or 2.
        reach: length above which mass is rather created and destroyed than moved; a pair for
            different lengths on the side of x and of y, None where a marginal is imposed.
        debias: subtract half of the transport cost of each cloud to itself from the value.
        tol: L1 error of the marginals of the plan, relative to the mass.
        cost: another ground cost, as in :func:`sparseot.sinkhorn_divergence`.
        solver: options, as ``Sinkhorn(max_sweeps=..., progress=True)``.
        init: an earlier result for clouds of the same sizes, to start from; or, for one pair, the folder in
            which ``Sinkhorn(checkpoint=folder)`` kept its potentials.
        group: processes of ``torch.distributed``, each of which gives its rows of x and y, and calls alike
            whatever it asks of the result (see "On many machines" in the guide).

    Returns:
        A :class:`Transport`: value, potentials, plan, map, and how far they can be trusted; of
        arrays, Python numbers and arrays; of sets of different sizes :class:`Transports`, one for each. The value has exact first and second derivatives in x, y, a
        and b, the potentials first ones.

    Raises:
        ValueError, TypeError: if an argument is not as described. Not reaching the tolerance is
        a warning, and ``converged`` is False.

    References:
        Peyré and Cuturi, 2019, "Computational optimal transport", chapter 4; Feydy et al., 2019.

    Example:
        >>> import torch
        >>> x, y = torch.zeros(1, 2), torch.tensor([[3.0, 4.0]])
        >>> result = solve_sample(x, y, blur=0.1)
        >>> print(f"{result.value:.2f}", result.converged)
        12.50 True
    """
    common: dict[str, Any] = {"p": p, "reach": reach, "debias": debias, "cost": cost}
    how = with_tolerance(Sinkhorn() if solver is None else solver, tol)

    def solve(
        x: Array,
        y: Array,
        a: Any,
        b: Any,
        init: Init = None,
        solver: Sinkhorn = how,
        spreads: dict[str, Spread] | None = None,
    ) -> Transport:
        with deferred(signals=spreads is None):  # all ranks would have to hear of it
            found = solve_clouds(x, y, a, b, blur=blur, solver=solver, init=init, **common)
            say_what_failed(found[0])
            if spreads is None:
                return Transport(*found, how)
            from .derivatives.owned import bring  # here, for a light import of the library

            bring(found[0], [spreads.get(name) for name in "xyab"])
            return Transport(*found, how, (spreads["x"], spreads["y"]))

    def shared(whole: dict[str, Any], spreads: dict[str, Spread], ranks: Ranks) -> Transport:
        solver = cast(Sinkhorn, how.on(SharedRows(how.engine, ranks)))
        start = cast("Init", init)
        return solve(**whole, init=start, solver=solver, spreads=spreads)

    clouds = {"x": x, "y": y, "a": a, "b": b}
    if (group := group_of(group, *clouds.values())) is not None:
        said = common | {"blur": blur, "solver": how, "batch": batch, "init": init}
        return on_ranks("solve_sample", group, clouds, said, shared)
    sets = as_batches(x, y, a, b, batch, alone=how.multilevel is True)
    if sets is not None:
        return cast(Transport, of_groups(sets, solve, init))
    return solve(x, y, a, b, cast("Init", init))


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
) -> tuple[list[Solved], bool, Array]:
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
    penalty, dtype = marginals(reach, p), source.positions.dtype
    penalty.check(source, target)
    if penalty.imposed and (source.rounding or target.rounding):
        target = of_mass(target, source)
    if debias and penalty.rhos[0] != penalty.rhos[1]:
        fix = "Give one reach for both clouds, or debias=False."
        raise bad_input("reach", f"the pair {reach} with debias=True", "one length", fix)
    engine, told = choose_engine(solver.engine, cost, source.positions, target.positions)
    ours = isinstance(
        engine, SharedRows
    )  # ranks have put the clouds together: nobody else has them
    plain = outside(lambda: (source.copy(ours), target.copy(ours)), source.positions)
    blur = float(blur)  # powers of NumPy's numbers have their few digits
    problem = Problem(*plain, cost, penalty, p, blur, engine, told=told, named=named)
    problem = _over_few(problem, solver, debias)
    share = solver.rounding(problem)
    if outside(lambda: lacks_digits(*plain, p, blur, share, beyond), source.positions):
        new = dtype != torch.float64
        if ours and new and solver.keeps(problem):
            from .pruned.narrow import narrow  # here, for a light import of the library

            source, target, plain = narrow(source, target, penalty.imposed)
        else:
            source, target = source.double(), target.double()
            if penalty.imposed:
                target = of_mass(target, source)
            plain = outside(lambda: (source.copy(new), target.copy(new)), source.positions)
        problem = problem.of(*plain)
    outside(lambda: solver.check(problem), source.positions)
    cost = problem.cost
    outside(lambda: check_cost(cost, *plain, debias, engine), source.positions)
    problem = replace(problem, even=debias or isinstance(cost, GroundCost))
    problems, given = [problem], [(source, target)]
    if debias:
        problems += [problem.own(problem.source), problem.own(problem.target)]
        given += [(source, source), (target, target)]
    starts = _starts(init, problem, debias)
    found = outside(lambda: solver.solve_all(problems, starts), source.positions)
    solved = []
    for one, solution, clouds in zip(problems, found, given, strict=True):
        if solution.pairs is not None:
            one = replace(one, pairs=solution.pairs.to(dtype))
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


def say_what_failed(solved: list[Solved], temperature: str = "blur") -> None:
    """One warning where a tolerance was asked for and not met; ``temperature`` is the argument that sets it."""
    reports = [report for part in solved for report in part.solution.reports]
    failed = [report for report in reports if not report.converged]
    if failed:
        worst = max(failed, key=lambda report: report.residual)
        warn_user(
            f"The marginals are off by {worst.residual:.1e} of the mass after {worst.n_iter} sweeps, "
            f"tol={worst.tol:g} was asked for. The result says converged=False; allow more sweeps "
            f"with solver=Sinkhorn(max_sweeps=...), or take a larger {temperature}."
        )


def _starts(init: Init, problem: Problem, debias: bool) -> list[Potentials | None]:
    """The potentials of an earlier result, checked against the clouds."""
    count = 3 if debias else 1
    if init is None or isinstance(init, Potentials):
        return [init, None, None][:count]
    if isinstance(init, (str, os.PathLike)):
        from .solvers.checkpoint import read_checkpoint  # here, for a light import of the library

        if len(problem.source.positions) > 1:
            raise bad_input(
                "init", "a folder, with a batch of clouds", "one pair", "Solve one by one."
            )
        n, m = problem.sizes
        return read_checkpoint(init, [(n, m), (n, n), (m, m)][:count], problem.source.positions)
    if not isinstance(init, Transport):
        raise bad_input(
            "init", type(init).__name__, "an earlier Transport, or a folder", kind=TypeError
        )
    wanted = tuple(cloud.weights.shape for cloud in (problem.source, problem.target))
    earlier = init.solved[0].solution
    got = (earlier.f.shape, earlier.g.shape)
    if got != wanted:
        sizes = [tuple(shape) for shape in (*got, *wanted)]
        raise bad_input(
            "init", f"potentials of shapes {sizes[0]}, {sizes[1]}", f"{sizes[2]}, {sizes[3]}"
        )
    starts: list[Potentials | None] = [solved.solution for solved in init.solved[:count]]
    return starts + [None] * (count - len(starts))
