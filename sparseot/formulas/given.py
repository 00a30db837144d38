"""Costs and kernels from what users give: numbers, formulas, functions or strings."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from ..errors import bad_input
from ..held import Watch
from ..points import Points, numbers, refuse_map, refuse_tensor, transformed
from .base import Mixture, Single
from .functions import Opaque, Symbolic
from .ground import GroundCost
from .radial import Radial

__all__ = [
    "Moved",
    "as_cost",
    "as_kernel",
    "as_kernels",
    "ground_cost",
    "is_object",
    "posed",
    "solved_cost",
    "with_a_place",
]

OBJECTS = "sparseot.costs.base"  # loaded where there are any: an import stays light


def ground_cost(p: int) -> GroundCost:
    """The cost ``|x - y|^p / p`` for p = 1 or 2."""
    refuse_tensor("p", p, "1 or 2")
    if isinstance(p, bool) or p not in (1, 2):
        fix = "Powers between are costs.Power(q); other costs can be given as cost=function(x, y)."
        raise bad_input("p", repr(p), "1 or 2", fix)
    return GroundCost(1 / p, int(p))


def is_object(cost: Any) -> bool:
    """Whether a cost is one of :mod:`sparseot.costs`, which may move points first."""
    module = sys.modules.get(OBJECTS)
    return module is not None and isinstance(cost, module.Cost)


def as_cost(cost: Any, p: int) -> GroundCost | Opaque | Symbolic:
    """A ground cost from what a user gives: None for ``|x - y|^p / p``, a formula or a function.

    Of the radial formulas, multiples of powers of the distance from the first to the second are costs.
    """
    if cost is None:
        return ground_cost(p)
    if isinstance(cost, str):
        if "X" not in cost or "Y" not in cost:
            fix = "The distance is p=1, half of its square p=2."
            raise bad_input("cost", repr(cost), "a KeOps formula of X and Y, or a function", fix)
        return Symbolic(cost)
    if isinstance(cost, Symbolic):
        return cost
    if isinstance(cost, Radial):
        plain = cost.rate == 0 and cost.offset == 0 and len(cost.terms) == 1
        if plain and 1 <= cost.terms[0].power <= 2 and cost.terms[0].factor > 0:
            return GroundCost(cost.terms[0].factor, cost.terms[0].power)
        wanted = "a multiple of the distance, of its square, or of a power between"
        raise bad_input("cost", repr(cost), wanted, "Give others as a function of (x, y).")
    return _opaque("cost", cost, "a function of (x, y), a KeOps formula string, or None")


@dataclass(frozen=True)
class Moved:
    """Two clouds as they came, before a cost object moved them: copies, ``(B, N, D)`` and ``(B, M, D)``.

    ``watch`` sees whether the cost is still what moved them.
    """

    cost: Any
    x: Tensor
    y: Tensor
    watch: Watch

    def moved(self, points: Tensor, name: str) -> Tensor:
        """Other points, moved likewise; RuntimeError if what the cost holds was changed in place since."""
        self.watch.check("map", "the cost of a result was")
        found: Tensor = self.cost.prepare(points, name)
        return found.detach()

    def item(self, k: int, n: int, m: int) -> Moved:
        """Those of one item, without its padding."""
        return replace(self, x=self.x[k : k + 1, :n], y=self.y[k : k + 1, :m])


@dataclass(frozen=True)
class Posed:
    """Two clouds where a cost wants them, and what it is there.

    ``p`` is the exponent of the temperature; ``came`` are the clouds as they came, if the cost moved them;
    ``beyond`` is the largest cost that comes on top of distances, if it is known.
    """

    source: Points
    target: Points
    cost: GroundCost | Opaque | Symbolic
    p: float
    came: Moved | None = None
    beyond: float = 0.0


def posed(cost: Any, p: int, source: Points, target: Points, own: bool = False) -> Posed:
    """What a user gives as a cost, for two clouds that were checked.

    ``own`` says that each is compared with itself as well.
    """
    formula, exponent = solved_cost(cost, p, own)
    if not is_object(cost):
        return Posed(source, target, formula, exponent)
    came = None
    if cost.moves:
        x, y = (numbers(c.positions).clone() for c in (source, target))
        came = Moved(cost, x, y, Watch(*cost.held))
        source, target = (
            replace(
                cloud,
                positions=cost.prepare(with_a_place(cost, cloud.positions, cloud.weights), name),
            )
            for cloud, name in ((source, "x"), (target, "y"))
        )
    return Posed(source, target, formula, exponent, came, cost.beyond)


def solved_cost(cost: Any, p: int, own: bool) -> tuple[GroundCost | Opaque | Symbolic, float]:
    """What a user gives as a cost, between points that were moved, and the exponent of its temperature.

    ``own`` says that clouds are compared with themselves as well.
    """
    if is_object(cost):
        return _formula(cost, p, own), cost.exponent(p)
    return as_cost(cost, p), p


def _formula(cost: Any, p: int, own: bool) -> GroundCost | Opaque:
    """That of a cost object, where its tensors can be seen through."""
    for held in cost.held:
        refuse_map(held, "what a cost holds")
    formula: GroundCost | Opaque = cost.formula(p)
    if not isinstance(formula, GroundCost) and transformed(*cost.held):
        got = f"a derivative in what {type(cost).__name__} holds"
        fix = "Use torch.autograd: backward() and grad() reach it."
        raise bad_input("torch.func", got, "one in points, weights, or what moves points", fix)
    if own:
        cost.refuse_uneven()
    return formula


def with_a_place(cost: Any, positions: Tensor, weights: Tensor) -> Tensor:
    """The positions; points without weight that the cost cannot move stand where the heaviest one does."""
    lost, weights = cost.lost(positions), numbers(weights)
    if lost is None or not bool((lost := lost & (weights == 0)).any()):
        return positions
    shape = (*positions.shape[:-2], 1, positions.shape[-1])
    there = positions.detach().gather(-2, weights.argmax(-1)[..., None, None].expand(shape))
    return there.where(lost[..., None], positions)


def as_kernel(kernel: Any) -> Radial | Opaque:
    """A kernel from what a user gives: a radial formula, or a function of (x, y)."""
    if isinstance(kernel, Mixture):
        fix = "Losses are linear in their kernel: add the losses of its parts."
        raise bad_input("kernel", f"the sum {kernel}", "one kernel", fix)
    if isinstance(kernel, Radial):
        kernel.refuse_moved()
        return kernel
    return _opaque("kernel", kernel, "such as kernels.Gaussian(0.1), or a function of (x, y)")


def as_kernels(kernel: Any) -> tuple[Single, ...]:
    """The parts of what a user gives as a kernel, which may be a sum."""
    parts = kernel.parts if isinstance(kernel, Mixture) else (kernel,)
    return tuple(as_kernel(part) for part in parts)


def _opaque(name: str, formula: Any, wanted: str) -> Opaque:
    if isinstance(formula, Opaque):
        return formula
    if isinstance(formula, type) or not callable(formula):
        got = repr(formula)
        if isinstance(formula, (Tensor, np.ndarray)):  # points, in its place
            got = f"{type(formula).__name__} of shape {tuple(formula.shape)}"
        raise bad_input(name, got, wanted, kind=TypeError)
    return Opaque(formula)
