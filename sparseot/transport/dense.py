"""The softmins of one problem over all pairs, by an engine."""

from __future__ import annotations

from torch import Tensor

from ..engines.base import Engine, Formula
from ..points import Points
from .marginals import Marginals
from .relaxation import Softmins

__all__ = ["DenseSoftmins"]


class DenseSoftmins(Softmins):
    """All pairs of a batch of one; ``eps`` may be lowered between solves."""

    def __init__(
        self,
        source: Points,
        target: Points,
        cost: Formula,
        penalty: Marginals,
        eps: float,
        engine: Engine,
    ) -> None:
        x, y = source.positions.detach(), target.positions.detach()
        self.cost, self.penalty, self.eps, self.dtype = cost, penalty, eps, x.dtype
        self.a, self.b = (cloud.weights[0].detach().double() for cloud in (source, target))
        self.logs = source.log_weights, target.log_weights
        towards = engine.bind(x, y)
        self.sums = towards, towards if target is source else engine.bind(y, x)

    def first(self, g: Tensor, f: Tensor) -> Tensor:
        return self._softmin(0, g, f)

    def second(self, f: Tensor, g: Tensor) -> Tensor:
        return self._softmin(1, f, g)

    def _softmin(self, side: int, other: Tensor, guess: Tensor) -> Tensor:
        col = self.logs[1 - side] + (other / self.eps)[None].to(self.dtype)
        temperature = col.new_full((1,), self.eps)
        shift = (-guess / self.eps)[None].to(self.dtype)
        return -self.eps * self.sums[side].logsumexp(self.cost, temperature, col, shift)[0].double()
