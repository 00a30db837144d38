"""Which blur? The scales of two clouds, and what a few blurs would cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..clouds import points_pair
from ..engines.openmp import own_settings
from ..operators.arrays import Array, of_one_kind
from ..operators.autograd.compiled import eagerly
from ..pairs import blocks_within, partition
from ..points import bounding_diameter, bounding_sides
from ..ragged.forms import refuse_sets
from .pruned.blocks.clouds import SIZE

__all__ = ["BlurReport", "suggest_blur"]

RATE = 4e9  # pairs a second, of two cores
SWEEPS = 0.45  # at blur = 1 side of the box, with acceleration
REACH = 6.0  # blurs: entries of the plan beyond hold less than a tenth of tol = 1e-3
SAMPLE = 4000


@dataclass(frozen=True)
class BlurReport:
    """The scales of two clouds, and one row for each blur.

    Attributes:
        spacing: median distance of a point of y to its nearest neighbour.
        diameter: diagonal of the box around both clouds.
        rows: for each blur, the bias of the transported cost, ``D blur^2 / 2``; the pairs that are
            kept; and seconds on two cores at tol = 1e-3 (estimates).
    """

    spacing: float
    diameter: float
    rows: tuple[tuple[float, float, float, float], ...]

    @property
    def blurs(self) -> tuple[float, ...]:
        """The blurs, the finest first."""
        return tuple(row[0] for row in self.rows)

    def __repr__(self) -> str:
        lines = [f"spacing {self.spacing:.3g}, diameter {self.diameter:.3g}"]
        lines += ["    blur      bias   kept pairs   seconds"]
        for blur, bias, kept, seconds in self.rows:
            lines.append(f"{blur:8.3g}  {bias:8.2g}  {100 * kept:9.2g} %  {seconds:8.2g}")
        return "\n".join(lines)


@eagerly
@own_settings
def suggest_blur(x: Array, y: Array) -> BlurReport:
    r"""What a blur would mean for two clouds: bias, pairs that matter, and time.

    A blur below the spacing of the points matches single points and converges slowly; one above
    the details of the clouds no longer sees them. Twice the spacing is a good start.

    Args:
        x: ``(N, D)`` points, tensor or NumPy array.
        y: ``(M, D)`` points.

    Returns:
        A :class:`BlurReport`; the estimates are rough, within a factor of three or so.

    Raises:
        ValueError, TypeError: if the clouds are not two clouds of one dimension.

    References:
        Feydy, 2020, "Geometric data analysis, beyond convolutions", section 3.3.

    Example:
        >>> import torch
        >>> grid = torch.cartesian_prod(torch.arange(20.0), torch.arange(20.0))
        >>> report = suggest_blur(grid, grid + 3)
        >>> report.spacing, [round(blur, 1) for blur in report.blurs]
        (1.0, [1.0, 2.0, 4.0, 8.0])
    """
    refuse_sets("suggest_blur", x=x, y=y)
    (x, y), _ = of_one_kind(x=x, y=y)
    source, target, _ = points_pair(x, y)
    if x.dim() == 3:
        source, target = (type(c)(c.positions[:1], c.weights[:1]) for c in (source, target))
    diameter = float(bounding_diameter(source, target)[0])
    longest = float(bounding_sides(source, target).max())
    points = target.positions[0].detach().double().cpu()
    spacing = _spacing(points) or diameter / 100 or 1.0
    cut, n, m = partition(points.numpy(), SIZE), source.weights.shape[1], target.weights.shape[1]
    rows: list[tuple[float, float, float, float]] = []
    blur = spacing
    while blur <= max(diameter / 3, spacing) and len(rows) < 8:
        kept = blocks_within(cut, cut, REACH * blur / 2).kept_fraction
        sweeps = 5 + SWEEPS * longest / blur
        seconds = 2.5 * sweeps * kept * n * m / RATE + 0.05
        rows.append((blur, points.shape[1] * blur**2 / 2, kept, seconds))
        blur *= 2
    return BlurReport(spacing, diameter, tuple(rows))


def _spacing(points: Tensor) -> float:
    """The median distance to the nearest other place, of a sample of the points."""
    step = max(1, math.ceil(len(points) / SAMPLE))
    found: list[Any] = []
    for some in points[::step].split(256):
        distances = torch.cdist(some, points)
        distances[distances <= 1e-12 * distances.max()] = torch.inf
        found.append(distances.amin(1).numpy())
    nearest = np.concatenate(found)
    nearest = nearest[np.isfinite(nearest)]
    return float(np.median(nearest)) if len(nearest) else 0.0
