"""What losses return, without its numbers: compiled code is told before they are computed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..clouds import batch_size
from ..errors import bad_input
from ..precision import at_least_single
from ..ragged.forms import is_ragged

__all__ = ["empty_losses"]


def empty_losses(
    x: Tensor,
    y: Tensor,
    a: Tensor | None = None,
    b: Tensor | None = None,
    *,
    batch: Any = None,
    potentials: bool = False,
    **options: Any,
) -> Tensor | tuple[Tensor, ...]:
    """Empty tensors of the shapes of the value, ``()`` or ``(B,)``, or of both potentials."""
    if batch is not None or is_ragged(x) or is_ragged(y):
        return _of_sets(x, y, potentials)
    x, y, a, b = at_least_single(x, y, a, b)
    count = batch_size(x, y, a, b)
    batch = (count,) if count else ()
    if not potentials:
        return x.new_empty(batch)
    return tuple(x.new_empty(*batch, cloud.shape[-2]) for cloud in (x, y))


def _of_sets(x: Any, y: Any, potentials: bool) -> Tensor | tuple[Tensor, ...]:
    """Those of sets of different sizes; how many a batch vector has is known when its numbers are."""
    clouds = [points[0] if is_ragged(points) else points for points in (x, y)]
    clouds = list(at_least_single(*clouds))
    if potentials and not all(
        isinstance(points, Tensor) and points.dim() == 2 for points in (x, y)
    ):
        fix = "Give points (n, D) with batch=, or ask for values."
        raise bad_input("torch.compile", "potentials of a list of clouds", "tensors", fix)
    if potentials:
        return tuple(points.new_empty(len(points)) for points in clouds)
    count: Any = next((len(points) for points in (x, y) if is_ragged(points)), None)
    if count is None:
        count = torch.library.get_ctx().new_dynamic_size()
    return clouds[0].new_empty(count)
