"""Vectorised loops over kept pairs of blocks, compiled by Numba and cached on disk.

A tile is a pair of blocks of ``B`` points. In the frame of its two centres, with a slope taken
off each potential, the exponent of an entry of a plan is

    E_ij = K + A_i + B_j + dx_i . dy_j,    K = F_I + G_J - |D|^2 / 2,    D = x_I - y_J,
    A_i = phi_i + dx_i . (s_I - D),        B_j = gamma_j + dy_j . (t_J + D),

with K in float64 and the rest small: single precision loses nothing that matters, whatever the
temperature. All lengths and potentials are in units in which exponents are powers of two. The
innermost loop runs over the rows of a tile, so that sums need no reduction across lanes.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint64

from .simd import OPTIONS, exp2

__all__ = ["B", "products", "screen", "sums", "transpose"]

B = 32  # points in a block
DIM = 3  # coordinates of the fast loop; more are added by a second one


@njit(inline="always", **OPTIONS)
def _biases(I, J, xc, xs, xk, xo, xb, yc, ys, yk, yo, yb, rows, cols):
    """The biases A_i of the rows, without the constant, and B_j of the columns, with it."""
    dim = uint64(xc.shape[1])
    constant = xk[I] + yk[J]
    for i in range(B):
        rows[i] = xb[I, i]
    for d in range(dim):
        gap = xc[I, d] - yc[J, d]
        constant -= 0.5 * gap * gap
        slope = rows.dtype.type(xs[I, d] - gap)
        for i in range(B):
            rows[i] += slope * xo[I, d, i]
    k = rows.dtype.type(constant)
    for j in range(B):
        cols[j] = yb[J, j] + k
    for d in range(dim):
        slope = rows.dtype.type(ys[J, d] + (xc[I, d] - yc[J, d]))
        for j in range(B):
            cols[j] += slope * yo[J, d, j]


@njit(inline="always", **OPTIONS)
def _exponents(I, J, j, xo, yo, rows, cols, e):
    """Exponents of column j of a tile beyond the third coordinate, into ``e``."""
    for i in range(B):
        e[i] = rows[i] + cols[j]
    for d in range(uint64(DIM), uint64(xo.shape[1])):
        y = yo[J, d, j]
        for i in range(B):
            e[i] += xo[I, d, i] * y


@njit(**OPTIONS)
def sums(starts, tiles, xc, xs, xk, xo, xb, yc, ys, yk, yo, yb, out, peaks, lo, hi):
    """Row sums of 2^E over the tiles of row blocks lo to hi; ``peaks`` their largest, by tile."""
    rows, cols = np.empty(B, xo.dtype), np.empty(B, xo.dtype)
    part, e = np.empty(B, xo.dtype), np.empty(B, xo.dtype)
    zero = xo.dtype.type(0)
    wide = xo.shape[1] > DIM
    for I in range(uint64(lo), uint64(hi)):
        for i in range(B):
            out[I, i] = 0.0
        for t in range(uint64(starts[I]), uint64(starts[I + 1])):
            J = uint64(tiles[t])
            _biases(I, J, xc, xs, xk, xo, xb, yc, ys, yk, yo, yb, rows, cols)
            for i in range(B):
                part[i] = zero
            if wide:
                for j in range(B):
                    _exponents(I, J, j, xo, yo, rows, cols, e)
                    y0, y1, y2 = yo[J, 0, j], yo[J, 1, j], yo[J, 2, j]
                    for i in range(B):
                        part[i] += exp2(
                            e[i] + xo[I, 0, i] * y0 + xo[I, 1, i] * y1 + xo[I, 2, i] * y2
                        )
            else:
                for j in range(B):
                    c, y0, y1, y2 = cols[j], yo[J, 0, j], yo[J, 1, j], yo[J, 2, j]
                    for i in range(B):
                        part[i] += exp2(
                            rows[i] + c + xo[I, 0, i] * y0 + xo[I, 1, i] * y1 + xo[I, 2, i] * y2
                        )
            peak = zero
            for i in range(B):
                out[I, i] += part[i]
                peak = max(peak, part[i])
            peaks[t] = peak


@njit(**OPTIONS)
def products(starts, tiles, xc, xs, xk, xo, xb, yc, ys, yk, yo, yb, v, out, lo, hi):
    """``out[I, r, i] = sum_j 2^E_ij v[J, r, j]`` over the tiles of row blocks lo to hi."""
    rows, cols = np.empty(B, xo.dtype), np.empty(B, xo.dtype)
    e = np.empty(B, xo.dtype)
    part = np.empty((v.shape[1], B), xo.dtype)
    zero = xo.dtype.type(0)
    for I in range(uint64(lo), uint64(hi)):
        out[I] = 0.0
        for t in range(uint64(starts[I]), uint64(starts[I + 1])):
            J = uint64(tiles[t])
            _biases(I, J, xc, xs, xk, xo, xb, yc, ys, yk, yo, yb, rows, cols)
            part[:] = zero
            for j in range(B):
                _exponents(I, J, j, xo, yo, rows, cols, e)
                y0, y1, y2 = yo[J, 0, j], yo[J, 1, j], yo[J, 2, j]
                for i in range(B):
                    e[i] = exp2(e[i] + xo[I, 0, i] * y0 + xo[I, 1, i] * y1 + xo[I, 2, i] * y2)
                for r in range(uint64(v.shape[1])):
                    w = v[J, r, j]
                    for i in range(B):
                        part[r, i] += w * e[i]
            for r in range(uint64(v.shape[1])):
                for i in range(B):
                    out[I, r, i] += part[r, i]


@njit(**OPTIONS)
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


@njit(**OPTIONS)
def _sift(first, last, weight, yw, ym, threshold, bounds, kept, total):
    """Appends what passes the threshold to ``kept``; returns its length and what was dropped."""
    lost = 0.0
    for k in range(last - first):
        mass = exp2(bounds[k] + ym[first + k])
        bounds[k] += max(weight, yw[first + k])
        lost += mass if bounds[k] < threshold else 0.0
    for k in range(last - first):
        if bounds[k] >= threshold:
            kept[total] = first + k
            total += 1
    return total, lost


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
            if total + (last - first) > len(kept):
                longer = np.empty(2 * len(kept) + (last - first), np.int32)
                for t in range(total):  # a slice would take longer to compile
                    longer[t] = kept[t]
                kept = longer
            _bounds(I, first, last, xc, xr, xs, xf, yc, yr, ys, yf, bounds)
            total, lost = _sift(first, last, xw[I], yw, ym, threshold, bounds, kept, total)
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
