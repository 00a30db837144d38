"""Pairs of clouds of different sizes, computed as a few batches of clouds that are nearly as large.

Padding repeats the last point of a cloud, with weight zero: that changes no box, no schedule and no sum,
and whoever sees it may skip it. Clouds that keep all processors busy by themselves are computed alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import Any, ParamSpec, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from ..errors import bad_input
from ..operators.arrays import answered, listed, numpy_dtype, of_one_kind, refuse_learnt
from ..precision import at_least_single
from .forms import Sets, as_sets, is_ragged, weights_of
from .vectors import count_of, vectors_of

__all__ = ["Batches", "Group", "as_batches", "over_sets"]

LARGE = 900  # points of a cloud, from which it is computed alone: less than a million pairs
GROWTH = 2.0  # the largest cloud of a batch, as a multiple of its smallest one
MOST = 1 << 25  # pairs of a batch, padding counted: a cost that is a function stores them
P = ParamSpec("P")
R = TypeVar("R")
Clouds = tuple[Tensor, Tensor, Tensor, Tensor]  # x, y, a, b


@dataclass(frozen=True)
class Group:
    """Some items that are computed together, or one alone, without a batch axis.

    Attributes:
        items: their numbers, ascending.
        size: points of each cloud, with its padding; 0 for one alone.
    """

    items: list[int]
    size: int


class Batches:
    """Pairs of clouds in batches.

    Args:
        x, y: the clouds of both sides, as many on either.
        a, b: the weights of all their points ``(n,)``, or None.
        reference: an array of the kind of answers.
        alone: whether each item is computed for itself.
    """

    def __init__(
        self,
        sides: tuple[Sets, Sets],
        weights: tuple[Tensor | None, Tensor | None],
        reference: Any,
        alone: bool = False,
    ) -> None:
        self.sides, self.weights, self.reference = sides, weights, reference
        self.sizes = sides[0].sizes, sides[1].sizes
        self.groups = _groups(list(map(max, *self.sizes)), alone)

    def each(self, function: Callable[..., Any], *more: Sequence[Any]) -> list[Any]:
        """``function(x, y, a, b, ...)`` of each group, with one more argument of each sequence.

        An error is that of the item which has it.
        """
        found = []
        for group, *own in zip(self.groups, *more, strict=True):
            try:
                found.append(function(*self.clouds(group), *own))
            except (ValueError, TypeError) as error:
                self._say_which(function, group, error)
                raise
        return found

    def clouds(self, group: Group) -> Clouds:
        """The clouds of a group, with their graphs."""
        (x, a), (y, b) = (self._cloud(side, group) for side in (0, 1))
        return x, y, a, b

    def numbers(self, parts: list[Tensor]) -> Tensor:
        """A number ``(B,)`` for each item, of those of the groups."""
        order = torch.tensor([k for group in self.groups for k in group.items])
        found = torch.cat([part.reshape(-1) for part in parts])
        return found.index_select(0, order.argsort().to(found.device))

    def of_points(self, parts: list[Tensor], side: int) -> Any:
        """Numbers ``(B, N, ...)`` of the points of the groups, in the form of the points of one side."""
        picked = []
        for group, part in zip(self.groups, parts, strict=True):
            if not group.size:
                picked.append(part)
                continue
            real = self._real(side, group).flatten().nonzero()[:, 0]
            picked.append(part.flatten(0, 1).index_select(0, real.to(part.device)))
        found = torch.cat(picked)
        return self.sides[side].back(found.index_select(0, self._order[side].to(found.device)))

    def answers(self, function: Callable[..., Any]) -> Any:
        """What a loss answers for all items: numbers, or a pair of potentials."""
        parts = self.each(function)
        if not isinstance(parts[0], tuple):
            return answered(self.numbers(parts), self.reference)
        for pair in parts:
            refuse_learnt(self.reference, *pair)
        return tuple(self.of_points([pair[side] for pair in parts], side) for side in (0, 1))

    @cached_property
    def _order(self) -> tuple[Tensor, Tensor]:
        """Where in those of the groups, one after the other, the points of each side are."""
        items = [k for group in self.groups for k in group.items]
        found = []
        for side in self.sides:
            places = [torch.arange(side.ends[k], side.ends[k + 1]) for k in items]
            found.append(torch.cat(places).argsort())
        return found[0], found[1]

    def _real(self, side: int, group: Group) -> Tensor:
        """``(B, N)`` whether a point is none of the padding."""
        sizes = torch.tensor([self.sizes[side][k] for k in group.items])
        return torch.arange(group.size) < sizes[:, None]

    def _cloud(self, side: int, group: Group) -> tuple[Tensor, Tensor]:
        sets, a = self.sides[side], self.weights[side]
        if not group.size:
            (k,) = group.items
            rows = slice(sets.ends[k], sets.ends[k + 1])
            return sets.points[rows], None if a is None else a[rows]  # type: ignore[return-value]
        device = sets.points.device
        starts = torch.tensor([sets.ends[k] for k in group.items])
        sizes = torch.tensor([self.sizes[side][k] for k in group.items])
        places = torch.arange(group.size).minimum(sizes[:, None] - 1) + starts[:, None]
        flat, real = places.flatten().to(device), self._real(side, group).to(device)
        x = sets.points.index_select(0, flat).unflatten(0, real.shape)
        if a is None:
            both = (self.sides[side].points, self.sides[1 - side].points)
            points, _ = at_least_single(*(t.detach()[:0] for t in both))
            weights = (1 / sizes.double())[:, None].to(points).expand(real.shape)
        else:
            weights = a.index_select(0, flat).view(real.shape)
        return x, weights.where(real, 0)

    def _say_which(self, function: Callable[..., Any], group: Group, error: Exception) -> None:
        """Raises the error of the first item that fails alone, unless items do so whatever they are."""
        failed: dict[int, Exception] = {}
        others = [k for other in self.groups if other is not group for k in other.items[:1]][:1]
        for k in (*group.items, *others):
            try:
                function(*self.clouds(Group([k], 0)))
            except (ValueError, TypeError) as reason:
                failed[k] = reason
        same = len({str(reason) for reason in failed.values()}) == 1
        if failed and not (same and len(failed) == len(group.items) + len(others)):
            k = min(failed)
            raise type(failed[k])(f"item {k}: {failed[k]}") from error


def as_batches(
    x: Any, y: Any, a: Any = None, b: Any = None, batch: Any = None, *, alone: bool = False
) -> Batches | None:
    """Pairs of clouds of different sizes; None where x and y are one cloud each, or batches.

    Raises:
        ValueError, TypeError: with the number of the item that is not as it should be.
    """
    if batch is None and not (is_ragged(x) or is_ragged(y)):
        return None
    x, y, a, b = _arrays(x=x, y=y, a=a, b=b)
    vectors = vectors_of(batch)
    samples = count_of(vectors)
    (here, there) = (
        as_sets(name, points, labels, samples)
        for name, points, labels in (("x", x, vectors[0]), ("y", y, vectors[1]))
    )
    if len(here) != len(there):
        raise bad_input("y", f"{len(there)} clouds", f"{len(here)}, as x has")
    if here.points.shape[1] != there.points.shape[1]:
        wanted = f"dimension {here.points.shape[1]}, as x has"
        raise bad_input("y", f"points of dimension {there.points.shape[1]}", wanted)
    weights = weights_of("a", a, here, "x"), weights_of("b", b, there, "y")
    firsts = [_first(part) for part in (a, b)]
    of_one_kind(x=here.first, y=there.first, a=firsts[0], b=firsts[1])
    return Batches((here, there), weights, here.first, alone)


def _arrays(**given: Any) -> list[Any]:
    """Lists of numbers as arrays, of the precision of the arrays beside them."""
    arrays = [_first(part) for part in given.values()]
    kinds = [numpy_dtype(array) for array in arrays if isinstance(array, np.ndarray)]
    dtype = kinds[0] if kinds and kinds[0].kind == "f" else np.float64
    return [
        v
        if is_ragged(v) or _first(v) is not v and isinstance(_first(v), np.ndarray)
        else listed(v, name, dtype)
        for name, v in given.items()
    ]


def _first(a: Any) -> Any:
    """An array of the kind of these weights."""
    return a[0] if isinstance(a, (list, tuple)) and len(a) else a


def over_sets(function: Callable[P, R]) -> Callable[P, R]:
    """The function of two clouds ``(x, y, a, b, ...)``, or of a batch, for sets of different sizes too.

    These come as lists, nested tensors, or points with a pair ``batch=``; see :mod:`.forms`.
    """

    @wraps(function)
    def run(*args: Any, batch: Any = None, **options: Any) -> Any:
        if len(args) > 4 or {*"xyab"[: len(args)]} & {*options}:
            return function(*args, **options)  # refuses them
        given = dict(zip("xyab", args, strict=False))
        given |= {name: options.pop(name) for name in "xyab" if name in options}
        kept = getattr(options.get("solver"), "multilevel", None)  # blocks are those of one cloud
        known = {"x", "y"} <= given.keys()
        sets = as_batches(**given, batch=batch, alone=kept is True) if known else None
        if sets is None:
            return function(**given, **options)  # type: ignore[call-arg]
        return sets.answers(lambda *clouds: function(*clouds, **options))

    return cast(Callable[P, R], run)


def _groups(sizes: list[int], alone: bool) -> list[Group]:
    """Items of similar sizes together, as long as clouds and batches are not large."""
    found: list[Group] = []
    together: list[int] = []
    for k in sorted(range(len(sizes)), key=sizes.__getitem__):
        size = sizes[k]
        if alone or size > LARGE:
            found.append(Group([k], 0))
            continue
        if together and (
            size > GROWTH * sizes[together[0]] or (len(together) + 1) * size**2 > MOST
        ):
            found.append(Group(sorted(together), sizes[together[-1]]))
            together = []
        together.append(k)
    if together:
        found.append(Group(sorted(together), max(sizes[k] for k in together)))
    return found
