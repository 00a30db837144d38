"""Sums over the rows of a stored matrix of costs, compiled by Numba and cached on disk."""

from __future__ import annotations

import numpy as np
from numba import uint64

from .compiled import njit
from .exponentials import exp2
from .pairs import BLOCK, HIGHEST, LOWEST, OPTIONS

__all__ = ["logsumexp"]


@njit(**OPTIONS)
def _total(costs, col, scale, shift, i):
    """``sum_j 2^(shift + col[j] - scale costs[i, j])``, added in double precision block by block."""
    m, total = uint64(costs.shape[1]), 0.0
    for start in range(uint64(0), m, uint64(BLOCK)):
        part = costs.dtype.type(0)
        for j in range(start, min(start + uint64(BLOCK), m)):
            part += exp2(shift + col[j] - scale * costs[i, j])
        total += part
    return total


@njit(**OPTIONS)
def logsumexp(costs, col, guess, scale, out, lo, hi):
    """``out[i] = log2 sum_j 2^(col[j] - scale costs[i, j])``, rows lo to hi, all in the precision of the costs.

    A guess of the result shifts the exponents; where it was too far off, the row is summed again from its maximum.
    """
    for i in range(uint64(lo), uint64(hi)):
        shift = -guess[i]
        total = _total(costs, col, scale, shift, i)
        if not (total > LOWEST and total < HIGHEST):
            top = costs.dtype.type(-1e38)
            for j in range(uint64(costs.shape[1])):
                top = max(top, col[j] - scale * costs[i, j])
            shift = -top
            total = _total(costs, col, scale, shift, i)
        out[i] = np.log2(total) - shift
