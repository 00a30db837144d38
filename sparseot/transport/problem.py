"""One problem of entropic transport: two clouds, a cost, a temperature, and how marginals are held."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from ..engines.base import Engine, PlanPairs
from ..engines.openmp import NUMBERS, threads_for
from ..errors import bad_input
from ..formulas import EVEN, GroundCost, Opaque, Radial, Symbolic, even, finite
from ..operators.autograd.kernel_sums import kernel_sum
from ..operators.small import squares
from ..points import Points
from .marginals import Marginals

__all__ = ["CostFormula", "Problem", "check_cost"]

CostFormula = GroundCost | Opaque | Symbolic
SAMPLE = 4  # points from which the costs of a KeOps formula are compared with those back


@dataclass(frozen=True)
class Problem:
    """What does not change while it is solved, and what is needed to use what was found.

    Attributes:
        source, target: the clouds, ``(B, N, D)`` and ``(B, M, D)``: copies without a graph, but
            where :meth:`of` was given others.
        cost: the ground cost C.
        penalty: how the marginals are held.
        p, blur: the temperature is ``blur ** p``.
        engine: how sums over all pairs are taken.
        symmetric: whether this is a cloud and itself, held alike; then f = g is wanted.
        even: whether it is known that C(x, y) = C(y, x).
        pairs: those that were kept for the plan that was found; None for all pairs.
        told: why that engine is taken.
        named: the argument that sets the temperature.
    """

    source: Points
    target: Points
    cost: CostFormula
    penalty: Marginals
    p: float
    blur: float
    engine: Engine
    symmetric: bool = False
    even: bool = True
    pairs: PlanPairs | None = None
    told: str = "a function"
    named: str = "blur"

    @property
    def eps(self) -> float:
        """The temperature."""
        return self.blur**self.p

    @property
    def sizes(self) -> tuple[int, int]:
        """How many points the clouds have, padding among them."""
        return self.source.like.shape[1], self.target.like.shape[1]

    def of(self, source: Points, target: Points) -> Problem:
        """The same between other clouds: copies of these with a graph, or in another precision."""
        return replace(self, source=source, target=source if self.symmetric else target)

    def double(self) -> Problem:
        """The same between copies in double precision."""
        return self.of(self.source.double(), self.target.double())

    def own(self, cloud: Points) -> Problem:
        """The problem of a cloud and itself, over all pairs."""
        return replace(self, source=cloud, target=cloud, symmetric=True, pairs=None)

    def swapped(self) -> Problem:
        """The same problem, seen from the target."""
        return replace(
            self,
            source=self.target,
            target=self.source,
            cost=self.cost.T,
            penalty=self.penalty.swapped(),
            pairs=self.pairs and self.pairs.T,
        )

    def item(self, k: int, padding: bool = True) -> Problem:
        """The problem of one item of a batch, over all pairs; or over those of what is no padding.

        Equal clouds that are held alike are one cloud: then f = g, if the order of points is nothing.
        """
        source, target = (
            (cloud.items if padding else cloud.real)[k] for cloud in (self.source, self.target)
        )
        alike = self.even and self.penalty.rhos[0] == self.penalty.rhos[1] and source.equals(target)
        target = source if alike else target
        return replace(self, source=source, target=target, symmetric=alike, pairs=None)

    @property
    def cost_everywhere(self) -> CostFormula:
        """The cost as sums over all pairs are told of it, also where some were kept."""
        if isinstance(self.cost, GroundCost) and self.cost.arc:
            return self.cost.function
        return self.cost

    def plan_product(
        self, row: Tensor, g: Tensor, v: Tensor, *, x: Tensor | None = None, with_cost: bool = False
    ) -> Tensor:
        r"""The sums :math:`\sum_j e^{r_i} b_j e^{(g_j - C(x_i, y_j))/\varepsilon} v_j`.

        Args:
            row: ``(B, N)`` logarithmic scalings r.
            g: ``(B, M)`` potential of the target.
            v: ``(B, M, R)`` right-hand sides.
            x: ``(B, N, D)`` new points, all of whose pairs are visited; None for the source.
            with_cost: multiply each term by C as well.
        """
        y, col = self.target.positions, self.target.log_weights + g / self.eps
        pairs = None if x is not None else self.pairs
        x = self.source.positions if x is None else x
        cost = self.cost if pairs is not None else self.cost_everywhere
        if isinstance(cost, Symbolic):
            fix = "Give the cost as a Python function of (x, y)."
            raise bad_input("cost", "a KeOps formula", "a cost whose plan can be applied", fix)
        kernel = cost.weighted_gibbs(self.eps) if with_cost else cost.gibbs(self.eps)
        if isinstance(kernel, Radial):
            return kernel_sum(kernel, x, y, v, row, col, engine=self.engine, pairs=pairs)
        assert isinstance(cost, Opaque)
        if self.engine.traces:
            from ..operators.autograd.trees.traced import (
                traced_sum,  # here, for a light import of the library
            )

            traced = traced_sum(kernel, x, y, v, row, col)
            if traced is not None:
                return traced
        blocks, columns = [], y.shape[0] * y.shape[1]
        size = max(1, (1 << 22) // columns)
        with threads_for(NUMBERS * x.shape[1] * columns):
            for rows, scaling in zip(x.split(size, 1), row.split(size, 1), strict=True):
                costs = cost(rows, y)
                entries = (scaling[..., None] + col[:, None] - costs / self.eps).exp()
                blocks.append((entries * costs if with_cost else entries) @ v)
            return torch.cat(blocks, 1)

    def log_rows(self, g: Tensor, softmin: Tensor | None = None, x: Tensor | None = None) -> Tensor:
        """Scalings ``(B, N)`` that make the rows of the plan sum to one, at the source or new points x."""
        eps, y = self.eps, self.target.positions
        if isinstance(self.cost, Opaque) or softmin is None:
            temperature = g.new_full((len(g),), eps)
            col = self.target.log_weights + g / eps
            guess = None if softmin is None else -softmin / eps
            here = self.source.positions if x is None else x
            return -self.engine.bind(here, y).logsumexp(
                self.cost_everywhere, temperature, col, guess
            )
        total = self.plan_product(softmin / eps, g, torch.ones_like(g)[..., None], x=x)[..., 0]
        return softmin / eps - total.log()

    def cost_matrix(self, x: Tensor, y: Tensor) -> Tensor:
        """Costs ``(B, N, M)`` of small blocks of points."""
        cost = self.cost_everywhere
        if isinstance(cost, Opaque):
            return cost(x, y)
        assert isinstance(cost, GroundCost)
        items = [cost.polynomial(squares(*pair)) for pair in zip(x, y, strict=True)]
        return torch.stack(items)


def check_cost(
    cost: CostFormula,
    source: Points,
    target: Points,
    own: bool,
    engine: Engine,
    fixed: bool = False,
) -> None:
    """Refuses a cost that is NaN or infinite between both clouds, or (``own``) within one.

    There it must be symmetric as well, and a ``fixed`` one must have nothing to learn. Functions are
    evaluated for all pairs, KeOps formulas summed.
    """
    if isinstance(cost, GroundCost):
        return
    x, y = source.positions.detach(), target.positions.detach()
    check: Callable[..., None]
    if isinstance(cost, Opaque):
        look = partial(_check_traced, cost, engine) if engine.traces else cost.check
        check = partial(look, fixed=fixed)
    else:
        check = partial(_check_formula, cost, engine)
    pairs = [(x, y, ("x", "y")), *([(x, x, ("x", "x")), (y, y, ("y", "y"))] if own else [])]
    for one, two, clouds in pairs:
        with threads_for(NUMBERS * len(one) * one.shape[1] * two.shape[1]):
            check(one, two, clouds)


def _check_traced(
    cost: Opaque, engine: Engine, x: Tensor, y: Tensor, clouds: tuple[str, str], fixed: bool
) -> None:
    """The same for a function that is traced: by reductions over all pairs.

    The function itself is asked for the rows that they show.
    """
    if fixed and torch.is_grad_enabled() and cost.learnable(x, y):
        raise cost.learns()
    with torch.no_grad():
        sums = engine.bind(x, y).sum(cost, torch.ones_like(y[..., :1]))[..., 0]
        for _, i in (~sums.isfinite()).nonzero()[:1].tolist():
            finite(cost(x[:, i : i + 1], y), [i], clouds=clouds, what="cost")
        if y is not x:
            return
        gaps = Opaque(lambda x, y: -(cost(x, y) - cost.T(x, y)).abs())
        sizes = Opaque(lambda x, y: -cost(x, y).abs())
        gap, size = (-engine.bind(x, x).least(c)[0].amin(0) for c in (gaps, sizes))
        if bool(gap.amax() > EVEN * size.amax()):
            i = int(gap.argmax())
            row, back = (c(x[:, i : i + 1], x) for c in (cost, cost.T))
            even(row, back, [i], range(x.shape[1]), clouds[0])


def _check_formula(
    cost: Symbolic, engine: Engine, x: Tensor, y: Tensor, clouds: tuple[str, str]
) -> None:
    """The same for a formula whose values are not seen: by its sums over all pairs.

    An infinite cost shows in the softmin, or in the softmax; its pair is then looked for.
    """
    zero = y.new_zeros(y.shape[:2])
    for sign in (1.0, -1.0):
        bad = ~engine.bind(x, y).logsumexp(cost, y.new_full((len(y),), sign), zero).isfinite()
        for place in bad.nonzero()[:1].tolist():
            i = place[1]
            row = _costs_from(cost, engine, x, y, i)
            finite(row, [i], range(y.shape[1]), clouds=clouds, what="cost")
    if y is x:
        for i in range(min(x.shape[1], SAMPLE)):
            row, back = (_costs_from(c, engine, x, x, i) for c in (cost, cost.T))
            even(row, back, [i], range(x.shape[1]), clouds[0])


def _costs_from(cost: Symbolic, engine: Engine, x: Tensor, y: Tensor, i: int) -> Tensor:
    """The costs ``(B, 1, M)`` from one point of x to all of y, as sums over that point alone."""
    one = x[:, i : i + 1].contiguous()
    sums, eps, zero = engine.bind(y, one), one.new_ones(len(one)), one.new_zeros(len(one), 1)
    costs = -sums.logsumexp(cost.T, eps, zero)
    if bool(costs.isnan().any()):  # as infinity is, where its exponential is zero
        costs = costs.where(~costs.isnan(), sums.logsumexp(cost.T, -eps, zero))
    return costs[:, None]
