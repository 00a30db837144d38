"""What was computed from tensors that are changed in place afterwards has no derivative there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

__all__ = ["Versions", "of_unchanged"]


class Versions:
    """The state of some tensors, to be compared with a later one."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.seen = [(t, t._version) for t in tensors if not t.is_inference()]

    def check(self) -> None:
        """Raises RuntimeError where a derivative would reach a tensor that has changed."""
        if not torch.is_grad_enabled() or not any(t.requires_grad for t, _ in self.seen):
            return
        if any(t._version != version for t, version in self.seen):
            raise RuntimeError(
                "Points or weights were changed in place after the solve, so that derivatives "
                "would be taken where nothing was solved. Change a copy, x = x + step, or read "
                "the numbers under torch.no_grad()."
            )


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

    generate_vmap_rule = True

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
    def jvp(ctx: Any, tangent: Tensor, *others: Any) -> Tensor:
        return tangent.view_as(tangent)
