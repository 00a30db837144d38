"""Values and potentials of solved clouds as functions that autograd and ``torch.func`` know.

A value has a gradient, which is a function of its own, and that has a product with the Hessian;
potentials have products with their derivative (:mod:`.linear`). Backward passes, forward ones
and maps over directions are all there: ``grad``, ``jacrev``, ``jvp`` and ``hessian`` of
``torch.func`` work as ``torch.autograd`` does, and share one factorisation.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...engines.openmp import on_one_thread
from ...operators.autograd.transforms import AtClouds
from ...precision import full_precision
from .curvatures import Curvatures
from .linear import Wanted, hessian_times, kept, potentials_along, potentials_dual

__all__ = ["PotentialsRule", "ValueRule"]


class ValueRule(AtClouds):
    """The value ``(B,)`` of solved clouds."""

    @staticmethod
    def forward(
        x: Tensor, y: Tensor, a: Tensor, b: Tensor, value: Tensor, curvatures: Curvatures
    ) -> Tensor:
        return value.to(x.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        *clouds, _, ctx.curvatures = inputs
        ctx.save_for_backward(*clouds)
        ctx.save_for_forward(*clouds)

    @staticmethod
    @full_precision
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        gradients = _Gradient.apply(*ctx.saved_tensors, ctx.needs_input_grad[:4], ctx.curvatures)
        scaled = (
            cotangent.reshape(-1, *[1] * (g.dim() - 1)) * g if need else None
            for g, need in zip(gradients, ctx.needs_input_grad, strict=False)
        )
        return (*scaled, None, None)

    @staticmethod
    @full_precision
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        moved = tuple(t is not None for t in tangents[:4])
        gradients = _Gradient.apply(*ctx.saved_tensors, moved, ctx.curvatures)
        parts = [
            (g * t).sum(tuple(range(1, g.dim())))
            for g, t in zip(gradients, tangents, strict=False)
            if t is not None
        ]
        return torch.stack(parts).sum(0)


class _Gradient(AtClouds):
    """The gradient of the envelope theorem; the Hessian is symmetric, so its adjoint is itself."""

    @staticmethod
    @on_one_thread
    def forward(
        x: Tensor, y: Tensor, a: Tensor, b: Tensor, need: Wanted, curvatures: Curvatures
    ) -> tuple[Tensor, ...]:
        leaves = [t.detach().requires_grad_(n) for t, n in zip((x, y, a, b), need, strict=True)]
        with torch.enable_grad():
            value = curvatures.dual(leaves).sum()
        asked = [leaf for leaf in leaves if leaf.requires_grad]
        found = iter(torch.autograd.grad(value, asked, materialize_grads=True))
        return tuple(next(found) if leaf.requires_grad else leaf.new_zeros(0) for leaf in leaves)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        *clouds, ctx.need, ctx.curvatures = inputs
        ctx.save_for_backward(*clouds)
        ctx.save_for_forward(*clouds)
        ctx.set_materialize_grads(False)

    @staticmethod
    @full_precision
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        need = ctx.needs_input_grad[:4]
        found = hessian_times(ctx.curvatures, need, cotangents, ctx.saved_tensors)
        return (*kept(found, need), None, None)

    @staticmethod
    @full_precision
    def jvp(ctx: Any, *tangents: Any) -> tuple[Tensor, ...]:
        found = hessian_times(ctx.curvatures, ctx.need, tangents[:4], ctx.saved_tensors)
        return tuple(
            f if f.numel() else t.new_zeros(t.shape if n else 0)
            for f, t, n in zip(found, ctx.saved_tensors, ctx.need, strict=True)
        )


class PotentialsRule(AtClouds):
    """Both potentials, with the derivative of the implicit function theorem."""

    @staticmethod
    def forward(
        x: Tensor, y: Tensor, a: Tensor, b: Tensor, curvatures: Curvatures
    ) -> tuple[Tensor, Tensor]:
        return curvatures.found.f.clone(), curvatures.found.g.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        *clouds, ctx.curvatures = inputs
        ctx.save_for_backward(*clouds)
        ctx.save_for_forward(*clouds)

    @staticmethod
    @full_precision
    def backward(ctx: Any, wf: Tensor, wg: Tensor) -> tuple[Tensor | None, ...]:
        found = potentials_dual(ctx.curvatures, (wf, wg), ctx.saved_tensors)
        return (*kept(found, ctx.needs_input_grad), None)

    @staticmethod
    @full_precision
    def jvp(ctx: Any, *tangents: Any) -> tuple[Tensor, Tensor]:
        df, dg = potentials_along(ctx.curvatures, tangents[:4], ctx.saved_tensors)
        return df, dg
