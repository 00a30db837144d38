"""Sums over kept pairs for the cost ``|x - y|^q / q``, 1 < q < 2, compiled by Numba and cached on disk.

The arrays are those of :mod:`..kept_squares`. With a slope taken off each potential, the exponent of an
entry of a plan is

    E_ij = F_I + G_J + A_i + B_j - |D + dx_i - dy_j|^q / q,    D = x_I - y_J,
    A_i = phi_i + dx_i . s_I,    B_j = gamma_j + dy_j . t_J.

Blocks are *far* from each other where squared distances differ from ``|D|^2`` by at most half of it. There
``|z|^2 = |D|^2 (1 + s)``, and with d = dx - dy

    |z|^q / q = |D|^q / q + |D|^(q-2) (D . d + |d|^2 / 2) + |D|^q s^2 P(s) / q

with a polynomial P: what is linear goes to the slopes, and no more is rounded than how much distances differ.
Elsewhere distances are few widths of a block, and ``|z|^q = 2^(q/2 log2 |z|^2)`` from differences of coordinates.
"""

from __future__ import annotations

import numpy as np
from numba import uint64

from ..compiled import njit
from ..kept_distances import column_of
from ..kept_squares import DIM, NONE, B, keep_larger, transpose
from ..lanes import (
    accumulate,
    add,
    exp2,
    fma,
    highest,
    load,
    maximum,
    mul,
    spread,
    store,
    sub,
    zeros,
)
from ..pairs import OPTIONS
from .lanes import beyond, log2, polynomial

__all__ = ["laid_near", "largest", "products", "room", "sums", "transpose"]

FAR = 0.5  # the largest s of a polynomial
TINY = 1e-30  # squared distances that are none
EXPONENTS = 1e9  # in the place of a power: no entries are wanted, but their exponents


@njit(inline="always", **OPTIONS)
def _scale(I, J, xc, xr, yc, yr, half):
    """Of a tile: whether its blocks are far from each other, a squared distance, and the cost there."""
    square, reach = 0.0, xr[I] + yr[J]
    for d in range(uint64(xc.shape[1])):
        gap = xc[I, d] - yc[J, d]
        square += gap * gap
    root = np.sqrt(square)
    far = (2 * root + reach) * reach <= FAR * square
    unit = max(square if far else (root + reach) * (root + reach), TINY)
    return far, unit, unit**half / (2 * half)


@njit(inline="always", **OPTIONS)
def room(xo):
    """What a tile is laid out in: offsets of its rows and of its columns, and the biases of both."""
    x, y = np.empty((xo.shape[1] + 1, B), xo.dtype), np.empty((xo.shape[1] + 1, B), xo.dtype)
    return x, y, np.empty(B, xo.dtype), np.empty(B, xo.dtype)


@njit(inline="always", **OPTIONS)
def _laid_far(
    I, J, step, unit, cost, pull, xc, xs, xk, xo, xb, yc, ys, yk, yo, yb, rows, cols, x, y
):
    """Lays out a tile of far blocks: its biases, offsets into ``x`` and ``y``, and what they add to s after these."""
    dim, real = uint64(xc.shape[1]), xo.dtype.type
    constant, part = spread(real(xk[I] + yk[J] - cost)), spread(real(1.0 / unit))
    bend = spread(real(-pull / 2))
    for i in range(uint64(0), uint64(B), step):
        row, col = load(xb, I * uint64(B) + i), add(load(yb, J * uint64(B) + i), constant)
        here, there = zeros(real(0)), zeros(real(0))
        for d in range(dim):
            gap = xc[I, d] - yc[J, d]
            dx = load(xo, (I * dim + d) * uint64(B) + i)
            dy = load(yo, (J * dim + d) * uint64(B) + i)
            row = fma(dx, fma(dx, bend, spread(real(xs[I, d] - pull * gap))), row)
            col = fma(dy, fma(dy, bend, spread(real(ys[J, d] + pull * gap))), col)
            here = fma(dx, add(dx, spread(real(2 * gap))), here)
            there = fma(dy, sub(dy, spread(real(2 * gap))), there)
            store(x, d * uint64(B) + i, dx)
            store(y, d * uint64(B) + i, dy)
        store(x, dim * uint64(B) + i, mul(here, part))
        store(y, dim * uint64(B) + i, mul(there, part))
        store(rows, i, row)
        store(cols, i, col)


@njit(inline="always", **OPTIONS)
def laid_near(I, J, step, unit, xc, xs, xk, xo, xb, yc, ys, yk, yo, yb, rows, cols, x, y):
    """Lays out a tile of near blocks: its biases, and points in a unit of length, as the columns' centre sees them."""
    dim, real = uint64(xc.shape[1]), xo.dtype.type
    constant, part = spread(real(xk[I] + yk[J])), spread(real(1.0 / np.sqrt(unit)))
    for i in range(uint64(0), uint64(B), step):
        row, col = load(xb, I * uint64(B) + i), add(load(yb, J * uint64(B) + i), constant)
        for d in range(dim):
            dx = load(xo, (I * dim + d) * uint64(B) + i)
            dy = load(yo, (J * dim + d) * uint64(B) + i)
            row, col = fma(dx, spread(real(xs[I, d])), row), fma(dy, spread(real(ys[J, d])), col)
            store(x, d * uint64(B) + i, mul(add(dx, spread(real(xc[I, d] - yc[J, d]))), part))
            store(y, d * uint64(B) + i, mul(dy, part))
        store(rows, i, row)
        store(cols, i, col)


