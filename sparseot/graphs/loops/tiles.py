"""Exact neighbours by tiles: single-precision products filter, double-precision differences rank.

Points stand in tiles of 128 that lie closely together, coordinate-major and about the tile's own
centre. The product gives |q - y|^2 up to a rounding error that is bounded by the lengths that
enter it; whatever may be among the k nearest, ties included, is measured again from differences
in double precision. So the result is exact, and it is ordered by (distance, index).
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint64

from ...engines.simd import OPTIONS

__all__ = ["TILE", "neighbours", "pack", "rank"]

TILE = 128
QUERIES = 4
FAR = 1e38


@njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)
def square(x, i, y, j):
    """|x_i - y_j|^2 in double precision, always summed in the same order."""
    dim = uint64(x.shape[1])
    a, b, c, e = 0.0, 0.0, 0.0, 0.0
    whole = dim - dim % uint64(4)
    for d in range(uint64(0), whole, uint64(4)):
        p = np.float64(x[i, d]) - np.float64(y[j, d])
        q = np.float64(x[i, d + 1]) - np.float64(y[j, d + 1])
        r = np.float64(x[i, d + 2]) - np.float64(y[j, d + 2])
        s = np.float64(x[i, d + 3]) - np.float64(y[j, d + 3])
        a, b, c, e = a + p * p, b + q * q, c + r * r, e + s * s
    for d in range(whole, dim):
        p = np.float64(x[i, d]) - np.float64(y[j, d])
        a += p * p
    return (a + b) + (c + e)


@njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)
def keep(distances, indices, row, k, value, index):
    """Inserts into row ``row`` of lists of k, sorted by (distance, index), if it belongs there."""
    last = k - 1
    if value > distances[row, last] or (
        value == distances[row, last] and index > indices[row, last]
    ):
        return
    p = last
    while p > 0 and (
        distances[row, p - 1] > value
        or (distances[row, p - 1] == value and indices[row, p - 1] > index)
    ):
        distances[row, p], indices[row, p] = distances[row, p - 1], indices[row, p - 1]
        p -= 1
    distances[row, p], indices[row, p] = value, index


@njit(**OPTIONS)
def pack(points, first, size, packed, norms, centres, radii, lo, hi):
    """Packs tiles from lo to hi into ``packed``, flat for (T, D', 128) and zero at first.

    D' is D rounded up to a multiple of 4. Coordinates are about the mean of a tile, ``centres``
    (T, D); radii are the largest lengths.
    """
    dim, zero = uint64(points.shape[1]), points.dtype.type(0)
    tile = uint64(len(packed) // max(1, len(radii)))
    for t in range(uint64(lo), uint64(hi)):
        start, count = uint64(first[t]), uint64(size[t])
        for d in range(dim):
            total = 0.0
            for p in range(count):
                total += points[start + p, d]
            centres[t, d] = total / count
        radius = zero
        for p in range(uint64(TILE)):
            norms[t, p] = FAR
        for p in range(count):
            total = zero
            for d in range(dim):
                here = points[start + p, d] - centres[t, d]
                packed[t * tile + d * uint64(TILE) + p] = here
                total += here * here
            norms[t, p] = total
            radius = max(radius, total)
        radii[t] = np.sqrt(radius)


@njit(**OPTIONS)
def multiply(four, packed, at, width, out):
    """Adds products of four rows, (4, D'), with the ``width`` points packed from ``at`` on."""
    length = uint64(width)
    for d in range(uint64(0), uint64(four.shape[1]), uint64(4)):
        e, f, g = d + uint64(1), d + uint64(2), d + uint64(3)
        a0, a1, a2, a3 = four[0, d], four[0, e], four[0, f], four[0, g]
        b0, b1, b2, b3 = four[1, d], four[1, e], four[1, f], four[1, g]
        c0, c1, c2, c3 = four[2, d], four[2, e], four[2, f], four[2, g]
        d0, d1, d2, d3 = four[3, d], four[3, e], four[3, f], four[3, g]
        first = uint64(at) + d * length
        second, third, fourth = (
            first + length,
            first + length * uint64(2),
            first + length * uint64(3),
        )
        for p in range(length):
            y0, y1, y2, y3 = (
                packed[first + p], packed[second + p], packed[third + p], packed[fourth + p],
            )  # fmt: skip
            out[0, p] += (a0 * y0 + a1 * y1) + (a2 * y2 + a3 * y3)
            out[1, p] += (b0 * y0 + b1 * y1) + (b2 * y2 + b3 * y3)
            out[2, p] += (c0 * y0 + c1 * y1) + (c2 * y2 + c3 * y3)
            out[3, p] += (d0 * y0 + d1 * y1) + (d2 * y2 + d3 * y3)


@njit(**OPTIONS)
def scores(queries, row, count, t, packed, norms, centres, gaps, centred, out):
    """|q - y|^2 of up to four queries to a tile, into ``out`` (4, 128), by products."""
    two = queries.dtype.type(-2)
    for a in range(uint64(QUERIES)):
        q = row + min(a, count - uint64(1))
        for d in range(uint64(queries.shape[1])):
            centred[a, d] = two * (queries[q, d] - centres[t, d])
        for p in range(uint64(TILE)):
            out[a, p] = norms[t, p] + gaps[a, t]
    multiply(centred, packed, t * uint64(centred.shape[1] * TILE), TILE, out)


@njit(**OPTIONS)
def to_centres(queries, row, count, across, begin, end, gaps):
    """Squares of the distances from the queries to the centres ``across`` (D, T); returns the nearest centre."""
    zero = queries.dtype.type(0)
    for a in range(uint64(QUERIES)):
        q = row + min(a, count - uint64(1))
        for t in range(begin, end):
            gaps[a, t] = zero
        for d in range(uint64(queries.shape[1])):
            coordinate = queries[q, d]
            for t in range(begin, end):
                here = coordinate - across[d, t]
                gaps[a, t] += here * here
    nearest, best = begin, gaps[0, begin]
    for t in range(begin, end):
        if gaps[0, t] < best:
            nearest, best = t, gaps[0, t]
    return nearest


@njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)
def neighbours(
    queries, own, blocks, tiles, points, ids, packed, norms, centres, across, radii, first, size,
    slack, distances, indices, evaluations, lo, hi,
):  # fmt: skip
    """The k nearest points of all queries of the blocks from lo to hi, exactly.

    Args:
        queries: (m, D), in an order in which those of a block lie closely together.
        own: (m,) the id that a query must not find, -1 for none.
        blocks: (b, 2) first query of a block, and how many, up to 4.
        tiles: (b, 2) range of the tiles that a block may see.
        points, ids: (n, D) in the order of the tiles, and what to call them.
        packed, norms, centres, radii, first, size: the tiles, see :func:`pack`.
        across: the transpose of the centres, (D, T).
        slack: bound on the relative rounding error of a score.
        distances, indices: (m, k) results; squares, and ids.
        evaluations: (b,) numbers of pairs that were looked at.
    """
    k = indices.shape[1]
    real = queries.dtype.type
    padded = (queries.shape[1] + 3) // 4 * 4
    centred = np.zeros((QUERIES, padded), queries.dtype)
    out = np.empty((QUERIES, TILE), queries.dtype)
    gaps = np.empty((QUERIES, len(radii)), queries.dtype)
    limit, error = np.empty(QUERIES, queries.dtype), np.empty(QUERIES, queries.dtype)
    far, one, up = real(FAR), real(1), real(1 + 1e-6)
    for b in range(uint64(lo), uint64(hi)):
        row, count = uint64(blocks[b, 0]), uint64(blocks[b, 1])
        begin, end = uint64(tiles[b, 0]), uint64(tiles[b, 1])
        if begin == end:
            continue
        t = to_centres(queries, row, count, across, begin, end, gaps)
        for _ in range(begin, end):
            wanted = False
            for a in range(count):
                reach, worst = np.sqrt(gaps[a, t]), distances[row + a, k - 1]
                error[a] = slack * (reach + radii[t]) * (reach + radii[t])
                limit[a] = min(real(min(worst, FAR)) * up, far) + error[a]
                gap = reach * (one - slack) - radii[t] * (one + slack)
                if gap <= 0 or gap * gap * (one - slack) <= limit[a]:
                    wanted = True
                else:
                    limit[a] = real(-1)
            if wanted:
                scores(queries, row, count, t, packed, norms, centres, gaps, centred, out)
                evaluations[b] += count * uint64(size[t])
            for a in range(count):
                if limit[a] < 0:
                    continue
                found = 0
                for p in range(uint64(TILE)):
                    found += out[a, p] <= limit[a]
                if found == 0:
                    continue
                q, me = row + a, own[row + a]
                for p in range(uint64(size[t])):
                    if out[a, p] > limit[a]:
                        continue
                    j = uint64(first[t]) + p
                    name = ids[j]
                    worst = distances[q, k - 1]
                    if name == me or (worst == 0.0 and name > indices[q, k - 1]):
                        continue
                    value = square(queries, q, points, j)
                    if value <= worst:
                        keep(distances, indices, q, k, value, name)
                        worst = distances[q, k - 1]
                        limit[a] = min(real(min(worst, FAR)) * up, far) + error[a]
            t += uint64(1)
            if t == end:
                t = begin


@njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)
def rank(queries, own, points, candidates, distances, indices, lo, hi):
    """Ranks candidates (m, c), -1 for none, by (distance, index) into lists of k; rows lo to hi."""
    k = indices.shape[1]
    for q in range(lo, hi):
        for c in range(candidates.shape[1]):
            j = candidates[q, c]
            if j >= 0 and j != own[q]:
                keep(distances, indices, q, k, square(queries, q, points, j), j)
