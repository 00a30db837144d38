"""Low dimensions on a CPU: Numba loops over blocks of columns, one thread a range of rows.

Distances are taken from differences of coordinates, so nothing is lost where points nearly
meet; see :mod:`.loops.pairs` for the loops and :mod:`.threads` for who runs them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..formulas import GroundCost, Radial
from ..pairs import BlockPairs
from .base import LOG2E, Engine, Formula, Reductions, centred
from .loops import pairs as loops
from .openmp import thread_count
from .threads import even, share

__all__ = ["Numba"]

INLINE = 1 << 20  # pairs (times columns) below which waking threads costs more than it gains


class Numba(Engine):
    """Every radial formula of whole powers of the distance, on CPU tensors."""

    name = "numba"

    def refuses(self, formula: Formula, x: Tensor, pairs: BlockPairs | None = None) -> str | None:
        """Refuses all but whole powers of the distance, and other devices."""
        if not isinstance(formula, Radial) or formula.between:
            return (
                'Compiled loops over all pairs know whole powers of the distance; leave engine="auto", which compiles '
                "other powers, angles and most functions, and has these loops over kept pairs of powers and angles."
            )
        if x.device.type != "cpu":
            return f'Points are on {x.device}, these loops run on a CPU; use engine="tiles".'
        return None

    def bind(self, x: Tensor, y: Tensor, pairs: BlockPairs | None = None) -> Reductions:
        """Centres the clouds and stores them coordinate by coordinate, block by block."""
        return _LoopReductions(x, y) if pairs is None else _BlockReductions(x, y, pairs)


class _LoopReductions(Reductions):
    def __init__(self, x: Tensor, y: Tensor) -> None:
        here, there = centred(x, y)
        self.x = here.transpose(1, 2).contiguous().numpy()
        self.y = self.x if y is x else there.transpose(1, 2).contiguous().numpy()
        self.real = self.x.dtype.type
        self.rows, self.pairs = tuple(x.shape[:2]), math.prod(x.shape[:2]) * y.shape[1]
        # all columns as one run, which one block of all rows meets
        run = np.array([0, 1]), np.array([0]), np.array([y.shape[1]])
        self.runs: tuple[np.ndarray[Any, Any], ...] = run
        self.height = x.shape[1]
        self.shares: int | None = None

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
            loops.sums,
            self.y,
            v.transpose(1, 2).contiguous().numpy(),
            self._scaling(row, self.x),
            self._scaling(col, self.y),
            rate,
            kernel.decay,
            factors,
            powers,
            self.real(kernel.offset),
            *self.runs,
            self.height,
            out,
        )
        return torch.from_numpy(out).transpose(1, 2)

    def logsumexp(
        self, cost: Formula, eps: Tensor, col: Tensor, guess: Tensor | None = None
    ) -> Tensor:
        assert isinstance(cost, GroundCost)
        out = np.empty(self.rows, self.x.dtype)
        rates = self.real(cost.factor * LOG2E) / eps.numpy()
        scalings = self._scaling(col, self.y), self._scaling(guess, self.x)
        self._run(1, loops.logsumexp, self.y, *scalings, rates, cost.power, out)
        out *= self.real(1 / LOG2E)
        return torch.from_numpy(out)

    def least(self, cost: Formula, col: Tensor | None = None) -> tuple[Tensor, Tensor]:
        assert isinstance(cost, GroundCost)
        out, where = np.empty(self.rows, self.x.dtype), np.empty(self.rows, np.int64)
        heights = np.zeros((len(self.y), self.y.shape[2]), self.x.dtype)
        heights = heights if col is None else col.numpy()
        self._run(1, loops.least, self.y, heights, self.real(cost.factor), cost.power, out, where)
        return torch.from_numpy(out), torch.from_numpy(where)

    def _scaling(self, log: Tensor | None, points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Logarithmic scalings in base 2, zero where there are none."""
        if log is None:
            return np.zeros((len(points), points.shape[2]), self.x.dtype)
        return log.numpy() * self.real(LOG2E)

    def _run(self, columns: int, loop: Callable[..., None], *args: Any) -> None:
        """Shares the rows among threads, where that gains more than waking them costs."""
        rows = math.prod(self.rows)
        shares = 1 if self.pairs * columns < INLINE else self.shares
        share(loop, even(rows, shares), self.x, *args)


class _BlockReductions(_LoopReductions):
    """Kept pairs of blocks: points in block order, a row meets the runs of its block."""

    def __init__(self, x: Tensor, y: Tensor, pairs: BlockPairs) -> None:
        self.order = torch.from_numpy(pairs.rows.order), torch.from_numpy(pairs.columns.order)
        super().__init__(x[:, self.order[0]], y[:, self.order[1]])
        self.runs, self.height, self.pairs = pairs.runs, pairs.rows.size, pairs.kept
        self.shares = 8 * thread_count()  # blocks differ in what they meet

    def sum(
        self, kernel: Formula, v: Tensor, row: Tensor | None = None, col: Tensor | None = None
    ) -> Tensor:
        rows, cols = self.order
        row, col = None if row is None else row[:, rows], None if col is None else col[:, cols]
        out = super().sum(kernel, v[:, cols], row, col)
        return torch.empty_like(out).index_copy_(1, rows, out)

    def logsumexp(
        self, cost: Formula, eps: Tensor, col: Tensor, guess: Tensor | None = None
    ) -> Tensor:
        return Reductions.logsumexp(self, cost, eps, col, guess)

    def least(self, cost: Formula, col: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return Reductions.least(self, cost, col)
