"""The largest entries of a plan as a sparse matrix, rows in pieces: the plan itself is never stored.

Where only kept pairs were visited, a piece is a block of rows with the columns of its kept tiles;
elsewhere it is as many rows as make some million entries.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np
from torch import Tensor

from ...operators.small import squares
from ...pairs import Array
from ..problem import Problem
from ..pruned.clouds import SIZE
from ..pruned.kept_pairs import KeptPairs

__all__ = ["sparse_entries"]

ENTRIES = 1 << 22  # of a piece of rows


def sparse_entries(
    problem: Problem, f: Tensor, g: Tensor, k: int | None, mass: float | None
) -> Any:
    """A SciPy CSR array of one plan: the k largest entries of each row, or the fewest of that mass."""
    k = None if k is None else int(k)
    found = [_largest(*piece, k, mass) for piece in _pieces(problem, f, g)]
    rows, cols, values = (np.concatenate(parts) for parts in zip(*found, strict=True))
    shape = f.shape[1], g.shape[1]
    order = np.lexsort((cols, rows))
    starts = np.concatenate(([0], np.cumsum(np.bincount(rows, minlength=shape[0]))))
    sparse = import_module("scipy.sparse")  # here, for a light import of the library
    return sparse.csr_array((values[order], cols[order], starts), shape=shape)


def _pieces(problem: Problem, f: Tensor, g: Tensor) -> Iterator[tuple[Array, Array, Array]]:
    """Numbers of rows, numbers of columns, and the entries between them."""
    eps = problem.eps
    row = (problem.source.log_weights + f / eps)[0].double().numpy(force=True)
    col = (problem.target.log_weights + g / eps)[0].double().numpy(force=True)
    pairs = problem.pairs
    if isinstance(pairs, KeptPairs):
        for rows, cols, cost in _kept_costs(pairs):
            yield rows, cols, np.exp(row[rows, None] + col[cols] - cost / eps)
        return
    x, y = (c.positions for c in (problem.source, problem.target))
    cols, size = np.arange(len(col)), max(1, ENTRIES // len(col))
    for begin in range(0, len(row), size):
        cost = problem.cost_matrix(x[:, begin : begin + size], y)[0].double().numpy(force=True)
        rows = np.arange(begin, begin + len(cost))
        yield rows, cols, np.exp(row[rows, None] + col - cost / eps)


def _kept_costs(pairs: KeptPairs) -> Iterator[tuple[Array, Array, Array]]:
    """Block after block of rows: their numbers, those of their kept columns, and the costs."""
    check, side = pairs.checks[0], pairs.side
    X, Y = check.clouds[side], check.clouds[1 - side]
    x, y = X.points.cpu(), Y.points.cpu()
    here, there = (cloud.order.numpy(force=True) for cloud in (X, Y))
    kept = check.tiles.sides[side]
    starts, tiles = kept.starts.tolist(), kept.blocks.numpy(force=True)
    for block in range(-(-X.n // SIZE)):
        mine = slice(block * SIZE, min((block + 1) * SIZE, X.n))
        near = tiles[starts[block] : starts[block + 1], None]
        theirs = (near * SIZE + np.arange(SIZE)).ravel()
        theirs = theirs[theirs < Y.n]
        cost = check.cost.polynomial(squares(x[mine], y[theirs])).numpy()
        yield here[mine], there[theirs], cost


def _largest(
    rows: Array, cols: Array, entries: Array, k: int | None, mass: float | None
) -> tuple[Array, Array, Array]:
    """Rows, columns and values of the largest entries of a piece."""
    total, count = entries.sum(1, keepdims=True), entries.shape[1]
    if k is None:  # what is smaller than this cannot hold the rest of the mass together
        assert mass is not None
        least = (1 - mass) * total / max(count, 1)
    else:
        least = np.zeros_like(total)
        if k < count:
            least = np.partition(entries, count - k, 1)[:, count - k, None]
    i, j = np.nonzero((entries >= least) & (entries > 0))
    values = entries[i, j]
    order = np.lexsort((-values, i))
    i, j, values = i[order], j[order], values[order]
    starts = np.searchsorted(i, np.arange(len(rows) + 1))
    if k is None:
        before = np.cumsum(values) - values
        before -= np.append(before, 0.0)[starts[:-1]][i]
        keep = before < mass * total[i, 0]
    else:
        keep = np.arange(len(i)) - starts[i] < k
    return rows[i[keep]], cols[j[keep]], values[keep]
