"""Cells that differentiate along a tree of types: few dimensions that matter, and noise in all."""

from __future__ import annotations

import numpy as np
import torch

from ..errors import bad_input
from .checks import check_dtype, positive

__all__ = ["cells"]

LENGTHS = (4.0, 3.0, 2.0)  # of a branch, by its depth in the tree
EDGES = 14  # branches of the tree, each in a direction of its own
SIGNAL = EDGES + 2  # dimensions, with those of the cell cycle
SPREAD = 0.12  # of the progress of cells that are collected at one stage
REFERENCE = 1 << 12  # cells from which the principal axes are taken


def cells(
    n: int,
    dim: int = 50,
    *,
    stage: float = 0.5,
    noise: float = 0.4,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    r"""Principal components of single cells, as simulated: a tree of 15 types, and noise.

    A stem type has two daughters, and so have these and theirs: 14 branches end in 8 fates, of which the
    k-th has a share of :math:`(9 - k) / 36` of the cells. Each branch is a direction of its own, of length 4, 3 or 2, so that the
    squared distance of two types is the sum of those of the branches between them. A cell has

    * a fate,
    * a progress t from 0 (the stem) to 1 (its fate), normal about ``stage`` with deviation 0.12 and
      clipped; along each branch it dwells near the ends, by :math:`3 s^2 - 2 s^3`,
    * an angle, its place in the cell cycle: a circle of radius 1 in two more directions,
    * normal noise of deviation ``noise`` in each of max(dim, 16) directions.

    So the intrinsic dimension is two (progress and cycle) along eight paths, which span 16 dimensions; all others hold noise,
    which makes two fifths of a mean squared distance between stages at ``dim=50``. Coordinates are along the principal axes of
    cells of all stages, the same for all draws.

    Args:
        n: number of cells, at least 1.
        dim: number of principal components, at least 1.
        stage: mean progress, from 0 to 1.
        noise: standard deviation in each direction.
        seed: seed of the draw; draws of different seeds are independent samples of the same tree.
        dtype: floating type of the points.

    Returns:
        ``points`` (n, dim), ``progress`` (n,) and ``fate`` (n,), an integer from 0 to 7.

    Raises:
        ValueError, TypeError: if an argument is not as described.

    References:
        Schiebinger et al. (2019), whose cells are compared from stage to stage by transport; Zappia, Phipson and Oshlack
        (2017), for simulated paths between types.

    Example:
        >>> points, progress, fate = cells(1000, stage=0.8)
        >>> points.shape, round(float(progress.mean()), 1), int(fate.max())
        (torch.Size([1000, 50]), 0.8, 7)
    """
    n, dim = positive("n", n), positive("dim", dim)
    check_dtype(dtype)
    if not 0 <= stage <= 1:
        raise bad_input("stage", f"{stage}", "a progress from 0 to 1")
    if not (np.isfinite(noise) and noise >= 0):
        raise bad_input("noise", f"{noise}", "a finite standard deviation, zero or more")
    rng = np.random.default_rng(seed)
    progress = np.clip(stage + SPREAD * rng.standard_normal(n), 0, 1)
    means, fate = _without_noise(progress, rng)
    points = np.zeros((n, max(dim, SIGNAL)))
    points[:, :SIGNAL] = means @ _principal_axes()
    points += noise * rng.standard_normal(points.shape)
    kept = torch.as_tensor(points[:, :dim], dtype=dtype)
    return kept, torch.as_tensor(progress, dtype=dtype), torch.as_tensor(fate)


def _without_noise(progress: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Cells ``(n, 16)``, a coordinate for each branch and two for the cycle; and their fates."""
    n, depth = len(progress), len(LENGTHS)
    fate = rng.choice(2**depth, n, p=np.arange(2**depth, 0, -1) / 36)
    points, first = np.zeros((n, SIGNAL)), 0
    for level, length in enumerate(LENGTHS):
        s = np.clip(depth * progress - level, 0, 1)
        branch = first + (fate >> (depth - 1 - level))
        points[np.arange(n), branch] = length * s**2 * (3 - 2 * s)
        first += 2 ** (level + 1)
    angle = rng.uniform(0, 2 * np.pi, n)
    points[:, EDGES:] = np.stack((np.cos(angle), np.sin(angle)), 1)
    return points, fate


def _principal_axes() -> np.ndarray:
    """Those of cells of all stages, the longest first; the same signs on every machine."""
    rng = np.random.default_rng(0)
    some, _ = _without_noise(rng.random(REFERENCE), rng)
    axes = np.linalg.eigh(np.cov(some.T))[1][:, ::-1]
    largest = np.abs(axes).argmax(0)
    return np.asarray(axes * np.sign(axes[largest, np.arange(SIGNAL)]))
