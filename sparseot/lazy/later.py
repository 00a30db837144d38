"""Reductions that are computed later: of formulas with placeholders, and with ``call=False``."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any, TypeVar

from ..errors import bad_input
from ..formulas.trees.expressions import Expr, rebuilt
from ..formulas.trees.slots import leaves, slot
from .variables import SIDES, Frame, is_whole, joined, read

__all__ = ["Later", "deferred", "placeholder", "placeholders"]

R = TypeVar("R", bound=Callable[..., Any])
COORDINATES = 2


def placeholder(number: Any, dim: Any, axis: Any) -> Expr:
    """A variable that has no numbers yet: those of the argument of this number, when they come."""
    plain = all(map(is_whole, (number, dim, axis)))
    if not plain or number < 0 or dim < 1 or axis not in (0, 1, 2):
        wanted = "the number of an argument, its coordinates, and 0 for i, 1 for j, 2 for neither"
        raise bad_input("LazyTensor", repr((number, dim, axis)), wanted)
    return slot(int(number), int(dim), SIDES[axis])


def placeholders(*roots: Expr) -> dict[Expr, int]:
    """The variables without numbers, and the arguments that they wait for."""
    return {leaf: leaf.attr for leaf in leaves(*roots) if isinstance(leaf.attr, int)}


def deferred(reduction: R) -> R:
    """A reduction over i or j that waits, with ``call=False`` or while a variable has no numbers."""
    arguments = signature(reduction)

    @wraps(reduction)
    def run(self: Any, *args: Any, call: bool = True, **kwargs: Any) -> Any:
        formulas = [self, *_lazy(self, *args, *kwargs.values())]
        if call and not placeholders(*(f.tree for f in formulas)):
            return reduction(self, *args, **kwargs)
        given = arguments.bind(self, *args, **kwargs)
        given.apply_defaults()
        values = dict(given.arguments)
        values |= values.pop("hints")
        axis, dim = values.pop("axis"), values.pop("dim")
        where = self._axis(axis, dim, reduction.__name__, None)
        if where == COORDINATES:
            return reduction(self, *args, **kwargs)
        del values["self"]  # from the end: arguments may have batch axes
        return Later(self, reduction, {**values, "axis": where - 3})

    return run  # type: ignore[return-value]


class Later:
    """A reduction, as a function of the numbers that its formula waits for.

    Arguments stand in the order of their placeholders, ``Vi(0, 3)`` first: ``(N, D)`` for i, ``(M, D)``
    for j, ``(D,)`` for parameters, tensors or arrays. Other variables are read when it is called, so
    that changes in place count. Keywords are those of the reduction.
    """

    def __init__(
        self, formula: Any, reduction: Callable[..., Any], options: dict[str, Any]
    ) -> None:
        self._formula, self._reduction, self._options = formula, reduction, options

    def __call__(self, *arrays: Any, **hints: Any) -> Any:
        """Computes the reduction."""
        formulas = [self._formula, *_lazy(self._formula, *self._options.values())]
        waiting = placeholders(*(f.tree for f in formulas))
        count = 1 + max(waiting.values(), default=-1)
        if len(arrays) != count:
            got = f"{len(arrays)} arrays"
            raise bad_input("arguments", got, f"{count}, one for each number of a placeholder")
        bound = {leaf: _bound(leaf, arrays[k]) for leaf, k in waiting.items()}

        def filled(value: Any) -> Any:
            return _filled(value, bound) if isinstance(value, type(self._formula)) else value

        options = {name: filled(value) for name, value in (self._options | hints).items()}
        return self._reduction(filled(self._formula), **options)

    def __repr__(self) -> str:
        return f"{self._reduction.__name__} of {self._formula!r}, computed when it is called"


def _lazy(first: Any, *values: Any) -> list[Any]:
    return [value for value in values if isinstance(value, type(first))]


def _bound(leaf: Expr, array: Any) -> tuple[Expr, Frame]:
    """The variable, and its frame, of the array that came for a placeholder."""
    axis = SIDES.index(leaf.on)
    vector = axis == 2 and getattr(array, "ndim", 0) < 2
    tree, frame = read(array, None if vector else axis)
    if tree.dim != leaf.dim:
        got = f"{tree.dim} coordinates"
        raise bad_input(f"argument {leaf.attr}", got, f"{leaf.dim}, as its placeholder says")
    return tree, frame


def _filled(formula: Any, bound: dict[Expr, tuple[Expr, Frame]]) -> Any:
    """The formula with numbers for its placeholders."""
    mine = placeholders(formula.tree)
    (tree,) = rebuilt([formula.tree], {leaf: bound[leaf][0] for leaf in mine})
    found = formula._of(tree)
    for leaf in mine:
        found.frame = joined(found.frame, bound[leaf][1], f"argument {leaf.attr}")
    return found
