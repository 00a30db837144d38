"""Low dimensions on a CPU: Numba loops over blocks of columns, one thread a range of rows.

Distances are taken from differences of coordinates, so nothing is lost where points nearly
meet; see :mod:`.simd` for the loops and :mod:`.threads` for who runs them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..formulas import Radial
from . import simd
from .base import LOG2E, Engine, Formula, Reductions, centred
from .threads import even, share

__all__ = ["Loops"]

INLINE = 1 << 20  # pairs (times columns) below which waking threads costs more than it gains


class Loops(Engine):
    """Every radial formula on CPU tensors."""

    name = "numba"

    def refuses(self, formula: Formula, x: Tensor) -> str | None:
        """Refuses opaque formulas and other devices."""
        if not isinstance(formula, Radial):
            return f'Compiled loops cannot read {formula}; use engine="tiles" or "keops".'
        if x.device.type != "cpu":
            return f'Points are on {x.device}, these loops run on a CPU; use engine="tiles".'
        return None

    def bind(self, x: Tensor, y: Tensor) -> Reductions:
        """Centres the clouds and stores them coordinate by coordinate."""
        return _LoopReductions(x, y)


class _LoopReductions(Reductions):
    def __init__(self, x: Tensor, y: Tensor) -> None:
        here, there = centred(x, y)
        self.x = here.transpose(1, 2).contiguous().numpy()
        self.y = self.x if y is x else there.transpose(1, 2).contiguous().numpy()
        self.real = self.x.dtype.type
        self.rows, self.pairs = tuple(x.shape[:2]), math.prod(x.shape[:2]) * y.shape[1]

    def sum(
        self, kernel: Formula, v: Tensor, row: Tensor | None = None, col: Tensor | None = None
    ) -> Tensor:
        assert isinstance(kernel, Radial)
        out = np.zeros((len(self.x), v.shape[-1], self.x.shape[2]), self.x.dtype)
        plain = not kernel.rate and row is None and col is None
        rate = self.real(-1 if plain else kernel.rate * LOG2E)
        factors = np.array([term.factor for term in kernel.terms], self.x.dtype)
        powers = np.array([term.power for term in kernel.terms], np.int64)
        self._run(
            v.shape[-1],
            simd.sums,
            self.y,
            v.transpose(1, 2).contiguous().numpy(),
            self._scaling(row, self.x),
            self._scaling(col, self.y),
            rate,
            kernel.decay,
            factors,
            powers,
            self.real(kernel.offset),
            out,
        )
        return torch.from_numpy(out).transpose(1, 2)

    def logsumexp(
        self, cost: Formula, eps: Tensor, col: Tensor, guess: Tensor | None = None
    ) -> Tensor:
        assert isinstance(cost, Radial)
        (term,) = cost.terms
        out = np.empty(self.rows, self.x.dtype)
        rates = self.real(term.factor * LOG2E) / eps.numpy()
        scalings = self._scaling(col, self.y), self._scaling(guess, self.x)
        self._run(1, simd.logsumexp, self.y, *scalings, rates, term.power, out)
        out *= self.real(1 / LOG2E)
        return torch.from_numpy(out)

    def _scaling(self, log: Tensor | None, points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Logarithmic scalings in base 2, zero where there are none."""
        if log is None:
            return np.zeros((len(points), points.shape[2]), self.x.dtype)
        return log.numpy() * self.real(LOG2E)

    def _run(self, columns: int, loop: Callable[..., None], *args: Any) -> None:
        """Shares the rows among threads, where that gains more than waking them costs."""
        rows = math.prod(self.rows)
        share(loop, even(rows, 1 if self.pairs * columns < INLINE else None), self.x, *args)
