"""Point clouds as viewers take them: torch or NumPy, checked, thinned, laid into a plane."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

import sparseot as so
from sparseot.errors import bad_input
from sparseot.operators.arrays import as_tensor, tensor_of

from .codec import as_numpy

__all__ = [
    "as_points",
    "as_weights",
    "cells",
    "given",
    "some",
    "laid_flat",
    "main_order",
    "main_plane",
    "moved",
    "named",
    "projection",
    "thinned",
]


CELLS = 48  # groups of points on each side of a heat map
MANY = 20_000  # points whose principal axes are not found from themselves


def as_points(name: str, points: Any, *, finite: bool = True) -> Tensor:
    """A cloud ``(N, D)`` as a floating point tensor on the CPU, without a graph.

    It may share its memory with the caller's array: viewers keep what they take of it.

    Raises:
        ValueError, TypeError: for what is no matrix of numbers, and, with ``finite``, for NaN and
            infinity.
    """
    if not isinstance(points, (Tensor, np.ndarray)):
        raise bad_input(name, type(points).__name__, "(N, D) points, torch or NumPy", "", TypeError)
    tensor = tensor_of(points, name).detach().cpu()
    if tensor.is_complex():
        raise bad_input(name, f"dtype {points.dtype}", "real numbers", "", TypeError)
    tensor = tensor[:, None] if tensor.dim() == 1 else tensor
    if tensor.dim() != 2 or 0 in tensor.shape:
        fix = "Give one cloud, not a batch."
        raise bad_input(name, f"shape {tuple(tensor.shape)}", "(N, D), neither of them zero", fix)
    if not tensor.is_floating_point():
        tensor = tensor.float()
    if finite and (bad := int((~tensor.isfinite()).any(1).sum())):
        raise bad_input(name, f"{bad} points with NaN or infinity", "finite coordinates")
    return tensor


def as_weights(name: str, weights: Any, points: Tensor) -> Tensor:
    """Weights ``(N,)``, by default uniform."""
    if weights is None:
        return torch.full((len(points),), 1 / len(points), dtype=points.dtype)
    given = weights if isinstance(weights, Tensor) else np.asarray(weights)
    tensor = as_tensor(given, points, name).detach()
    if tensor.shape != points.shape[:1] or not (tensor.isfinite() & (tensor >= 0)).all():
        wanted = f"({len(points)},) finite weights, none negative"
        raise bad_input(name, f"shape {tuple(tensor.shape)}", wanted)
    return tensor


def given(transport: so.Transport, *others: Any) -> tuple[tuple[Tensor, ...], dict[str, Any]]:
    """Clouds and weights of a Transport, and the options it was solved with but for the blur.

    Raises:
        ValueError: if other clouds stand beside it, or if it is a batch.
        TypeError: for a result of :func:`sparseot.solve`, which has no points.
    """
    if isinstance(transport, so.MatrixTransport):
        got, fix = "the transport of a matrix, which has no points", "Draw its plan as an image."
        raise bad_input("x", got, "points, or the result of solve_sample", fix, TypeError)
    if any(other is not None for other in others):
        raise bad_input("y, a, b", "a cloud or weights beside a Transport", "one of the two")
    problem = transport.solved[0].problem
    source, target = problem.source, problem.target
    if len(source.positions) > 1:
        raise bad_input("x", "a batch of transports", "one pair of clouds")
    reach = tuple(None if math.isinf(r) else r ** (1 / problem.p) for r in problem.penalty.rhos)
    options: dict[str, Any] = {"p": problem.p, "cost": problem.cost, "debias": transport.debias}
    options["reach"] = reach if any(reach) else None
    parts = source.positions, target.positions, source.weights, target.weights
    return tuple(part[0] for part in parts), options


def moved(transport: so.Transport) -> str:
    """What a picture says of clouds that a cost moved before it was a power of their distance."""
    came = transport.solved[0].came
    return "" if came is None else f"points as the cost {type(came.cost).__name__} moves them"


def some(points: Tensor, weights: Tensor, rows: Any) -> tuple[Tensor, Tensor]:
    """Some points, which carry the mass of all."""
    few = weights[rows]
    return points[rows], few * (weights.sum() / few.sum()) if few.sum() else few


def thinned(count: int, limit: int) -> Tensor:
    """At most ``limit`` indices below ``count``, evenly strewn at random, in order; always the same."""
    if count <= limit:
        return torch.arange(count)
    generator = torch.Generator().manual_seed(0)
    return torch.randperm(count, generator=generator)[:limit].sort().values


def main_plane(*clouds: Tensor, dim: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """The plane (or space) that shows clouds best: ``(x - centre) @ axes``, ``axes`` of ``(D, dim)``.

    Up to ``dim`` coordinates are kept as they are, others give way to the first principal axes of
    all clouds together. One coordinate becomes the first of two.
    """
    count = clouds[0].shape[1]
    if count <= dim:
        return np.zeros(count), np.eye(count, max(count, 2))
    both = torch.cat(clouds).double().numpy()
    centre = both.mean(0)
    both -= centre
    if len(both) > MANY:  # their covariance has the same axes, and is small
        axes = np.linalg.eigh(both.T @ both)[1].T[::-1][:dim].copy()
    else:
        axes = np.linalg.svd(both, full_matrices=False)[2][:dim]
    axes *= np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(1)])[:, None]
    return centre, axes.T


def laid_flat(*clouds: Tensor, dim: int = 2) -> list[np.ndarray]:
    """Clouds as :func:`main_plane` shows them; those of the line one above the other."""
    centre, axes = main_plane(*clouds, dim=dim)
    if 1 < len(axes) <= dim:  # as they are, but copies
        return [cloud.double().numpy().copy() for cloud in clouds]
    flat = [(cloud.double().numpy() - centre) @ axes for cloud in clouds]
    if clouds[0].shape[1] == 1:
        height = np.ptp(np.concatenate(flat)) / 4
        for k, cloud in enumerate(flat):
            cloud[:, 1] -= k * height
    return flat


def projection(count: int, dim: int = 3) -> str:
    """What a picture says of clouds with more coordinates than it has."""
    return f"first {dim} principal axes of {count} coordinates" if count > dim else ""


def named(labels: Any, count: int, rows: Any = slice(None)) -> tuple[np.ndarray, list[str]]:
    """Labels of ``count`` points as whole numbers, those of some rows, and the words that these stand for."""
    values = as_numpy(labels)
    if values.shape != (count,):
        raise bad_input("labels", f"shape {values.shape}", f"({count},), one a point")
    if values.dtype.kind == "O":  # words and gaps do not sort
        values = values.astype(str)
    words, codes = np.unique(values, return_inverse=True)
    return codes[rows].astype("int32"), [str(word) for word in words]


def main_order(*clouds: Tensor) -> list[np.ndarray]:
    """The order of the points of each cloud along the longest axis of all of them."""
    both = torch.cat(clouds).double().numpy()
    axis = np.linalg.svd(both - both.mean(0), full_matrices=False)[2][0]
    axis = axis * np.sign(axis[np.abs(axis).argmax()])
    return [(cloud.double().numpy() @ axis).argsort(kind="stable") for cloud in clouds]


def cells(matrix: np.ndarray, *orders: np.ndarray) -> np.ndarray:
    """Means of a matrix over groups of rows (of columns too, with a second order), which count almost alike."""
    for axis, order in enumerate(orders):
        starts = np.unique(np.linspace(0, len(order), CELLS + 1).astype(int)[:-1])
        sizes = np.diff(np.r_[starts, len(order)])
        sums = np.add.reduceat(np.take(matrix, order, axis), starts, axis)
        matrix = sums / np.expand_dims(sizes, tuple(k for k in range(matrix.ndim) if k != axis))
    return matrix
