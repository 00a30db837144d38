"""Operators from what users give: those that are none say which one they are."""

from __future__ import annotations

from typing import Any

__all__ = ["as_operator"]


def as_operator(given: Any) -> Any:
    """The operator of a matrix that has one, as a LazyTensor; anything else as it is."""
    turn = getattr(type(given), "as_operator", None)
    return given if turn is None else turn(given)
