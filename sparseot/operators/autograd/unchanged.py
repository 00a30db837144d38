"""What was computed from tensors that are changed in place afterwards has no derivative there."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

__all__ = ["of_unchanged"]


def of_unchanged(value: Tensor, *tensors: Tensor) -> Tensor:
    """The same value; where one of the tensors changes in place, its backward pass is an error.

    It is autograd's own, that of every tensor which a backward pass reads.
    """
    if not (torch.is_grad_enabled() and value.requires_grad):
        return value
    held: Tensor = _OfUnchanged.apply(value, *tensors)
    return held


class _OfUnchanged(Function):
    """The identity of its first argument, which holds the others."""

    @staticmethod
    def forward(value: Tensor, *tensors: Tensor) -> Tensor:
        return value.view_as(value)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        _, *tensors = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        return (cotangent, *(None for _ in ctx.saved_tensors))

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *tensors: Tensor) -> tuple[Tensor, Any]:
        return _OfUnchanged.apply(*tensors), in_dims[
            0
        ]  # torch's own rule has no jvp inside of maps

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *others: Any) -> Tensor:
        return tangent.view_as(tangent)
