"""Products with the derivatives of values and potentials, as linear functions of their directions.

The Hessian's is symmetric, and so its own adjoint; those of the potentials' derivative, from the
left and from the right, are each other's. Directions stand last in shapes, and there may be several:
where ``torch.vmap`` maps over them, they are so many more. What the products are taken at is held.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ...engines.openmp import on_one_thread
from ...operators.autograd.transforms import Rule
from .curvatures import Curvatures

__all__ = ["Wanted", "hessian_times", "kept", "potentials_along", "potentials_dual"]

Wanted = tuple[bool, ...]


def hessian_times(
    curvatures: Curvatures, need: Wanted, tangents: Sequence[Any], inputs: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """The Hessian times one tangent of each argument; empty where unneeded."""
    found = _Product.apply(curvatures, need, *_columns(tangents), *_Held.apply(*inputs))
    return _single(found)


def potentials_dual(
    curvatures: Curvatures, duals: Sequence[Tensor], inputs: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """The derivatives of ``<wf, f> + <wg, g>`` in each argument."""
    return _single(_Pulled.apply(curvatures, *_columns(duals), *_Held.apply(*inputs)))


def potentials_along(
    curvatures: Curvatures, tangents: Sequence[Any], inputs: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """The derivatives of f and g along one tangent of each argument."""
    return _single(_Pushed.apply(curvatures, *_columns(tangents), *_Held.apply(*inputs)))


def kept(found: Sequence[Tensor], need: Wanted) -> list[Tensor | None]:
    """Of four results those that are needed."""
    return [t if n and t.numel() else None for t, n in zip(found, need, strict=False)]


def _columns(directions: Sequence[Tensor | None]) -> list[Tensor | None]:
    return [None if t is None else t[..., None] for t in directions]


def _single(found: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Of products with one direction its column."""
    return tuple(t[..., 0] if t.dim() > 1 else t for t in found)


class _Linear(Rule):
    """A product with directions ``(B, ..., R)``; where they are mapped over, they are so many more."""

    directions: slice  # which arguments they are

    @classmethod
    def mapped(cls, info: Any, in_dims: Sequence[Any], *args: Any) -> tuple[Any, Any]:
        """The rule of vmap: the mapped axis joins the last one."""
        size, flat = info.batch_size, list(args)
        for k in range(len(args))[cls.directions]:
            if args[k] is None:
                continue
            many = in_dims[k] is not None
            t = args[k].movedim(in_dims[k], -1) if many else args[k][..., None]
            flat[k] = t.expand(*t.shape[:-1], size).flatten(-2)
        found = cls.apply(*flat)
        split = tuple(f.unflatten(-1, (-1, size)) if f.dim() > 1 else f for f in found)
        return split, tuple(f.dim() - 1 if f.dim() > 1 else None for f in split)


class _Product(_Linear):
    """The Hessian times tangents; linear and symmetric in them, so again its own adjoint."""

    directions = slice(2, 6)

    @staticmethod
    def forward(curvatures: Curvatures, need: Wanted, *args: Tensor | None) -> tuple[Tensor, ...]:
        tangents, inputs = args[:4], [t for t in args[4:] if t is not None]
        return _each(inputs, need, tangents, lambda k, given: curvatures[k].hvp(given, need))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.curvatures, _, *args = inputs
        ctx.moved = tuple(v is not None for v in args[:4])
        ctx.save_for_backward(*args[4:])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        inputs = ctx.saved_tensors
        found = _Product.apply(ctx.curvatures, ctx.moved, *cotangents, *inputs)
        return (None, None, *kept(found, ctx.moved), *map(torch.zeros_like, inputs))

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        return _Product.mapped(info, in_dims, *args)


class _Pulled(_Linear):
    """The adjoint of the potentials' derivative, linear in its first two tensors."""

    directions = slice(1, 3)

    @staticmethod
    def forward(curvatures: Curvatures, *args: Tensor) -> tuple[Tensor, ...]:

        def product(k: int, duals: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
            wf, wg = duals
            assert wf is not None and wg is not None
            return curvatures[k].vjp(wf, wg)

        return _each(args[2:], (True,) * 4, args[:2], product)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.curvatures, _, _, *clouds = inputs
        ctx.save_for_backward(*clouds)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, *tangents: Tensor | None) -> tuple[Tensor | None, ...]:
        inputs = ctx.saved_tensors
        pushed = _Pushed.apply(ctx.curvatures, *tangents, *inputs)
        return (None, *pushed, *map(torch.zeros_like, inputs))

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        return _Pulled.mapped(info, in_dims, *args)


class _Pushed(_Linear):
    """The potentials' derivative along tangents."""

    directions = slice(1, 5)

    @staticmethod
    def forward(curvatures: Curvatures, *args: Tensor | None) -> tuple[Tensor, ...]:
        tangents, inputs = args[:4], [t for t in args[4:] if t is not None]
        return _each(inputs[2:], (True,) * 2, tangents, lambda k, given: curvatures[k].jvp(given))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.curvatures, *args = inputs
        ctx.moved = tuple(v is not None for v in args[:4])
        ctx.save_for_backward(*args[4:])

    @staticmethod
    def backward(ctx: Any, wf: Tensor, wg: Tensor) -> tuple[Tensor | None, ...]:
        inputs = ctx.saved_tensors
        found = _Pulled.apply(ctx.curvatures, wf, wg, *inputs)
        return (None, *kept(found, ctx.moved), *map(torch.zeros_like, inputs))

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        return _Pushed.mapped(info, in_dims, *args)


class _Held(Rule):
    """The identity of what a derivative was taken at: it cannot be differentiated once more."""

    @staticmethod
    def forward(*inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(t.view_as(t) for t in inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[None, ...]:
        if any(t is not None for t in cotangents):
            raise RuntimeError(
                "A transport cost has no third derivative here, and its potentials no second one: "
                "the implicit rule ends with first derivatives of potentials."
            )
        return (None,) * len(cotangents)

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> tuple[None, ...]:
        return _Held.backward(ctx, *tangents)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *inputs: Tensor) -> tuple[tuple[Tensor, ...], Any]:
        return _Held.apply(*inputs), in_dims


@on_one_thread
def _each(
    like: Sequence[Tensor],
    need: Wanted,
    directions: Sequence[Tensor | None],
    product: Callable[[int, tuple[Tensor | None, ...]], tuple[Tensor | None, ...]],
) -> tuple[Tensor, ...]:
    """Products of the items of a batch with their directions, in float64; empty where unneeded."""
    given = [None if v is None else v.double() for v in directions]
    columns = next((v.shape[-1] for v in given if v is not None), 0)
    if not columns:
        return tuple(
            t.new_zeros(*t.shape, 1) if n else t.new_zeros(0)
            for t, n in zip(like, need, strict=True)
        )
    items = [
        product(k, tuple(None if v is None else v[k] for v in given)) for k in range(len(like[0]))
    ]
    stacked = []
    for tensor, asked, parts in zip(like, need, zip(*items, strict=True), strict=True):
        there = [part for part in parts if part is not None]
        stacked.append(torch.stack(there).to(tensor) if asked and there else tensor.new_zeros(0))
    return tuple(stacked)
