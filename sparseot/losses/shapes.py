"""What losses return, without its numbers: compiled code is told before they are computed."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..clouds import batch_size
from ..precision import at_least_single

__all__ = ["empty_losses"]


def empty_losses(
    x: Tensor,
    y: Tensor,
    a: Tensor | None = None,
    b: Tensor | None = None,
    *,
    potentials: bool = False,
    **options: Any,
) -> Tensor | tuple[Tensor, ...]:
    """Empty tensors of the shapes of the value, ``()`` or ``(B,)``, or of both potentials."""
    x, y, a, b = at_least_single(x, y, a, b)
    count = batch_size(x, y, a, b)
    batch = (count,) if count else ()
    if not potentials:
        return x.new_empty(batch)
    return tuple(x.new_empty(*batch, cloud.shape[-2]) for cloud in (x, y))
