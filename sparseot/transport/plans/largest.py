"""The largest entries of a plan as a sparse matrix, found by pieces of its rows."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np
from torch import Tensor

from ...pairs import Array
from ..problem import Problem
from .rows import rows_of

__all__ = ["sparse_entries"]


def sparse_entries(
    problem: Problem,
    f: Tensor,
    g: Tensor,
    k: int | None,
    mass: float | None,
    some: slice | None = None,
) -> Any:
    """A SciPy CSR array of one plan: the k largest entries of each row, or the fewest of that mass.

    Of ``some`` rows alone it has no others.
    """
    k = None if k is None else int(k)
    wanted = np.arange(f.shape[1])[some or slice(None)]
    shape, first = (len(wanted), g.shape[1]), int(wanted[0]) if len(wanted) else 0
    found = [_largest(*piece, k, mass) for piece in _pieces(problem, f, g, wanted)]
    none = np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    rows, cols, values = (np.concatenate(parts) for parts in zip(none, *found, strict=True))
    rows = rows - first
    order = np.lexsort((cols, rows))
    starts = np.concatenate(([0], np.cumsum(np.bincount(rows, minlength=shape[0]))))
    sparse = import_module("scipy.sparse")  # here, for a light import of the library
    return sparse.csr_array((values[order], cols[order], starts), shape=shape)


def _pieces(
    problem: Problem, f: Tensor, g: Tensor, wanted: Array
) -> Iterator[tuple[Array, Array, Array]]:
    """Numbers of rows, numbers of columns, and the entries between them, of those that are wanted."""
    eps, plan = problem.eps, rows_of(problem)
    row = (problem.source.log_weights + f / eps)[0].double().numpy(force=True)
    col = (problem.target.log_weights + g / eps)[0].double().numpy(force=True)
    for rows in plan.pieces(wanted) if len(wanted) else []:
        cols, cost = plan.costs(rows)
        yield rows, cols, np.exp(row[rows, None] + col[cols] - cost / eps)


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
