"""Costs and kernels from what users give: numbers, formulas, functions or strings."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from ..errors import bad_input
from ..points import Points, numbers, refuse_tensor
from .base import Mixture, Single
from .functions import Opaque, Symbolic
from .ground import GroundCost
from .radial import Radial

__all__ = ["as_cost", "as_kernel", "as_kernels", "ground_cost", "Moved", "is_object", "posed"]

OBJECTS = "sparseot.costs.base"  # loaded where there are any: an import stays light


def ground_cost(p: int) -> GroundCost:
    """The cost ``|x - y|^p / p`` for p = 1 or 2."""
    refuse_tensor("p", p, "1 or 2")
    if isinstance(p, bool) or p not in (1, 2):
        raise bad_input("p", repr(p), "1 or 2", "Other costs can be given as cost=function(x, y).")
    return GroundCost(1 / p, int(p))


def is_object(cost: Any) -> bool:
    """Whether a cost is one of :mod:`sparseot.costs`, which may move points first."""
    module = sys.modules.get(OBJECTS)
    return module is not None and isinstance(cost, module.Cost)


def as_cost(cost: Any, p: int) -> GroundCost | Opaque | Symbolic:
    """A ground cost from what a user gives: None for ``|x - y|^p / p``, a formula or a function.

    Of the radial formulas, multiples of the distance and of its square are costs.
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
        if plain and cost.terms[0].power in (1, 2) and cost.terms[0].factor > 0:
            return GroundCost(cost.terms[0].factor, cost.terms[0].power)
        wanted = "a multiple of the distance or of its square"
        raise bad_input("cost", repr(cost), wanted, "Give others as a function of (x, y).")
    return _opaque("cost", cost, "a function of (x, y), a KeOps formula string, or None")


@dataclass(frozen=True)
class Moved:
    """Two clouds as they came, before a cost object moved them: copies, ``(B, N, D)`` and ``(B, M, D)``."""

    cost: Any
    x: Tensor
    y: Tensor

    def item(self, k: int, n: int, m: int) -> Moved:
        """Those of one item, without its padding."""
        return replace(self, x=self.x[k : k + 1, :n], y=self.y[k : k + 1, :m])


@dataclass(frozen=True)
class Posed:
    """Two clouds where a cost wants them, and what it is there.

    ``p`` is the exponent of the temperature; ``came`` are the clouds as they came, if the cost moved them.
    """

    source: Points
    target: Points
    cost: GroundCost | Opaque | Symbolic
    p: float
    came: Moved | None = None


def posed(cost: Any, p: int, source: Points, target: Points) -> Posed:
    """What a user gives as a cost, for two clouds that were checked."""
    if not is_object(cost):
        return Posed(source, target, as_cost(cost, p), p)
    came = None
    if cost.moves:
        came = Moved(cost, *(numbers(c.positions).clone() for c in (source, target)))
        source, target = (
            replace(cloud, positions=cost.prepare(cloud.positions, name))
            for cloud, name in ((source, "x"), (target, "y"))
        )
    return Posed(source, target, cost.formula(p), cost.exponent(p), came)


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
        raise bad_input(name, repr(formula), wanted, kind=TypeError)
    return Opaque(formula)
