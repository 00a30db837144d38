"""Two reductions over all tiles of a row of tiles, or over listed ones; see :mod:`.entries`.

A row of tiles is walked through by one program, or by a few that each take a range of the columns.
Nothing depends on the order in which programs run: equal input gives equal bits. Entries are added
in the precision of the points within ``CHUNK`` tiles, and these to a total in double precision.

Either may bring what moves a sum when its points move, from the same entries: sums of these times the
differences of a group of coordinates.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .entries import TINY, half_power, minus_squares, products, radial, ways

__all__ = ["joined", "log_sums", "moved_sums", "sums"]

CHUNK = tl.constexpr(64)
LOG2E, NOTHING = tl.constexpr(1.4426950408889634), tl.constexpr(-1e38)
LOWEST, HIGHEST = tl.constexpr(1e-20), tl.constexpr(1e30)  # sums that lost nothing


@triton.jit
def _exponents(
    shift, x, y, xq, yq, cols, count, rate, unit, I, item, t, columns,
    D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, DECAY: tl.constexpr,
    HALVES: tl.constexpr,
):  # fmt: skip
    """``col_j - shift_i - rate |x_i - y_j|^DECAY``; and where DECAY is 1, minus the squares in its units."""
    i, j, J = tl.arange(0, BM), tl.arange(0, BN), item * columns + t
    place = t * BN + j
    col = tl.load(cols + item * count + place, mask=place < count, other=NOTHING) * LOG2E
    if HALVES:
        shift += rate * tl.load(xq + I * BM + i)
        col -= rate * tl.load(yq + J * BN + j)
        e = col[None, :] - shift[:, None]
        e += 2 * rate * products(x, y, I, J, D, BM, BN, BK, HALVES)
        s = e
    elif DECAY == 2:
        e = minus_squares(col[None, :] - shift[:, None], x, y, I, J, unit, D, BM, BN, BK, True)
        s = e
    else:
        s = minus_squares(tl.zeros((BM, BN), col.dtype), x, y, I, J, unit, D, BM, BN, BK, True)
        e = col[None, :] - shift[:, None] - tl.sqrt(-s)
    return e, s


@triton.jit
def _scales(temperature, length, factor, DECAY: tl.constexpr, REAL: tl.constexpr):
    """The rate of the exponents, in base 2 and for lengths in that unit; and what a length is multiplied by."""
    rate = factor * length.to(tl.float64) * LOG2E / temperature.to(tl.float64)
    if DECAY == 2:
        rate *= length.to(tl.float64)
    return rate.to(REAL), (tl.sqrt(rate) if DECAY == 2 else rate).to(REAL)


@triton.jit
def _tops(
    x, y, xq, yq, cols, width, rate, unit, I, item, first, last, columns,
    D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, DECAY: tl.constexpr,
    HALVES: tl.constexpr, REAL: tl.constexpr,
):  # fmt: skip
    """The largest exponent of each row."""
    tops, zero = tl.full((BM, BN), -3e38, REAL), tl.zeros((BM,), REAL)
    for t in range(first, last):
        e, s = _exponents(zero, x, y, xq, yq, cols, width, rate, unit, I, item, t, columns,
                          D, BM, BN, BK, DECAY, HALVES)  # fmt: skip
        tops = tl.maximum(tops, e)
    return tl.max(tops, 1)


@triton.jit
def _store_slopes(
    slopes, moved, share, at, inside, group, r, D: tl.constexpr, R: tl.constexpr,
    HALVES: tl.constexpr, REAL: tl.constexpr,
):  # fmt: skip
    """Those of a group of coordinates, times a share of each row."""
    if HALVES:
        d = group * R + r
        there, wanted = at[:, None] * D + d[None, :], inside[:, None] & (d < D)[None, :]
        tl.store(slopes + there, (moved * share[:, None]).to(REAL), mask=wanted)
    else:
        d = group * (R - 1) + r
        there = at[None, :] * D + d[:, None]
        wanted = inside[None, :] & ((r < R - 1) & (d < D))[:, None]
        tl.store(slopes + there, (moved * share[None, :]).to(REAL), mask=wanted)


@triton.jit
def _chunk(
    shift, x, y, xq, yq, cols, v, width, rate, unit, I, item, start, last, columns, group, groups,
    D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, DECAY: tl.constexpr,
    R: tl.constexpr, HALVES: tl.constexpr, REAL: tl.constexpr,
):  # fmt: skip
    """The sums of some tiles, with what moves them; ``(BM,)`` and ``(BM, R)``, or both as ``(R, BM)``."""
    W: tl.constexpr = R if R > 0 else 1
    j, r = tl.arange(0, BN), tl.arange(0, W)
    some = tl.zeros((BM, BN) if R == 0 or HALVES else (R, BM, BN), REAL)
    pulls = tl.zeros((BM, W) if R == 0 or HALVES else (1, 1), REAL)
    for t in range(start, tl.minimum(start + CHUNK, last)):
        J = item * columns + t
        e, s = _exponents(shift, x, y, xq, yq, cols, width, rate, unit, I, item, t, columns,
                          D, BM, BN, BK, DECAY, HALVES)  # fmt: skip
        w = tl.exp2(e)
        if R == 0:
            some += w
        elif HALVES:  # times a number that is loaded, as in the sums below
            right = tl.load(v + ((J * groups + group) * R + r)[:, None] * BN + j[None, :])
            some += w
            pulls += unit * tl.dot(w, tl.trans(right), input_precision="tf32x3")
        elif DECAY == 2:
            some += w[None, :, :] * ways(x, y, I, J, group, None, D, BM, BN, R, REAL)
        else:
            s = tl.maximum(-s, TINY)
            root = tl.rsqrt(s)
            w *= root
            some += w[None, :, :] * ways(x, y, I, J, group, s * root, D, BM, BN, R, REAL)
    return tl.sum(some, 1 if R == 0 or HALVES else 2).to(tl.float64), pulls.to(tl.float64)


@triton.jit
def log_sums(
    out, slopes, x, y, xq, yq, guess, cols, v, temperatures, lengths, factor, height, width,
    blocks, columns, parts, groups,
    D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, DECAY: tl.constexpr,
    R: tl.constexpr, HALVES: tl.constexpr, REAL: tl.constexpr,
):  # fmt: skip
    """``log sum_j exp(col_j - factor |x_i - y_j|^DECAY / eps)``; a guess takes the place of a maximum.

    A block of rows whose sums the exponents cannot hold takes its maxima and sums again, so no host
    is asked whether the guess was good. With R there are ``slopes``, means under these entries: of
    ``x_i - y_j``, for DECAY 1 divided by its length; or where coordinates are multiplied, ``v_j``.
    Vectors are of ``height`` rows and ``width`` columns, points in blocks.
    """
    block, item = tl.program_id(0), tl.program_id(1).to(tl.int64)
    part, group = tl.program_id(2) // groups, tl.program_id(2) % groups
    I = item * blocks + block
    first, last = part * columns // parts, (part + 1) * columns // parts
    W: tl.constexpr = R if R > 0 else 1
    TOGETHER: tl.constexpr = R > 0 and not HALVES  # the sum is the last of those that move it
    r, row = tl.arange(0, W), block * BM + tl.arange(0, BM)
    inside = row < height
    rate, unit = _scales(tl.load(temperatures + item), tl.load(lengths), factor, DECAY, REAL)
    if guess is None:
        shift = tl.zeros((BM,), REAL)
    else:
        shift = tl.load(guess + item * height + row, mask=inside, other=0) * LOG2E
    total = tl.zeros((BM,), tl.float64)
    moved = tl.zeros((W, BM) if TOGETHER else (BM, W), tl.float64)
    tries = 0
    while tries < 2:
        total = tl.zeros((BM,), tl.float64)
        moved = tl.zeros((W, BM) if TOGETHER else (BM, W), tl.float64)
        for start in range(first, last, CHUNK):
            some, pulls = _chunk(shift, x, y, xq, yq, cols, v, width, rate, unit, I, item, start,
                                 last, columns, group, groups,
                                 D, BM, BN, BK, DECAY, R, HALVES, REAL)  # fmt: skip
            if TOGETHER:
                moved += some
            else:
                total += some
                moved += pulls
        if TOGETHER:
            total = tl.sum(tl.where((r == R - 1)[:, None], moved, 0), 0)
        lost = (inside & ~((total > LOWEST) & (total < HIGHEST))).to(tl.int32)
        tries += 2 - tl.max(lost, 0)
        if tries == 1:
            shift = _tops(x, y, xq, yq, cols, width, rate, unit, I, item, first, last, columns,
                          D, BM, BN, BK, DECAY, HALVES, REAL)  # fmt: skip
    at, total = (part * tl.num_programs(1) + item) * height + row, tl.where(inside, total, 1)
    if group == 0:
        found = (shift.to(tl.float64) + tl.log2(total)) / LOG2E
        tl.store(out + at, found.to(REAL), mask=inside)
    if R > 0:
        share = (unit if DECAY == 1 else 1) / tl.where(total > 0, total, 1)
        share = share / unit if HALVES else share
        _store_slopes(slopes, moved, share, at, inside, group, r, D, R, HALVES, REAL)


@triton.jit
def joined(out, logs, size, parts, B: tl.constexpr, REAL: tl.constexpr):
    """The logarithms of sums that were taken in parts."""
    at = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    inside = at < size
    top = tl.load(logs + at, mask=inside, other=0)
    for part in range(1, parts):
        top = tl.maximum(top, tl.load(logs + part * size + at, mask=inside, other=0))
    total = tl.zeros((B,), REAL)
    for part in range(parts):
        gap = tl.load(logs + part * size + at, mask=inside, other=0) - top
        total += tl.exp2(gap * LOG2E)
    tl.store(out + at, top + tl.log2(total) / LOG2E, mask=inside)


@triton.jit
def _pairs(
    x, y, xq, yq, rows, cols, numbers, I, J,
    D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, DECAY: tl.constexpr,
    LOGS: tl.constexpr, HALVES: tl.constexpr, REAL: tl.constexpr,
):  # fmt: skip
    """``|x_i - y_j|^2``, and ``row_i + col_j`` less what the kernel decays by."""
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
    return s, e


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
            s, e = _pairs(x, y, xq, yq, rows, cols, numbers, I, J,
                          D, BM, BN, BK, DECAY, LOGS, HALVES, REAL)  # fmt: skip
            w = radial(s, e, numbers, POWERS, LOGS or DECAY > 0)
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


@triton.jit
def moved_sums(
    out, x, y, xq, yq, rows, cols, v, numbers, starts, tiles, blocks, columns, parts, groups,
    D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, DECAY: tl.constexpr,
    POWERS: tl.constexpr, TIMES: tl.constexpr, LOGS: tl.constexpr, HALVES: tl.constexpr,
    R: tl.constexpr, LISTED: tl.constexpr, REAL: tl.constexpr,
):  # fmt: skip
    """Sums of ``k'(x_i, y_j) v_j`` times ``x_i - y_j``, in a group of R - 1 coordinates; and in their
    end times that power of the distance with which k' is a multiple of k.
    """
    block, item = tl.program_id(0), tl.program_id(1).to(tl.int64)
    part, group = tl.program_id(2) // groups, tl.program_id(2) % groups
    I = item * blocks + block
    if LISTED:
        first, last = tl.load(starts + block), tl.load(starts + block + 1)
    else:
        first, last = part * columns // parts, (part + 1) * columns // parts
    i, j, r = tl.arange(0, BM), tl.arange(0, BN), tl.arange(0, R)
    total = tl.zeros((R, BM), tl.float64)
    for start in range(first, last, CHUNK):
        some = tl.zeros((R, BM, BN), REAL)
        for t in range(start, tl.minimum(start + CHUNK, last)):
            J = item * columns + (tl.load(tiles + t) if LISTED else t)
            s, e = _pairs(x, y, xq, yq, rows, cols, numbers, I, J,
                          D, BM, BN, BK, DECAY, LOGS, HALVES, REAL)  # fmt: skip
            s = tl.maximum(s, TINY)
            w = radial(s, e, numbers, POWERS, LOGS or DECAY > 0) * tl.load(v + J * BN + j)[None, :]
            if TIMES == 0:
                some += w[None, :, :] * ways(x, y, I, J, group, None, D, BM, BN, R, REAL)
            else:
                times = half_power(s + tl.load(numbers + 1), TIMES)
                some += w[None, :, :] * ways(x, y, I, J, group, times, D, BM, BN, R, REAL)
        total += tl.sum(some, 2).to(tl.float64)
    at = (part * tl.num_programs(1) + item) * blocks * BM + block * BM + i
    d, lead = group * (R - 1) + r, tl.load(numbers + 2)
    place = tl.where(r < R - 1, d, D)  # the sum itself stands behind all coordinates
    wanted = ((r < R - 1) & (d < D)) | ((r == R - 1) & (group == 0))
    there = at[None, :] * (D + 1) + place[:, None]
    tl.store(out + there, (lead * total).to(REAL), mask=wanted[:, None])
