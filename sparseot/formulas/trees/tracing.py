"""Functions of two clouds as formulas of two points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from .axes import COLUMNS, COORDINATES, ITEMS, ROWS, Axis, Untraceable
from .expressions import Expr, I, J, P
from .slots import leaves, variable
from .traced import Traced

__all__ = ["learnt_by", "traced"]


def traced(function: Callable[[Any, Any], Any], x: Tensor, y: Tensor) -> Expr:
    """The formula of a function, which is called once, with stand-ins for the points.

    Args:
        function: of ``(B, N, D)`` and ``(B, M, D)`` tensors; it returns ``(B, N, M)``.
        x: ``(B, N, D)`` points, the variable of rows.
        y: ``(B, M, D)`` points, the variable of columns.

    Raises:
        Untraceable: if it does what no formula says, with the reason.
    """
    try:
        found = function(_variable(x, I, ROWS), _variable(y, J, COLUMNS))
    except Untraceable:
        raise
    except (
        Exception
    ) as error:  # whatever a function of the user's may raise, of what it is not made for
        why = str(error).partition("\n")[0]
        raise Untraceable(f"it raises {type(error).__name__}: {why}") from error
    roles = [axis.role for axis in found.axes] if isinstance(found, Traced) else []
    if roles != [ITEMS, ROWS, COLUMNS]:
        got = ", ".join(roles) if roles else type(found).__name__
        raise Untraceable(f"it returns {got}")
    return found.tree


def learnt_by(tree: Expr) -> list[Expr]:
    """The variables of a formula that are tensors to learn, points apart."""
    return [leaf for leaf in leaves(tree) if leaf.on == P and leaf.attr.tensor.requires_grad]


def _variable(points: Tensor, on: int, role: str) -> Traced:
    roles = (ITEMS, role, COORDINATES)
    axes = tuple(Axis(*pair) for pair in zip(roles, points.shape, strict=True))
    return Traced(variable(points, on), axes, points)
