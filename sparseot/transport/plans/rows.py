"""The rows of a plan in pieces, with the costs of their entries: the plan itself is never stored.

Where only kept pairs were visited, a piece is rows of one block with the columns of its kept tiles;
elsewhere it is as many rows as make some million entries.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch

from ...engines.openmp import thread_count
from ...engines.threads import RANGES
from ...formulas import GroundCost
from ...operators.small import squares
from ...pairs import Array
from ..problem import Problem
from ..pruned.blocks.clouds import SIZE
from ..pruned.kept_pairs import KeptPairs

__all__ = ["PlanRows", "rows_of"]

ENTRIES = 1 << 20  # of a piece of rows
BLOCKS = 16  # of rows, that are worth a thread


class PlanRows(ABC):
    """The rows of one plan."""

    @abstractmethod
    def pieces(self, wanted: Array) -> list[Array]:
        """The numbers of rows, ascending and each once, in pieces."""

    @abstractmethod
    def costs(self, rows: Array) -> tuple[Array, Array]:
        """The numbers of columns that a piece of rows meets, and the costs, in double precision."""

    @abstractmethod
    def shares(self, pieces: int) -> int:
        """Among how many ranges of pieces our threads should share them."""


def rows_of(problem: Problem) -> PlanRows:
    """Those of a problem that is a batch of one."""
    pairs = problem.pairs
    return _KeptRows(pairs) if isinstance(pairs, KeptPairs) else _AllRows(problem)


class _AllRows(PlanRows):
    def __init__(self, problem: Problem) -> None:
        self.problem, self.cols = problem, np.arange(problem.target.weights.shape[1])

    def pieces(self, wanted: Array) -> list[Array]:
        size = max(1, ENTRIES // len(self.cols))
        return [wanted[k : k + size] for k in range(0, len(wanted), size)]

    def costs(self, rows: Array) -> tuple[Array, Array]:
        x, y = (cloud.positions for cloud in (self.problem.source, self.problem.target))
        cost = self.problem.cost_matrix(x[:, torch.from_numpy(rows).to(x.device)], y)
        return self.cols, cost[0].double().numpy(force=True)

    def shares(self, pieces: int) -> int:
        problem = self.problem
        here = (
            isinstance(problem.cost, GroundCost) and problem.source.positions.device.type == "cpu"
        )
        return min(pieces, RANGES * thread_count()) if here else 1


class _KeptRows(PlanRows):
    def __init__(self, pairs: KeptPairs) -> None:
        check, side = pairs.checks[0], pairs.side
        X, Y = check.clouds[side].alone, check.clouds[1 - side].alone
        self.cost = check.cost
        self.x, self.y = (check.cost.settled(cloud.points.cpu().double()) for cloud in (X, Y))
        self.here, self.there = (cloud.order.numpy(force=True) for cloud in (X, Y))
        self.places = X.inverse.numpy(force=True)
        kept = check.loops.whole(check.tiles.sides[side])
        self.starts, self.tiles = (t.numpy(force=True) for t in (kept.starts, kept.blocks))

    def pieces(self, wanted: Array) -> list[Array]:
        places = np.sort(self.places[wanted])
        ends = np.flatnonzero(np.diff(places // SIZE)) + 1
        return np.split(self.here[places], ends)

    def costs(self, rows: Array) -> tuple[Array, Array]:
        mine = self.places[rows]
        block = mine[0] // SIZE
        near = self.tiles[self.starts[block] : self.starts[block + 1], None]
        theirs = (near * SIZE + np.arange(SIZE)).ravel()
        theirs = theirs[theirs < len(self.there)]
        cost = self.cost.polynomial(squares(self.x[mine], self.y[theirs]))
        return self.there[theirs], cost.numpy()

    def shares(self, pieces: int) -> int:
        return max(1, min(pieces // BLOCKS, RANGES * thread_count()))
