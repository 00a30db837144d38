"""The printer for torch: values of expressions from those of their leaves, on any device, with a graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from .expressions import Expr, ordered

__all__ = ["values"]


def _root(a: Tensor) -> Tensor:
    return torch.where(a == 0, 1, a).sqrt() * (a != 0)


def _inverse_root(a: Tensor) -> Tensor:
    return torch.where(a == 0, 1, a).rsqrt() * (a != 0)


POINTWISE: dict[str, Callable[..., Tensor]] = {
    "add": torch.add,
    "sub": torch.sub,
    "neg": torch.neg,
    "mul": torch.mul,
    "div": torch.div,
    "exp": torch.exp,
    "log": torch.log,
    "abs": torch.abs,
    "sin": torch.sin,
    "cos": torch.cos,
    "atan": torch.atan,
    "acos": torch.acos,
    "atan2": torch.atan2,
    "tanh": torch.tanh,
    "sign": lambda a: torch.where(a == a, a.sign(), a),
    "floor": torch.floor,
    "round": torch.round,
    "step": lambda a: (a >= 0).to(a.dtype),
    "iszero": lambda a: (a == 0).to(a.dtype),
    "max": lambda a, b: torch.where(a < b, b, a),
    "ifelse": lambda c, a, b: torch.where(c >= 0, a, b),
    "sqrt": _root,
    "rsqrt": _inverse_root,
}


def values(roots: Sequence[Expr], leaves: Mapping[Expr, Tensor], like: Tensor) -> list[Tensor]:
    """The values of expressions, tensors whose last axis is the vector and whose others broadcast.

    Args:
        roots: the expressions.
        leaves: the tensors of leaves, and of any other nodes that are known.
        like: says the dtype and the device of constants.
    """
    done: dict[Expr, Tensor] = dict(leaves)
    for n in ordered(*roots):
        if n not in done:
            done[n] = _value(n, [done[a] for a in n.args], like)
    return [done[e].expand(*done[e].shape[:-1], e.dim) for e in roots]


def _value(n: Expr, args: list[Tensor], like: Tensor) -> Tensor:
    if n.op == "const":
        return like.new_full((1,), n.attr)
    if n.op == "sum":
        long = args[0].expand(*args[0].shape[:-1], n.args[0].dim)
        return long.sum(-1, keepdim=True)
    if n.op == "expand":
        return args[0].expand(*args[0].shape[:-1], n.dim)
    if n.op == "extract":
        long = args[0].expand(*args[0].shape[:-1], n.args[0].dim)
        return long[..., n.attr : n.attr + n.dim]
    if n.op == "concat":
        shape = torch.broadcast_shapes(*(a.shape[:-1] for a in args))
        parts = zip(args, n.args, strict=True)
        return torch.cat([a.expand(*shape, part.dim) for a, part in parts], -1)
    return POINTWISE[n.op](*args)
