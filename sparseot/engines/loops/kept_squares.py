"""Sums over kept pairs of blocks, compiled by Numba and cached on disk.

A tile is a pair of blocks of ``B`` points. In the frame of its two centres, with a slope taken
off each potential, the exponent of an entry of a plan is

    E_ij = K + A_i + B_j + dx_i . dy_j,    K = F_I + G_J - |D|^2 / 2,    D = x_I - y_J,
    A_i = phi_i + dx_i . (s_I - D),        B_j = gamma_j + dy_j . (t_J + D),

with K in float64 and the rest small: single precision loses nothing that matters, whatever the
temperature. All lengths and potentials are in units in which exponents are powers of two. Vectors
hold the rows of a tile and the innermost loop runs over its columns, so that sums stay in registers.
"""

from __future__ import annotations

import numpy as np
from numba import uint64

from ..base import KEPT_BLOCK
from .compiled import njit
from .exponentials import exp2 as exp2_of_one
from .lanes import accumulate, add, exp2, fma, highest, load, spread, store, zeros
from .pairs import OPTIONS

__all__ = ["B", "products", "screen", "sums", "transpose"]

B = KEPT_BLOCK
DIM = 3  # coordinates that stay in registers; more are read again for each column


@njit(inline="always", **OPTIONS)
def _biases(I, J, step, xc, xs, xk, xo, xb, yc, ys, yk, yo, yb, rows, cols):
    """The biases A_i of the rows, without the constant, and B_j of the columns, with it."""
    dim, real = uint64(xc.shape[1]), xo.dtype.type
    constant = xk[I] + yk[J]
    for d in range(dim):
        gap = xc[I, d] - yc[J, d]
        constant -= 0.5 * gap * gap
    for i in range(uint64(0), uint64(B), step):
        row = load(xb, I * uint64(B) + i)
        col = add(load(yb, J * uint64(B) + i), spread(real(constant)))
        for d in range(dim):
            gap = xc[I, d] - yc[J, d]
            dx, dy = (
                load(xo, (I * dim + d) * uint64(B) + i),
                load(yo, (J * dim + d) * uint64(B) + i),
            )
            row = fma(dx, spread(real(xs[I, d] - gap)), row)
            col = fma(dy, spread(real(ys[J, d] + gap)), col)
        store(rows, i, row)
        store(cols, i, col)


@njit(inline="always", **OPTIONS)
def _entries(I, J, i, j, xo, yo, cols, row, x0, x1, x2):
    """The entries of column j of a tile, in the rows from i on."""
    e = fma(x0, spread(yo[J, 0, j]), add(row, spread(cols[j])))
    e = fma(x1, spread(yo[J, 1, j]), e)
    e = fma(x2, spread(yo[J, 2, j]), e)
    dim = uint64(xo.shape[1])
    for d in range(uint64(DIM), dim):
        e = fma(load(xo, (I * dim + d) * uint64(B) + i), spread(yo[J, d, j]), e)
    return exp2(e)


