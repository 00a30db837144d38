"""Kept pairs for powers of angles, by compiled loops."""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.polynomial import chebyshev

from ...kept import Array, Blocks
from ..kept_numba import NumbaLoops
from ..kept_torch import rounding
from ..powers.lanes import TERMS_32, TERMS_64
from . import screens, tiles

__all__ = ["NumbaArcs"]


class NumbaArcs(NumbaLoops):
    """Those of ``arc^p / p`` on a sphere of that radius, p = 1 or 2."""

    def __init__(self, p: int, radius: float) -> None:
        self.p, self.radius = p, radius

    @property
    def loops(self) -> ModuleType:
        return tiles

    def _chosen(self, *args: Any) -> Array:
        found: Array = screens.screen_arcs(*args, (self.p, self.radius))
        return found

    def _of_cost(self, rows: Blocks, cols: Blocks) -> tuple[Any, ...]:
        real = rows.arrays[-1].dtype
        terms = TERMS_32 if rows.offsets.dtype == torch.float32 else TERMS_64
        series = (np.array(_series(p, terms), real) for p in (self.p, 1))
        radii = (blocks.radii.numpy() for blocks in (rows, cols))
        return self.p, self.radius, *series, *radii

    def _of_power(self, power: float, rows: Blocks, cols: Blocks) -> tuple[Any, ...]:
        return int(power), rounding(rows, cols)


@cache
def _series(p: int, terms: int) -> tuple[float, ...]:
    """Of ``(angle / sqrt(s))^p / p`` the coefficients in s - 1, for s up to 2, highest power first."""

    def ratio(t: Any) -> Any:
        chord = np.sqrt(t + 1)
        return (2 * np.arcsin(chord / 2) / chord) ** p / p

    found = chebyshev.cheb2poly(chebyshev.chebinterpolate(ratio, terms - 1))
    return tuple(map(float, found[::-1]))
