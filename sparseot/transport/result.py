"""``Transport``: what a solve found, and the evidence for it."""

from __future__ import annotations

import math
from functools import cached_property
from html import escape
from typing import Any

import torch
from torch import Tensor

from ..engines.openmp import on_one_thread, own_settings
from ..errors import bad_input
from ..operators.base import DENSE_LIMIT, Operator
from .arguments import as_directions, as_new_points, check_entries
from .derivatives.curvature import Curvature, hessian_product
from .derivatives.solved import Answer, Solved
from .plans.gradient_error import gradient_error
from .plans.interval import TIGHT, value_bounds
from .plans.largest import sparse_entries
from .plans.maps import mapped, mapped_points
from .plans.matrix import PlanMatrix
from .plans.summary import picture, text
from .problem import Problem
from .solution import Level, Report
from .solvers.sinkhorn import Sinkhorn

__all__ = ["Transport"]


class Transport(Answer):
    """The result of :func:`solve_sample`.

    All tensors have the dtype of the points, but for ``lower``, ``upper`` and ``gradient_error()``,
    which are float64; batches ``(B, N, D)`` give a leading axis B to everything.

    The result has copies of the clouds: where these are changed in place, its numbers, plans and maps
    stay those of what was solved, and derivatives are refused as autograd does.

    Attributes:
        converged: whether the tolerance was met (in all items and, debiased, all three problems).
        n_iter: sweeps over all temperatures (two half-steps each), the largest of the items.
        residual: L1 error of the marginals of the plan, relative to the mass, over all pairs.
        tol: the tolerance that was asked for.
    """

    def __init__(self, solved: list[Solved], batched: bool, like: Tensor, solver: Sinkhorn) -> None:
        super().__init__(solved, batched, like)
        self.solver = solver
        reports = [report for part in solved for report in part.solution.reports]
        self.converged = all(report.converged for report in reports)
        self.residual = max(report.residual for report in reports)
        self.n_iter = max(report.n_iter for report in reports)
        self.tol = reports[0].tol
        _ = self.value  # its graph is that of now, whatever happens to the clouds

    @cached_property
    def value(self) -> Tensor:
        r"""The transport cost :math:`OT_\varepsilon`, or the divergence if debiased.

        It is the dual objective of the potentials, which the error of the marginals reaches only
        in its square. First and second derivatives in x, y, a and b are exact.
        """
        return super().value

    @cached_property
    @on_one_thread
    def value_linear(self) -> Tensor:
        r"""The cost :math:`\langle P, C \rangle` of the plan, without its entropy and no debiasing."""
        return self._shown(PlanMatrix(*self._parts, True, self._dtype).cost())

    @property
    def potential_a(self) -> Tensor:
        """The potential f of the points x, of the shape of their weights, with its derivatives.

        Balanced, potentials are known up to a constant: it is chosen so that ``<a, f> = <b, g>``.
        """
        return self._shown(self.solved[0].potentials[0])

    @property
    def potential_b(self) -> Tensor:
        """The potential g of the points y."""
        return self._shown(self.solved[0].potentials[1])

    @property
    def potential_aa(self) -> Tensor:
        """The potential of the transport of x to itself (debiased only)."""
        return self._own(1)

    @property
    def potential_bb(self) -> Tensor:
        """The potential of the transport of y to itself (debiased only)."""
        return self._own(2)

    @cached_property
    def lower(self) -> Tensor:
        r"""A lower bound of the true value, to which ``value`` is an approximation.

        Computed in double precision from the potentials as they are, converged or not, and from a
        bound on every pair that was not visited (see "Transport at scale" in the guide). Float64.
        """
        return self._interval[0]

    @cached_property
    def upper(self) -> Tensor:
        """An upper bound of the true value, float64."""
        return self._interval[1]

    @cached_property
    @own_settings
    def _interval(self) -> tuple[Tensor, Tensor]:
        low, high = value_bounds(self.solved, self._steps)
        return (low, high) if self.batched else (low[0], high[0])

    @own_settings
    def gradient_error(self, wrt: str = "x") -> Tensor:
        r"""A bound on the error of the gradient of the value in the points x or y.

        That is :math:`\sum_i |\partial_{x_i} \text{value} - \partial_{x_i} \text{true value}|`. It
        follows from the interval: the plan is as near to the true one as the value is, and where
        mass goes at most :math:`\sqrt{2 V K} + R K / 3` wrong, with K the width of the interval in
        temperatures, V the variance of the plan's rows and R their largest deviation. With
        ``Sinkhorn(certificate="tight")`` it is of the order of ``tol``, else of its root.

        Args:
            wrt: "x" or "y".

        Returns:
            ``()`` or ``(B,)``, float64.

        Raises:
            ValueError: for a cost that is a function, or another argument.

        References:
            Boucheron, Lugosi and Massart, 2013, "Concentration inequalities", chapter 4.
        """
        if wrt not in ("x", "y"):
            raise bad_input("wrt", repr(wrt), 'one of "x", "y"')
        bound = gradient_error(self.solved, "xy".index(wrt), self._steps, self._dtype)
        return bound if self.batched else bound[0]

    @property
    def _steps(self) -> int:
        return TIGHT if self.solver.certificate == "tight" else 0

    @property
    def omitted(self) -> float:
        """A bound on the mass of the pairs that were not visited (the largest of a batch)."""
        return max(report.omitted for part in self.solved for report in part.solution.reports)

    @property
    def kept_fraction(self) -> float:
        """The share of all pairs that were visited at the last temperature."""
        return self.reports[0].kept_fraction

    @cached_property
    def plan_operator(self) -> Operator:
        """The plan as a matrix that is not stored: ``@``, ``.T``, ``.sum()``, ``.diagonal()``."""
        return PlanMatrix(*self._parts, self.batched, self._dtype)

    @property
    def plan(self) -> Tensor:
        """The whole plan ``(N, M)``; refused above 2^28 entries."""
        shape = self.plan_operator.shape
        if math.prod(shape) > DENSE_LIMIT:
            fix = "Use plan_operator @ v, sparse_plan(mass=0.99), or map()."
            raise bad_input("plan", f"{shape}, too large to store", "at most 2^28 entries", fix)
        entries: Tensor = self.plan_operator.to_dense()
        return entries

    @own_settings
    def sparse_plan(self, k: int | None = None, *, mass: float | None = None) -> Any:
        """The largest entries of each row, as a SciPy CSR array whose columns are sorted.

        The plan itself is never stored; where only kept pairs were visited, entries are theirs.

        Args:
            k: entries kept in a row, at most.
            mass: instead, the share of each row's sum that must be kept, as 0.99: then each row
                has as few entries as that takes.

        Returns:
            ``(N, M)``; what its rows lack of ``marginal_a`` is the mass that was left out.

        Raises:
            ValueError, TypeError: unless exactly one of both is given, and for a batch.
        """
        if self.batched:
            raise bad_input("sparse_plan", "a batch", "one pair of clouds")
        check_entries(k, mass)
        entries = sparse_entries(*self._parts, k, mass)
        return entries.astype(PlanMatrix(*self._parts, False, self._dtype).dtype)

    @cached_property
    def marginal_a(self) -> Tensor:
        """The row sums ``P 1``."""
        sums: Tensor = self.plan_operator.sum()
        return sums

    @cached_property
    def marginal_b(self) -> Tensor:
        """The column sums of the plan."""
        sums: Tensor = self.plan_operator.sum(-2)
        return sums

    @own_settings
    def map(self, points: Tensor | None = None, *, inverse: bool = False) -> Tensor:
        r"""Where the points of x go: the mean of their partners, :math:`(P y)_i / (P 1)_i`.

        At any other point, the entropic map: the mean of y under :math:`b_j e^{(g_j - C(x, y_j)) /
        \varepsilon}`, which is smooth and agrees with the plan at the points of x.

        Args:
            points: ``(K, D)`` or ``(B, K, D)`` new points; None for x itself.
            inverse: map from y to x instead.

        Returns:
            ``(K, D)`` or ``(B, K, D)``.

        References:
            Pooladian and Niles-Weed, 2021, "Entropic estimation of optimal transport maps".
        """
        problem, f, g = self._parts
        if inverse:
            problem, f, g = problem.swapped(), g, f
        if points is None:
            return self._shown(mapped(problem, f, g))
        new = as_new_points(points, problem.source.positions, self.batched)
        return self._shown(mapped_points(problem, f, g, new))

    def curvatures(self, wrt: str, item: int = 0) -> list[Curvature]:
        """What the Hessian in one argument is made of: the cost's, and that of its cloud and itself."""
        own = [self.solved[1 if wrt in "xa" else 2]] if self.debias else []
        found = [part.curvatures[item] for part in (self.solved[0], *own)]
        if wrt in "xy":
            for part in found:
                part.refuse_coincident()
        return found

    @own_settings
    def hvp(self, v: Tensor, wrt: str = "x") -> Tensor:
        """The Hessian of the value in x, y, a or b, times a vector, or several of them.

        Where matrices are large nothing of their size is stored: the linear system is solved by
        conjugate gradients on kernel sums, to a relative residual of 1e-8. Several vectors share
        their passes over the pairs. See :func:`sparseot.hessian`.

        Args:
            v: of the shape of x, y, a or b, or with one more axis, last, for several vectors.
            wrt: "x", "y", "a" or "b".

        Returns:
            Of the shape of v.
        """
        items = as_directions(v, wrt, self.solved[0].problem, self.batched)
        products = [
            hessian_product(self.curvatures(wrt, k), wrt, item) for k, item in enumerate(items)
        ]
        return torch.stack(products).reshape(v.shape).to(v.dtype)

    def __repr__(self) -> str:
        return text(self)

    @own_settings
    def _repr_html_(self) -> str:
        """The report, with a picture of the plan between the clouds along their main axis."""
        return f"<pre>{escape(repr(self))}</pre>{'' if self.batched else picture(*self._parts)}"

    @property
    def reports(self) -> list[Report]:
        """How each item of the (first) problem was solved."""
        return self.solved[0].solution.reports

    @property
    def levels(self) -> tuple[Level, ...]:
        """The temperatures that were solved on the way, those of the first item."""
        return self.reports[0].levels

    @property
    def _parts(self) -> tuple[Problem, Tensor, Tensor]:
        found = self.solved[0]
        return found.problem, found.solution.f, found.solution.g

    def _own(self, which: int) -> Tensor:
        if not self.debias:
            fix = "Solve with debias=True."
            raise bad_input("potential_aa", "a result without debiasing", "a divergence", fix)
        return self._shown(self.solved[which].potentials[0])
