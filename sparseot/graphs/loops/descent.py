"""Approximate neighbours: lists filled from the leaves of random trees, then neighbours' neighbours.

A point reads a frozen copy of all lists and writes only its own ("pull"), so that the result
does not depend on which thread came first. Lists are flat, ``size`` entries a point, sorted.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint64

from ...engines.simd import OPTIONS
from .tiles import QUERIES, TILE, pack, scores, to_centres

__all__ = ["pull", "reverse", "scan_leaves"]

LANES = 32  # scores that are compared at once


@njit(inline="always", **OPTIONS)
def _enter(distances, indices, fresh, base, size, value, index):
    """Inserts into the list at ``base``; an index enters once."""
    p, twice = base + size - uint64(1), False
    for here in range(base, base + size):
        twice |= indices[here] == index
    if twice:
        return
    while p > base and distances[p - uint64(1)] > value:
        q = p - uint64(1)
        distances[p], indices[p], fresh[p] = distances[q], indices[q], fresh[q]
        p = q
    distances[p], indices[p], fresh[p] = value, index, 1


@njit(**OPTIONS)
def scan_leaves(
    points, order, visitors, visits, leaf, distances, indices, fresh, size, lo, hi
):  # fmt: skip
    """Meets all pairs inside the leaves from lo to hi of one tree.

    Args:
        points: (n + q, D).
        order: (n,) the points, leaf by leaf: they search and are found.
        visitors, visits: (q,) and (leaves + 1,), who only searches; see :func:`.trees.grow`.
        leaf: points of a leaf.
        distances, indices, fresh, size: the lists; squares, points, and whether they are new.
    """
    dim, length, tiles = points.shape[1], uint64(size), (leaf + TILE - 1) // TILE
    rows, four = np.zeros((leaf, dim), points.dtype), np.zeros((QUERIES, dim), points.dtype)
    packed = np.zeros((tiles, (dim + 3) // 4 * 4, TILE), points.dtype)
    norms, centres = np.empty((tiles, TILE), points.dtype), np.empty((tiles, dim), points.dtype)
    across, radii = np.empty((dim, tiles), points.dtype), np.empty(tiles, points.dtype)
    gaps, centred = (
        np.empty((QUERIES, tiles), points.dtype),
        np.zeros((QUERIES, packed.shape[1]), points.dtype),
    )
    out = np.empty((QUERIES, TILE), points.dtype)
    first, count = np.arange(tiles) * TILE, np.zeros(tiles, np.int64)
    for leaf_number in range(uint64(lo), uint64(hi)):
        start = leaf_number * uint64(leaf)
        inside = min(uint64(leaf), uint64(len(order)) - start)
        guests = uint64(visits[leaf_number])
        searching = inside + uint64(visits[leaf_number + uint64(1)]) - guests
        filled = (inside + uint64(TILE - 1)) // uint64(TILE)
        for p in range(inside):
            i = uint64(order[start + p])
            for d in range(uint64(dim)):
                rows[p, d] = points[i, d]
        for t in range(filled):
            count[t] = min(uint64(TILE), inside - t * uint64(TILE))
        pack(rows, first, count, packed, norms, centres, radii, 0, filled)
        for t in range(filled):
            for d in range(uint64(dim)):
                across[d, t] = centres[t, d]
        for row in range(uint64(0), searching, uint64(QUERIES)):
            together = min(uint64(QUERIES), searching - row)
            for a in range(together):
                i = row + a
                me = uint64(order[start + i] if i < inside else visitors[guests + i - inside])
                for d in range(uint64(dim)):
                    four[a, d] = points[me, d]
            to_centres(four, uint64(0), together, across, uint64(0), filled, gaps)
            for t in range(filled):
                scores(four, uint64(0), together, t, packed, norms, centres, gaps, centred, out)
                names = start + t * uint64(TILE)
                for a in range(together):
                    i = row + a
                    me = order[start + i] if i < inside else visitors[guests + i - inside]
                    base = uint64(me) * length
                    last = base + length - uint64(1)
                    for lane in range(uint64(0), uint64(count[t]), uint64(LANES)):
                        worst, found = distances[last], np.int32(0)
                        for p in range(lane, lane + uint64(LANES)):
                            found += np.int32(out[a, p] < worst)
                        if found == 0:
                            continue
                        for p in range(lane, min(lane + uint64(LANES), uint64(count[t]))):
                            name = order[names + p]
                            if out[a, p] < distances[last] and name != me:
                                value = max(out[a, p], points.dtype.type(0))
                                _enter(distances, indices, fresh, base, length, value, name)


@njit(**OPTIONS)
def reverse(indices, fresh, size, backward, newer, count):
    """Lists of who lists a point, the nearest first and at most ``size`` of them."""
    n, length = uint64(len(count)), uint64(size)
    for rank in range(length):
        for i in range(n):
            here = i * length + rank
            if indices[here] < 0:
                continue
            j = uint64(indices[here])
            if count[j] < length:
                p = j * length + uint64(count[j])
                backward[p], newer[p] = i, fresh[here]
                count[j] += 1


@njit(inline="always", **OPTIONS)
def _meet(points, i, j, distances, indices, fresh, base, size):
    """Measures a pair of points, from differences of coordinates."""
    total = points.dtype.type(0)
    for d in range(uint64(points.shape[1])):
        here = points[i, d] - points[j, d]
        total += here * here
    if total < distances[base + size - uint64(1)]:
        _enter(distances, indices, fresh, base, size, total, j)


@njit(**OPTIONS)
def pull(
    points, targets, forward, fresh, backward, newer, count, size, distances, indices, entered,
    evaluations, lo, hi,
):  # fmt: skip
    """Meets the neighbours of the neighbours, in both directions, of the points from lo to hi.

    Args:
        points: (n, D).
        targets: points below this number may be found; all of them search.
        forward, fresh: frozen lists, and which entries have not been passed on yet.
        backward, newer, count: their reverse, see :func:`reverse`.
        distances, indices, entered, size: the lists to improve, at first those of ``forward``.
        evaluations: (n,) numbers of pairs that were measured, added to.
    """
    length = uint64(size)
    seen = np.full(len(points), -1, np.int32)
    for i in range(uint64(lo), uint64(hi)):
        base, mark = i * length, np.int32(i)
        seen[i] = mark
        for p in range(base, base + length):
            if forward[p] >= 0:
                seen[uint64(forward[p])] = mark
        met = 0
        for q in range(length + uint64(count[i])):
            through = q >= length
            here = base + q - length if through else base + q
            via = backward[here] if through else forward[here]
            if via < 0:
                continue
            e = uint64(via)
            new = newer[here] if through else fresh[here]
            if through and new and e < targets and seen[e] != mark:
                seen[e] = mark
                met += 1
                _meet(points, i, e, distances, indices, entered, base, length)
            there = e * length
            for p in range(there, there + length):
                if (new or fresh[p]) and forward[p] >= 0:
                    j = uint64(forward[p])
                    if seen[j] != mark:
                        seen[j] = mark
                        met += 1
                        _meet(points, i, j, distances, indices, entered, base, length)
        evaluations[i] += met
