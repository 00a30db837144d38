"""Entries of a tile, a block of rows by a block of columns: the parts that all kernels are made of.

Points of a cloud stand in blocks: ``(C, D, B)`` where squares are taken from differences of
coordinates, and ``(C, S, B, D)`` where a tile is a product of matrices, S = 2 for the high and the
low halves of numbers in half precision. Vectors are ``(C, B)``. Short blocks are filled up, so
that no load needs a mask.
"""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["TINY", "half_power", "minus_squares", "products", "radial", "ways"]

TINY = tl.constexpr(1e-30)  # a square whose root divides differences of equal points
LONGEST = tl.constexpr(64)  # coordinates up to which products are unrolled


@triton.jit
def half_power(u, POWER: tl.constexpr):
    """``u ** (POWER / 2)``; negative powers of zero are zero."""
    COUNT: tl.constexpr = -POWER if POWER < 0 else POWER  # Triton knows no abs of constants
    value = tl.full(u.shape, 1, u.dtype)
    if POWER < 0:
        root = tl.where(u > 0, tl.rsqrt(tl.where(u > 0, u, 1)), 0)
        for _ in tl.static_range(COUNT):
            value *= root
    else:
        for _ in tl.static_range(COUNT // 2):
            value *= u
        if COUNT % 2 == 1:
            value *= tl.sqrt(u)
    return value


@triton.jit
def minus_squares(
    start, x, y, I, J, unit, D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
    BK: tl.constexpr, SCALED: tl.constexpr,
):  # fmt: skip
    """``start - |x_i - y_j|^2``, lengths taken ``unit`` times if they are scaled.

    All coordinates at a time, where those of the rows may stay in registers, or one.
    """
    i, j = tl.arange(0, BM), tl.arange(0, BN)
    e = start
    if BK == D:
        for d in tl.static_range(D):
            here, there = tl.load(x + (I * D + d) * BM + i), tl.load(y + (J * D + d) * BN + j)
            if SCALED:
                here, there = here * unit, there * unit
            gap = here[:, None] - there[None, :]
            e -= gap * gap
    else:
        for d in range(D):
            here, there = tl.load(x + (I * D + d) * BM + i), tl.load(y + (J * D + d) * BN + j)
            if SCALED:
                here, there = here * unit, there * unit
            gap = here[:, None] - there[None, :]
            e -= gap * gap
    return e


@triton.jit
def ways(
    x, y, I, J, group, last, D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
    R: tl.constexpr, REAL: tl.constexpr,
):  # fmt: skip
    """``x_i - y_j`` in a group of R - 1 coordinates, and ``last``, or one, in their end: ``(R, BM, BN)``.

    So that the sum of the entries is one of those that move it, and no entry is computed in two layouts.
    """
    i, j, r = tl.arange(0, BM), tl.arange(0, BN), tl.arange(0, R)
    d = group * (R - 1) + r
    end, known = (r == R - 1)[:, None], ((r < R - 1) & (d < D))[:, None]
    here = tl.load(x + (I * D + d)[:, None] * BM + i[None, :], mask=known, other=0)
    there = tl.load(y + (J * D + d)[:, None] * BN + j[None, :], mask=known, other=0)
    if last is None:
        here = tl.where(end, 1, here)
        found = here[:, :, None] - there[:, None, :]
    else:
        found = here[:, :, None] - there[:, None, :] + end.to(REAL)[:, :, None] * last[None, :, :]
    return found


@triton.jit
def products(
    x, y, I, J, D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
    HALVES: tl.constexpr,
):  # fmt: skip
    """``x_i . y_j`` on matrix units; of two halves, the smallest products are added first."""
    i, j = tl.arange(0, BM), tl.arange(0, BN)
    x += (I * HALVES * BM + i)[:, None] * D
    y += (J * HALVES * BN + j)[None, :] * D
    total = tl.zeros((BM, BN), tl.float32)
    if HALVES == 2:
        total = _added(total, x + BM * D, y, D, BK)
        total = _added(total, x, y + BN * D, D, BK)
    return _added(total, x, y, D, BK)


@triton.jit
def _added(total, x, y, D: tl.constexpr, BK: tl.constexpr):
    """A total and one product."""
    d = tl.arange(0, BK)
    if D <= LONGEST:
        for k in tl.static_range(0, D, BK):
            total = tl.dot(tl.load(x + k + d[None, :]), tl.load(y + k + d[:, None]), total)
    else:
        for k in range(0, D, BK):
            total = tl.dot(tl.load(x + k + d[None, :]), tl.load(y + k + d[:, None]), total)
    return total


@triton.jit
def radial(s, e, numbers, POWERS: tl.constexpr, EXPONENTIAL: tl.constexpr):
    """``2 ** e`` times a polynomial in the square root of ``s`` plus an offset.

    Of the ``numbers`` the second is the offset, and from the fourth on there are factors.
    """
    if POWERS is None:
        w = tl.exp2(e)
    else:
        u = s + tl.load(numbers + 1)
        w = tl.load(numbers + 3) * half_power(u, POWERS[0])
        for k in tl.static_range(1, len(POWERS)):
            w += tl.load(numbers + 3 + k) * half_power(u, POWERS[k])
        if EXPONENTIAL:
            w *= tl.exp2(e)
    return w
