"""Low dimensions on a CPU: Numba loops over blocks of columns, one thread a range of rows.

Distances are taken from differences of coordinates, so nothing is lost where points nearly
meet; see :mod:`.simd` for the loops. The work is shared by a pool of plain threads, since
Numba's own threading layers abort when two threads enter them or hang after a fork.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..formulas import Radial
from . import simd
from .base import LOG2E, Engine, Formula, Reductions, centred

__all__ = ["Blocks"]

INLINE = 1 << 20  # pairs (times columns) below which waking threads costs more than it gains
_pool: ThreadPoolExecutor | None = None


class Blocks(Engine):
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
        return _BlockReductions(x, y)


class _BlockReductions(Reductions):
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
        """Shares the rows among threads; the caller's thread takes the first share."""
        rows = math.prod(self.rows)
        if self.pairs * columns < INLINE:
            return loop(self.x, *args, 0, rows)
        shares = min(rows, torch.get_num_threads())
        ends = [rows * k // shares for k in range(shares + 1)]
        futures = [
            _threads().submit(loop, self.x, *args, lo, hi)
            for lo, hi in zip(ends[1:-1], ends[2:], strict=True)
        ]
        loop(self.x, *args, 0, ends[1])
        for future in futures:
            future.result()
        return None


def _threads() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="sparseot")
    return _pool


def _forget_threads() -> None:
    """A forked child inherits the pool but none of its threads."""
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
