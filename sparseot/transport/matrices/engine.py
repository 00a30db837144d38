"""Softmins over the rows and the columns of a stored matrix, by compiled loops on a CPU."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...engines.base import LOG2E, Engine, Formula, Reductions
from ...engines.choose import load, stored_loops
from ...engines.threads import even, share
from ...pairs import BlockPairs
from .matrix import Matrix, StoredCost, items

__all__ = ["MatrixEngine"]


class MatrixEngine(Engine):
    """Made of a matrix, not chosen by name; whatever is not a softmin over all of it is taken by torch's tiles."""

    name = "matrix"

    def __init__(self, matrix: Matrix) -> None:
        self.matrix = matrix

    def refuses(self, formula: Formula, x: Tensor, pairs: BlockPairs | None = None) -> str | None:
        return None

    def bind(self, x: Tensor, y: Tensor, pairs: BlockPairs | None = None) -> Reductions:
        return _MatrixReductions(self.matrix, x, y)


class _MatrixReductions(Reductions):
    def __init__(self, matrix: Matrix, x: Tensor, y: Tensor) -> None:
        self.matrix, self.given = matrix, (x, y)
        self.tiles = load("tiles").bind(x, y)

    def sum(
        self, kernel: Formula, v: Tensor, row: Tensor | None = None, col: Tensor | None = None
    ) -> Tensor:
        return self.tiles.sum(kernel, v, row, col)

    def logsumexp(
        self, cost: Formula, eps: Tensor, col: Tensor, guess: Tensor | None = None
    ) -> Tensor:
        x, y = self.given
        whole = isinstance(cost, StoredCost) and cost.covers(x, y)
        if not whole or col.device.type != "cpu":
            return self.tiles.logsumexp(cost, eps, col, guess)
        assert isinstance(cost, StoredCost)
        real = col.numpy().dtype.type
        start = torch.zeros(x.shape[:2], dtype=col.dtype) if guess is None else guess
        out = np.empty(tuple(x.shape[:2]), real)
        for i, k in enumerate(items(x)):
            rows = cost.rows(k).to(col.dtype).numpy()
            scalings = (t[i].numpy() * real(LOG2E) for t in (col, start))
            args = rows, *scalings, real(LOG2E / float(eps[i])), out[i]
            share(stored_loops().logsumexp, even(len(rows), None), *args)
        out *= real(1 / LOG2E)
        return torch.from_numpy(out)
