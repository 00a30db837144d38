r"""``solve``: entropic transport for a matrix of costs."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ...engines.openmp import own_settings
from ...errors import bad_input
from ...held import Watch
from ...operators.arrays import Array, like, of_one_kind
from ...operators.autograd.compiled import eagerly
from ...operators.autograd.unchanged import of_unchanged
from ...points import check_balanced, check_positive, transformed
from ..derivatives.curvature import Curvature
from ..derivatives.solved import Solved as Answered
from ..derivatives.solved import say_what_failed
from ..marginals import Reach
from ..posed import solve_points, with_tolerance
from ..result import Transport
from ..solvers.progress import deferred
from ..solvers.sinkhorn import BLIND, ROUNDING, Sinkhorn
from ..solvers.small import STORED_PAIRS
from .derivatives import Solved, plan_of, potentials_of, value_of
from .engine import MatrixEngine
from .matrix import Matrix, as_matrix

__all__ = ["MatrixTransport", "solve"]


@eagerly
@own_settings
def solve(
    C: Array,
    a: Array | None = None,
    b: Array | None = None,
    *,
    reg: float,
    unbalanced: Reach = None,
    tol: float = 1e-3,
    solver: Sinkhorn | None = None,
    init: MatrixTransport | None = None,
) -> MatrixTransport:
    r"""Entropic transport for costs that are stored, to a tolerance.

    .. math::
        \min_P \, \langle P, C \rangle + \varepsilon KL(P \,|\, a \otimes b)
        + \rho \, KL(P 1 \,|\, a) + \rho \, KL(P^\top 1 \,|\, b)

    The names are those of ``ot.solve`` in POT, with its default ``reg_type="KL"`` and ``unbalanced_type="KL"``, and in
    GeomLoss: ``reg`` is :math:`\varepsilon` and ``unbalanced`` :math:`\rho`, both in the units of the costs. For points,
    :func:`solve_sample` stores no matrix; it has ``reg = blur**p`` and ``unbalanced = reach**p``.

    Args:
        C: ``(N, M)`` costs, or ``(B, N, M)`` of a batch, tensor, array or lists; they may be negative.
        a: ``(N,)`` or ``(B, N)`` weights of the rows; None means 1/N.
        b: ``(M,)`` or ``(B, M)`` weights of the columns.
        reg: temperature.
        unbalanced: price of mass that is created or destroyed; a pair for rows and columns, None where a
            marginal is imposed.
        tol: L1 error of the marginals of the plan, relative to the mass.
        solver: options, as ``Sinkhorn(max_sweeps=...)``.
        init: an earlier result for a matrix of that shape, to start from.

    Returns:
        A :class:`MatrixTransport`: the value has first and second derivatives in C, a and b, its potentials and its
        plan have first ones.

    Raises:
        ValueError, TypeError: if an argument is not as described. Not reaching the tolerance is a warning.

    References:
        Cuturi, 2013; Chizat, Peyré, Schmitzer and Vialard, 2018, "Scaling algorithms for unbalanced optimal transport
        problems".

    Example:
        >>> import torch
        >>> C = torch.tensor([[0.0, 1.0, 4.0], [2.0, 1.0, 0.0]]).double()
        >>> result = solve(C, reg=0.01)
        >>> result.plan.shape, result.converged
        (torch.Size([2, 3]), True)
    """
    check_positive(reg=reg)
    _check_prices(unbalanced)
    if transformed(C, a, b):
        fix = "torch.autograd differentiates the value; a batch is (B, N, M)."
        raise bad_input("torch.func", "a matrix inside of a transform", "a plain tensor", fix)
    (C, a, b), first = of_one_kind(C=C, a=a, b=b)
    C, weights, matrix, (source, target) = as_matrix(C, a, b)
    if unbalanced is None:
        check_balanced(source, target, "unbalanced")
    how = with_tolerance(Sinkhorn() if solver is None else solver, tol)
    if init is not None and not isinstance(init, MatrixTransport):
        raise bad_input("init", type(init).__name__, "an earlier result of solve", kind=TypeError)
    _check_digits(matrix, reg)
    options: dict[str, Any] = {"blur": float(reg), "p": 1, "reach": unbalanced, "debias": False}
    options["beyond"] = float(
        matrix.costs.abs().max()
    )  # points are on a line as long as costs differ
    options["named"] = "reg"
    large = C.shape[1] * C.shape[2] > STORED_PAIRS and C.device.type == "cpu"
    by = how.on(MatrixEngine(matrix)) if large and how.engine == "auto" else how
    with deferred():
        found = solve_points(source, target, matrix.formula, **options, solver=by, init=init)
        say_what_failed(found, "reg")
        reference = like(C.detach().new_empty(0), first)
        return MatrixTransport((C, *weights), found, first.ndim == 3, reference, how)


def _check_prices(unbalanced: Any) -> None:
    """Refuses what is neither a price nor a pair of them."""
    pair = isinstance(unbalanced, tuple | list)
    if pair and len(unbalanced) != 2:
        raise bad_input("unbalanced", f"{len(unbalanced)} prices", "one price, or a pair of them")
    for price in unbalanced if pair else (unbalanced,):
        check_positive(unbalanced=price)


def _check_digits(matrix: Matrix, reg: float) -> None:
    """Refuses a temperature at which exponents have no digits left, even in double precision."""
    low, high = matrix.costs.flatten(1).aminmax(dim=1)
    span = float((high - low).max())
    least = span * ROUNDING / BLIND
    if reg < least:
        wanted = f"at least {least:.2g} for costs that differ by up to {span:.3g}"
        fix = "Below, rounding alone changes the plan: take a larger reg, or smaller costs."
        raise bad_input("reg", f"{reg:g}", wanted, fix)


class MatrixTransport(Transport):
    """The result of :func:`solve`: a :class:`Transport` whose costs are a stored matrix.

    It has no maps, for there are no points, and derivatives in the costs.

    Example:
        >>> import torch
        >>> C = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).requires_grad_()
        >>> result = solve(C, reg=0.01)
        >>> result.value.backward()
        >>> C.grad.round(decimals=3).tolist()  # the plan
        [[0.5, 0.0], [0.0, 0.5]]
    """

    def __init__(
        self,
        given: tuple[Tensor, Tensor, Tensor],
        solved: list[Answered],
        batched: bool,
        reference: Array,
        solver: Sinkhorn,
    ) -> None:
        problem, found = solved[0].problem, solved[0].solution
        self.given, self.watch = given, Watch(*given)
        self.found = Solved(found.f.double(), found.g_prev.double(), problem.eps, problem.penalty)
        super().__init__(solved, batched, reference, solver)

    @cached_property
    @own_settings
    def value(self) -> Array:
        """The transport cost, entropy and penalties included, with first and second derivatives in C, a and b."""
        value = value_of(*self._doubled, self.solved[0].numbers, self.found)
        return self._shown(of_unchanged(value.to(self._dtype), *self.given))

    @property
    def potentials(self) -> tuple[Array, Array]:
        """f and g, with their first derivatives."""
        f, g = potentials_of(*self._doubled, self.found)
        return self._shown(f), self._shown(g)

    @property
    def potential_a(self) -> Array:
        """The potential f of the rows, with its first derivatives; balanced, so that ``<a, f> = <b, g>``."""
        return self.potentials[0]

    @property
    def potential_b(self) -> Array:
        """The potential g of the columns."""
        return self.potentials[1]

    @property
    def plan(self) -> Array:
        """The whole plan ``(N, M)``, with its first derivatives."""
        return self._shown(plan_of(*self._doubled, self.found))

    @property
    def of_what(self) -> str:
        """Costs, not points."""
        return "costs"

    @property
    def temperature(self) -> str:
        """In the units of the costs."""
        return f"reg {self.found.eps:g}"

    def map(self, points: Array | None = None, *, inverse: bool = False) -> Array:
        """Refused: rows and columns are no points. ``plan @ y`` takes means of what they stand for."""
        fix = "result.plan_operator @ y are sums of what columns stand for."
        raise bad_input("map", "a matrix of costs, without points", "points: solve_sample", fix)

    def curvatures(self, wrt: str, item: int = 0) -> list[Curvature]:
        """Refused, as second derivatives in points are."""
        self.refuse_moved(wrt)
        return super().curvatures(wrt, item)

    def refuse_moved(self, wrt: str) -> None:
        """What is known in points only; derivatives in a, b and C are those of autograd."""
        fix = "torch.autograd differentiates the value twice, in C, a and b."
        raise bad_input("wrt", repr(wrt), "a result of solve_sample", fix)

    @property
    def _doubled(self) -> tuple[Tensor, Tensor, Tensor]:
        if torch.is_grad_enabled() and any(t.requires_grad for t in self.given):
            self.watch.check("potentials", "the costs or weights of a result were")
            C, a, b = self.given
            return C.double(), a.double(), b.double()
        problem = self.solved[0].problem
        a, b = (c.weights.double() for c in (problem.source, problem.target))
        costs = problem.cost_matrix(problem.source.positions, problem.target.positions)
        return costs.double(), a, b
