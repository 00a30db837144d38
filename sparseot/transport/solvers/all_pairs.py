"""The softmins of one problem over all pairs, by an engine."""

from __future__ import annotations

import torch

from ...engines.base import Engine, Formula
from ...points import Points
from ..marginals import Marginals
from .relaxation import Array, Softmins

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
        self.cost, self.penalty, self.eps = cost, penalty, eps
        self.a, self.b = (c.weights[0].detach().double().cpu().numpy() for c in (source, target))
        self.logs = source.log_weights, target.log_weights
        towards = engine.bind(x, y)
        self.sums = towards, towards if target is source else engine.bind(y, x)

    def first(self, g: Array, f: Array) -> Array:
        return self._softmin(0, g, f)

    def second(self, f: Array, g: Array) -> Array:
        return self._softmin(1, f, g)

    def _softmin(self, side: int, other: Array, guess: Array) -> Array:
        logs = self.logs[1 - side]
        col = logs + torch.from_numpy(other / self.eps)[None].to(logs)
        shift = torch.from_numpy(-guess / self.eps)[None].to(logs)
        temperature = col.new_full((1,), self.eps)
        sums = self.sums[side].logsumexp(self.cost, temperature, col, shift)
        softmin: Array = -self.eps * sums[0].double().cpu().numpy()
        return softmin
