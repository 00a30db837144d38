"""KeOps: compiled sums for CUDA and for formulas written in KeOps's own language.

KeOps compiles one small C++ or CUDA program for each formula at its first use, which takes
seconds; on a CPU its loops are scalar. It is asked for by name, and it is an independent
opinion in the tests.
"""

from __future__ import annotations

import contextlib
import io
from typing import Any

import torch
from torch import Tensor

from ..formulas import Opaque, Radial, Symbolic
from .base import Engine, Formula, Reductions, ShiftedReductions, centred

with contextlib.redirect_stdout(io.StringIO()):  # it prints what it did not find
    from pykeops.torch import Genred, LazyTensor

__all__ = ["KeOps"]


class KeOps(Engine):
    """Radial formulas as LazyTensors, symbolic costs as KeOps reductions."""

    name = "keops"

    def refuses(self, formula: Formula, x: Tensor) -> str | None:
        """Refuses Python functions."""
        if isinstance(formula, Opaque):
            return (
                'KeOps cannot read a Python function of tensors; use engine="tiles", or give the '
                "cost as a KeOps formula string."
            )
        return None

    def bind(self, x: Tensor, y: Tensor) -> Reductions:
        """Centres the clouds."""
        return _KeOpsReductions(x, y)


class _KeOpsReductions(ShiftedReductions):
    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.given = x.contiguous(), y.contiguous()
        here, there = centred(x, y)
        self.rows, self.cols = x.shape[:2], y.shape[:2]
        self.squares = ((_row(here) - _col(there)) ** 2).sum(-1)

    def sum(
        self, kernel: Formula, v: Tensor, row: Tensor | None = None, col: Tensor | None = None
    ) -> Tensor:
        assert isinstance(kernel, Radial)
        exponent = _row(v.new_zeros(self.rows) if row is None else row)
        exponent = exponent + _col(v.new_zeros(self.cols) if col is None else col)
        root = self.squares if kernel.decay == 2 else self.squares.sqrt()
        weights = (exponent - kernel.rate * root).exp() * kernel.polynomial(self.squares)
        result: Tensor = (weights * _col(v)).sum(2)
        return result.view(*self.rows, v.shape[-1])

    def sum_exp(self, cost: Formula, eps: Tensor, row: Tensor, col: Tensor) -> Tensor:
        exponent = self._exponent(cost, eps, col) + _row(row.expand(self.rows))
        result: Tensor = exponent.exp().sum(2)
        return result.view(self.rows)

    def max_exponent(self, cost: Formula, eps: Tensor, col: Tensor) -> Tensor:
        result: Tensor = self._exponent(cost, eps, col).max(2)
        return result.view(self.rows)

    def logsumexp(
        self, cost: Formula, eps: Tensor, col: Tensor, guess: Tensor | None = None
    ) -> Tensor:
        if not isinstance(cost, Symbolic):
            return super().logsumexp(cost, eps, col, guess)
        x, y = self.given
        return -symbolic_softmin(cost, x, y, col, eps) / eps[:, None]

    def _exponent(self, cost: Formula, eps: Tensor, col: Tensor) -> Any:
        assert isinstance(cost, Radial)
        (term,) = cost.terms
        root = self.squares if term.power == 2 else self.squares.sqrt()
        return _col(col) - root * LazyTensor((term.factor / eps)[:, None, None, None])


def symbolic_softmin(cost: Symbolic, x: Tensor, y: Tensor, col: Tensor, eps: Tensor) -> Tensor:
    """The softmin of a formula of X and Y, with KeOps's own gradient, item by item."""
    dim = x.shape[-1]
    variables = [f"X = Vi({dim})", f"Y = Vj({dim})", "H = Vj(1)", "R = Pm(1)"]
    reduce = Genred(f"H - R * ({cost.expression})", variables, "LogSumExp", axis=1)
    rates = (1 / eps)[:, None]
    items = zip(x.unbind(), y.unbind(), col.unbind(), rates.unbind(), strict=True)
    sums = [reduce(xi, yj, h[:, None].contiguous(), rate)[:, 0] for xi, yj, h, rate in items]
    return -eps[:, None] * torch.stack(sums)


def _row(x: Tensor) -> Any:
    return LazyTensor((x if x.dim() == 3 else x[..., None]).contiguous()[:, :, None, :])


def _col(y: Tensor) -> Any:
    return LazyTensor((y if y.dim() == 3 else y[..., None]).contiguous()[:, None, :, :])
