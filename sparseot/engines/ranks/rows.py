"""An engine whose rows are shared among the ranks of a group."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...formulas import Symbolic
from ...pairs import BlockPairs
from ..base import Engine, Formula, Reductions
from .group import Ranks

__all__ = ["SharedRows"]


class SharedRows(Engine):
    """Each rank sums its share of the rows over all columns; results are whole, with the same bits on all.

    Args:
        asked: the engine of each rank, "auto" or by name until :func:`..choose.choose_engine` knows it.
        ranks: who shares.
    """

    def __init__(self, asked: str | Engine, ranks: Ranks) -> None:
        self.asked, self.ranks = asked, ranks
        self.name = str(self)
        if isinstance(asked, Engine):
            self.approximate, self.tol = asked.approximate, asked.tol

    def by(self, engine: str | Engine) -> SharedRows:
        """The same ranks, by another engine."""
        return SharedRows(engine, self.ranks)

    @property
    def inner(self) -> Engine:
        """The engine of each rank."""
        assert isinstance(self.asked, Engine), "choose_engine has not seen it"
        return self.asked

    def refuses(self, formula: Formula, x: Tensor, pairs: BlockPairs | None = None) -> str | None:
        if pairs is not None:
            return "Block pairs are not shared among ranks: leave pairs=None, or leave group out."
        if isinstance(formula, Symbolic):  # KeOps differentiates it, which exchanges do not
            return "KeOps formulas are not shared among ranks: give a function of (x, y)."
        return self.inner.refuses(formula, x)

    def bind(self, x: Tensor, y: Tensor, pairs: BlockPairs | None = None) -> Reductions:
        return _SharedReductions(self, x, y)

    def __str__(self) -> str:
        name = self.asked if isinstance(self.asked, str) else self.asked.name
        return f"{name} ({self.ranks.size} ranks)"


class _SharedReductions(Reductions):
    def __init__(self, engine: SharedRows, x: Tensor, y: Tensor) -> None:
        self.ranks, self.mine, self.like = engine.ranks, engine.ranks.part(x.shape[1]), x
        some = x[:, self.mine].contiguous()
        with self.ranks.telling():
            self.inner = engine.inner.bind(some, y) if some.shape[1] else None

    def sum(
        self, kernel: Formula, v: Tensor, row: Tensor | None = None, col: Tensor | None = None
    ) -> Tensor:
        some = None if row is None else row[:, self.mine].contiguous()
        nothing = v.new_empty(len(v), 0, v.shape[-1])
        return self._whole(lambda sums: sums.sum(kernel, v, some, col), nothing, "products")

    def logsumexp(
        self, cost: Formula, eps: Tensor, col: Tensor, guess: Tensor | None = None
    ) -> Tensor:
        some = None if guess is None else guess[:, self.mine].contiguous()
        nothing = col.new_empty(len(col), 0)
        return self._whole(lambda s: s.logsumexp(cost, eps, col, some), nothing, "potentials")

    def least(self, cost: Formula, col: Tensor | None = None) -> tuple[Tensor, Tensor]:
        nothing = self.like.new_empty(len(self.like), 0)
        with self.ranks.telling(), torch.no_grad():
            found = (nothing, nothing.long()) if self.inner is None else self.inner.least(cost, col)
        low, where = (self.ranks.rows(part, 1, "minima") for part in found)
        return low, where

    def _whole(self, run: Callable[[Reductions], Tensor], nothing: Tensor, what: str) -> Tensor:
        """What all ranks find for their rows; ``nothing`` of those that have none."""
        with self.ranks.telling(), torch.no_grad():
            found = nothing if self.inner is None else run(self.inner)
        return self.ranks.rows(found, 1, what)
