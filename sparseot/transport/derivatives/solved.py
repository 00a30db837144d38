"""A problem and what was found for it, with derivatives where they are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...engines.openmp import own_settings
from ...errors import warn_user
from ...formulas import Moved
from ...held import Watch
from ...operators.arrays import Array, as_tensor, shown
from ...operators.autograd.spread import Spread
from ...operators.autograd.transforms import is_plain
from ...operators.autograd.unchanged import of_unchanged
from ...points import Points
from ..problem import Problem
from ..solution import OwnedSolution, Solution
from .attach import attach, attached_value
from .curvatures import Curvatures
from .envelope import without_second

if TYPE_CHECKING:
    from .owned import Brought

__all__ = ["Answer", "Solved", "divergence", "say_what_failed"]


@dataclass
class Solved:
    """A problem and its solution; a divergence has three of them.

    The problem has copies of the clouds, so that all that is computed later is of what was solved.
    ``given`` are the clouds as they came, with their graphs: derivatives reach them, no number is
    read from them. Where a cost moved them, ``came`` are copies of those that were moved.
    """

    problem: Problem
    solution: Solution
    given: tuple[Points, Points]
    came: Moved | None = None
    brought: Brought | None = None  # by this rank, where ranks share kept pairs

    def __post_init__(self) -> None:
        self.watch = Watch(*self.tensors)

    @property
    def tensors(self) -> list[Tensor]:
        """Points and weights as they came."""
        return [t for cloud in self.given for c in (cloud.held,) for t in (c.positions, c.weights)]

    def moving(self, wrt: str) -> Tensor:
        """What the caller gave of x, y, a or b, ``(B, N, D)`` or ``(B, N)``: positions as they came."""
        cloud = self.problem.source if wrt in "xa" else self.problem.target
        if wrt in "ab":
            return cloud.weights
        if self.came is not None:
            return self.came.x if wrt == "x" else self.came.y
        return cloud.positions

    @cached_property
    def numbers(self) -> Tensor:
        """The dual value ``(B,)`` in float64, without a graph, of what was solved to a tolerance."""
        found = [report.value for report in self.solution.reports]
        return torch.tensor(found, dtype=torch.float64, device=self.problem.source.like.device)

    @cached_property
    @own_settings
    def value(self) -> Tensor:
        """The dual value ``(B,)``, with its derivatives."""
        if self.brought is not None and not self._wanted:
            return self.numbers
        if self.brought is not None:
            from .owned import Owned, owned_value  # here, for a light import of the library

            parts = self.live, self.solution, self.numbers, self.curvatures, self.brought
            return owned_value(Owned(*parts))
        value = self.numbers if self.solution.reports else None
        return attached_value(self.live, self.solution, value, self.curvatures)

    @cached_property
    @own_settings
    def potentials(self) -> tuple[Tensor, Tensor]:
        """Both potentials with their derivatives.

        Solved to a tolerance and balanced, they are in the gauge ``<a, f> = <b, g>``.
        """
        live = self.live
        if live is not self.problem:
            self.watch.check("potentials", "the clouds of a result were")
        f, g = attach(live, self.solution, self.curvatures)
        if live.symmetric or not live.penalty.imposed or not self.solution.reports:
            return f, g
        a, b = live.source.weights, live.target.weights
        excess = (a * f).sum(-1, keepdim=True) - (b * g).sum(-1, keepdim=True)
        shift = excess / (a.sum(-1, keepdim=True) + b.sum(-1, keepdim=True))
        return f - shift, g + shift

    @property
    def own_potentials(self) -> tuple[Tensor, Tensor] | None:
        """Those of the blocks of this rank, in their order, where ranks have the clouds apart and no derivative is wanted."""
        found = self.solution
        if not isinstance(found, OwnedSolution) or self._wanted:
            return None
        (f, g, *_), (X, Y), problem = found.parts, found.clouds, self.problem
        if problem.symmetric or not problem.penalty.imposed:
            return f, f if problem.symmetric else g
        first, second = X.total(*(float(c.weights @ h.double()) for c, h in ((X, f), (Y, g))))
        shift = (first - second) / (X.mass + Y.mass)
        return f - shift, g + shift

    @cached_property
    def curvatures(self) -> Curvatures:
        """What second derivatives share."""
        return Curvatures(self.problem, self.solution, self.solution.converged)

    def item(self, k: int, n: int, m: int) -> Solved:
        """What was found over all pairs for one item, of n and m points without their padding."""
        sizes, problem, found = (n, m), self.problem, self.solution
        source, target = (
            cloud.part(k, size)
            for cloud, size in zip((problem.source, problem.target), sizes, strict=True)
        )
        f, f_prev = (h[k : k + 1, :n] for h in (found.f, found.f_prev))
        g, g_prev = (h[k : k + 1, :m] for h in (found.g, found.g_prev))
        given = [cloud.part(k, size) for cloud, size in zip(self.given, sizes, strict=True)]
        return Solved(
            problem.of(source, target),
            Solution(f, g, f_prev, g_prev, found.reports[k : k + 1]),
            (given[0], given[0] if self.given[0] is self.given[1] else given[1]),
            self.came and self.came.item(k, n, m),
        )

    @property
    def live(self) -> Problem:
        """The problem of the clouds as they came, where derivatives are to reach them."""
        inside = not all(map(is_plain, self.tensors))
        return self.problem.of(*self.given) if self._wanted or inside else self.problem

    @property
    def _wanted(self) -> bool:
        """Whether derivatives are to reach the clouds as they came."""
        return torch.is_grad_enabled() and any(t.requires_grad for t in self.tensors)


def divergence(parts: list[Tensor], problem: Problem) -> Tensor:
    """The first of some values ``(B,)``, less half of the others, with what unequal masses add.

    Séjourné, Feydy, Vialard, Trouvé and Peyré, 2019, definition 6.
    """
    value, *own = parts
    for part in own:
        value = value - part / 2
    if not own:
        return value
    return value + problem.penalty.mass_term(problem.source, problem.target, problem.eps).to(value)


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


class Answer:
    """A transport cost or a divergence, as its caller sees it.

    Args:
        solved: the problem of both clouds and, debiased, those of each and itself.
        batched: whether the caller gave a batch.
        reference: an array of the kind and dtype of what is returned.
        spreads: how the points of both clouds are spread over the ranks of a group, or None.
    """

    def __init__(
        self,
        solved: list[Solved],
        batched: bool,
        reference: Array,
        spreads: tuple[Spread, Spread] | None = None,
    ) -> None:
        self.solved, self.batched, self.reference = solved, batched, reference
        self.spreads = spreads

    @property
    def _dtype(self) -> torch.dtype:
        return as_tensor(self.reference, self.reference).dtype

    @property
    def debias(self) -> bool:
        """Whether the value is a divergence."""
        return len(self.solved) == 3

    @cached_property
    @own_settings
    def value(self) -> Array:
        """The value, ``()`` or ``(B,)``, with its derivatives."""
        first = self.solved[0]
        live = first.live
        if not first.solution.reports:  # frozen potentials have no second derivative
            live = live.of(without_second(live.source), without_second(live.target))
        value = divergence([part.value for part in self.solved], live)
        if first.brought is None:
            clouds = first.tensors
        else:
            clouds = [t for t in first.brought.leaves if t is not None]
        return self._shown(of_unchanged(value.to(self._dtype), *clouds))

    @property
    def dual_potentials(self) -> tuple[Array, Array]:
        """The pair of potentials with their graph; debiased, less those of the self problems."""
        own = [part.own_potentials for part in self.solved]
        apart = None not in own
        pairs = [pair for pair in own if pair is not None]
        (f, g), *others = pairs if apart else [part.potentials for part in self.solved]
        if others:
            f, g = f - others[0][0], g - others[1][0]
        of_side = self._of_blocks if apart else self._of_points
        return of_side(f, 0), of_side(g, 1)

    @property
    def of_what(self) -> str:
        """What the rows and columns of its plan are, in a report."""
        return f"points in dimension {self.solved[0].problem.source.like.shape[-1]}"

    @property
    def temperature(self) -> str:
        """The temperature, in a report."""
        problem = self.solved[0].problem
        return f"blur {problem.blur:g}, p = {problem.p:g}"

    def _shown(self, t: Tensor, dtype: torch.dtype | None = None) -> Array:
        t = t.to(dtype or self._dtype)
        return shown(t if self.batched else t[0], self.reference)

    def _of_blocks(self, t: Tensor, side: int) -> Array:
        """Numbers ``(n, ...)`` of the points in the blocks of this rank: of those that it gave."""
        found = self.solved[0].solution
        assert self.spreads is not None and isinstance(found, OwnedSolution)
        spread = self.spreads[side]
        mine = self._shown(spread.home(t, found.clouds[side].order)[None])
        return spread.shown(mine) if isinstance(mine, Tensor) else mine

    def _of_points(self, t: Tensor, side: int) -> Array:
        """Numbers ``(B, N, ...)`` of the points of one side: of those that this process gave."""
        found = self._shown(t)
        return found if self.spreads is None else self.spreads[side].own(found)
