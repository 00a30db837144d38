"""Products and factors of small matrices, compiled: one thread, contiguous rows, float64 only."""

from __future__ import annotations

import numpy as np

from .compiled import njit
from .pairs import OPTIONS

__all__ = ["cholesky", "less_gram", "multiply", "solve", "substitute", "substitute_back"]

RIDGE = 1e-11  # of a plan nearly in pieces; it slows its steps down, and moves no solution


@njit(**OPTIONS)
def less_gram(H, S):
    """``S = I - H' H``, its lower half; four rows of H in one pass over S."""
    n, m = H.shape
    for j in range(m):
        for k in range(j):
            S[j, k] = 0.0
        S[j, j] = 1.0
    for i in range(0, n - n % 4, 4):
        for j in range(m):
            p, q, r, s = H[i, j], H[i + 1, j], H[i + 2, j], H[i + 3, j]
            for k in range(j + 1):
                S[j, k] -= p * H[i, k] + q * H[i + 1, k] + (r * H[i + 2, k] + s * H[i + 3, k])
    for i in range(n - n % 4, n):
        for j in range(m):
            p = H[i, j]
            for k in range(j + 1):
                S[j, k] -= p * H[i, k]


@njit(**OPTIONS)
def cholesky(S):
    """Cholesky's factor in place, in the lower half of S; the smallest pivot, before the ridge."""
    least = 1e300
    for j in range(len(S)):
        for k in range(j + 1):
            total = S[j, k]
            for p in range(k):
                total -= S[j, p] * S[k, p]
            if j == k:
                least = min(least, total)
                S[j, k] = np.sqrt(max(total, RIDGE))
            else:
                S[j, k] = total / S[k, k]
    return least


@njit(**OPTIONS)
def substitute(S, right):
    """``S^-1 right`` in place, of a lower factor."""
    for j in range(len(S)):
        for p in range(j):
            factor = S[j, p]
            for k in range(right.shape[1]):
                right[j, k] -= factor * right[p, k]
        factor = 1 / S[j, j]
        for k in range(right.shape[1]):
            right[j, k] *= factor


@njit(**OPTIONS)
def substitute_back(S, right):
    """``S'^-1 right`` in place, of a lower factor."""
    for j in range(len(S) - 1, -1, -1):
        factor = 1 / S[j, j]
        for k in range(right.shape[1]):
            right[j, k] *= factor
        for p in range(j):
            factor = S[j, p]
            for k in range(right.shape[1]):
                right[p, k] -= factor * right[j, k]


@njit(**OPTIONS)
def multiply(left, right, out):
    """``out += left right``; four rows of ``right`` in one pass over ``out``."""
    n, m = left.shape
    for i in range(n):
        for j in range(0, m - m % 4, 4):
            p, q, r, s = left[i, j], left[i, j + 1], left[i, j + 2], left[i, j + 3]
            for k in range(out.shape[1]):
                out[i, k] += (p * right[j, k] + q * right[j + 1, k]) + (
                    r * right[j + 2, k] + s * right[j + 3, k]
                )
        for j in range(m - m % 4, m):
            p = left[i, j]
            for k in range(out.shape[1]):
                out[i, k] += p * right[j, k]


@njit(**OPTIONS)
def solve(S, x):
    """Solves ``S x = x`` in place; S becomes its factor."""
    m = len(x)
    cholesky(S)
    for j in range(m):
        total = x[j]
        for p in range(j):
            total -= S[j, p] * x[p]
        x[j] = total / S[j, j]
    for j in range(m - 1, -1, -1):
        x[j] /= S[j, j]
        for p in range(j):
            x[p] -= S[j, p] * x[j]
