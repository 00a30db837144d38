"""Vectorised loops over pairs for :mod:`..numba_pairs`, compiled by Numba and cached on disk.

Each row i walks over the columns in blocks that stay in the first-level cache: squared
distances from differences of coordinates, then the formula, then products with the right-hand
sides; every inner loop is a plain loop over contiguous numbers, which LLVM vectorises. The
loops run under fast-math, so no infinity and no NaN may enter: exponents are clamped. Indices
are unsigned, since signed ones carry a test for negative values that prevents vector loads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import uint64

from .compiled import njit
from .exponentials import exp2

__all__ = ["OPTIONS", "least", "logsumexp", "sums"]

BLOCK = 512
LOWEST, HIGHEST = 1e-20, 1e30  # sums of exponentials that lost nothing to clamping
SHUT = -1e29  # scalings below hold nothing: in base 2, of what has no weight

OPTIONS: dict[str, Any] = {
    "fastmath": True,
    "nogil": True,
    "cache": True,
    "error_model": "numpy",
    "boundscheck": False,
}


@njit(inline="always", **OPTIONS)
def _squares(s, x, y, b, i, start, size):
    """Squared distances of row i to ``size`` columns from ``start``, into ``s``."""
    first = (x.shape[1] - 1) % 4 + 1
    x0 = x[b, 0, i]
    if first == 1:
        for j in range(size):
            t = x0 - y[b, 0, start + j]
            s[j] = t * t
    elif first == 2:
        x1 = x[b, 1, i]
        for j in range(size):
            t, u = x0 - y[b, 0, start + j], x1 - y[b, 1, start + j]
            s[j] = t * t + u * u
    else:
        x1, x2 = x[b, 1, i], x[b, 2, i]
        for j in range(size):
            t, u = x0 - y[b, 0, start + j], x1 - y[b, 1, start + j]
            v = x2 - y[b, 2, start + j]
            s[j] = t * t + u * u + v * v
        if first == 4:
            x3 = x[b, 3, i]
            for j in range(size):
                t = x3 - y[b, 3, start + j]
                s[j] += t * t
    for d in range(uint64(first), uint64(x.shape[1]), uint64(4)):
        x0, x1, x2, x3 = x[b, d, i], x[b, d + 1, i], x[b, d + 2, i], x[b, d + 3, i]
        for j in range(size):
            t, u = x0 - y[b, d, start + j], x1 - y[b, d + 1, start + j]
            v, w = x2 - y[b, d + 2, start + j], x3 - y[b, d + 3, start + j]
            s[j] += t * t + u * u + (v * v + w * w)


@njit(**OPTIONS)
def _polynomial(w, s, size, factors, powers, offset):
    """``sum_t factor_t (s + offset)^(power_t / 2)`` into ``w``; negative powers of 0 are 0."""
    zero, one = s.dtype.type(0), s.dtype.type(1)
    for j in range(size):
        w[j] = zero
    for t in range(len(powers)):
        factor, power = factors[t], powers[t]
        half, odd = abs(power) // 2, abs(power) % 2 == 1
        for j in range(size):
            u = s[j] + offset
            value = one
            for _ in range(half):
                value *= u
            if odd:
                value *= np.sqrt(u)
            if power < 0:
                value = one / value if u > zero else zero
            w[j] += factor * value


@njit(inline="always", **OPTIONS)
def _entries(s, w, x, y, row, col, b, i, start, size, rate, decay, factors, powers, offset):
    """Scaled entries of row i in ``size`` columns from ``start``, into ``w``; ``s`` is room."""
    trivial = len(powers) == 1 and powers[0] == 0
    _squares(s, x, y, b, i, start, size)
    if not trivial or rate < s.dtype.type(0):
        _polynomial(w, s, size, factors, powers, offset)
    if rate >= s.dtype.type(0):
        shift = row[b, i]
        if decay == 1:
            for j in range(size):
                s[j] = np.sqrt(s[j])
        if trivial:
            for j in range(size):
                w[j] = factors[0] * exp2(shift + col[b, start + j] - rate * s[j])
        else:
            for j in range(size):
                w[j] *= exp2(shift + col[b, start + j] - rate * s[j])


@njit(inline="always", **OPTIONS)
def _as_before(x, row, b, i):
    """Whether row i has the point, and the scaling, of the row before it, as padding has."""
    same = row[b, i] == row[b, i - uint64(1)]
    for d in range(uint64(x.shape[1])):
        same &= x[b, d, i] == x[b, d, i - uint64(1)]
    return same


@njit(**OPTIONS)
def _open_columns(col, b):
    """The columns of an item without those at its end that are shut; one at least."""
    m = uint64(col.shape[1])
    while m > uint64(1) and col[b, m - uint64(1)] < SHUT:
        m -= uint64(1)
    return m


@njit(**OPTIONS)
def _full_columns(v, col, b):
    """The columns of an item without those at its end that are shut, or have zeros on the right."""
    m = _open_columns(col, b)
    while m > uint64(1):
        for r in range(uint64(v.shape[1])):
            if v[b, r, m - uint64(1)] != 0:
                return m
        m -= uint64(1)
    return m


@njit(**OPTIONS)
def sums(
    x,
    y,
    v,
    row,
    col,
    rate,
    decay,
    factors,
    powers,
    offset,
    starts,
    first,
    last,
    height,
    out,
    lo,
    hi,
):
    """``out[b, r, i] = sum_j 2^(row + col - rate |x - y|^decay) polynomial(|x - y|^2) v[b, r, j]``.

    For the flattened rows b * N + i from lo to hi; clouds are coordinate-major, (B, D, N).
    Block I of ``height`` rows meets the columns from first[k] to last[k] for each of the runs k
    from starts[I] to starts[I + 1]. A rate below zero says that there is no exponential and no
    scaling. Padding costs nothing: columns at the end of an item that add nothing are left out, and
    a row that is as the one before has its sums.
    """
    n, m = uint64(x.shape[2]), uint64(0)
    s, w = np.empty(BLOCK, x.dtype), np.empty(BLOCK, x.dtype)
    zero = x.dtype.type(0)
    for q in range(uint64(lo), uint64(hi)):
        b, i = q // n, q % n
        if i == uint64(0) or q == uint64(lo):
            m = _full_columns(v, col, b)
        elif i % uint64(height) and _as_before(x, row, b, i):
            for r in range(uint64(v.shape[1])):
                out[b, r, i] = out[b, r, i - uint64(1)]
            continue
        block = i // uint64(height)
        for k in range(uint64(starts[block]), uint64(starts[block + uint64(1)])):
            end = min(uint64(last[k]), m)
            for start in range(uint64(first[k]), end, uint64(BLOCK)):
                size = min(uint64(BLOCK), end - start)
                _entries(
                    s, w, x, y, row, col, b, i, start, size, rate, decay, factors, powers, offset
                )
                for r in range(uint64(v.shape[1])):
                    total = zero
                    for j in range(size):
                        total += w[j] * v[b, r, start + j]
                    out[b, r, i] += total


@njit(**OPTIONS)
def _row_total(s, x, y, col, b, i, m, rate, shift, decay):
    """``sum_j 2^(shift + col[b, j] - rate |x_i - y_j|^decay)``, for the first m columns."""
    total = x.dtype.type(0)
    for start in range(uint64(0), m, uint64(BLOCK)):
        size = min(uint64(BLOCK), m - start)
        _squares(s, x, y, b, i, start, size)
        if decay == 1:
            for j in range(size):
                total += exp2(shift + col[b, start + j] - rate * np.sqrt(s[j]))
        else:
            for j in range(size):
                total += exp2(shift + col[b, start + j] - rate * s[j])
    return total


@njit(**OPTIONS)
def _row_maximum(s, x, y, col, b, i, m, rate, decay):
    """``max_j col[b, j] - rate |x_i - y_j|^decay``, for the first m columns."""
    highest = x.dtype.type(-1e38)
    for start in range(uint64(0), m, uint64(BLOCK)):
        size = min(uint64(BLOCK), m - start)
        _squares(s, x, y, b, i, start, size)
        for j in range(size):
            distance = np.sqrt(s[j]) if decay == 1 else s[j]
            highest = max(highest, col[b, start + j] - rate * distance)
    return highest


@njit(**OPTIONS)
def logsumexp(x, y, col, guess, rates, decay, out, lo, hi):
    """``out[b, i] = log2 sum_j 2^(col[b, j] - rates[b] |x - y|^decay)``, rows lo to hi.

    A guess of the result shifts the exponents; where it was too far off, the row is summed again
    from its maximum. Padding costs nothing, as in :func:`sums`.
    """
    n, m = uint64(x.shape[2]), uint64(0)
    s = np.empty(BLOCK, x.dtype)
    for q in range(uint64(lo), uint64(hi)):
        b, i = q // n, q % n
        if i == uint64(0) or q == uint64(lo):
            m = _open_columns(col, b)
        elif _as_before(x, guess, b, i):
            out[b, i] = out[b, i - uint64(1)]
            continue
        shift = -guess[b, i]
        total = _row_total(s, x, y, col, b, i, m, rates[b], shift, decay)
        if not (total > LOWEST and total < HIGHEST):
            shift = -_row_maximum(s, x, y, col, b, i, m, rates[b], decay)
            total = _row_total(s, x, y, col, b, i, m, rates[b], shift, decay)
        out[b, i] = np.log2(total) - shift


@njit(inline="always", **OPTIONS)
def _heights(s, x, y, col, b, i, start, size, factor, power):
    """``factor |x_i - y_j|^power - col_j`` for ``size`` columns from ``start``, into ``s``."""
    _squares(s, x, y, b, i, start, size)
    if power == 1:
        for j in range(size):
            s[j] = factor * np.sqrt(s[j]) - col[b, start + j]
    else:
        for j in range(size):
            s[j] = factor * s[j] - col[b, start + j]


@njit(**OPTIONS)
def least(x, y, col, factor, power, out, where, lo, hi):
    """``out[b, i] = min_j factor |x - y|^power - col[b, j]`` and its column, rows lo to hi.

    The column is looked for in the block that held the minimum, once more: the other blocks are
    left with the minimum alone, which is a plain loop.
    """
    n, m = uint64(x.shape[2]), uint64(y.shape[2])
    s = np.empty(BLOCK, x.dtype)
    for q in range(uint64(lo), uint64(hi)):
        b, i = q // n, q % n
        low, at = x.dtype.type(3e38), uint64(0)
        for start in range(uint64(0), m, uint64(BLOCK)):
            size = min(uint64(BLOCK), m - start)
            _heights(s, x, y, col, b, i, start, size, factor, power)
            part = s[0]
            for j in range(size):
                part = min(part, s[j])
            if part < low:
                low, at = part, uint64(start)
        size = min(uint64(BLOCK), m - at)
        _heights(s, x, y, col, b, i, at, size, factor, power)
        place = uint64(0)
        for j in range(size):
            if s[j] < s[place]:
                place = uint64(j)
        out[b, i], where[b, i] = s[place], at + place
