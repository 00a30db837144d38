"""Point clouds for the tutorials, the same on every machine: pictures, intervals, a calorimeter, cells.

Nothing is downloaded and no file is read: the caller brings the picture, as an array.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike

from ..errors import bad_input
from .checks import check_dtype, density, noisy, positive
from .lineages import cells

__all__ = ["calorimeter", "cells", "interval", "sample_image", "spiral", "swiss_roll"]


def sample_image(
    image: ArrayLike | torch.Tensor,
    n: int,
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> torch.Tensor:
    r"""Draw points in the plane with the grey values of a picture as their density.

    A pixel is drawn with probability ``image[r, c] / image.sum()``, then the point falls anywhere
    in that pixel with equal chance, so that the density is the picture itself, constant on each
    pixel. Draws are independent. The unit of length is the longer side of the picture: with
    ``s = max(H, W)``, pixel ``(r, c)`` covers

    .. math:: [c, c + 1] / s \;\times\; [H - r - 1, H - r] / s,

    so that the first axis runs to the right, the second one upwards, shapes keep their aspect
    ratio and all points lie on the unit square.

    Args:
        image: (H, W) grey values, non-negative, bright where points are wanted (a mask works; pass
            ``image.max() - image`` to sample the dark parts). Its scale does not matter.
        n: number of points, at least 1.
        seed: seed of the draw; the same seed gives the same points on every machine and device.
        dtype: floating type of the points.
        device: where the points are put; ``None`` is PyTorch's current default.

    Returns:
        (n, 2) points, in units of the longer side of the picture.

    Raises:
        ValueError: for a colour picture, negative or non-finite or all-zero grey values, a type
            that is not floating, or ``n < 1``.
        TypeError: when ``n`` is not an integer.

    References:
        Devroye (1986), *Non-Uniform Random Variate Generation*, chapter III (discrete laws by
        inversion).

    Example:
        >>> import numpy as np
        >>> ring = np.hypot(*np.mgrid[-1:1:64j, -1:1:64j])
        >>> points = sample_image((ring > 0.5) & (ring < 0.9), 1000)
        >>> points.shape, bool(((points > 0) & (points < 1)).all())
        (torch.Size([1000, 2]), True)
    """
    n = positive("n", n)
    check_dtype(dtype)
    chances = density(image)
    rng = np.random.default_rng(seed)
    height, width = chances.shape
    row, column = np.divmod(rng.choice(chances.size, size=n, p=chances.ravel()), width)
    right, up = rng.random((2, n))  # where in its pixel each point falls
    points = np.stack([column + right, (height - 1 - row) + up], axis=1) / max(height, width)
    return torch.as_tensor(points, dtype=dtype, device=device)


def interval(
    n: int,
    low: float,
    high: float,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> torch.Tensor:
    r"""The uniform measure on an interval, as ``n`` evenly spaced points.

    The interval is cut into ``n`` equal cells and each is represented by its midpoint,

    .. math:: x_i = \text{low} + (i + \tfrac12) \, (\text{high} - \text{low}) / n,
        \qquad i = 0, \dots, n - 1,

    which is the best approximation of the uniform law by ``n`` equal masses in every Wasserstein
    distance.

    Args:
        n: number of points, at least 1.
        low: left end, in the unit of the points.
        high: right end, in the same unit, larger than ``low``.
        dtype: floating type of the points.
        device: where the points are put; ``None`` is PyTorch's current default.

    Returns:
        (n, 1) points, increasing, in the unit of ``low`` and ``high``.

    Raises:
        ValueError: when the ends are not finite or not in order, for a type that is not floating,
            or ``n < 1``.
        TypeError: when ``n`` is not an integer.

    References:
        Graf and Luschgy (2000), *Foundations of Quantization for Probability Distributions*,
        example 5.5.

    Example:
        >>> interval(4, 0.0, 1.0).squeeze().tolist()
        [0.125, 0.375, 0.625, 0.875]
    """
    n = positive("n", n)
    check_dtype(dtype)
    if not (np.isfinite(low) and np.isfinite(high)):
        raise bad_input("low, high", f"{low} and {high}", "two finite numbers")
    if not low < high:
        fix = "Swap the two ends, or move them apart."
        raise bad_input("low, high", f"{low} and {high}", "low < high", fix)
    cells = torch.arange(n, dtype=torch.float64) + 0.5
    points = low + cells * ((high - low) / n)
    return points.view(n, 1).to(dtype=dtype, device=device or torch.get_default_device())


def calorimeter(
    n_particles: int = 1000, *, seed: int = 0, dtype: torch.dtype = torch.float32
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    r"""Energy deposits of particles in a flat toy calorimeter, shuffled.

    A particle has an energy uniform in [0, 10] and hits the square :math:`[-1, 1]^2` anywhere. It
    loses its energy in steps: a deposit of energy :math:`N(E / 10, 1)`, E what is left, at a place
    uniform within 0.02 of the hit in both coordinates; deposits below 0.5 are not seen, and below
    0.5 the particle stops.

    Args:
        n_particles: mean of the Poisson law of the number of particles, at least 1.
        seed: seed of the draw; the same seed gives the same event on every machine.
        dtype: floating type of deposits and energies.

    Returns:
        ``deposits`` (N, 3), energy and place; ``particle`` (N,) who made each; ``energies`` (P,) of
        the particles that were seen, whose numbers are 0 to P - 1.

    Raises:
        ValueError, TypeError: for less than one particle, or a type that is not floating.

    References:
        Pata (2020), *SparseDistance*, the toy of its tests.

    Example:
        >>> deposits, particle, energies = calorimeter(100)
        >>> deposits.shape[1], bool((deposits[:, 0] > 0.5).all()), len(particle) == len(deposits)
        (3, True, True)
    """
    mean = positive("n_particles", n_particles)
    check_dtype(dtype)
    rng = np.random.default_rng(seed)
    count = rng.poisson(mean)
    energy, hit = rng.uniform(0, 10, count), rng.uniform(-1, 1, (count, 2))
    left, found, owner = energy.copy(), [np.empty((0, 3))], [np.empty(0, int)]
    moving = np.flatnonzero(left > 0.5)
    while len(moving):
        drawn = rng.normal(left[moving] / 10, 1)
        seen = drawn > 0.5
        who, lost = moving[seen], drawn[seen]
        place = hit[who] + rng.uniform(-0.02, 0.02, (len(who), 2))
        found.append(np.column_stack((lost, place)))
        owner.append(who)
        left[who] -= lost
        moving = np.flatnonzero(left > 0.5)
    order = rng.permutation(sum(map(len, owner)))
    seen, particle = np.unique(np.concatenate(owner)[order], return_inverse=True)
    deposits = torch.as_tensor(np.concatenate(found)[order], dtype=dtype)
    energies = torch.as_tensor(energy[seen], dtype=dtype)
    return deposits, torch.as_tensor(particle), energies


def spiral(n: int, *, noise: float = 0.01, seed: int = 0) -> torch.Tensor:
    r"""Points along a piece of a spiral in the plane, unevenly dense, with noise.

    .. math:: x = (0.4 + 0.4 \tfrac t7 \cos t, \; 0.5 + 0.3 \sin t) + \text{noise}, \qquad
        t = 2 \pi i / n

    Args:
        n: number of points, at least 1.
        noise: standard deviation of the noise in each coordinate; the curve is about 1 wide.
        seed: seed of the noise.

    Returns:
        (n, 2) points in float32, in the order of the curve.

    References:
        Charlier, Feydy, Glaunès, Collin and Durif (2021), whose tutorial on SciPy uses it.

    Example:
        >>> spiral(3, noise=0.0)[0].tolist()
        [0.4000000059604645, 0.5]
    """
    t = np.linspace(0, 2 * np.pi, positive("n", n) + 1)[:-1]
    curve = np.stack((0.4 + 0.4 * (t / 7) * np.cos(t), 0.5 + 0.3 * np.sin(t)), 1)
    return noisy(curve, noise, np.random.default_rng(seed))


def swiss_roll(n: int, *, noise: float = 0.01, seed: int = 0) -> torch.Tensor:
    r"""Points on a rolled sheet in space, unevenly dense, with noise.

    .. math:: x = (0.4 + 0.4 \tfrac t7 \cos \tfrac{3t}2, \; 0.1 + 0.8 u, \;
        0.5 + 0.3 \tfrac t7 \sin \tfrac{3t}2) + \text{noise}, \qquad t = 2 \pi i / n

    with a height u drawn uniformly from [0, 1].

    Args:
        n: number of points, at least 1.
        noise: standard deviation of the noise in each coordinate; the roll is about 1 wide.
        seed: seed of the heights and of the noise.

    Returns:
        (n, 3) points in float32, in the order of t.

    References:
        Charlier, Feydy, Glaunès, Collin and Durif (2021), whose tutorial on SciPy uses it.

    Example:
        >>> swiss_roll(1000).shape
        torch.Size([1000, 3])
    """
    t = np.linspace(0, 2 * np.pi, positive("n", n) + 1)[:-1]
    rng = np.random.default_rng(seed)
    height = 0.1 + 0.8 * rng.random(len(t))
    across, along = (t / 7) * np.cos(1.5 * t), (t / 7) * np.sin(1.5 * t)
    sheet = np.stack((0.4 + 0.4 * across, height, 0.5 + 0.3 * along), 1)
    return noisy(sheet, noise, rng)
