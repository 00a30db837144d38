r"""The gradient of a value over kept pairs that ranks share: of its own blocks each finds it, and sends it home.

It is that of :mod:`.envelope`: a point moves the value by :math:`c_i \sum_j P_{ij} \partial_1 C(x_i, y_j)`, the rows of P
summing to one, with :math:`c_i` the derivative of the dual value in the potential there. Nothing is of all points. Whoever
differentiates the gradient again gets the one of whole clouds, with its graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd import Function

from ...engines.openmp import own_settings
from ...formulas import GroundCost
from ...operators.autograd.spread import Spread
from ...points import CLOSED, Points, log_weights
from ..problem import Problem
from ..pruned.blocks.clouds import BlockCloud
from ..pruned.kept_pairs import KeptPairs
from ..pruned.memory import give_back
from ..solution import Solution
from .attach import attached_value
from .curvatures import Curvatures

if TYPE_CHECKING:
    from .solved import Solved

__all__ = ["Brought", "Owned", "bring", "owned_value"]


@dataclass(frozen=True)
class Brought:
    """What this rank gave of x, y, a and b of one problem, and how each is spread; None for what was not given.

    Of a cloud and itself the second places are None.
    """

    spreads: tuple[Spread | None, ...]

    @property
    def leaves(self) -> list[Tensor | None]:
        """The rows of this rank, with their graph."""
        return [None if spread is None else spread.local for spread in self.spreads]

    @property
    def sound(self) -> bool:
        """Whether the rows are in a precision in which they are read."""
        singles = torch.float32, torch.float64
        return all(t is None or t.dtype in singles for t in self.leaves)


@dataclass(frozen=True)
class Owned:
    """A solved problem, as a backward pass reads it."""

    live: Problem  # with the graph of what all ranks brought
    solution: Solution
    value: Tensor
    curvatures: Curvatures
    brought: Brought

    def gradients(self, need: Sequence[bool]) -> list[Tensor | None]:
        """Those of the value in what this rank gave, where they are needed, in float64."""
        problem, pairs = self.curvatures.problem, self.curvatures.problem.pairs
        assert isinstance(pairs, KeptPairs)
        clouds, found = pairs.checks[0].clouds, self.solution
        give_back(clouds[0].n)
        f, g, f_prev, g_prev = (h.double() for h in found.own(clouds))
        cf, cg, ga, gb = _of_dual(problem, clouds, f, g)
        parts = (f, g_prev, cf, ga), (g, f_prev, cg, gb)
        grads: list[Tensor | None] = [None] * len(need)
        for place, (wanted, spread) in enumerate(zip(need, self.brought.spreads, strict=True)):
            side = place % 2
            h, other, c, weights = parts[side]
            if wanted and spread is not None:
                if place > 1:
                    mine = _of_weights(problem, clouds, side, weights)
                else:
                    mine = _moved(problem, pairs, side, h, other, c)
                grads[place] = spread.home(mine.to(spread.local.dtype), clouds[side].order)
        return grads


class _Part(Points):
    """The weights ``(1, n)`` of the points that are here, of a cloud whose mass is that of all ranks."""

    def __init__(self, weights: Tensor, mass: float) -> None:
        super().__init__(weights[..., None], weights)
        object.__setattr__(self, "others", mass - float(weights.detach().sum()))

    others: float

    @property
    def mass(self) -> Tensor:
        return self.weights.sum(-1) + self.others


def _of_dual(
    problem: Problem, clouds: tuple[BlockCloud, BlockCloud], f: Tensor, g: Tensor
) -> tuple[Tensor, ...]:
    """The derivatives of the dual value in both potentials and weights of the points that are here."""
    a, b = (cloud.weights for cloud in clouds)
    with torch.enable_grad():
        leaves = [t.detach()[None].requires_grad_() for t in (f, g, a, b)]
        source = target = _Part(leaves[2], clouds[0].mass)
        second = leaves[0]
        if not problem.symmetric:
            target, second = _Part(leaves[3], clouds[1].mass), leaves[1]
        value = problem.penalty.value(source, target, leaves[0], second, problem.eps)
        found = torch.autograd.grad(value.sum(), leaves, materialize_grads=True, allow_unused=True)
    return tuple(t[0] for t in found)


def _moved(
    problem: Problem, pairs: KeptPairs, side: int, h: Tensor, other: Tensor, c: Tensor
) -> Tensor:
    """The effect of moving the points ``(n, D)`` of one side that are here, ``c`` being that of their potentials h."""
    assert isinstance(problem.cost, GroundCost)
    clouds, eps = pairs.checks[0].clouds, problem.eps
    here, there = clouds[side], clouds[1 - side]
    damping = 1 / (1 + eps / problem.penalty.rhos[side])
    rows = (h / damping).where(c != 0, CLOSED * eps)  # rows without effect know no bound
    cols = log_weights(there.weights) * eps + other
    centre = (clouds[0].centre + clouds[1].centre) / 2
    columns = torch.cat((torch.ones_like(cols[:, None]), there.points - centre), 1)
    slope = problem.cost.gibbs(eps).derivative()
    sums = (pairs.T if side else pairs).own_sum(slope, columns, rows, cols)
    del columns, rows, cols
    moved = (here.points - centre).mul_(sums[:, :1]).sub_(sums[:, 1:])
    return moved.mul_(c[:, None] * (-2 * eps * damping))


def _of_weights(
    problem: Problem, clouds: tuple[BlockCloud, BlockCloud], side: int, w: Tensor
) -> Tensor:
    """The gradient in weights that were brought; those of imposed marginals can only differ from equal ones."""
    cloud = clouds[side]
    if problem.penalty.imposed:
        w = w - cloud.total(float(w.sum()))[0] / cloud.count
    given = (problem.source, problem.target)[side]
    return w * getattr(given, "ratio", 1.0)


def bring(solved: Sequence[Solved], spreads: Sequence[Spread | None]) -> None:
    """Tells problems that were solved over kept pairs what this rank gave of x, y, a and b."""
    x, y, a, b = spreads
    owners = (x, y, a, b), (x, None, a, None), (y, None, b, None)
    for part, of_these in zip(solved, owners, strict=False):
        brought = Brought(of_these)
        if part.problem.pairs is not None and part.came is None and brought.sound:
            part.brought = brought


def owned_value(owned: Owned) -> Tensor:
    """The number ``(1,)`` of a solved problem, with its derivatives in what each rank gave."""
    found: Tensor = _OwnedValue.apply(owned, *owned.brought.leaves)
    return found


class _OwnedValue(Function):
    @staticmethod
    def forward(ctx: Any, owned: Owned, *leaves: Tensor | None) -> Tensor:
        ctx.owned = owned
        ctx.save_for_backward(*leaves)
        return owned.value.clone()

    @staticmethod
    @own_settings
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        owned, leaves, need = ctx.owned, ctx.saved_tensors, ctx.needs_input_grad[1:]
        if torch.is_grad_enabled():
            parts = owned.solution, owned.value, owned.curvatures
            whole = attached_value(owned.live, *parts)
            asked = [t for t, wanted in zip(leaves, need, strict=True) if wanted]
            found = iter(torch.autograd.grad(whole, asked, cotangent, create_graph=True))
            return (None, *(next(found) if wanted else None for wanted in need))
        grads = owned.gradients(need)
        return (None, *(g if g is None else g.mul_(cotangent.to(g)) for g in grads))