@njit(inline="always", **OPTIONS)
def _far(i, j, dim, x, y, x0, x1, x2, x3, both, double, pull, cost, series):
    """Exponents and s of far blocks, for the rows from i on and column j; ``both`` is the sum of their biases."""
    dot = fma(x2, spread(y[2, j]), fma(x1, spread(y[1, j]), mul(x0, spread(y[0, j]))))
    for d in range(uint64(DIM), dim):
        dot = fma(load(x, d * uint64(B) + i), spread(y[d, j]), dot)
    s = fma(dot, double, add(x3, spread(y[dim, j])))
    return fma(mul(mul(s, s), polynomial(s, series)), cost, fma(dot, pull, both)), s


@njit(inline="always", **OPTIONS)
def _near(i, j, dim, x, y, x0, x1, x2, both, cost, half):
    """Exponents and squared distances, in the unit of the tile, of near blocks."""
    d0, d1 = sub(x0, spread(y[0, j])), sub(x1, spread(y[1, j]))
    d2 = sub(x2, spread(y[2, j]))
    square = fma(d2, d2, fma(d1, d1, mul(d0, d0)))
    for d in range(uint64(DIM), dim):
        gap = sub(load(x, d * uint64(B) + i), spread(y[d, j]))
        square = fma(gap, gap, square)
    return fma(exp2(mul(half, log2(square))), cost, both), square


