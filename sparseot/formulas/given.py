"""Costs and kernels from what users give: numbers, formulas, functions or strings."""

from __future__ import annotations

from typing import Any

from ..errors import bad_input
from ..points import refuse_tensor
from .base import Mixture, Single
from .functions import Opaque, Symbolic
from .ground import GroundCost
from .radial import Radial

__all__ = ["as_cost", "as_kernel", "as_kernels", "ground_cost"]


def ground_cost(p: int) -> GroundCost:
    """The cost ``|x - y|^p / p`` for p = 1 or 2."""
    refuse_tensor("p", p, "1 or 2")
    if isinstance(p, bool) or p not in (1, 2):
        raise bad_input("p", repr(p), "1 or 2", "Other costs can be given as cost=function(x, y).")
    return GroundCost(1 / p, int(p))


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
