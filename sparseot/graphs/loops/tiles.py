"""Exact neighbours by tiles: single-precision products filter, double-precision differences rank.

Points stand in tiles of 128 that lie closely together, coordinate-major and about the tile's own
centre. The product gives |q - y|^2 up to a rounding error that is bounded by the lengths that
enter it; whatever may be among the k nearest, ties included, is measured again from differences
in double precision. So the result is exact, and it is ordered by (distance, index).
"""

from __future__ import annotations

import numpy as np

from ...engines.loops.compiled import njit
from . import FAST_HELPER, HELPER, LOOP

__all__ = ["TILE", "multiply", "neighbours", "rank"]

TILE = 128
QUERIES = 4
FAR = 1e38
NONE, ONE, TWO, THREE, FOUR = (np.uint64(n) for n in range(5))
WIDTH = np.uint64(TILE)


@njit(**HELPER)
def square(x, i, y, j):
    """|x_i - y_j|^2 in double precision, always summed in the same order."""
    dim = np.uint64(x.shape[1])
    a, b, c, e = 0.0, 0.0, 0.0, 0.0
    whole = dim - dim % FOUR
    for d in range(NONE, whole, FOUR):
        p = np.float64(x[i, d]) - np.float64(y[j, d])
        q = np.float64(x[i, d + ONE]) - np.float64(y[j, d + ONE])
        r = np.float64(x[i, d + TWO]) - np.float64(y[j, d + TWO])
        s = np.float64(x[i, d + THREE]) - np.float64(y[j, d + THREE])
        a, b, c, e = a + p * p, b + q * q, c + r * r, e + s * s
    for d in range(whole, dim):
        p = np.float64(x[i, d]) - np.float64(y[j, d])
        a += p * p
    return (a + b) + (c + e)


@njit(**HELPER)
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


@njit(**FAST_HELPER)
def multiply(four, packed, at, width, out):
    """Adds products of four rows, (4, D'), with the ``width`` points packed from ``at`` on."""
    first = at
    for d in range(NONE, np.uint64(four.shape[1]), FOUR):
        e, f, g = d + ONE, d + TWO, d + THREE
        a0, a1, a2, a3 = four[0, d], four[0, e], four[0, f], four[0, g]
        b0, b1, b2, b3 = four[1, d], four[1, e], four[1, f], four[1, g]
        c0, c1, c2, c3 = four[2, d], four[2, e], four[2, f], four[2, g]
        d0, d1, d2, d3 = four[3, d], four[3, e], four[3, f], four[3, g]
        second, third, fourth = first + width, first + width * TWO, first + width * THREE
        for p in range(width):
            y0, y1 = packed[first + p], packed[second + p]
            y2, y3 = packed[third + p], packed[fourth + p]
            out[0, p] += (a0 * y0 + a1 * y1) + (a2 * y2 + a3 * y3)
            out[1, p] += (b0 * y0 + b1 * y1) + (b2 * y2 + b3 * y3)
            out[2, p] += (c0 * y0 + c1 * y1) + (c2 * y2 + c3 * y3)
            out[3, p] += (d0 * y0 + d1 * y1) + (d2 * y2 + d3 * y3)
        first += width * FOUR


@njit(**FAST_HELPER)
def _scores(queries, row, count, t, packed, norms, centres, gaps, centred, out):
    """|q - y|^2 of up to four queries to a tile, into ``out`` (4, 128), by products."""
    for a in range(FOUR):
        q = row + min(a, count - ONE)
        for d in range(queries.shape[1]):
            centred[a, d] = centres[t, d] - queries[q, d]
            centred[a, d] += centred[a, d]
        for p in range(WIDTH):
            out[a, p] = norms[t, p] + gaps[a, t]
    multiply(centred, packed, t * np.uint64(centred.shape[1]) * WIDTH, WIDTH, out)


