"""Kept pairs for powers of the distance, by compiled loops."""

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
from . import screens, tiles
from .lanes import TERMS_32, TERMS_64

__all__ = ["NumbaPowers"]

BINOMIAL = 80  # terms of a binomial series, which converges as fast as powers of one half


class NumbaPowers(NumbaLoops):
    """Those of ``|x - y|^q / q``, 1 < q < 2."""

    def __init__(self, q: float) -> None:
        self.q = q

    @property
    def loops(self) -> ModuleType:
        return tiles

    def _chosen(self, *args: Any) -> Array:
        found: Array = screens.screen_powers(*args, self.q)
        return found

    def _of_cost(self, rows: Blocks, cols: Blocks) -> tuple[Any, ...]:
        real = rows.arrays[-1].dtype
        terms = TERMS_32 if rows.offsets.dtype == torch.float32 else TERMS_64
        radii = (blocks.radii.numpy() for blocks in (rows, cols))
        return self.q, np.array(_series(self.q, terms), real), *radii

    def _of_power(self, power: float, rows: Blocks, cols: Blocks) -> tuple[Any, ...]:
        return float(power), rounding(rows, cols) if power < 1 else 0.0


@cache
def _series(q: float, terms: int) -> tuple[float, ...]:
    """The coefficients of ``((1 + s) ** (q / 2) - 1 - s q / 2) / s ** 2`` for s from -1/2 to 1/2, highest power first."""
    k = np.arange(BINOMIAL)
    binomial = np.cumprod((q / 2 - k) / (k + 1))[1:]

    def ratio(t: Any) -> Any:
        return np.polynomial.polynomial.polyval(t / 2, binomial)

    found = chebyshev.cheb2poly(chebyshev.chebinterpolate(ratio, terms - 1))
    return tuple(float(c) * 2.0**k for k, c in reversed(list(enumerate(found))))
