"""Sums over kept tiles of blocks that have frames of their own; see :mod:`..loops.kept_squares`.

What depends on a tile is a record of a few numbers, made in double precision when tiles are chosen:
its constant, the gap between both centres, and for squares how it tilts the columns. Exponents are
cut at 2^100, as in all loops over kept pairs.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .entries import half_power

__all__ = ["kept_sums"]

CHUNK = tl.constexpr(64)  # tiles between two additions to the total in double precision
HIGHEST = tl.constexpr(100)


@triton.jit
def _entries(
    x, y, rows, cols, record, I, J, least,
    D: tl.constexpr, B: tl.constexpr, COST: tl.constexpr, TIMES: tl.constexpr, REAL: tl.constexpr,
):  # fmt: skip
    """Those of the plan, times a power of the distance; what depends on the tile goes to the columns."""
    i, j = tl.arange(0, B), tl.arange(0, B)
    row, col = tl.load(rows + I * B + i), tl.load(cols + J * B + j) + tl.load(record)
    if COST == 2:
        for d in tl.static_range(D):
            col += tl.load(y + (J * D + d) * B + j) * tl.load(record + 1 + D + d)
        e = row[:, None] + col[None, :]
        for d in tl.static_range(D):
            here, there = tl.load(x + (I * D + d) * B + i), tl.load(y + (J * D + d) * B + j)
            e += here[:, None] * (there + tl.load(record + 1 + d))[None, :]
        w = tl.exp2(tl.minimum(e, HIGHEST, propagate_nan=tl.PropagateNan.ALL))
    else:
        s = tl.zeros((B, B), REAL)
        for d in tl.static_range(D):
            here, there = tl.load(x + (I * D + d) * B + i), tl.load(y + (J * D + d) * B + j)
            gap = here[:, None] - (there - tl.load(record + 1 + d))[None, :]
            s += gap * gap
        e = row[:, None] + col[None, :] - tl.sqrt(s)
        w = tl.exp2(tl.minimum(e, HIGHEST, propagate_nan=tl.PropagateNan.ALL))
        if TIMES != 0:
            w *= half_power(tl.where(s > least * least, s, 0), TIMES)
    return w


@triton.jit
def kept_sums(
    out, peaks, x, y, rows, cols, v, records, starts, tiles, order, least, groups,
    D: tl.constexpr, B: tl.constexpr, COST: tl.constexpr, TIMES: tl.constexpr, SIZE: tl.constexpr,
    R: tl.constexpr, PEAKS: tl.constexpr, REAL: tl.constexpr,
):  # fmt: skip
    """Sums over the columns, or products with a group of R values, for one block of rows.

    Blocks with many tiles begin first, so that none is left alone at the end. ``peaks`` are the
    largest sums of each tile.
    """
    I = tl.load(order + tl.program_id(0)).to(tl.int64)
    group = tl.program_id(1)
    first, last = tl.load(starts + I), tl.load(starts + I + 1)
    i, j, r = tl.arange(0, B), tl.arange(0, B), tl.arange(0, R)
    total = tl.zeros((R, B), tl.float64)
    for start in range(first, last, CHUNK):
        some = tl.zeros((R, B, B), REAL)
        for t in range(start, tl.minimum(start + CHUNK, last)):
            J = tl.load(tiles + t).to(tl.int64)
            w = _entries(x, y, rows, cols, records + t * SIZE, I, J, least, D, B, COST, TIMES, REAL)
            if PEAKS:
                tl.store(peaks + t, tl.max(tl.sum(w, 1), 0))
            if v is None:
                some += w[None, :, :]
            else:
                right = tl.load(v + ((J * groups + group) * R + r)[:, None] * B + j[None, :])
                some += w[None, :, :] * right[:, None, :]
        total += tl.sum(some, 2).to(tl.float64)
    tl.store(out + ((I * groups + group) * R + r)[:, None] * B + i[None, :], total)
