"""Sums over kept pairs for the cost ``arc^p / p`` on a sphere of radius R, compiled by Numba and cached on disk.

The arrays are those of :mod:`..kept_squares`, the exponent of an entry of a plan that of :mod:`..powers.tiles` with this cost.
With the squared chord s of unit vectors, up to a right angle,

    theta = sqrt(s) A(s),    A(s) = 2 asin(sqrt(s) / 2) / sqrt(s),

and A is analytic, a polynomial of s - 1. Beyond, it is that of what lacks to two right angles, from sums of coordinates
instead of differences. Tiles without such pairs, which most are, take one polynomial an entry.
"""

from __future__ import annotations

import numpy as np
from numba import uint64

from ..compiled import njit
from ..kept_squares import DIM, NONE, B, add_products, transpose
from ..lanes import (
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
from ..pairs import OPTIONS
from ..powers.lanes import beyond, polynomial
from ..powers.tiles import laid_near, room

__all__ = ["largest", "products", "sums", "transpose"]

RIGHT = 2.0  # the squared chord of a right angle
EXPONENTS = 9  # in the place of a weight: no entries are wanted, but their exponents
COST = 1  # the weight that is the cost; -1 is its derivative by the chord, over the chord


@njit(inline="always", **OPTIONS)
def _all_near(I, J, xc, xr, yc, yr, radius):
    """Whether all angles of a tile are below a right one."""
    square = 0.0
    for d in range(uint64(xc.shape[1])):
        gap = xc[I, d] - yc[J, d]
        square += gap * gap
    reach = np.sqrt(square) + xr[I] + yr[J]
    return reach * reach < RIGHT * radius * radius


@njit(inline="always", **OPTIONS)
def _near(i, j, dim, x, y, x0, x1, x2):
    """The squared chords of the rows from i on and column j."""
    d0, d1, d2 = sub(x0, spread(y[0, j])), sub(x1, spread(y[1, j])), sub(x2, spread(y[2, j]))
    square = fma(d2, d2, fma(d1, d1, mul(d0, d0)))
    for d in range(uint64(DIM), dim):
        gap = sub(load(x, d * uint64(B) + i), spread(y[d, j]))
        square = fma(gap, gap, square)
    return square


@njit(**OPTIONS)
def sums(
    starts, tiles, xc, xs, xk, xo, xb, yc, ys, yk, yo, yb, p, radius, first, series, xr, yr, out, peaks, lo, hi
):  # fmt: skip
    """Row sums of 2^E over the tiles of row blocks lo to hi; ``peaks`` their largest, by tile.

    ``series`` are the coefficients of A, and ``first`` of the cost over s, or over its root where p is one; ``xr`` and ``yr``
    are the largest lengths of offsets in each block.
    """
    real, dim, step = xo.dtype.type, uint64(xc.shape[1]), uint64(128 // xo.itemsize)
    x, y, rows, cols = room(xo)
    entries = np.empty((B, B), xo.dtype)
    one, unit, bar = spread(real(1)), radius * radius, spread(real(0))
    size = spread(real(-unit if p == 2 else -radius))
    for I in range(uint64(lo), uint64(hi)):
        for i in range(uint64(B)):
            out[I, i] = 0.0
        for t in range(uint64(starts[I]), uint64(starts[I + 1])):
            J, peak = uint64(tiles[t]), real(0)
            near = _all_near(I, J, xc, xr, yc, yr, radius)
            if near:
                laid_near(
                    I, J, step, unit, xc, xs, xk, xo, xb, yc, ys, yk, yo, yb, rows, cols, x, y
                )
            else:
                _written(
                    I, J, step, p, radius, 0, bar, xc, xs, xk, xo, xb, yc, ys, yk, yo, yb, series,
                    rows, cols, x, y, entries,
                )  # fmt: skip
            for i in range(uint64(0), uint64(B), step):
                part = zeros(real(0))
                if near:
                    x0, x1, x2 = load(x, i), load(x, uint64(B) + i), load(x, uint64(2 * B) + i)
                    row = load(rows, i)
                    for j in range(uint64(B)):
                        s = _near(i, j, dim, x, y, x0, x1, x2)
                        steep = mul(polynomial(sub(s, one), first), size)
                        far = s if p == 2 else sqrt(s)
                        part = add(part, exp2(fma(steep, far, add(row, spread(cols[j])))))
                else:
                    for j in range(uint64(B)):
                        part = add(part, load(entries, j * uint64(B) + i))
                accumulate(out, I * uint64(B) + i, part)
                peak = max(peak, highest(part))
            peaks[t] = peak


@njit(inline="always", **OPTIONS)
def _angle(s, o, series, pi, one):
    """The angle of two points at the squared chord s, that of one to the opposite of the other being o."""
    none = sub(one, one)
    least = sub(none, maximum(sub(none, s), sub(none, o)))
    part = mul(sqrt(least), polynomial(sub(least, one), series))
    right = beyond(one, s, o)  # one beyond a right angle, zero up to it
    return fma(right, sub(pi, add(part, part)), part)


@njit(inline="always", **OPTIONS)
def _weight(weight, p, angle, cost, s, o, bar, one, two):
    """One of the factors that kept pairs know of the cost of an arc."""
    if weight == COST:
        return cost
    root = inverse(sqrt(mul(s, o)), mul(two, sqrt(bar)))  # of twice the sine
    if p == 1:
        return mul(two, root)
    met = sub(one, beyond(one, s, bar))
    return beyond(fma(mul(two, angle), root, met), o, bar)


@njit(inline="always", **OPTIONS)
def _written(I, J, step, p, radius, weight, bar, xc, xs, xk, xo, xb, yc, ys, yk, yo, yb, series, rows, cols, x, y, out):  # fmt: skip
    """The exponents of a tile, column after column, or its entries times a weight."""
    real, dim = xo.dtype.type, uint64(xc.shape[1])
    size, half = spread(real(-radius if p == 1 else -radius * radius)), spread(real(0.5))
    pi, one, two = spread(real(np.pi)), spread(real(1)), spread(real(2))
    laid_near(I, J, step, radius * radius, xc, xs, xk, xo, xb, yc, ys, yk, yo, yb, rows, cols, x, y)
    for i in range(uint64(0), uint64(B), step):
        row = load(rows, i)
        for j in range(uint64(B)):
            s, o = zeros(real(0)), zeros(real(0))
            for d in range(dim):
                here, there = load(x, d * uint64(B) + i), spread(y[d, j])
                less = sub(here, there)
                more = add(add(here, there), spread(real(2 * yc[J, d] / radius)))
                s, o = fma(less, less, s), fma(more, more, o)
            angle = _angle(s, o, series, pi, one)
            cost = angle if p == 1 else mul(mul(angle, angle), half)
            e = fma(cost, size, add(row, spread(cols[j])))
            if weight != EXPONENTS:
                e = exp2(e)
                if weight != 0:
                    e = mul(e, _weight(weight, p, angle, cost, s, o, bar, one, two))
            store(out, j * uint64(B) + i, e)


@njit(**OPTIONS)
def products(
    starts, tiles, xc, xs, xk, xo, xb, yc, ys, yk, yo, yb, p, radius, first, series, xr, yr, v, weight, least, out, lo, hi
):  # fmt: skip
    """``out[I, r, i] = sum_j 2^E_ij w_ij v[J, r, j]`` over row blocks lo to hi, with the weights of the unit sphere.

    Derivatives at points that are within ``least`` of each other, or of being opposite, are those of such points.
    """
    real, step = xo.dtype.type, uint64(128 // xo.itemsize)
    x, y, rows, cols = room(xo)
    entries = np.empty((B, B), xo.dtype)  # column after column
    bar = spread(real((least / radius) ** 2))
    for I in range(uint64(lo), uint64(hi)):
        out[I] = 0.0
        for t in range(uint64(starts[I]), uint64(starts[I + 1])):
            J = uint64(tiles[t])
            _written(
                I, J, step, p, radius, weight, bar, xc, xs, xk, xo, xb, yc, ys, yk, yo, yb,
                series, rows, cols, x, y, entries,
            )  # fmt: skip
            for i in range(uint64(0), uint64(B), step):
                add_products(I, J, i, entries, v, out)


@njit(**OPTIONS)
def largest(
    starts, tiles, xc, xs, xk, xo, xb, yc, ys, yk, yo, yb, p, radius, first, series, xr, yr, out, where, lo, hi
):  # fmt: skip
    """The largest exponents of row blocks lo to hi over their tiles, and their columns."""
    real, step = xo.dtype.type, uint64(128 // xo.itemsize)
    x, y, rows, cols = room(xo)
    exponents, bar = np.empty((B, B), xo.dtype), spread(real(0))
    for I in range(uint64(lo), uint64(hi)):
        for i in range(uint64(B)):
            out[I, i], where[I, i] = NONE, -1
        for t in range(uint64(starts[I]), uint64(starts[I + 1])):
            J = uint64(tiles[t])
            _written(
                I, J, step, p, radius, EXPONENTS, bar, xc, xs, xk, xo, xb, yc, ys, yk, yo, yb,
                series, rows, cols, x, y, exponents,
            )  # fmt: skip
            for j in range(uint64(B)):
                for i in range(uint64(B)):
                    if exponents[j, i] > out[I, i]:
                        out[I, i], where[I, i] = exponents[j, i], J * uint64(B) + j
