"""What is asked of a result, checked: new points, directions, the size of a sparse plan."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from ...errors import bad_input
from ...operators.arrays import refuse_elsewhere, tensor_of
from ...points import check_positive
from ..derivatives.curvature import PLACES
from ..derivatives.solved import Solved

__all__ = ["as_directions", "as_indices", "as_new_points", "check_entries"]


def as_new_points(points: Any, known: Tensor, batched: bool) -> Tensor:
    """Points ``(B, K, D)`` of the kind of those that are known, ``(B, N, D)``."""
    wanted = f"({'B, ' if batched else ''}K, {known.shape[-1]})"
    refuse_elsewhere(points, known, "points")
    points = tensor_of(points, "points")
    if points.dim() != 2 + batched or points.shape[-1] != known.shape[-1]:
        raise bad_input("points", f"shape {tuple(points.shape)}", wanted)
    if batched and len(points) != len(known):
        raise bad_input("points", f"shape {tuple(points.shape)}", f"{len(known)} items")
    if points.is_complex():
        raise bad_input("points", f"dtype {points.dtype}", "real numbers", kind=TypeError)
    if not bool(points.isfinite().all()):
        raise bad_input("points", "NaN or infinite coordinates", "finite numbers")
    return (points if batched else points[None]).detach().to(known)


def as_directions(v: Any, wrt: str, solved: Solved, batched: bool) -> Tensor:
    """Directions ``(B, N, ..., R)`` in float64, of the shape of what moves or with one axis more."""
    if wrt not in tuple(PLACES):
        raise bad_input("wrt", repr(wrt), 'one of "x", "y", "a", "b"')
    like = solved.moving(wrt)
    like = like if batched else like[0]
    refuse_elsewhere(v, like, "v")
    v = tensor_of(v, "v")
    if v.shape[: like.dim()] != like.shape or v.dim() > like.dim() + 1:
        wanted = f"{tuple(like.shape)}, as {wrt} has, or one axis more"
        raise bad_input("v", f"shape {tuple(v.shape)}", wanted)
    if v.is_complex():
        raise bad_input("v", f"dtype {v.dtype}", "real numbers", kind=TypeError)
    columns = v.detach().double().reshape(*like.shape, -1)
    return columns if batched else columns[None]


def as_indices(i: Any, weights: Tensor, batched: bool) -> Any:
    """Numbers of points as an array ``(B, ...)``, for weights ``(B, N)``."""
    given = i if isinstance(i, Tensor | np.ndarray) else np.asarray(i)
    rows = tensor_of(given, "i").numpy(force=True).reshape(given.shape)
    if rows.dtype.kind not in "iu" and rows.size:
        fix = "A mask has them by .nonzero()." if rows.dtype.kind == "b" else ""
        raise bad_input("i", f"dtype {rows.dtype}", "integers, numbers of points", fix, TypeError)
    items, size = weights.shape
    if batched and (not rows.ndim or len(rows) != items):
        raise bad_input("i", f"shape {rows.shape}", f"({items}, ...), those of each item")
    rows = (rows if batched else rows[None]).astype(np.int64)
    if rows.size and not (rows.min() >= 0 and rows.max() < size):
        worst = rows.min() if rows.min() < 0 else rows.max()
        raise bad_input("i", f"the number {worst}", f"numbers from 0 to {size - 1}")
    return rows


def check_entries(k: int | None, mass: float | None) -> None:
    """Either a whole number of entries, or a share of the mass."""
    check_positive(k=k, mass=mass)
    if (k is None) == (mass is None):
        got = "neither k nor mass" if k is None else "both k and mass"
        fix = "sparse_plan(10) keeps ten entries a row, sparse_plan(mass=0.99) what matters."
        raise bad_input("sparse_plan", got, "one of them", fix)
    if k is not None and int(k) != k:
        raise bad_input("k", f"{k:g}", "an integer, the entries of a row", kind=TypeError)
    if mass is not None and mass >= 1:
        raise bad_input("mass", f"{mass:g}", "a share of the mass, below 1", "0.99 is usual.")
