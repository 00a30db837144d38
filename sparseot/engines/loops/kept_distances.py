"""Sums over kept pairs for the cost ``|x - y|``, compiled by Numba and cached on disk.

The arrays are those of :mod:`.kept_squares`. With a slope taken off each potential, the exponent
of an entry of a plan is

    E_ij = F_I + G_J + A_i + B_j - |D + dx_i - dy_j|,    D = x_I - y_J,
    A_i = phi_i + dx_i . s_I,    B_j = gamma_j + dy_j . t_J.

Distances are taken from differences of coordinates: in single precision an exponent is wrong by
some 1e-7 of the longest distance. Rows lie along the vectors, as there.
"""

from __future__ import annotations

import numpy as np
from numba import uint64

from .compiled import njit
from .kept_squares import DIM, NONE, B, add_products, keep_larger, transpose
from .lanes import (
    accumulate,
    add,
    exp2,
    fma,
    highest,
    inverse,
    load,
    maximum,
    mul,
    spread,
    sqrt,
    store,
    sub,
    zeros,
)
from .pairs import OPTIONS

__all__ = ["column_of", "largest", "products", "sums", "transpose"]


@njit(inline="always", **OPTIONS)
def _seen_from_there(I, J, step, xc, xs, xk, xo, xb, yc, ys, yk, yo, yb, seen, rows, cols):
    """The rows' points from the centre of the columns, the biases A_i, and B_j with the heights."""
    dim, real = uint64(xc.shape[1]), xo.dtype.type
    constant = spread(real(xk[I] + yk[J]))
    for i in range(uint64(0), uint64(B), step):
        row = load(xb, I * uint64(B) + i)
        col = add(load(yb, J * uint64(B) + i), constant)
        for d in range(dim):
            dx, dy = (
                load(xo, (I * dim + d) * uint64(B) + i),
                load(yo, (J * dim + d) * uint64(B) + i),
            )
            row, col = fma(dx, spread(real(xs[I, d])), row), fma(dy, spread(real(ys[J, d])), col)
            store(seen, d * uint64(B) + i, add(dx, spread(real(xc[I, d] - yc[J, d]))))
        store(rows, i, row)
        store(cols, i, col)


@njit(inline="always", **OPTIONS)
def _distances(J, i, j, seen, yo, x0, x1, x2):
    """The distances of the rows from i on to column j of a tile."""
    d0, d1 = sub(x0, spread(yo[J, 0, j])), sub(x1, spread(yo[J, 1, j]))
    d2 = sub(x2, spread(yo[J, 2, j]))
    square = fma(d2, d2, fma(d1, d1, mul(d0, d0)))
    for d in range(uint64(DIM), uint64(yo.shape[1])):
        gap = sub(load(seen, d * uint64(B) + i), spread(yo[J, d, j]))
        square = fma(gap, gap, square)
    return sqrt(square)


