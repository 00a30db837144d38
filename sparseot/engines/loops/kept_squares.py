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
from .lanes import accumulate, add, exp2, fma, highest, load, maximum, spread, store, zeros
from .pairs import OPTIONS

__all__ = [
    "DIM",
    "NONE",
    "B",
    "add_products",
    "keep_larger",
    "largest",
    "products",
    "sums",
    "transpose",
]

B = KEPT_BLOCK
NONE = -1e30  # the largest exponent of no column
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
def _exponents(I, J, i, j, xo, yo, cols, row, x0, x1, x2):
    """The exponents of column j of a tile, in the rows from i on."""
    e = fma(x0, spread(yo[J, 0, j]), add(row, spread(cols[j])))
    e = fma(x1, spread(yo[J, 1, j]), e)
    e = fma(x2, spread(yo[J, 2, j]), e)
    dim = uint64(xo.shape[1])
    for d in range(uint64(DIM), dim):
        e = fma(load(xo, (I * dim + d) * uint64(B) + i), spread(yo[J, d, j]), e)
    return e


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
                    e = _exponents(I, J, i, j, xo, yo, cols, row, x0, x1, x2)
                    part = add(part, exp2(e))
                accumulate(out, I * uint64(B) + i, part)
                peak = max(peak, highest(part))
            peaks[t] = peak


@njit(inline="always", **OPTIONS)
def add_products(I, J, i, entries, v, out):
    """Adds to ``out[I, :, i]`` what rows i of a tile, whose entries stand column after column, have with ``v[J]``."""
    columns = uint64(v.shape[1])
    for r in range(columns):
        part = zeros(entries.dtype.type(0))
        for j in range(uint64(B)):
            part = fma(load(entries, j * uint64(B) + i), spread(v[J, r, j]), part)
        accumulate(out, (I * columns + r) * uint64(B) + i, part)


@njit(**OPTIONS)
def products(starts, tiles, xc, xs, xk, xo, xb, yc, ys, yk, yo, yb, v, out, lo, hi):
    """``out[I, r, i] = sum_j 2^E_ij v[J, r, j]`` over the tiles of row blocks lo to hi."""
    rows, cols = np.empty(B, xo.dtype), np.empty(B, xo.dtype)
    entries, step = np.empty((B, B), xo.dtype), uint64(128 // xo.itemsize)  # column after column
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
                    e = _exponents(I, J, i, j, xo, yo, cols, row, x0, x1, x2)
                    store(entries, j * uint64(B) + i, exp2(e))
                add_products(I, J, i, entries, v, out)


@njit(inline="always", **OPTIONS)
def keep_larger(I, J, tops, out, where):
    """Notes the largest exponents of a tile where they are the largest so far."""
    for i in range(uint64(B)):
        if tops[i] > out[I, i]:
            out[I, i], where[I, i] = tops[i], J


@njit(inline="always", **OPTIONS)
def _column(I, J, i, xc, xo, yc, ys, yo, yb):
    """The column of a tile that has the largest exponent of row i."""
    best, place = -1e300, uint64(0)
    for j in range(uint64(B)):
        e = float(yb[J, j])
        for d in range(uint64(xc.shape[1])):
            tilt = ys[J, d] + (xc[I, d] - yc[J, d]) + xo[I, d, i]
            e += yo[J, d, j] * tilt
        if e > best:
            best, place = e, uint64(j)
    return place


@njit(**OPTIONS)
def largest(starts, tiles, xc, xs, xk, xo, xb, yc, ys, yk, yo, yb, out, where, lo, hi):
    """The largest exponents of row blocks lo to hi over their tiles, and their columns."""
    rows, cols, tops = np.empty(B, xo.dtype), np.empty(B, xo.dtype), np.empty(B, xo.dtype)
    nothing, step = xo.dtype.type(NONE), uint64(128 // xo.itemsize)
    for I in range(uint64(lo), uint64(hi)):
        at = I * uint64(xo.shape[1]) * uint64(B)
        for i in range(uint64(B)):
            out[I, i], where[I, i] = NONE, -1
        for t in range(uint64(starts[I]), uint64(starts[I + 1])):
            J = uint64(tiles[t])
            _biases(I, J, step, xc, xs, xk, xo, xb, yc, ys, yk, yo, yb, rows, cols)
            for i in range(uint64(0), uint64(B), step):
                x0, x1 = load(xo, at + i), load(xo, at + uint64(B) + i)
                x2, row = load(xo, at + uint64(2 * B) + i), load(rows, i)
                top = spread(nothing)
                for j in range(uint64(B)):
                    top = maximum(top, _exponents(I, J, i, j, xo, yo, cols, row, x0, x1, x2))
                store(tops, i, top)
            keep_larger(I, J, tops, out, where)
        for i in range(uint64(B)):
            if where[I, i] >= 0:
                J = uint64(where[I, i])
                where[I, i] = J * uint64(B) + _column(I, J, i, xc, xo, yc, ys, yo, yb)


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