@njit(**FAST_HELPER)
def _to_centres(queries, row, count, across, begin, end, gaps):
    """Squared distances of queries to the centres ``across`` (D, T); returns the nearest centre."""
    for a in range(count):
        for t in range(begin, end):
            gaps[a, t] = 0
        for d in range(queries.shape[1]):
            coordinate = queries[row + a, d]
            for t in range(begin, end):
                here = coordinate - across[d, t]
                gaps[a, t] += here * here
    nearest = begin
    for t in range(begin, end):
        if gaps[0, t] < gaps[0, nearest]:
            nearest = t
    return nearest


@njit(**HELPER)
def _limit(worst, error):
    """What a score must not exceed to be looked at; ``worst`` is the k-th square so far."""
    return min(worst, FAR) * (1 + 1e-6) + error


@njit(**LOOP)
def neighbours(
    queries, own, blocks, tiles, points, ids, packed, norms, centres, across, radii, first, size,
    slack, distances, indices, evaluations, centred, out, gaps, lo, hi,
):  # fmt: skip
    """The k nearest points of all queries of the blocks from lo to hi, exactly.

    Args:
        queries: (m, D), in an order in which those of a block lie closely together.
        own: (m,) the id that a query must not find, -1 for none.
        blocks: (b, 2) first query of a block, and how many, up to 4.
        tiles: (b, 2) range of the tiles that a block may see.
        points, ids: (n, D) in the order of the tiles, and what to call them.
        packed, norms, centres, radii, first, size: the tiles, coordinate-major about their centres
            (T * D' * 128,), squared lengths (T, 128), centres (T, D), the largest length of each,
            the first point of each and how many.
        across: the transpose of the centres, (D, T).
        slack: bound on the relative rounding error of a score.
        distances, indices: (m, k) results; squares, and ids.
        evaluations: (b,) numbers of pairs that were looked at.
        centred, out, gaps: room for one thread, (4, D') zero at first, (4, 128) and (4, T).
    """
    k = indices.shape[1]
    for b in range(lo, hi):
        row, count, begin, end = blocks[b, 0], blocks[b, 1], tiles[b, 0], tiles[b, 1]
        if begin == end:
            continue
        t = _to_centres(queries, row, count, across, begin, end, gaps)
        for _ in range(begin, end):
            ready = False
            for a in range(count):
                q, me, radius = row + a, own[row + a], radii[t]
                reach = np.sqrt(np.float64(gaps[a, t]))
                error = slack * (reach + radius) * (reach + radius)
                limit = _limit(distances[q, k - 1], error)
                gap = reach * (1 - slack) - radius * (1 + slack)
                if gap > 0 and gap * gap * (1 - slack) > limit:
                    continue
                if not ready:
                    _scores(queries, row, count, t, packed, norms, centres, gaps, centred, out)
                    evaluations[b] += count * size[t]
                    ready = True
                found, bound = 0, out.dtype.type(limit)
                for p in range(WIDTH):
                    found += out[a, p] <= bound
                if found == 0:
                    continue
                for p in range(size[t]):
                    if out[a, p] > bound:
                        continue
                    j = first[t] + p
                    name, worst = ids[j], distances[q, k - 1]
                    if name == me or (worst == 0.0 and name > indices[q, k - 1]):
                        continue
                    value = square(queries, q, points, j)
                    if value <= worst:
                        keep(distances, indices, q, k, value, name)
                        bound = out.dtype.type(_limit(distances[q, k - 1], error))
            t += ONE
            if t == end:
                t = begin


@njit(**LOOP)
def rank(queries, own, points, candidates, distances, indices, lo, hi):
    """Ranks candidates (m, c), -1 for none, by (distance, index) into lists of k; rows lo to hi."""
    k = indices.shape[1]
    for q in range(lo, hi):
        for c in range(candidates.shape[1]):
            j = candidates[q, c]
            if j >= 0 and j != own[q]:
                keep(distances, indices, q, k, square(queries, q, points, j), j)
