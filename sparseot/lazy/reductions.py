"""What is done over rows or columns: sums, logarithms of sums of exponentials, smallest values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..engines.openmp import own_settings
from ..engines.trees.base import Size, TreeEngine
from ..errors import bad_input
from ..formulas.trees.algebra import total
from ..formulas.trees.expressions import Expr, I, J, rebuilt
from ..formulas.trees.functions import smallest
from ..formulas.trees.slots import leaves, swapped, variable
from ..operators.arrays import Array
from ..operators.autograd.trees.sums import How, least_places, tree_log_sums, tree_sums
from .later import deferred
from .ranges import Pairs, pairs_of
from .variables import Frame, is_whole
from .vectors import Vectors

__all__ = ["Reductions", "in_order"]

ROWS, COLUMNS, COORDINATES = 0, 1, 2
# What KeOps's reductions are told of how to compute; results are the same without.
HINTS = (
    "backend", "device_id", "dtype_acc", "enable_chunks", "optional_flags", "sum_scheme",
    "use_double_acc", "use_fast_math",
)  # fmt: skip


class Reductions(Vectors):
    """The methods of a LazyTensor that reduce it.

    Axes are those of the array that is never stored, ``(..., N, M, D)``: after the batch axes, 0
    reduces over i, 1 over j, and 2, or -1, over coordinates, which gives a LazyTensor again.
    """

    frame: Frame
    engine: str | TreeEngine
    _pairs: Pairs | None

    def dim(self) -> int:
        """The number of axes, with that of the coordinates."""
        return len(self.frame.batch) + 3

    def _axis(self, axis: int | None, dim: int | None, what: str, default: int | None) -> int:
        """Which of rows, columns and coordinates is reduced."""
        given = axis if dim is None else dim
        given = default if given is None else given
        axes = self.dim()
        if not is_whole(given) or not -3 <= given < axes:
            first = axes - 3
            wanted = (
                f"{first} to reduce over i, {first + 1} over j, {first + 2} or -1 over coordinates"
            )
            raise bad_input("axis, dim", repr(given), wanted, f"{what} asks for one of them.")
        found = int(given + 3 if given < 0 else given - (axes - 3))
        if found < 0:
            fix = "Reduce over i or j, and then what comes out."
            raise bad_input("axis, dim", repr(given), "no batch axis", fix)
        return found

    def _common(self, what: str, others: Sequence[Any]) -> tuple[Any, tuple[Expr, ...]]:
        """This formula in the common frame of it and others, and the trees of all of them."""
        raise NotImplementedError

    def _only_coordinates(self, what: str, dim: int) -> None:
        if self._axis(dim, None, what, -1) != COORDINATES:
            raise bad_input("dim", repr(dim), "-1", f"{what} is over the coordinates.")

    @deferred
    def sum(self, axis: int = -1, dim: int | None = None, **hints: Any) -> Any:
        """Sums over i, j or coordinates."""
        where = self._axis(axis, dim, "sum", -1)
        return self._of(total(self.tree)) if where == COORDINATES else self._sum(where, hints)

    @deferred
    def mean(self, axis: int = -1, dim: int | None = None, **hints: Any) -> Any:
        """Means over i, j or coordinates."""
        where = self._axis(axis, dim, "mean", -1)
        count = (*self.frame.sizes, self.tree.dim)[where]
        return self.sum(axis, dim, **hints) / count

    @deferred
    def logsumexp(
        self, axis: int | None = None, dim: int | None = None, weight: Any = None, **hints: Any
    ) -> Array:
        """``log sum exp``, with weights ``log sum exp(F) weight``, over i or j."""
        weights = [] if weight is None else [weight]
        log, soft = self._log_sums("logsumexp", axis, dim, weights, hints)
        return self._out(log if soft is None else log + soft.log())

    @deferred
    def sumsoftmaxweight(
        self, weight: Any, axis: int | None = None, dim: int | None = None, **hints: Any
    ) -> Array:
        """Means with softmax weights, ``sum exp(F) weight / sum exp(F)``, over i or j."""
        _, soft = self._log_sums("sumsoftmaxweight", axis, dim, [weight], hints)
        assert soft is not None
        return self._out(soft)

    @deferred
    def Kmin_argKmin(
        self, K: int, axis: int | None = None, dim: int | None = None, **hints: Any
    ) -> tuple[Array, Array]:
        """The K smallest values over i or j, in order, and their places, ``(..., N, K)``.

        NaN is left out: where there are fewer numbers than K, infinity and -1.
        """
        low, where = self._least("Kmin_argKmin", K, axis, dim, hints)
        parts = (low, where) if self.tree.dim > 1 else (low[..., 0], where[..., 0])
        return self._out(parts[0]), self._out(parts[1])

    @deferred
    def Kmin(self, K: int, axis: int | None = None, dim: int | None = None, **hints: Any) -> Array:
        """The K smallest values over i or j, in order."""
        return self.Kmin_argKmin(K, axis, dim, **hints)[0]

    @deferred
    def argKmin(
        self, K: int, axis: int | None = None, dim: int | None = None, **hints: Any
    ) -> Array:
        """The places of the K smallest values over i or j, in order."""
        return self.Kmin_argKmin(K, axis, dim, **hints)[1]

    @deferred
    def min_argmin(self, axis: int | None = None, dim: int | None = None, **hints: Any) -> Any:
        """The smallest value of each coordinate over i or j, and its place, ``(..., N, D)``.

        NaN is left out, which costs nothing, where torch's ``min`` has it: a row of nothing else has infinity
        and -1.
        """
        low, where = self._least("min_argmin", 1, axis, dim, hints)
        return self._out(low[..., 0, :]), self._out(where[..., 0, :])

    @deferred
    def max_argmax(self, axis: int | None = None, dim: int | None = None, **hints: Any) -> Any:
        """The largest value of each coordinate over i or j, and its place, ``(..., N, D)``."""
        low, where = (-self).min_argmin(axis, dim, **hints)
        return -low, where

    @deferred
    def min(self, axis: int = -1, dim: int | None = None, **hints: Any) -> Any:
        """The smallest value over i, j or coordinates."""
        if self._axis(axis, dim, "min", -1) == COORDINATES:
            return self._of(smallest(self.tree)[0])
        return self.min_argmin(axis, dim, **hints)[0]

    @deferred
    def argmin(self, axis: int = -1, dim: int | None = None, **hints: Any) -> Any:
        """The place of the smallest value over i, j or coordinates."""
        if self._axis(axis, dim, "argmin", -1) == COORDINATES:
            return self._of(smallest(self.tree)[1])
        return self.min_argmin(axis, dim, **hints)[1]

    @deferred
    def max(self, axis: int = -1, dim: int | None = None, **hints: Any) -> Any:
        """The largest value over i, j or coordinates."""
        return -(-self).min(axis, dim, **hints)

    @deferred
    def argmax(self, axis: int = -1, dim: int | None = None, **hints: Any) -> Any:
        """The place of the largest value over i, j or coordinates."""
        return (-self).argmin(axis, dim, **hints)

    # KeOps's longer names
    sum_reduction, logsumexp_reduction, sumsoftmaxweight_reduction = (
        sum,
        logsumexp,
        sumsoftmaxweight,
    )
    min_reduction, argmin_reduction, min_argmin_reduction = min, argmin, min_argmin
    max_reduction, argmax_reduction, max_argmax_reduction = max, argmax, max_argmax
    Kmin_reduction, argKmin_reduction, Kmin_argKmin_reduction = Kmin, argKmin, Kmin_argKmin

    # how

    @own_settings
    def _sum(self, where: int, hints: dict[str, Any]) -> Array:
        (tree,), size, how, order = self._turned([self.tree], where, hints)
        (found,) = tree_sums([tree], [I], size, how)
        return self._out(in_order(found, order, size))

    @own_settings
    def _log_sums(
        self, what: str, axis: int | None, dim: int | None, weights: list[Any], hints: Any
    ) -> tuple[Tensor, Tensor | None]:
        where = self._over_points(what, axis, dim)
        if self.tree.dim > 1:
            got = f"a formula of {self.tree.dim} coordinates"
            raise bad_input(what, got, "numbers", "Reduce the coordinates first, or take one.")
        both, trees = self._common(what, weights)
        trees, size, how, order = both._turned(trees, where, hints)
        log, soft = tree_log_sums(trees[0], trees[1:], size, how)
        return in_order(log, order, size), in_order(soft, order, size) if weights else None

    @own_settings
    def _least(
        self, what: str, count: Any, axis: int | None, dim: int | None, hints: Any
    ) -> tuple[Tensor, Tensor]:
        if not is_whole(count) or count < 1:
            raise bad_input("K", repr(count), "a positive integer")
        count, where = int(count), self._over_points(what, axis, dim)
        (tree,), size, how, order = self._turned([self.tree], where, hints)
        if not size.columns:
            got, fix = (
                "no points to reduce over",
                "Sums of none are zero; nothing is their smallest.",
            )
            raise bad_input(what, got, "at least one", fix)
        if count > size.columns:
            raise bad_input("K", f"{count}", f"at most {size.columns}, which there are")
        low, place = least_places(tree, count, size, how)
        if order is not None:
            place = torch.where(place < 0, -1, order[1].to(place.device)[place.clamp(min=0)])
        return in_order(low, order, size), in_order(place, order, size)

    def _over_points(self, what: str, axis: int | None, dim: int | None) -> int:
        where = self._axis(axis, dim, what, None)
        if where == COORDINATES:
            raise bad_input("axis, dim", "the coordinates", "i or j", f"{what} is over points.")
        return where

    def _turned(
        self, trees: Sequence[Expr], where: int, hints: dict[str, Any]
    ) -> tuple[tuple[Expr, ...], Size, How, tuple[Tensor, Tensor] | None]:
        """Formulas whose columns are reduced, their size, how, and the order of rows and columns."""
        frame, pairs = self.frame, self._pairs
        if "ranges" in hints:
            given = hints.pop("ranges")
            pairs = None if given is None else pairs_of(given, frame.rows, frame.columns)
        _check_hints(hints)
        if frame.like is None:
            raise bad_input("LazyTensor", "a formula of numbers alone", "one of points")
        if (frame.rows_known, frame.columns_known)[where] is None:
            index, other = ("i", "j") if where == ROWS else ("j", "i")
            fix = f"It depends on {other} alone." if frame != frame.T else "It has parameters only."
            raise bad_input(
                "axis, dim", f"the axis of {index}", "an axis that the formula has", fix
            )
        trees = tuple(trees)
        if where == ROWS:
            trees, frame = swapped(trees), frame.T
            pairs = None if pairs is None else pairs.T
        assert frame.like is not None
        size = Size(frame.batch, *frame.sizes, frame.like)
        how = How(self.engine, None if pairs is None else pairs.ranges)
        order = pairs.order if pairs else None
        return (_reordered(trees, order) if order else trees), size, how, order

    def _out(self, found: Tensor) -> Array:
        """A result of the kind of the variables."""
        return found.detach().numpy() if self.frame.of_numpy else found


def _check_hints(hints: dict[str, Any]) -> None:
    for name in hints:
        if name not in HINTS:
            raise TypeError(
                f"{name}: reductions take axis, dim, ranges and KeOps's {', '.join(HINTS)}."
            )


def _reordered(trees: tuple[Expr, ...], order: tuple[Tensor, Tensor]) -> tuple[Expr, ...]:
    """Formulas whose rows and columns stand in the order of blocks."""
    places = {I: order[0], J: order[1]}
    moved = {}
    for leaf in leaves(*trees):
        if leaf.on in places:
            tensor = leaf.attr.tensor
            there = places[leaf.on].to(tensor.device)
            moved[leaf] = variable(tensor.index_select(-2, there), leaf.on)
    return rebuilt(trees, moved)


def in_order(found: Tensor, order: tuple[Tensor, Tensor] | None, size: Size) -> Tensor:
    """Rows in the caller's order."""
    if order is None:
        return found
    inverse = torch.argsort(order[0]).to(found.device)
    return found.index_select(len(size.batch), inverse)
