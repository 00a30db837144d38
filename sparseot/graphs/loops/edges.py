"""Sums along edges, compiled.

A thread takes a range of features of all rows, so that edges in any order may add to any row: no
two threads write to the same number, and the order of the sums is that of the edges.
"""

from __future__ import annotations

import numpy as np

from ...engines.loops.compiled import njit
from . import LOOP

__all__ = ["add", "dots", "pull"]

# features are the caller's: NaN and infinity go through as they do in torch
OPTIONS = LOOP | {"fastmath": {"contract", "reassoc"}}


@njit(**OPTIONS)
def add(w, h, row, col, out, lo, hi):
    """Adds ``w[e] * h[col[e]]`` to ``out[row[e]]``, features from lo to hi."""
    for e in range(len(row)):
        i, j, weight = np.uint64(row[e]), np.uint64(col[e]), w[e]
        for d in range(lo, hi):
            out[i, d] += weight * h[j, d]


@njit(**OPTIONS)
def dots(a, b, row, col, out, lo, hi):
    """``<a[row[e]], b[col[e]]>`` of the edges from lo to hi."""
    for e in range(lo, hi):
        i, j, total = np.uint64(row[e]), np.uint64(col[e]), a.dtype.type(0)
        for d in range(a.shape[1]):
            total += a[i, d] * b[j, d]
        out[e] = total


@njit(**OPTIONS)
def pull(c, x, y, row, col, out, lo, hi):
    """Adds ``c[e] * (x[row[e]] - y[col[e]])`` to ``out[row[e]]``, features from lo to hi."""
    for e in range(len(row)):
        i, j, factor = np.uint64(row[e]), np.uint64(col[e]), c[e]
        for d in range(lo, hi):
            out[i, d] += factor * (np.float64(x[i, d]) - np.float64(y[j, d]))