@njit(**OPTIONS)
def sums(starts, tiles, xc, xs, xk, xo, xb, yc, ys, yk, yo, yb, out, peaks, lo, hi):
    """Row sums of 2^E over the tiles of row blocks lo to hi; ``peaks`` their largest, by tile."""
    seen, rows, cols = (
        np.empty((xo.shape[1], B), xo.dtype),
        np.empty(B, xo.dtype),
        np.empty(B, xo.dtype),
    )
    zero, step = xo.dtype.type(0), uint64(128 // xo.itemsize)
    for I in range(uint64(lo), uint64(hi)):
        for i in range(uint64(B)):
            out[I, i] = 0.0
        for t in range(uint64(starts[I]), uint64(starts[I + 1])):
            J = uint64(tiles[t])
            _seen_from_there(I, J, step, xc, xs, xk, xo, xb, yc, ys, yk, yo, yb, seen, rows, cols)
            peak = zero
            for i in range(uint64(0), uint64(B), step):
                x0, x1 = load(seen, i), load(seen, uint64(B) + i)
                x2, row = load(seen, uint64(2 * B) + i), load(rows, i)
                part = zeros(zero)
                for j in range(uint64(B)):
                    far = _distances(J, i, j, seen, yo, x0, x1, x2)
                    part = add(part, exp2(sub(add(row, spread(cols[j])), far)))
                accumulate(out, I * uint64(B) + i, part)
                peak = max(peak, highest(part))
            peaks[t] = peak


@njit(**OPTIONS)
def products(starts, tiles, xc, xs, xk, xo, xb, yc, ys, yk, yo, yb, v, power, least, out, lo, hi):
    """``out[I, r, i] = sum_j 2^E_ij |x_i - y_j|^power v[J, r, j]`` over row blocks lo to hi.

    A negative power of a distance up to ``least``, which rounding alone may leave, is zero.
    """
    seen, rows, cols = (
        np.empty((xo.shape[1], B), xo.dtype),
        np.empty(B, xo.dtype),
        np.empty(B, xo.dtype),
    )
    entries, step = np.empty((B, B), xo.dtype), uint64(128 // xo.itemsize)  # column after column
    bar = spread(xo.dtype.type(least))
    for I in range(uint64(lo), uint64(hi)):
        out[I] = 0.0
        for t in range(uint64(starts[I]), uint64(starts[I + 1])):
            J = uint64(tiles[t])
            _seen_from_there(I, J, step, xc, xs, xk, xo, xb, yc, ys, yk, yo, yb, seen, rows, cols)
            for i in range(uint64(0), uint64(B), step):
                x0, x1 = load(seen, i), load(seen, uint64(B) + i)
                x2, row = load(seen, uint64(2 * B) + i), load(rows, i)
                for j in range(uint64(B)):
                    far = _distances(J, i, j, seen, yo, x0, x1, x2)
                    entry = exp2(sub(add(row, spread(cols[j])), far))
                    factor = inverse(far, bar) if power < 0 else far
                    for _ in range(abs(power)):
                        entry = mul(entry, factor)
                    store(entries, j * uint64(B) + i, entry)
                add_products(I, J, i, entries, v, out)


@njit(inline="always", **OPTIONS)
def column_of(I, J, i, xc, xo, yc, ys, yo, yb, q):
    """The column of a tile that has the largest exponent of row i, where the cost is ``|x - y|^q / q``."""
    best, place = -1e300, uint64(0)
    for j in range(uint64(B)):
        e, square = float(yb[J, j]), 0.0
        for d in range(uint64(xc.shape[1])):
            gap = xc[I, d] - yc[J, d] + xo[I, d, i] - yo[J, d, j]
            e += yo[J, d, j] * ys[J, d]
            square += gap * gap
        e -= square ** (q / 2) / q
        if e > best:
            best, place = e, uint64(j)
    return place


@njit(**OPTIONS)
def largest(starts, tiles, xc, xs, xk, xo, xb, yc, ys, yk, yo, yb, out, where, lo, hi):
    """The largest exponents of row blocks lo to hi over their tiles, and their columns."""
    seen, rows, cols = (
        np.empty((xo.shape[1], B), xo.dtype),
        np.empty(B, xo.dtype),
        np.empty(B, xo.dtype),
    )
    tops = np.empty(B, xo.dtype)
    nothing, step = xo.dtype.type(NONE), uint64(128 // xo.itemsize)
    for I in range(uint64(lo), uint64(hi)):
        for i in range(uint64(B)):
            out[I, i], where[I, i] = NONE, -1
        for t in range(uint64(starts[I]), uint64(starts[I + 1])):
            J = uint64(tiles[t])
            _seen_from_there(I, J, step, xc, xs, xk, xo, xb, yc, ys, yk, yo, yb, seen, rows, cols)
            for i in range(uint64(0), uint64(B), step):
                x0, x1 = load(seen, i), load(seen, uint64(B) + i)
                x2, row = load(seen, uint64(2 * B) + i), load(rows, i)
                top = spread(nothing)
                for j in range(uint64(B)):
                    far = _distances(J, i, j, seen, yo, x0, x1, x2)
                    top = maximum(top, sub(add(row, spread(cols[j])), far))
                store(tops, i, top)
            keep_larger(I, J, tops, out, where)
        for i in range(uint64(B)):
            if where[I, i] >= 0:
                J = uint64(where[I, i])
                where[I, i] = J * uint64(B) + column_of(I, J, i, xc, xo, yc, ys, yo, yb, 1)
