"""Images as callers give them: which axes are those of the grid, its spacing, and the weights of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...clouds import check_weights, rounding
from ...engines.grids.engine import GridEngine
from ...errors import bad_input
from ...points import Points, check_positive, refuse_tensor, unwrap
from ...precision import HALF, at_least_single

__all__ = ["Axes", "as_axes", "grid_clouds", "same_grid", "unit_images"]

MOST = 3  # axes of a grid
SINGLE = 1e-5  # what sums of single precision may be off by, relative


@dataclass(frozen=True)
class Axes:
    """The axes of an array of images: those of the batch, which lead, and those of the grid.

    Attributes:
        batch: the leading axes, maybe none.
        shape: pixels along each axis of the grid.
        spacing: distance of neighbours along each of them.
    """

    batch: tuple[int, ...]
    shape: tuple[int, ...]
    spacing: tuple[float, ...]

    @property
    def engine(self) -> GridEngine:
        """What sums over the pixels."""
        return GridEngine(self.shape, self.spacing)


def as_axes(name: str, images: Any, spacing: Any, dim: int | None, first: int = 0) -> Axes:
    """The axes of some images; ``first`` of them are before the grid's, whatever the others are.

    The grid has the last ``dim`` axes, or as many as there are numbers in ``spacing``; else all that
    may be.
    """
    if not isinstance(images, Tensor):
        raise bad_input(name, type(images).__name__, "a tensor or an array", kind=TypeError)
    if images.dtype not in (torch.float32, torch.float64, *HALF):
        fix = "Call .float() or .double(); of an array, .astype(float)."
        raise bad_input(name, f"dtype {images.dtype}", "float32 or float64", fix, TypeError)
    if unwrap(images.detach()).dim() != images.dim():
        fix = "Give (*batch, *grid), with dim= the number of axes of the grid."
        raise bad_input("torch.vmap", "a map over images", "images with the axes of a batch", fix)
    steps = _as_steps(spacing)
    count = images.dim() - first
    if dim is not None and (isinstance(dim, bool) or dim not in range(1, MOST + 1)):
        raise bad_input("dim", repr(dim), "a grid of 1, 2 or 3 axes")
    if dim is None:
        dim = len(steps) if len(steps) > 1 else count
        if len(steps) > max(count, 1):
            wanted = f"one, or one for each axis of shape {tuple(images.shape)}"
            raise bad_input("spacing", f"{len(steps)} numbers", wanted)
    if dim not in range(1, MOST + 1):
        fix = "Say how many of the last axes are those of the grid: dim=2 for images (B, H, W)."
        got = f"shape {tuple(images.shape)}, {dim} axes"
        raise bad_input("dim", got, "a grid of 1, 2 or 3 axes", fix)
    if dim > count:
        raise bad_input(
            name, f"shape {tuple(images.shape)}", f"a grid of {dim} axes, the last ones"
        )
    if len(steps) not in (1, dim):
        fix = "Each axis has one distance between neighbours; solve_sample takes points anywhere."
        raise bad_input("spacing", f"{len(steps)} numbers", f"one, or {dim}, one an axis", fix)
    if 0 in images.shape:
        raise bad_input(name, f"an empty image, shape {tuple(images.shape)}", "at least one pixel")
    split = images.dim() - dim
    batch, shape = tuple(images.shape[:split]), tuple(images.shape[split:])
    return Axes(batch, shape, steps * dim if len(steps) == 1 else steps)


def _as_steps(spacing: Any) -> tuple[float, ...]:
    """One positive number, or one for each axis."""
    if hasattr(spacing, "tolist"):
        if getattr(spacing, "requires_grad", False):
            refuse_tensor("spacing", spacing)
        spacing = spacing.tolist()
    steps = tuple(spacing) if isinstance(spacing, Sequence) else (spacing,)
    if not steps or any(isinstance(step, Sequence) for step in steps):
        raise bad_input("spacing", repr(spacing), "one number, or one for each axis of the grid")
    for k, step in enumerate(steps):
        check_positive(**{f"spacing[{k}]" if len(steps) > 1 else "spacing": step})
    return tuple(map(float, steps))


def same_grid(a: Axes, b: Axes) -> Axes:
    """Those of two arrays of images on one grid, of which one may lack the batch."""
    if a.shape != b.shape:
        fix = "Both images have the same pixels; pad the smaller one with zeros."
        raise bad_input("b", f"a grid of shape {b.shape}", f"{a.shape}, as a has", fix)
    if a.batch and b.batch and a.batch != b.batch:
        raise bad_input("b", f"a batch of shape {b.batch}", f"{a.batch}, as a has, or none")
    return a if a.batch else b


def grid_clouds(a: Tensor, b: Tensor, axes: Axes) -> tuple[Points, Points]:
    """The pixels of images as weighted points, ``(B, N, D)`` and ``(B, N)``, in double precision."""
    kinds = a.dtype, b.dtype
    a, b = at_least_single(a, b)
    weights = [_flat(name, t, axes, a) for name, t in (("a", a), ("b", b))]
    x, items = axes.engine.coordinates(a.detach().double()), max(map(len, weights))
    source, target = (
        Points(x.expand(items, *x.shape), w.double().expand(items, len(x)), _rounding(w, kind))
        for w, kind in zip(weights, kinds, strict=True)
    )
    return source, target


def unit_images(name: str, images: Tensor, axes: Axes) -> tuple[Tensor, Tensor]:
    """Images ``(B, K, N)`` of mass one in double precision, and the mass ``(B,)`` that all K have."""
    kind = images.dtype
    (images,) = at_least_single(images)
    flat = _flat(name, images, axes, images)
    tolerance = max(_rounding(flat, kind), 1e-9)
    a = flat.detach().double().unflatten(0, (-1, axes.batch[-1]))
    masses = a.sum(-1)
    least, largest = masses.amin(1), masses.amax(1)
    if bool((largest > (1 + tolerance) * least).any()):
        worst = int((largest / least).argmax())
        got = f"masses from {float(least[worst]):.7g} to {float(largest[worst]):.7g}"
        fix = f"Divide each image by its sum. The axis of {axes.batch[-1]} before the grid {axes.shape} counts images."
        raise bad_input(name, got, "equal masses", fix)
    return a / masses[..., None], masses.mean(1)


def _flat(name: str, images: Tensor, axes: Axes, like: Tensor) -> Tensor:
    """Weights ``(B, N)``, checked: zero or positive, of the dtype and on the device of others."""
    flat = images.reshape(-1, axes.engine.size)
    places = like.detach().new_zeros(()).expand(*flat.shape, 1)
    return check_weights(name, flat, places, "a")


def _rounding(weights: Tensor, came: torch.dtype) -> float:
    """What masses may be off by, relative, in the precision in which images came."""
    single = SINGLE if weights.dtype == torch.float32 else 0.0
    return max(rounding(weights, came), single)
