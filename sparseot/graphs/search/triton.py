"""Exact neighbours by a kernel that keeps the nearest points in registers, for CUDA devices."""

from __future__ import annotations

from torch import Tensor

from ...engines.choose import neighbour_kernels, no_kernels
from ...errors import bad_input
from .candidates import below, scaled
from .clouds import Clouds
from .dense import by_candidates
from .methods import Found, Options

__all__ = ["triton"]


def triton(clouds: Clouds, options: Options) -> Found:
    """One launch a sample."""
    why_not = no_kernels(clouds.x.points.device)
    if why_not:
        raise bad_input("method", '"triton"', "points on a CUDA device", f"{why_not}.")
    return by_candidates(clouds, options, _nearest)


def _nearest(x: Tensor, y: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """The nearest points, and a bound from below on the squares of all others."""
    centre, factor = y.mean(0), scaled(x, y)
    here, there = factor * (x - centre), factor * (y - centre)
    candidates = neighbour_kernels().nearest(here, there, width)
    return candidates, below(here, there, candidates) / factor**2
