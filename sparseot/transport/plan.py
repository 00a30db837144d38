"""The plan of a solved problem, and what is asked of it: products, entries, marginals, maps, draws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..engines.openmp import on_one_thread, own_settings
from ..errors import bad_input
from ..operators.arrays import Array, like, listed, shown
from ..operators.base import DENSE_LIMIT, Operator
from ..points import check_integer
from .derivatives.solved import Answer
from .plans.arguments import as_indices, as_new_points, check_entries
from .plans.maps import mapped, mapped_blocks, mapped_points
from .plans.matrix import PlanMatrix
from .plans.sums import seen_from_target
from .problem import Problem
from .solution import OwnedSolution

if TYPE_CHECKING:
    from .plans.sampling import Generator, PlanSampler

__all__ = ["SolvedPlan"]


class SolvedPlan(Answer):
    """A transport cost, or a divergence, with the plan of its first problem.

    It is never stored, but where ``plan`` asks for it.
    """

    @cached_property
    @on_one_thread
    def value_linear(self) -> Array:
        r"""The cost :math:`\langle P, C \rangle` of the plan, without its entropy and no debiasing."""
        return self._shown(PlanMatrix(*self._parts, True, self.reference).cost())

    @cached_property
    def plan_operator(self) -> Operator:
        """The plan as a matrix that is not stored: ``@``, ``.T``, ``.sum()``, ``.diagonal()``."""
        return PlanMatrix(*self._parts, self.batched, self.reference, self.spreads)

    @property
    def plan(self) -> Array:
        """The whole plan ``(N, M)``; refused above 2^28 entries."""
        shape = self.plan_operator.shape
        if math.prod(shape) > DENSE_LIMIT:
            fix = "Use plan_operator @ v, sparse_plan(mass=0.99), or map()."
            raise bad_input("plan", f"{shape}, too large to store", "at most 2^28 entries", fix)
        entries: Array = self.plan_operator.to_dense()
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
        from .plans.largest import sparse_entries  # here, for a light import of the library

        mine = None if self.spreads is None else self.spreads[0].mine
        entries = sparse_entries(*self._parts, k, mass, mine)
        return entries.astype(PlanMatrix(*self._parts, False, self.reference).dtype)

    @cached_property
    def marginal_a(self) -> Array:
        """The row sums ``P 1``."""
        sums: Array = self.plan_operator.sum()
        return sums if self.spreads is None else self.spreads[0].own(sums)

    @cached_property
    def marginal_b(self) -> Array:
        """The column sums of the plan."""
        sums: Array = self.plan_operator.sum(-2)
        return sums if self.spreads is None else self.spreads[1].own(sums)

    @property
    def marginals(self) -> tuple[Array, Array]:
        """Both of them."""
        return self.marginal_a, self.marginal_b

    @own_settings
    def map(self, points: Array | None = None, *, inverse: bool = False) -> Array:
        r"""Where the points of x go: the mean of their partners, :math:`(P y)_i / (P 1)_i`.

        At any other point, the entropic map: the mean of y under :math:`b_j e^{(g_j - C(x, y_j)) /
        \varepsilon}`, which is smooth and agrees with the plan at the points of x.

        Args:
            points: ``(K, D)`` or ``(B, K, D)`` new points; None for x itself.
            inverse: map from y to x instead.

        Means are those of the points as they were given, also where a cost moves them (those of directions lie
        inside of the sphere).

        Returns:
            ``(K, D)`` or ``(B, K, D)``, of the kind of the points that were given here.

        References:
            Pooladian and Niles-Weed, 2021, "Entropic estimation of optimal transport maps".
        """
        first = self.solved[0]
        if points is None and isinstance(first.solution, OwnedSolution):
            blocks = mapped_blocks(first.problem, first.solution, int(inverse))
            if blocks is not None:
                return self._of_blocks(blocks, int(inverse))
        problem, f, g = self._parts
        came = first.came
        here, there = (
            (problem.source.positions, problem.target.positions)
            if came is None
            else (came.x, came.y)
        )
        if inverse:
            problem, f, g, here, there = problem.swapped(), g, f, there, here
        values = None if came is None else there.to(problem.target.positions)
        if points is None:
            return self._of_points(mapped(problem, f, g, values), int(inverse))
        points, spread = listed(points, "points"), None
        if self.spreads is not None:  # each rank has some new points
            points, spread = self.spreads[0].beside("points", points)
        new = as_new_points(points, here, self.batched)
        if came is not None:
            new = came.moved(new, "points").to(problem.source.positions)
        found = mapped_points(problem, f, g, new, values).to(self._dtype)
        found = like(found if self.batched else found[0], points)
        return found if spread is None else spread.own(found)

    @own_settings
    @torch.no_grad()
    def sample(self, n: int, *, generator: Generator | None = None) -> tuple[Array, Array]:
        r"""Pairs drawn by the plan, as ``x[i], y[j]`` wants them.

        The pair (i, j) has the probability :math:`P_{ij} / \sum P`, exactly: draws are independent, rows
        come by the marginal of the plan itself. The row sums are kept, so that the first call takes a
        pass over all pairs and others one over the rows that they draw; many pairs at once
        are cheaper than a few at a time. Where only kept pairs were visited, no other is drawn: what
        they hold of the mass is at most ``omitted``.

        Args:
            n: how many pairs.
            generator: of torch or of NumPy, for draws that can be repeated; None is torch's own, which
                ``torch.manual_seed`` sets.

        Returns:
            i and j, ``(n,)`` or ``(B, n)``, int64.

        Raises:
            ValueError, TypeError: for another n or generator, and for a plan without mass.

        Example:
            >>> import sparseot as so
            >>> x = torch.tensor([[0.0], [5.0]])
            >>> i, j = so.solve_sample(x, x.flip(0), blur=0.1).sample(100)
            >>> bool((i == 1 - j).all())
            True
        """
        self._refuse_ranks("sample", "Draw from the rows of sparse_plan(mass=0.999) of each rank.")
        from .plans.sampling import uniform  # here, for a light import of the library

        n = check_integer("n", n)
        draws = uniform((2, len(self._parts[1]), n), generator)
        drawn = [self._sampler(False, k).pairs(draws[:, k]) for k in range(draws.shape[1])]
        i, j = (self._chosen(numbers, self.reference) for numbers in zip(*drawn, strict=True))
        return i, j

    @own_settings
    @torch.no_grad()
    def sample_from(
        self, i: Any, *, inverse: bool = False, generator: Generator | None = None
    ) -> Array:
        """Partners of given points, drawn by their rows of the plan.

        The point j has the probability :math:`P_{ij} / (P 1)_i`, which points without weight have too.
        One point many times, ``i.repeat(100)``, is one row of the plan and many draws.

        Args:
            i: numbers of points of x, of any shape ``(...)``; for a batch ``(B, ...)``.
            inverse: they are numbers of points of y, and those of x are drawn.
            generator: as :meth:`sample` takes it.

        Returns:
            Numbers of points of y, int64, of the shape and kind of i.

        Raises:
            ValueError, TypeError: for what is no number of a point, or another generator.
        """
        self._refuse_ranks("sample_from", "Draw from the rows of sparse_plan(mass=0.999).")
        from .plans.sampling import uniform  # here, for a light import of the library

        problem = self._parts[0]
        cloud = problem.target if inverse else problem.source
        rows = as_indices(i, cloud.weights, self.batched)
        draws = uniform(rows.shape, generator)
        drawn = [
            self._sampler(inverse, k).partners(row.ravel(), some.ravel()).reshape(row.shape)
            for k, (row, some) in enumerate(zip(rows, draws, strict=True))
        ]
        return self._chosen(drawn, i if isinstance(i, Tensor | np.ndarray) else self.reference)

    def _refuse_ranks(self, name: str, fix: str) -> None:
        """What each rank would ask for itself, while the others do not share the sums that it takes."""
        if self.spreads is not None:
            raise bad_input(name, "a plan that several ranks share", "one of this process", fix)

    def _sampler(self, inverse: bool, item: int) -> PlanSampler:
        """What draws from one item; it is kept, with the row sums."""
        if (inverse, item) not in self._samplers:
            from .plans.sampling import PlanSampler  # here, for a light import of the library

            parts = seen_from_target(*self._parts, item) if inverse else self._parts
            self._samplers[inverse, item] = PlanSampler(*parts, item)
        return self._samplers[inverse, item]

    def _chosen(self, numbers: Sequence[Array], kind: Array) -> Array:
        """Numbers of points, those of each item, as a tensor or an array."""
        found = torch.from_numpy(np.stack(numbers))
        found = found if self.batched else found[0]
        return shown(found.to(kind.device) if isinstance(kind, Tensor) else found, kind)

    @cached_property
    def _samplers(self) -> dict[tuple[bool, int], PlanSampler]:
        return {}

    @property
    def _parts(self) -> tuple[Problem, Tensor, Tensor]:
        found = self.solved[0]
        return found.problem, found.solution.f, found.solution.g
