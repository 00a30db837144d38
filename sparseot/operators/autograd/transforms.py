"""Functions of solved clouds inside of the transforms of ``torch.func``, and work outside of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import signature
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.forward_ad import unpack_dual

from ...errors import bad_input
from ...points import unwrap

__all__ = ["AtClouds", "Rule", "is_plain", "outside", "outside_of_maps"]

T = TypeVar("T")


class Rule(Function):
    """A function whose signature, which torch reads at each call, is read once."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.forward.__signature__ = signature(cls.forward)  # type: ignore[attr-defined]


def is_plain(t: Tensor | None) -> bool:
    """Whether a tensor is in no transform of ``torch.func``, and has no tangent of forward derivatives."""
    return t is None or (unwrap(t) is t and unpack_dual(t).tangent is None)


def outside(run: Callable[[], T], like: Tensor) -> T:
    """What ``run`` returns, outside of the transforms of ``torch.func`` that ``like`` may be in.

    There, all that torch computes is wrapped and holds no numbers; but for the forward pass of a
    function.
    """
    if unwrap(like) is like:
        return run()
    found: list[T] = []
    _Outside.apply(like, lambda: found.append(run()))
    return found[0]


def outside_of_maps(run: Callable[[], T], tensors: Sequence[Tensor]) -> T:
    """What ``run`` returns, with its graph, outside of maps that are over none of these tensors.

    Inside of them torch takes only functions that can be mapped. Derivatives of ``torch.func`` are not
    left: their tensors are wrapped.
    """
    if any(unwrap(t) is not t for t in tensors):
        return run()
    found: list[T] = []
    graph = torch.is_grad_enabled()

    def keep() -> None:
        with torch.set_grad_enabled(graph):
            found.append(run())

    _Outside.apply(tensors[0].detach(), keep)
    return found[0]


class AtClouds(Rule):
    """A function of four tensors of solved clouds, which no transform may turn into several."""

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        raise bad_input(
            "torch.vmap",
            "a map over points or weights",
            "clouds that are solved as they are",
            "Give the batch itself: (B, N, D) points and (B, N) weights.",
        )


class _Outside(AtClouds):
    """Nothing, as a function of something."""

    @staticmethod
    def forward(like: Tensor, run: Callable[[], None]) -> Tensor:
        run()
        return like.new_zeros(())

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> None:
        return None
