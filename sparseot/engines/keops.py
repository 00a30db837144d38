"""KeOps: compiled sums for CUDA and for formulas written in KeOps's own language.

KeOps compiles one small C++ or CUDA program for each formula at its first use, which takes
seconds; on a CPU its loops are scalar. It is asked for by name, and it is an independent
opinion in the tests.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

import numpy as np
import torch
from torch import Tensor

from ..formulas import GroundCost, Opaque, Pointwise, Radial, Symbolic
from ..optional import optional
from ..pairs import BlockPairs
from .base import Engine, Formula, Reductions, ShiftedReductions, centred
from .openmp import NUMBERS, threads_for

__all__ = ["KeOps"]

P = ParamSpec("P")
_keops = optional("pykeops.torch", "engine", '"keops"')
Genred, LazyTensor = _keops.Genred, _keops.LazyTensor


class KeOps(Engine):
    """Radial formulas as LazyTensors, symbolic costs as KeOps reductions."""

    name = "keops"
    differentiable = True

    def refuses(self, formula: Formula, x: Tensor, pairs: BlockPairs | None = None) -> str | None:
        """Refuses Python functions, but for those that are written for x_i and y_j."""
        if isinstance(formula, Radial) and formula.between:
            return 'Here, KeOps has whole powers of the distance; leave engine="auto".'
        if isinstance(formula, Opaque) and not isinstance(formula, Pointwise):
            return (
                'KeOps cannot read a Python function of whole tensors; leave engine="auto", give the '
                "kernel as kernels.Pointwise, or the cost as a KeOps formula string."
            )
        return None

    def bind(self, x: Tensor, y: Tensor, pairs: BlockPairs | None = None) -> Reductions:
        """Centres the clouds."""
        return _KeOpsReductions(x, y) if pairs is None else _KeOpsBlocks(x, y, pairs)

    def lazy(self, kernel: Formula, x: Tensor, y: Tensor, pairs: BlockPairs | None = None) -> Any:
        """The matrix as a LazyTensor; with block pairs in their order, its ranges set."""
        if pairs is None:
            return _KeOpsReductions(x, y).entries(kernel)
        return _KeOpsBlocks(x[None], y[None], pairs).entries(kernel)


def _on_threads(method: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """KeOps shares its rows among OpenMP's threads: few rows do without."""

    @wraps(method)
    def run(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        sums: Any = args[0]
        with threads_for(NUMBERS * sums.rows.numel() * sums.cols[-1]):
            return method(*args, **kwargs)

    return run


class _KeOpsReductions(ShiftedReductions):
    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.given = x.contiguous(), y.contiguous()
        here, there = centred(x, y) if x.dim() == 3 else (z[0] for z in centred(x[None], y[None]))
        self.rows, self.cols = x.shape[:-1], y.shape[:-1]
        self.squares = ((_row(here) - _col(there)) ** 2).sum(-1)

    @_on_threads
    def sum(
        self, kernel: Formula, v: Tensor, row: Tensor | None = None, col: Tensor | None = None
    ) -> Tensor:
        result: Tensor = (self.entries(kernel, row, col) * _col(v)).sum(2)
        return result.view(*self.rows, v.shape[-1])

    def entries(self, kernel: Formula, row: Tensor | None = None, col: Tensor | None = None) -> Any:
        """The scaled matrix as a LazyTensor."""
        if isinstance(kernel, Pointwise):
            x, y = self.given
            return kernel.function(_row(x), _col(y))
        assert isinstance(kernel, Radial)
        root = self.squares if kernel.decay == 2 else self.squares.sqrt()
        exponent = _row(self.given[0].new_zeros(*self.rows, 1) if row is None else row[..., None])
        exponent = exponent if col is None else exponent + _col(col[..., None])
        return (exponent - kernel.rate * root).exp() * kernel.polynomial(self.squares)

    def sum_exp(self, cost: Formula, eps: Tensor, row: Tensor, col: Tensor) -> Tensor:
        exponent = self._exponent(cost, eps, col) + _row(row.expand(self.rows)[..., None])
        result: Tensor = exponent.exp().sum(2)
        return result.view(self.rows)

    def max_exponent(self, cost: Formula, eps: Tensor, col: Tensor) -> Tensor:
        result: Tensor = self._exponent(cost, eps, col).max(2)
        return result.view(self.rows)

    def least(self, cost: Formula, col: Tensor | None = None) -> tuple[Tensor, Tensor]:
        unit = self.given[0].new_ones(self.rows[0])
        col = self.given[1].new_zeros(self.cols) if col is None else col
        top, where = (-self._exponent(cost, unit, col)).min_argmin(2)
        return top.view(self.rows), where.view(self.rows)

    @_on_threads
    def logsumexp(
        self, cost: Formula, eps: Tensor, col: Tensor, guess: Tensor | None = None
    ) -> Tensor:
        if not isinstance(cost, Symbolic):
            return super().logsumexp(cost, eps, col, guess)
        x, y = self.given
        return -symbolic_softmin(cost, x, y, col, eps) / eps[:, None]

    def _exponent(self, cost: Formula, eps: Tensor, col: Tensor) -> Any:
        assert isinstance(cost, GroundCost)
        root = self.squares if cost.power == 2 else self.squares.sqrt()
        return _col(col[..., None]) - root * LazyTensor((cost.factor / eps)[:, None, None, None])


class _KeOpsBlocks(Reductions):
    """Kept pairs of blocks, as KeOps's ranges of sorted points; one cloud, no batch axis."""

    def __init__(self, x: Tensor, y: Tensor, pairs: BlockPairs) -> None:
        self.order = [
            torch.from_numpy(cut.order).to(x.device) for cut in (pairs.rows, pairs.columns)
        ]
        self.kept = pairs.kept
        self.all_pairs = _KeOpsReductions(x[0, self.order[0]], y[0, self.order[1]])
        self.ranges = tuple(
            torch.from_numpy(part.astype(np.int32)).to(x.device)
            for side in (pairs, pairs.T)
            for part in _ranges(side)
        )

    def sum(
        self, kernel: Formula, v: Tensor, row: Tensor | None = None, col: Tensor | None = None
    ) -> Tensor:
        rows, cols = self.order
        row, col = None if row is None else row[0, rows], None if col is None else col[0, cols]
        with threads_for(NUMBERS * self.kept):
            out = self.entries(kernel, row, col) @ v[0, cols]
        return torch.empty_like(out).index_copy(0, rows, out)[None]

    def entries(self, kernel: Formula, row: Tensor | None = None, col: Tensor | None = None) -> Any:
        """The scaled matrix in block order as a LazyTensor."""
        entries = self.all_pairs.entries(kernel, row, col)
        entries.ranges = self.ranges
        return entries


def _ranges(pairs: BlockPairs) -> tuple[np.ndarray[Any, Any], ...]:
    """Row blocks, where their runs of columns end, and the runs."""
    starts, first, last = pairs.runs
    blocks = pairs.rows.starts
    return np.stack((blocks[:-1], blocks[1:]), 1), starts[1:], np.stack((first, last), 1)


def symbolic_softmin(cost: Symbolic, x: Tensor, y: Tensor, col: Tensor, eps: Tensor) -> Tensor:
    """The softmin of a formula of X and Y, with KeOps's own gradient, item by item."""
    dim, (here, there) = x.shape[-1], "YX" if cost.turned else "XY"
    variables = [f"{here} = Vi({dim})", f"{there} = Vj({dim})", "H = Vj(1)", "R = Pm(1)"]
    reduce = Genred(f"H - R * ({cost.expression})", variables, "LogSumExp", axis=1)
    rates = (1 / eps)[:, None]
    items = zip(x.unbind(), y.unbind(), col.unbind(), rates.unbind(), strict=True)
    sums = [reduce(xi, yj, h[:, None].contiguous(), rate)[:, 0] for xi, yj, h, rate in items]
    return -eps[:, None] * torch.stack(sums)


def _row(x: Tensor) -> Any:
    """A LazyTensor of ``(B, N, D)`` or ``(N, D)`` rows."""
    return LazyTensor(x.contiguous()[..., :, None, :])


def _col(y: Tensor) -> Any:
    """A LazyTensor of ``(B, M, D)`` or ``(M, D)`` columns."""
    return LazyTensor(y.contiguous()[..., None, :, :])
