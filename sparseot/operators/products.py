"""Products with operators as torch asks for them: by ``torch.matmul``, and while code is compiled."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..errors import bad_input
from ..precision import at_least_single
from .arrays import Array, refuse_elsewhere
from .autograd.compiled import one_operator

__all__ = ["check_kinds", "empty_product", "matmul", "product_of_new"]

MATMUL = (torch.matmul, Tensor.matmul)


def matmul(kind: type[Any], func: Any, left: Any, right: Any) -> Any:
    """``torch.matmul(A, h)`` is ``A @ h``, also for ``torch.compile``, for operators of this kind.

    Torch 2.13 compiles ``A @ h`` as if it were ``h @ A``. It is taken for what was written where only
    that can be meant, or both are the same; else compiled code refuses it and wants ``torch.matmul``.
    """
    if func not in MATMUL:
        return NotImplemented
    if issubclass(type(left), kind):
        return left.__matmul__(right)  # @ would come here again
    if not torch.compiler.is_compiling():
        return right.__rmatmul__(left)
    vector = left.ndim < len(right.shape)
    as_left = left.shape[-1] == right.shape[-2]
    as_right = left.shape[-1 if vector else -2] == right.shape[-1]
    if as_left and as_right and not (vector and right.symmetric):
        return NotImplemented
    return right.__matmul__(left) if as_right else right.__rmatmul__(left)


def empty_product(operator: Any, v: Tensor) -> Tensor:
    """A tensor of the shape and dtype of the product of an operator."""
    dtype = getattr(torch, str(operator.dtype))
    dtype = dtype.to_complex() if v.is_complex() else dtype
    columns = v.shape[-1:] if v.dim() == len(operator.shape) else ()
    return v.new_empty((*operator.shape[:-1], *columns), dtype=dtype)


def _empty_product_of_new(
    v: Tensor, kind: type, kernel: Any, x: Tensor, *others: Any, **how: Any
) -> Tensor:
    (x,) = at_least_single(x)
    columns = v.shape[-1:] if v.dim() == x.dim() else ()
    return v.new_empty((*x.shape[:-1], *columns), dtype=x.dtype)


@one_operator(_empty_product_of_new)
def product_of_new(v: Tensor, kind: type, *made_of: Any, **how: Any) -> Array:
    """The product of a matrix that compiled code makes, which is made where it is multiplied."""
    return kind(*made_of, **how) @ v


def check_kinds(sign: str, left: Any, right: Any) -> None:
    """Refuses two operators of different dtypes, or on different devices."""
    if left.dtype != right.dtype:
        fix = "Make both from points of one dtype."
        raise bad_input(
            sign, f"{left.dtype} and {right.dtype}", "operators of one dtype", fix, TypeError
        )
    refuse_elsewhere(right.reference, left.reference, sign)
