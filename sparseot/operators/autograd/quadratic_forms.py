"""Double sums of a symmetric kernel over one cloud, differentiable in points and weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from ...engines.base import Engine, Formula
from ...engines.openmp import on_one_thread, own_settings
from ...formulas import Opaque, Radial
from .kernel_sums import folded, kernel_sum, moved_by
from .transforms import Rule, is_plain

__all__ = ["quadratic_form"]


def quadratic_form(kernel: Formula, x: Tensor, a: Tensor, *, engine: Engine) -> Tensor:
    r"""The double sum :math:`\sum_{ij} a_i a_j k(x_i, x_j)` of a symmetric kernel, ``(B,)``.

    Differentiable to any order; both places of x are differentiated in one pass.
    """
    if isinstance(kernel, Opaque):
        from .opaque_sums import own_function_sum  # here, for a light import of the library

        return (a * own_function_sum(kernel, x, a, engine)).sum(-1)
    plain = is_plain(x) and is_plain(a)
    rule = _SlopedForm if engine.sloped and plain else _QuadraticForm
    result: Tensor = rule.apply(x, a, kernel, engine)
    return result


class _QuadraticForm(Rule):
    @staticmethod
    @on_one_thread
    def forward(x: Tensor, a: Tensor, kernel: Radial, engine: Engine) -> Tensor:
        return (a * engine.bind(x, x).sum(kernel, a[..., None])[..., 0]).sum(-1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        *tensors, ctx.kernel, ctx.engine = inputs
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)
        ctx.set_materialize_grads(False)

    @staticmethod
    @own_settings
    def backward(ctx: Any, g: Tensor | None) -> tuple[Tensor | None, ...]:
        if g is None:
            return (None,) * 4
        x, a = ctx.saved_tensors
        return *_form_gradients(ctx, x, a, g, ctx.needs_input_grad[:2]), None, None

    @staticmethod
    @own_settings
    def jvp(ctx: Any, dx: Tensor | None, da: Tensor | None, *_: None) -> Tensor:
        x, a = ctx.saved_tensors
        need = dx is not None, da is not None
        gx, ga = _form_gradients(ctx, x, a, torch.ones_like(a[:, 0]), need)
        pairs = ((gx, dx), (ga, da))
        parts = [(g * t).flatten(1).sum(1) for g, t in pairs if g is not None and t is not None]
        return torch.stack(parts).sum(0)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> tuple[Tensor, int]:
        x, a = (folded(t, d, info.batch_size) for t, d in zip(args[:2], in_dims[:2], strict=True))
        return _QuadraticForm.apply(x, a, *args[2:]).unflatten(0, (info.batch_size, -1)), 0


class _SlopedForm(Function):
    """The same where one pass gives the sums and what moves x; both are kept for the backward pass."""

    @staticmethod
    @on_one_thread
    def forward(ctx: Any, x: Tensor, a: Tensor, kernel: Radial, engine: Engine) -> Tensor:
        ctx.kernel, ctx.engine = kernel, engine
        sums, v = engine.bind(x, x), a[..., None]
        both = sums.sum_slopes(kernel, v) if ctx.needs_input_grad[0] else None
        found, slopes = (sums.sum(kernel, v), None) if both is None else both
        ctx.save_for_backward(x, a, found[..., 0], slopes)
        return (a * found[..., 0]).sum(-1)

    @staticmethod
    @own_settings
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, a, found, slopes = ctx.saved_tensors
        moves, weighs = ctx.needs_input_grad[:2]
        again = torch.is_grad_enabled()  # what was kept has no derivative
        known = moves and slopes is not None and not again
        gx, ga = _form_gradients(ctx, x, a, g, (moves and not known, weighs and again))
        twice = 2 * g[:, None]
        gx = (twice * a)[..., None] * slopes if known else gx
        return gx, twice * found if weighs and not again else ga, None, None


def _form_gradients(
    ctx: Any, x: Tensor, a: Tensor, g: Tensor, need: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """``g`` ``(B,)`` times the derivatives of a quadratic form in x and in a; None if there is no need."""
    v, weight = a[..., None], (2 * g[:, None] * a)[..., None]
    gx = moved_by(ctx.kernel, x, x, weight, v, None, None, ctx.engine) if need[0] else None
    if not need[1]:
        return gx, None
    return gx, 2 * g[:, None] * kernel_sum(ctx.kernel, x, x, v, engine=ctx.engine)[..., 0]
