"""``torch.vmap`` over clouds, weights, or both: what is mapped over becomes a batch.

Solvers read numbers, which a map hides. So at the door every axis that a map has hidden is made a visible
one (:class:`_Shown`); the function is called once, for a batch; and its results go back into the maps
(:class:`_Hidden`). Each of both is the other's derivative: so the derivatives of ``torch.func`` go
through, inside of a map and around it. What is not mapped over is expanded, which copies nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from torch import Tensor

from ...clouds import batch_size
from ...points import not_mapped, unwrap
from .transforms import Rule, outside_of_maps

__all__ = ["mapped"]

P = ParamSpec("P")
R = TypeVar("R")
Results = Tensor | tuple[Tensor, ...]
HELD = "what the function of a cost or a kernel holds"


def mapped(function: Callable[P, R]) -> Callable[P, R]:
    """The function of two clouds ``(x, y, a, b, **options)``, mapped over by ``torch.vmap`` as a batch."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if len(args) > 4 or {*"xyab"[: len(args)]} & {*kwargs}:
            return function(*args, **kwargs)  # refuses them
        given: dict[str, Any] = dict(zip("xyab", args, strict=False)) | kwargs
        clouds = {k: given[k] for k in "xyab" if isinstance(given.get(k), Tensor)}
        if not {"x", "y"} <= set(clouds) or all(unwrap(t) is t for t in clouds.values()):
            return function(*args, **kwargs)
        levels = _Levels.apply(*clouds.values())
        if not levels:
            return function(*args, **kwargs)
        return _as_batch(function, levels, clouds, given)  # type: ignore[return-value]

    return run


def _as_batch(
    function: Callable[..., Any],
    levels: Sequence[Tensor],
    clouds: dict[str, Tensor],
    given: dict[str, Any],
) -> Results:
    """The function of the batch of all clouds in these maps; ``levels`` are as :class:`_Levels` finds them."""
    count = batch_size(given["x"], given["y"], given.get("a"), given.get("b"))
    points = {name: clouds["x" if name in "xa" else "y"] for name in clouds}
    one = {name: _is_one(t, points[name], name in "ab") for name, t in clouds.items()}
    shown: Sequence[Tensor] = tuple(clouds.values())
    for level in levels:
        shown = _Shown.apply(level, *shown)
    maps, batch = shown[0].shape[: len(levels)], (count,) if count else ()
    folded = {}
    for name, t in zip(clouds, shown, strict=True):
        if count and one[name]:
            t = t.unsqueeze(len(maps))
            t = t.expand(*maps, count, *t.shape[len(maps) + 1 :])
        folded[name] = t.reshape(-1, *t.shape[len(maps) + len(batch) :])
    try:
        found = outside_of_maps(lambda: function(**given | folded), tuple(folded.values()))
    except RuntimeError as error:
        if "being vmapped" not in str(error):  # so torch says what a function brings along
            raise
        raise not_mapped(HELD) from error
    results = found if isinstance(found, tuple) else (found,)
    results = tuple(t.reshape(*maps, *batch, *t.shape[1:]) for t in results)
    for level in reversed(levels):
        results = _Hidden.apply(level, *results)
    return results if isinstance(found, tuple) else results[0]


def _is_one(t: Tensor, points: Tensor, weights: bool) -> bool:
    """Whether points or weights are those of one cloud."""
    if not weights:
        return t.dim() == 2
    return t.dim() == 1 or t.shape == (points.shape[-2], 1)


class _Levels(Rule):
    """For each map that hides an axis of one of the tensors a tensor that only that map is over.

    The innermost map comes first.
    """

    @staticmethod
    def forward(*tensors: Tensor) -> tuple[Tensor, ...]:
        return ()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
        ctx.mark_non_differentiable(*output)
        ctx.count = len(output)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> tuple[None, ...]:
        return (None,) * ctx.count

    @staticmethod
    def vmap(info: Any, in_dims: Sequence[int | None], *tensors: Tensor) -> tuple[Any, Any]:
        level = tensors[0].new_empty(info.batch_size, 0)
        one = [t if d is None else t.select(d, 0) for t, d in zip(tensors, in_dims, strict=True)]
        others = _Levels.apply(*one)
        return (level, *others), (0, *(None for _ in others))


class _Along(Rule):
    """A linear function of some tensors, at one map; all other maps are over its last axis."""

    @staticmethod
    def forward(level: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        raise AssertionError("a level is in its map")

    @classmethod
    def through(cls, in_dims: Sequence[int | None], *tensors: Tensor) -> tuple[Any, Any]:
        """The rule of the other maps."""
        moved = [
            t if d is None else t.movedim(d, -1) for t, d in zip(tensors, in_dims, strict=True)
        ]
        found = cls.apply(*moved)
        dims = (None if d is None else t.dim() - 1 for t, d in zip(found, in_dims[1:], strict=True))
        return found, tuple(dims)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
        ctx.save_for_backward(inputs[0])
        ctx.save_for_forward(inputs[0])


class _Shown(_Along):
    """Tensors with the axis of a map as their first one; those that it is not over are expanded."""

    @staticmethod
    def vmap(info: Any, in_dims: Sequence[int | None], *tensors: Tensor) -> tuple[Any, Any]:
        if in_dims[0] is None:
            return _Shown.through(in_dims, *tensors)
        size, pairs = info.batch_size, zip(tensors[1:], in_dims[1:], strict=True)
        shown = [t.expand(size, *t.shape) if d is None else t.movedim(d, 0) for t, d in pairs]
        return tuple(shown), (None,) * len(shown)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Any, ...]:
        return None, *_Hidden.apply(*ctx.saved_tensors, *cotangents)

    @staticmethod
    def jvp(ctx: Any, _: None, *tangents: Tensor) -> tuple[Tensor, ...]:
        return _Shown.apply(*ctx.saved_tensors, *tangents)


class _Hidden(_Along):
    """Tensors, whose first axis becomes that of a map."""

    @staticmethod
    def vmap(info: Any, in_dims: Sequence[int | None], *tensors: Tensor) -> tuple[Any, Any]:
        if in_dims[0] is None:
            return _Hidden.through(in_dims, *tensors)
        return tuple(t.view_as(t) for t in tensors[1:]), (0,) * (len(tensors) - 1)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Any, ...]:
        return None, *_Shown.apply(*ctx.saved_tensors, *cotangents)

    @staticmethod
    def jvp(ctx: Any, _: None, *tangents: Tensor) -> tuple[Tensor, ...]:
        return _Hidden.apply(*ctx.saved_tensors, *tangents)
