"""Linear layers whose small products stay on one thread, those of the backward pass too."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from ..engines.openmp import on_threads_for

__all__ = ["Linear"]


class Linear(nn.Linear):
    """``torch.nn.Linear``, whose backward pass would wake torch's threads for any size."""

    def forward(self, input: Tensor) -> Tensor:
        """``(..., F)`` to ``(..., F')``."""
        weight = self.weight
        special = torch.is_autocast_enabled("cpu") or input.dtype != weight.dtype
        if input.device.type != "cpu" or special:
            return super().forward(input)
        rows = input.reshape(-1, input.shape[-1])
        out: Tensor = _Affine.apply(rows, weight, self.bias)
        return out.view(*input.shape[:-1], len(weight))


def _work(ctx: Any, x: Tensor, *rest: Any) -> float:
    """Multiplications, of a forward and of a backward pass."""
    return x.numel() * max(rest[0].shape) if rest else x.numel() * max(ctx.saved_tensors[1].shape)


class _Affine(Function):
    """``x W' + b`` of ``(N, F)``, ``(F', F)`` and ``(F',)`` or None; it differentiates itself."""

    @staticmethod
    @on_threads_for(_work)
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return x @ weight.mT if bias is None else torch.addmm(bias, x, weight.mT)

    @staticmethod
    @on_threads_for(_work)
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        need_x, need_weight, need_bias = ctx.needs_input_grad
        gx = _Affine.apply(g, weight.mT, None) if need_x else None
        gw = _Affine.apply(g.mT, x.mT, None) if need_weight else None
        return gx, gw, g.sum(0) if need_bias else None