@njit(**OPTIONS)
def sums(
    starts, tiles, xc, xs, xk, xo, xb, yc, ys, yk, yo, yb, q, series, xr, yr, out, peaks, lo, hi
):
    """Row sums of 2^E over the tiles of row blocks lo to hi; ``peaks`` their largest, by tile.

    ``series`` are the coefficients of P; ``xr`` and ``yr`` are the largest lengths of offsets in each block.
    """
    real, dim, step = xo.dtype.type, uint64(xc.shape[1]), uint64(128 // xo.itemsize)
    x, y, rows, cols = room(xo)
    half = spread(real(q / 2))
    for I in range(uint64(lo), uint64(hi)):
        for i in range(uint64(B)):
            out[I, i] = 0.0
        for t in range(uint64(starts[I]), uint64(starts[I + 1])):
            J = uint64(tiles[t])
            far, unit, size = _scale(I, J, xc, xr, yc, yr, q / 2)
            peak, cost = real(0), spread(real(-size))
            if far:
                steep = q * size / unit
                _laid_far(
                    I, J, step, unit, size, steep, xc, xs, xk, xo, xb, yc, ys, yk, yo, yb,
                    rows, cols, x, y,
                )  # fmt: skip
                double, pull = spread(real(-2 / unit)), spread(real(steep))
                for i in range(uint64(0), uint64(B), step):
                    x0, x1 = load(x, i), load(x, uint64(B) + i)
                    x2, x3 = load(x, uint64(2 * B) + i), load(x, dim * uint64(B) + i)
                    row, part = load(rows, i), zeros(real(0))
                    for j in range(uint64(B)):
                        both = add(row, spread(cols[j]))
                        e, _ = _far(
                            i, j, dim, x, y, x0, x1, x2, x3, both, double, pull, cost, series
                        )
                        part = add(part, exp2(e))
                    accumulate(out, I * uint64(B) + i, part)
                    peak = max(peak, highest(part))
            else:
                laid_near(
                    I, J, step, unit, xc, xs, xk, xo, xb, yc, ys, yk, yo, yb, rows, cols, x, y
                )
                for i in range(uint64(0), uint64(B), step):
                    x0, x1 = load(x, i), load(x, uint64(B) + i)
                    x2, row, part = load(x, uint64(2 * B) + i), load(rows, i), zeros(real(0))
                    for j in range(uint64(B)):
                        both = add(row, spread(cols[j]))
                        e, _ = _near(i, j, dim, x, y, x0, x1, x2, both, cost, half)
                        part = add(part, exp2(e))
                    accumulate(out, I * uint64(B) + i, part)
                    peak = max(peak, highest(part))
            peaks[t] = peak


@njit(inline="always", **OPTIONS)
def _times(e, ratio, power, half_power, bar):
    """The entry of this exponent, times the power of the distance."""
    if power == 0:
        return exp2(e)
    return mul(exp2(e), beyond(exp2(mul(half_power, log2(ratio))), ratio, bar))


@njit(inline="always", **OPTIONS)
def _written(I, J, step, far, unit, size, half, power, bar, xc, xs, xk, xo, xb, yc, ys, yk, yo, yb, series, rows, cols, x, y, out):  # fmt: skip
    """The exponents of a tile, column after column, or its entries times a power of the distance in its unit."""
    real, dim, cost = xo.dtype.type, uint64(xc.shape[1]), spread(xo.dtype.type(-size))
    half_power, one = spread(real(power / 2)), spread(real(1))
    if far:
        steep = 2 * half * size / unit
        _laid_far(
            I, J, step, unit, size, steep, xc, xs, xk, xo, xb, yc, ys, yk, yo, yb, rows, cols, x, y
        )
        double, pull = spread(real(-2 / unit)), spread(real(steep))
        for i in range(uint64(0), uint64(B), step):
            x0, x1 = load(x, i), load(x, uint64(B) + i)
            x2, x3 = load(x, uint64(2 * B) + i), load(x, dim * uint64(B) + i)
            row = load(rows, i)
            for j in range(uint64(B)):
                both = add(row, spread(cols[j]))
                e, s = _far(i, j, dim, x, y, x0, x1, x2, x3, both, double, pull, cost, series)
                e = e if power == EXPONENTS else _times(e, add(s, one), power, half_power, bar)
                store(out, j * uint64(B) + i, e)
    else:
        laid_near(I, J, step, unit, xc, xs, xk, xo, xb, yc, ys, yk, yo, yb, rows, cols, x, y)
        for i in range(uint64(0), uint64(B), step):
            x0, x1 = load(x, i), load(x, uint64(B) + i)
            x2, row = load(x, uint64(2 * B) + i), load(rows, i)
            for j in range(uint64(B)):
                both = add(row, spread(cols[j]))
                e, s = _near(i, j, dim, x, y, x0, x1, x2, both, cost, spread(real(half)))
                e = e if power == EXPONENTS else _times(e, s, power, half_power, bar)
                store(out, j * uint64(B) + i, e)


@njit(**OPTIONS)
def products(
    starts, tiles, xc, xs, xk, xo, xb, yc, ys, yk, yo, yb, q, series, xr, yr, v, power, least, out, lo, hi
):  # fmt: skip
    """``out[I, r, i] = sum_j 2^E_ij |x_i - y_j|^power v[J, r, j]`` over row blocks lo to hi.

    A power other than zero of a distance up to ``least``, which rounding alone may leave, is zero.
    """
    real, step = xo.dtype.type, uint64(128 // xo.itemsize)
    x, y, rows, cols = room(xo)
    entries = np.empty((B, B), xo.dtype)  # column after column
    columns = uint64(v.shape[1])
    for I in range(uint64(lo), uint64(hi)):
        out[I] = 0.0
        for t in range(uint64(starts[I]), uint64(starts[I + 1])):
            J = uint64(tiles[t])
            far, unit, size = _scale(I, J, xc, xr, yc, yr, q / 2)
            times, bar = unit ** (power / 2), spread(real(least * least / unit))
            _written(
                I, J, step, far, unit, size, q / 2, power, bar, xc, xs, xk, xo, xb, yc, ys, yk, yo, yb,
                series, rows, cols, x, y, entries,
            )  # fmt: skip
            for i in range(uint64(0), uint64(B), step):
                for r in range(columns):
                    part = zeros(real(0))
                    for j in range(uint64(B)):
                        value = spread(real(times * v[J, r, j]))
                        part = fma(load(entries, j * uint64(B) + i), value, part)
                    accumulate(out, (I * columns + r) * uint64(B) + i, part)


@njit(**OPTIONS)
def largest(
    starts, tiles, xc, xs, xk, xo, xb, yc, ys, yk, yo, yb, q, series, xr, yr, out, where, lo, hi
):
    """The largest exponents of row blocks lo to hi over their tiles, and their columns."""
    real, step = xo.dtype.type, uint64(128 // xo.itemsize)
    x, y, rows, cols = room(xo)
    tops = np.empty(B, xo.dtype)
    exponents, bar = np.empty((B, B), xo.dtype), spread(real(0))
    for I in range(uint64(lo), uint64(hi)):
        for i in range(uint64(B)):
            out[I, i], where[I, i] = NONE, -1
        for t in range(uint64(starts[I]), uint64(starts[I + 1])):
            J = uint64(tiles[t])
            far, unit, size = _scale(I, J, xc, xr, yc, yr, q / 2)
            _written(
                I, J, step, far, unit, size, q / 2, EXPONENTS, bar, xc, xs, xk, xo, xb,
                yc, ys, yk, yo, yb, series, rows, cols, x, y, exponents,
            )  # fmt: skip
            for i in range(uint64(0), uint64(B), step):
                top = spread(real(NONE))
                for j in range(uint64(B)):
                    top = maximum(top, load(exponents, j * uint64(B) + i))
                store(tops, i, top)
            keep_larger(I, J, tops, out, where)
        for i in range(uint64(B)):
            if where[I, i] >= 0:
                J = uint64(where[I, i])
                where[I, i] = J * uint64(B) + column_of(I, J, i, xc, xo, yc, ys, yo, yb, q)
