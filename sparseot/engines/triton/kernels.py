"""Two reductions over all tiles of a row of tiles, or over listed ones; see :mod:`.entries`.

A row of tiles is walked through by one program, or by a few that each take a range of the columns.
Nothing depends on the order in which programs run: equal input gives equal bits. Entries are added
in the precision of the points within ``CHUNK`` tiles, and these to a total in double precision.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .entries import minus_squares, products, radial

__all__ = ["log_sums", "sums"]

CHUNK = tl.constexpr(64)
LOWEST, HIGHEST = tl.constexpr(1e-20), tl.constexpr(1e30)  # sums that lost nothing


@triton.jit
def _exponents(
    shift, x, y, xq, yq, cols, rate, unit, I, J,
    D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, DECAY: tl.constexpr,
    HALVES: tl.constexpr,
):  # fmt: skip
    """``col_j - shift_i - rate |x_i - y_j|^DECAY``."""
    i, j = tl.arange(0, BM), tl.arange(0, BN)
    col = tl.load(cols + J * BN + j)
    if HALVES:
        shift += rate * tl.load(xq + I * BM + i)
        col -= rate * tl.load(yq + J * BN + j)
        e = col[None, :] - shift[:, None]
        e += 2 * rate * products(x, y, I, J, D, BM, BN, BK, HALVES)
    elif DECAY == 2:
        e = minus_squares(col[None, :] - shift[:, None], x, y, I, J, unit, D, BM, BN, BK, True)
    else:
        s = minus_squares(tl.zeros((BM, BN), col.dtype), x, y, I, J, unit, D, BM, BN, BK, True)
        e = col[None, :] - shift[:, None] - tl.sqrt(-s)
    return e


@triton.jit
def log_sums(
    out, x, y, xq, yq, guess, cols, rates, units, blocks, columns, parts,
    D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, DECAY: tl.constexpr,
    HALVES: tl.constexpr, REAL: tl.constexpr,
):  # fmt: skip
    """``log2 sum_j 2 ** (col_j - rate |x_i - y_j|^DECAY)``; a guess takes the place of a maximum.

    A block of rows whose sums the exponents cannot hold takes its maxima and sums again, so no host
    is asked whether the guess was good.
    """
    block, item, part = tl.program_id(0), tl.program_id(1).to(tl.int64), tl.program_id(2)
    I = item * blocks + block
    first, last = part * columns // parts, (part + 1) * columns // parts
    i = tl.arange(0, BM)
    rate, unit = tl.load(rates + item), tl.load(units + item)
    shift = tl.load(guess + I * BM + i)
    total = tl.zeros((BM,), tl.float64)
    tries = 0
    while tries < 2:
        total = tl.zeros((BM,), tl.float64)
        for start in range(first, last, CHUNK):
            some = tl.zeros((BM, BN), REAL)
            for t in range(start, tl.minimum(start + CHUNK, last)):
                e = _exponents(shift, x, y, xq, yq, cols, rate, unit, I, item * columns + t,
                               D, BM, BN, BK, DECAY, HALVES)  # fmt: skip
                some += tl.exp2(e)
            total += tl.sum(some, 1).to(tl.float64)
        lost = 1 - ((total > LOWEST) & (total < HIGHEST)).to(tl.int32)
        tries += 2 - tl.max(lost, 0)
        if tries == 1:
            tops = tl.full((BM, BN), -3e38, REAL)
            for t in range(first, last):
                e = _exponents(tl.zeros((BM,), REAL), x, y, xq, yq, cols, rate, unit, I,
                               item * columns + t, D, BM, BN, BK, DECAY, HALVES)  # fmt: skip
                tops = tl.maximum(tops, e)
            shift = tl.max(tops, 1)
    at = (part * tl.num_programs(1) * blocks + I) * BM
    tl.store(out + at + i, (shift.to(tl.float64) + tl.log2(total)).to(REAL))


@triton.jit
def _values(
    x, y, xq, yq, rows, cols, numbers, I, J,
    D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, DECAY: tl.constexpr,
    POWERS: tl.constexpr, LOGS: tl.constexpr, HALVES: tl.constexpr, REAL: tl.constexpr,
):  # fmt: skip
    """``2 ** (row_i + col_j) k(x_i, y_j)``."""
    i, j = tl.arange(0, BM), tl.arange(0, BN)
    if HALVES:
        s = tl.load(xq + I * BM + i)[:, None] + tl.load(yq + J * BN + j)[None, :]
        s = tl.maximum(s - 2 * products(x, y, I, J, D, BM, BN, BK, HALVES), 0)
    else:
        s = -minus_squares(tl.zeros((BM, BN), REAL), x, y, I, J, 1.0, D, BM, BN, BK, False)
    e = tl.zeros((BM, BN), REAL)
    if LOGS:
        e = tl.load(rows + I * BM + i)[:, None] + tl.load(cols + J * BN + j)[None, :]
    if DECAY == 2:
        e -= tl.load(numbers) * s
    elif DECAY == 1:
        e -= tl.load(numbers) * tl.sqrt(s)
    return radial(s, e, numbers, POWERS, LOGS or DECAY > 0)


@triton.jit
def sums(
    out, x, y, xq, yq, rows, cols, v, numbers, starts, tiles, blocks, columns, parts, groups,
    D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, DECAY: tl.constexpr,
    POWERS: tl.constexpr, LOGS: tl.constexpr, HALVES: tl.constexpr, R: tl.constexpr,
    WIDE: tl.constexpr, LISTED: tl.constexpr, REAL: tl.constexpr,
):  # fmt: skip
    """``sum_j 2 ** (row_i + col_j) k(x_i, y_j) v_j`` for a group of R right-hand sides.

    Few are multiples of the entries, ``WIDE`` groups a product of matrices.
    """
    block, item = tl.program_id(0), tl.program_id(1).to(tl.int64)
    part, group = tl.program_id(2) // groups, tl.program_id(2) % groups
    I = item * blocks + block
    if LISTED:
        first, last = tl.load(starts + block), tl.load(starts + block + 1)
    else:
        first, last = part * columns // parts, (part + 1) * columns // parts
    i, j, r = tl.arange(0, BM), tl.arange(0, BN), tl.arange(0, R)
    lead = tl.load(numbers + 2)
    total = tl.zeros((BM, R) if WIDE else (R, BM), tl.float64)
    for start in range(first, last, CHUNK):
        some = tl.zeros((BM, R) if WIDE else (R, BM, BN), REAL)
        for t in range(start, tl.minimum(start + CHUNK, last)):
            J = item * columns + (tl.load(tiles + t) if LISTED else t)
            w = _values(x, y, xq, yq, rows, cols, numbers, I, J,
                        D, BM, BN, BK, DECAY, POWERS, LOGS, HALVES, REAL)  # fmt: skip
            right = tl.load(v + ((J * groups + group) * R + r)[:, None] * BN + j[None, :])
            if WIDE:  # times the lead, lest the sum be taken inside of the matrix units, which cut
                some += lead * tl.dot(w, tl.trans(right), input_precision="tf32x3")
            else:
                some += w[None, :, :] * right[:, None, :]
        total += (some if WIDE else tl.sum(some, 2)).to(tl.float64)
    at = out + ((part * tl.num_programs(1) * blocks + I) * groups + group) * R * BM
    if WIDE:
        tl.store(at + r[None, :] * BM + i[:, None], total.to(REAL))
    else:
        tl.store(at + r[:, None] * BM + i[None, :], (lead * total).to(REAL))
