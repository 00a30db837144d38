r"""``solve_sample``: entropic transport between two clouds, solved to a tolerance."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from ..engines.base import Formula
from ..engines.choose import choose_engine
from ..errors import bad_input
from ..formulas import as_cost
from ..points import Points, bounding_diameter, check_positive, lacks_digits, points_pair
from .annealing import Potentials
from .cells import Cells
from .kept import KeptPairs
from .marginals import Reach, marginals
from .problem import Problem
from .report import Solution
from .result import Transport
from .rules import outside
from .sinkhorn import Sinkhorn
from .solved import Solved

__all__ = ["solve_sample"]

SINGLE = 1e-5  # tolerance that single precision can reach
ROUNDING, BLIND = 1.1e-16, 1e-2  # of double precision, and the error of an entry that is too much


def solve_sample(
    x: Tensor,
    y: Tensor,
    a: Tensor | None = None,
    b: Tensor | None = None,
    *,
    blur: float,
    p: int = 2,
    reach: Reach = None,
    debias: bool = False,
    tol: float = 1e-3,
    cost: Formula | Callable[[Tensor, Tensor], Tensor] | str | None = None,
    solver: Sinkhorn | None = None,
    init: Transport | None = None,
) -> Transport:
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
        x: ``(N, D)`` or ``(B, N, D)`` points.
        y: ``(M, D)`` or ``(B, M, D)`` points.
        a: ``(N,)`` or ``(B, N)`` weights; None means 1/N.
        b: ``(M,)`` or ``(B, M)`` weights.
        blur: smoothing length, in the units of the points.
        p: exponent of the ground cost, 1 or 2.
        reach: length above which mass is rather created and destroyed than moved; a pair for
            different lengths on the side of x and of y, None where a marginal is imposed.
        debias: subtract half of the transport cost of each cloud to itself from the value.
        tol: L1 error of the marginals of the plan, relative to the mass.
        cost: another ground cost, as in :func:`sparseot.sinkhorn_divergence`.
        solver: options, as ``Sinkhorn(max_sweeps=..., progress=True)``.
        init: an earlier result for clouds of the same sizes, to start from.

    Returns:
        A :class:`Transport`: value, potentials, plan, map, and how far they can be trusted. The
        value has exact first and second derivatives in x, y, a and b, the potentials first ones.

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
    source, target, batched = points_pair(x, y, a, b)
    check_positive(blur=blur, tol=tol)
    formula, penalty = as_cost(cost, p), marginals(reach, p)
    penalty.check(source, target)
    if debias and penalty.rhos[0] != penalty.rhos[1]:
        fix = "Give one reach for both clouds, or debias=False."
        raise bad_input("reach", f"the pair {reach} with debias=True", "one length", fix)
    solver = solver or Sinkhorn()
    solver = replace(solver, tol=solver.tol or tol)
    share = 0.1 * (solver.tol or tol)
    if share < 0.1 * SINGLE or solver.all_pairs(source, target, formula) is None:
        share = 0.0  # potentials are found in double precision
    plain = source.plain(), target.plain()
    if outside(lambda: lacks_digits(*plain, p, blur, share), source.positions):
        source, target = source.double(), target.double()
        if all(map(math.isinf, penalty.rhos)):
            target = _of_mass(target, source)
    outside(lambda: _check_blur(*plain, p, blur), source.positions)
    engine, _ = choose_engine(solver.engine, formula, source.positions)
    problem = Problem(source, target, formula, penalty, p, blur, engine)
    clouds = [(source, target)] + ([(source, source), (target, target)] if debias else [])
    start = _starts(init, problem, debias)
    cut: dict[tuple[int, int], Cells] = {}
    solved = [
        _solve(solver, replace(problem, source=here, target=there), first, x.dtype, cut)
        for (here, there), first in zip(clouds, start, strict=True)
    ]
    return Transport(solved, batched, x, solver)


def _of_mass(cloud: Points, other: Points) -> Points:
    """The cloud with the mass of another, from which it differs by the rounding of weights."""
    ratio = (other.mass / cloud.mass).detach()
    return Points(cloud.positions, cloud.weights * ratio[:, None])


def _check_blur(source: Points, target: Points, p: int, blur: float) -> None:
    """Refuses a blur at which exponents have no digits left, even in double precision."""
    diameter = float(bounding_diameter(source, target).max())
    least = diameter * (ROUNDING / (p * BLIND)) ** (1 / p)
    if blur < least:
        wanted = f"at least {least:.2g} for points up to {diameter:.3g} apart"
        fix = "Below, rounding alone changes the plan: take a larger blur, or sort out outliers."
        raise bad_input("blur", f"{blur:g}", wanted, fix)


def _solve(
    solver: Sinkhorn,
    problem: Problem,
    start: Potentials | None,
    dtype: torch.dtype,
    cut: dict[tuple[int, int], Cells],
) -> Solved:
    items, plain = len(problem.source.positions), problem.plain()

    def run() -> Solution:
        return solver.solve(
            plain.source,
            plain.target,
            problem.cost,
            problem.penalty,
            p=problem.p,
            blur=problem.blur,
            diameter=bounding_diameter(plain.source, plain.target),
            engine=problem.engine,
            partner=list(range(items)) if problem.symmetric else None,
            start=start,
            cut=cut,
        )

    solution = outside(run, problem.source.positions)
    _say_what_failed(solution)
    if solution.checks:
        problem = replace(problem, engine=KeptPairs(solution.checks, problem.engine, dtype))
    return Solved(problem, solution)


def _say_what_failed(solution: Solution) -> None:
    failed = [report for report in solution.reports if not report.converged]
    if failed:
        worst = max(failed, key=lambda report: report.residual)
        warnings.warn(
            f"The marginals are off by {worst.residual:.1e} of the mass after {worst.n_iter} sweeps, "
            f"tol={worst.tol:g} was asked for. The result says converged=False; allow more sweeps "
            "with solver=Sinkhorn(max_sweeps=...), or take a larger blur.",
            RuntimeWarning,
            stacklevel=4,
        )


def _starts(init: Transport | None, problem: Problem, debias: bool) -> list[Potentials | None]:
    """The potentials of an earlier result, checked against the clouds."""
    count = 3 if debias else 1
    if init is None:
        return [None] * count
    if not isinstance(init, Transport):
        raise bad_input("init", type(init).__name__, "an earlier Transport", kind=TypeError)
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
