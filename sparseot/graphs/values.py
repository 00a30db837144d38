"""What a search found, at the places of the caller's rows and with gradients in the points."""

from __future__ import annotations

import torch
from torch import Tensor

from ..precision import at_least_single
from .edges import edge_squares
from .search.clouds import Clouds, unit
from .search.methods import Found

__all__ = ["attach", "clean", "place", "slots", "to_distances"]


def place(clouds: Clouds, found: Found, shape: torch.Size) -> tuple[Tensor, Tensor]:
    """Results of the real points at the places of all: squares and indices, ``(*shape, k)``.

    Empty slots have an infinite square and an index that is safe to gather: the row itself, or
    row 0 of y.
    """
    rows, k = shape.numel(), found.indices.shape[1]
    per = shape[-1]
    own = torch.arange(rows, device=found.indices.device) % max(1, per)
    indices = (own if clouds.same else torch.zeros_like(own))[:, None].repeat(1, k)
    squares = torch.full((rows, k), torch.inf, dtype=torch.float64, device=own.device)
    if len(clouds.y.where):
        ends, starts = (torch.tensor(t, device=own.device) for t in (clouds.x.ends, clouds.y.local))
        numbers = torch.arange(clouds.x.ends[-1], device=own.device)
        start = starts[torch.searchsorted(ends, numbers, right=True) - 1]
        local = clouds.y.where[found.indices.clamp(min=0)] - start[:, None]
        indices[clouds.x.where] = local.where(found.indices >= 0, indices[clouds.x.where])
        squares[clouds.x.where] = found.squares
    return squares.view(*shape, k), indices.view(*shape, k)


def attach(
    squares: Tensor, x: Tensor, y: Tensor, indices: Tensor, real: Tensor, metric: str
) -> Tensor:
    """The squares, in double precision, with gradients in x and y; 1 in the slots that are empty.

    For the cosine, squares are those between points on the unit sphere.
    """
    squares = squares.where(real, 1)
    if not (torch.is_grad_enabled() and (x.requires_grad or y.requires_grad)):
        return squares
    same, (m, dimension) = y is x, y.shape[-2:]
    row, col = slots(indices, m)
    x, y = at_least_single(x.reshape(-1, dimension), y.reshape(-1, dimension))
    y = x if same else y
    if metric == "cosine":
        x = unit(x)
        y = x if same else unit(y)
    known = edge_squares(squares.reshape(-1), x, y, row, col)
    return known.view(indices.shape).where(real, 1)


def clean(x: Tensor, mask: Tensor | None) -> Tensor:
    """Zeros for padding, which may hold NaN: even zero times NaN would reach gradients."""
    return x if mask is None else x.where(mask.to(x.device)[..., None], 0)


def slots(indices: Tensor, m: int) -> tuple[Tensor, Tensor]:
    """Rows and columns of all slots ``(..., N, k)``, samples one after the other, ``(E,)``."""
    rows, k = indices[..., 0].numel(), indices.shape[-1]
    row = torch.arange(rows, device=indices.device).repeat_interleave(k)
    if indices.dim() == 2:
        return row, indices.reshape(-1)
    start = m * torch.arange(len(indices), device=indices.device)
    return row, (indices + start[:, None, None]).reshape(-1)


def to_distances(squares: Tensor, metric: str) -> Tensor:
    """Distances of squares; the root has derivative zero at zero."""
    if metric == "cosine":
        return squares / 2
    positive = squares > 0
    return squares.where(positive, 1).sqrt() * positive
