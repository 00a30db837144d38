"""``Transport``: what a solve found, and the evidence for it."""

from __future__ import annotations

from functools import cached_property
from html import escape
from typing import TYPE_CHECKING

import torch

from ..engines.openmp import own_settings
from ..errors import bad_input
from ..operators.arrays import Array, as_tensor, floating, like, listed
from ..operators.autograd.spread import Spread
from ..points import Points
from .derivatives.curvature import Curvature, hessian_product
from .derivatives.solved import Solved
from .plan import SolvedPlan
from .plans.arguments import as_directions
from .plans.bounds.interval import TIGHT, value_bounds
from .plans.summary import picture, status, text
from .solution import Level, Report
from .solvers.sinkhorn import Sinkhorn

if TYPE_CHECKING:
    from .derivatives.chain import Chain
    from .plans.bounds.unregularised import Bounds

__all__ = ["Transport"]


class Transport(SolvedPlan):
    """The result of :func:`solve_sample`.

    All tensors have the dtype of the points (float32 of half precision), but for ``lower``,
    ``upper`` and ``gradient_error()``, which are float64; batches ``(B, N, D)`` give a leading axis B
    to everything. Where the clouds were NumPy arrays, arrays and Python numbers are in their place.

    The result has copies of the clouds: where these are changed in place, its numbers, plans and maps
    stay those of what was solved, and derivatives are refused as autograd does.

    Attributes:
        converged: whether the tolerance was met (in all items and, debiased, all three problems).
        n_iter: sweeps over all temperatures (two half-steps each), the largest of the items.
        residual: L1 error of the marginals of the plan, relative to the mass, over all pairs.
        tol: the tolerance that was asked for.

    Example:
        >>> import torch
        >>> from sparseot import solve_sample
        >>> found = solve_sample(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]), blur=0.1)
        >>> bool(found.lower <= found.value <= found.upper), found.map().tolist()
        (True, [[3.0, 4.0]])
    """

    def __init__(
        self,
        solved: list[Solved],
        batched: bool,
        reference: Array,
        solver: Sinkhorn,
        spreads: tuple[Spread, Spread] | None = None,
    ) -> None:
        super().__init__(solved, batched, reference, spreads)
        self.solver = solver
        reports = [report for part in solved for report in part.solution.reports]
        self.converged = all(report.converged for report in reports)
        self.residual = max(report.residual for report in reports)
        self.n_iter = max(report.n_iter for report in reports)
        self.tol = reports[0].tol
        _ = self.value  # its graph is that of now, whatever happens to the clouds

    @cached_property
    def value(self) -> Array:
        r"""The transport cost :math:`OT_\varepsilon`, or the divergence if debiased.

        It is the dual objective of the potentials, which the error of the marginals reaches only
        in its square. First and second derivatives in x, y, a and b are exact.
        """
        return super().value

    @property
    def potential_a(self) -> Array:
        """The potential f of the points x, of the shape of their weights, with its derivatives.

        Balanced, potentials are known up to a constant: it is chosen so that ``<a, f> = <b, g>``.
        """
        return self._potential(0, 0)

    @property
    def potential_b(self) -> Array:
        """The potential g of the points y."""
        return self._potential(0, 1)

    @property
    def potentials(self) -> tuple[Array, Array]:
        """``potential_a`` and ``potential_b``."""
        return self.potential_a, self.potential_b

    @property
    def potential_aa(self) -> Array:
        """The potential of the transport of x to itself (debiased only)."""
        return self._own(1)

    @property
    def potential_bb(self) -> Array:
        """The potential of the transport of y to itself (debiased only)."""
        return self._own(2)

    @cached_property
    def lower(self) -> Array:
        r"""A lower bound of the true value, to which ``value`` is an approximation.

        Computed in double precision from the potentials as they are, converged or not, and from a
        bound on every pair that was not visited (see "Transport at scale" in the guide). Float64.
        """
        return self._interval[0]

    @cached_property
    def upper(self) -> Array:
        """An upper bound of the true value, float64."""
        return self._interval[1]

    @cached_property
    @own_settings
    def _interval(self) -> tuple[Array, Array]:
        low, high = value_bounds(self.solved, self._steps)
        return self._shown(low, torch.float64), self._shown(high, torch.float64)

    @cached_property
    @own_settings
    def unregularised_bounds(self) -> list[Bounds]:
        """Those of each item, see :attr:`unregularised`."""
        from .plans.bounds.unregularised import (
            unregularised,  # here, for a light import of the library
        )

        problem, found = self.solved[0].problem, self.solved[0].solution
        items = range(len(found.reports))
        return [unregularised(problem, found.f, found.g_prev, k) for k in items]

    @property
    def unregularised(self) -> tuple[Array, Array]:
        r"""Bounds of the cost without entropy, :math:`\min \langle P, C \rangle`, float64.

        Valid whatever the state of the solve; the lower the temperature, the closer. Balanced transport
        only, with :math:`C = |x - y|^p / p`; see :func:`wasserstein_distance`, which lowers the
        temperature until they meet.
        """
        ends = [[bound.lower, bound.upper] for bound in self.unregularised_bounds]
        device = self.solved[0].problem.source.like.device
        low, high = torch.tensor(ends, dtype=torch.float64, device=device).T
        return self._shown(low, torch.float64), self._shown(high, torch.float64)

    @own_settings
    def gradient_error(self, wrt: str = "x") -> Array:
        r"""A bound on the error of the gradient of the value in x or y, before half precision rounds it.

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
        self.refuse_moved(wrt)
        from .plans.bounds.gradient_error import (
            gradient_error,  # here, for a light import of the library
        )

        bound = gradient_error(self.solved, "xy".index(wrt), self._steps, self._dtype)
        return self._shown(bound, torch.float64)

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

    def curvatures(self, wrt: str, item: int = 0) -> list[Curvature]:
        """What the Hessian in one argument is made of: the cost's, and that of its cloud and itself."""
        own = [self.solved[1 if wrt in "xa" else 2]] if self.debias else []
        found = [part.curvatures[item] for part in (self.solved[0], *own)]
        if wrt in "xy":
            for part in found:
                part.refuse_coincident()
        return found

    def chain(self, wrt: str, parts: list[Curvature], item: int = 0) -> Chain | None:
        """What leads from the Hessian of moved points to that of those that came; None where none was moved."""
        first = self.solved[0]
        if first.came is None or wrt in "ab":
            return None
        from .derivatives.chain import Chain  # here, for a light import of the library

        points, weights = first.moving(wrt), first.moving("a" if wrt == "x" else "b")
        cloud = Points(points, weights).part(item, points.shape[1])
        return Chain.of(first.came, cloud, parts, wrt)

    @own_settings
    def hvp(self, v: Array, wrt: str = "x") -> Array:
        """The Hessian of the value in x, y, a or b, times a vector, or several of them.

        Where matrices are large nothing of their size is stored: the linear system is solved by
        conjugate gradients on kernel sums, to a relative residual of 1e-8. Several vectors share
        their passes over the pairs. See :func:`sparseot.hessian`.

        Args:
            v: of the shape of x, y, a or b, or with one more axis, last, for several vectors.
            wrt: "x", "y", "a" or "b".

        Returns:
            Of the shape and kind of v.
        """
        spread = None if self.spreads is None else self.spreads[wrt in ("y", "b")]
        v = listed(v, "v")
        v = floating(v if spread is None else spread.whole("v", v), "v")
        items = as_directions(v, wrt, self.solved[0], self.batched)
        products = []
        for k, item in enumerate(items):
            parts = self.curvatures(wrt, k)
            chain = self.chain(wrt, parts, k)
            products.append((chain.product if chain else hessian_product)(parts, wrt, item))
        found = torch.stack(products).reshape(v.shape)
        found = like(found.to(as_tensor(v, v).dtype), v)
        return found if spread is None else spread.own(found)

    def refuse_moved(self, wrt: str) -> None:
        """What is known in the points of the formula only, where a cost moved those of the caller."""
        if wrt in "xy" and self.solved[0].came is not None:
            fix = "torch.autograd differentiates the value twice, through the map of the cost as well."
            cost = f"{self.solved[0].came.cost}, which moves points"
            raise bad_input("cost", cost, "one of the points as they are", fix)

    @property
    def status(self) -> str:
        """One sentence: whether the tolerance was met, by which error, and after how many sweeps."""
        return status(self)

    def __repr__(self) -> str:
        return text(self)

    @own_settings
    def _repr_html_(self) -> str:
        """The report, with a picture of the plan between the clouds along their main axis."""
        drawn = not self.batched and self.spreads is None  # one rank alone may be shown
        return f"<pre>{escape(repr(self))}</pre>{picture(*self._parts) if drawn else ''}"

    @property
    def reports(self) -> list[Report]:
        """How each item of the (first) problem was solved."""
        return self.solved[0].solution.reports

    @property
    def levels(self) -> tuple[Level, ...]:
        """The temperatures that were solved on the way, those of the first item."""
        return self.reports[0].levels

    def _own(self, which: int) -> Array:
        if not self.debias:
            fix = "Solve with debias=True."
            raise bad_input("potential_aa", "a result without debiasing", "a divergence", fix)
        return self._potential(which, which - 1)

    def _potential(self, which: int, side: int) -> Array:
        """One of both potentials of a problem; those of a cloud and itself are one."""
        part, place = self.solved[which], 0 if which else side
        own = part.own_potentials
        if own is not None:
            return self._of_blocks(own[place], side)
        return self._of_points(part.potentials[place], side)