@njit(**OPTIONS)
def sums(starts, tiles, xc, xs, xk, xo, xb, yc, ys, yk, yo, yb, out, peaks, lo, hi):
    """Row sums of 2^E over the tiles of row blocks lo to hi; ``peaks`` their largest, by tile."""
    rows, cols = np.empty(B, xo.dtype), np.empty(B, xo.dtype)
    zero, step = xo.dtype.type(0), uint64(128 // xo.itemsize)
    for I in range(uint64(lo), uint64(hi)):
        at = I * uint64(xo.shape[1]) * uint64(B)
        for i in range(uint64(B)):
            out[I, i] = 0.0
        for t in range(uint64(starts[I]), uint64(starts[I + 1])):
            J = uint64(tiles[t])
            _biases(I, J, step, xc, xs, xk, xo, xb, yc, ys, yk, yo, yb, rows, cols)
            peak = zero
            for i in range(uint64(0), uint64(B), step):
                x0, x1 = load(xo, at + i), load(xo, at + uint64(B) + i)
                x2, row = load(xo, at + uint64(2 * B) + i), load(rows, i)
                part = zeros(zero)
                for j in range(uint64(B)):
                    part = add(part, _entries(I, J, i, j, xo, yo, cols, row, x0, x1, x2))
                accumulate(out, I * uint64(B) + i, part)
                peak = max(peak, highest(part))
            peaks[t] = peak


@njit(**OPTIONS)
def products(starts, tiles, xc, xs, xk, xo, xb, yc, ys, yk, yo, yb, v, out, lo, hi):
    """``out[I, r, i] = sum_j 2^E_ij v[J, r, j]`` over the tiles of row blocks lo to hi."""
    rows, cols = np.empty(B, xo.dtype), np.empty(B, xo.dtype)
    zero, step = xo.dtype.type(0), uint64(128 // xo.itemsize)
    entries = np.empty((B, B), xo.dtype)  # column after column
    columns = uint64(v.shape[1])
    for I in range(uint64(lo), uint64(hi)):
        at = I * uint64(xo.shape[1]) * uint64(B)
        out[I] = 0.0
        for t in range(uint64(starts[I]), uint64(starts[I + 1])):
            J = uint64(tiles[t])
            _biases(I, J, step, xc, xs, xk, xo, xb, yc, ys, yk, yo, yb, rows, cols)
            for i in range(uint64(0), uint64(B), step):
                x0, x1 = load(xo, at + i), load(xo, at + uint64(B) + i)
                x2, row = load(xo, at + uint64(2 * B) + i), load(rows, i)
                for j in range(uint64(B)):
                    entry = _entries(I, J, i, j, xo, yo, cols, row, x0, x1, x2)
                    store(entries, j * uint64(B) + i, entry)
                for r in range(columns):
                    part = zeros(zero)
                    for j in range(uint64(B)):
                        part = fma(load(entries, j * uint64(B) + i), spread(v[J, r, j]), part)
                    accumulate(out, (I * columns + r) * uint64(B) + i, part)


@njit(inline="always", **OPTIONS)
def _bounds(I, first, last, xc, xr, xs, xf, yc, yr, ys, yf, bounds):
    """The largest exponents that box I and boxes first to last allow, into ``bounds``.

    There f <= F + s.dx and g <= G + t.dy. Coordinate by coordinate the maximum of
    ``s dx + t dy - (D + dx - dy)^2 / 2`` over the rectangle lies on one of its four edges, since
    the function does not change its slope along dx = dy.
    """
    for k in range(last - first):
        bounds[k] = xf[I] + yf[first + k]
    for d in range(uint64(xc.shape[0])):
        x, r, s = xc[d, I], xr[d, I], xs[d, I]
        for k in range(last - first):
            D, q, t = x - yc[d, first + k], yr[d, first + k], ys[d, first + k]
            up, down = min(max(D + r + t, -q), q), min(max(D - r + t, -q), q)
            right, left = min(max(q - D + s, -r), r), min(max(-q - D + s, -r), r)
            g0, g1, g2, g3 = D + r - up, D - r - down, D + right - q, D + left + q
            best = max(s * r + t * up - 0.5 * g0 * g0, t * down - s * r - 0.5 * g1 * g1)
            best = max(best, s * right + t * q - 0.5 * g2 * g2)
            bounds[k] += max(best, s * left - t * q - 0.5 * g3 * g3)


@njit(inline="always", **OPTIONS)
def sift(first, last, weight, yw, ym, threshold, bounds, kept, total):
    """Appends what passes the threshold to ``kept``; returns its length and what was dropped."""
    lost = 0.0
    for k in range(last - first):
        mass = exp2_of_one(bounds[k] + ym[first + k])
        bounds[k] += max(weight, yw[first + k])
        lost += mass if bounds[k] < threshold else 0.0
    for k in range(last - first):
        if bounds[k] >= threshold:
            kept[total] = first + k
            total += 1
    return total, lost


@njit(inline="always", **OPTIONS)
def with_room(kept, total, more):
    """An array that holds the first ``total`` numbers of ``kept`` and has room for some more."""
    if total + more <= len(kept):
        return kept
    longer = np.empty(2 * len(kept) + more, np.int32)
    for t in range(total):  # a slice would take longer to compile
        longer[t] = kept[t]
    return longer


@njit(**OPTIONS)
def screen(rows, cols, parents, starts, near, ends, threshold, counts, omitted, lo, hi):
    """The tiles of row blocks lo to hi whose bound passes the threshold.

    A tile is kept where ``bound + max(w_I, w_J)`` reaches the threshold. What is dropped is
    bounded: ``omitted[I]`` grows by the sum of ``2^(bound + m_J)``, which no row sum of block I
    misses by more.

    Args:
        rows: centres (D, C), half sides, slopes, heights F (C,), weights w, masses m of the row
            blocks; ``cols`` those of the column blocks.
        parents: the group of each row block; it meets the groups of columns
            ``near[starts[P]:starts[P + 1]]``, which are the blocks ``ends[Q]`` to ``ends[Q + 1]``.
    """
    xc, xr, xs, xf, xw, _ = rows
    yc, yr, ys, yf, yw, ym = cols
    longest = 0
    for Q in range(len(ends) - 1):
        longest = max(longest, ends[Q + 1] - ends[Q])
    kept, bounds = np.empty(4096, np.int32), np.empty(longest)
    total = 0
    for I in range(lo, hi):
        before, P = total, parents[I]
        for k in range(starts[P], starts[P + 1]):
            first, last = ends[near[k]], ends[near[k] + 1]
            kept = with_room(kept, total, last - first)
            _bounds(I, first, last, xc, xr, xs, xf, yc, yr, ys, yf, bounds)
            total, lost = sift(first, last, xw[I], yw, ym, threshold, bounds, kept, total)
            omitted[I] += lost
        counts[I] = total - before
    return kept[:total]


@njit(**OPTIONS)
def transpose(starts, tiles, begins, rows, places):
    """The same tiles, column after column: ``rows`` and, in the old order, their ``places``.

    ``begins`` holds where columns begin, and where they end when this returns.
    """
    for I in range(uint64(len(starts) - 1)):
        for t in range(uint64(starts[I]), uint64(starts[I + 1])):
            J = uint64(tiles[t])
            rows[begins[J]], places[begins[J]] = I, t
            begins[J] += 1
