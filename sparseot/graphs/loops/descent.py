"""Approximate neighbours: lists filled from the leaves of random trees, then neighbours' neighbours.

A point reads a frozen copy of all lists and writes only its own ("pull"), so that the result
does not depend on which thread came first. Lists are flat, ``size`` entries a point, sorted.
Numbers of points come as 32-bit and sizes as 64-bit unsigned integers.
"""

from __future__ import annotations

import numpy as np

from ...engines.loops.compiled import njit
from . import FAST, FAST_HELPER
from .tiles import FAR, FOUR, NONE, ONE, multiply

__all__ = ["LANES", "NOBODY", "changed", "pull", "reverse", "scan_leaves"]

LANES = np.uint64(32)  # scores that are compared at once
NOBODY = np.uint32(2**32 - 1)
ZERO, MINUS_TWO, LARGE = np.float32(0), np.float32(-2), np.float32(FAR)
ABOVE, TINY = np.float32(1 + 1e-6), np.float32(1e-37)


@njit(**FAST_HELPER)
def _enter(distances, indices, base, size, value, index):
    """Inserts into the list at ``base``; an index enters once."""
    p, twice = base + size - ONE, False
    for here in range(base, base + size):
        twice |= indices[here] == index
    if twice:
        return
    while p > base and distances[p - ONE] > value:
        distances[p], indices[p] = distances[p - ONE], indices[p - ONE]
        p -= ONE
    distances[p], indices[p] = value, index


@njit(**FAST_HELPER)
def _bound(out, a, width, size, lows):
    """A bound that at least ``size + 1`` of the scores in a row do not exceed, or LARGE.

    The lowest score of each of 32 lanes is one of 32 different points: the list is full once that
    many of them are counted. Without it a first leaf would enter, and push out, most of its points.
    """
    if size + ONE > LANES:
        return LARGE
    for p in range(LANES):
        lows[p] = LARGE
    for lane in range(NONE, width, LANES):
        for p in range(LANES):
            lows[p] = min(lows[p], out[a, lane + p])
    for p in range(ONE, LANES):
        low, q = lows[p], np.uint64(p)
        while q > NONE and lows[q - ONE] > low:
            lows[q] = lows[q - ONE]
            q -= ONE
        lows[q] = low
    return max(lows[size], ZERO) * ABOVE + TINY


@njit(**FAST_HELPER)
def _choose(out, a, order, start, count, width, me, distances, indices, size, lows):
    """Enters the points of a leaf that are nearer than the last of the list of ``me``."""
    base = me * size
    last, limit = base + size - ONE, LARGE
    if indices[base] == NOBODY:
        limit = _bound(out, a, width, size, lows)
    for lane in range(NONE, width, LANES):
        limit = min(limit, distances[last])
        found = 0
        for p in range(lane, lane + LANES):
            found += out[a, p] < limit
        if found == 0:
            continue
        for p in range(lane, min(lane + LANES, count)):
            value = out[a, p]
            if value < limit and order[start + p] != me:
                _enter(distances, indices, base, size, max(value, ZERO), order[start + p])
                limit = min(limit, distances[last])


@njit(**FAST_HELPER)
def _pack(points, order, start, count, width, centre, packed, norms):
    """The points of a leaf about their mean, coordinate by coordinate."""
    dim = len(centre)
    for d in range(dim):
        centre[d] = ZERO
    for p in range(count):
        for d in range(dim):
            centre[d] += points[order[start + p], d]
    for d in range(dim):
        centre[d] /= np.float32(count)
    for p in range(width):
        norms[p] = LARGE
    for p in range(count):
        total = ZERO
        for d in range(dim):
            here = points[order[start + p], d] - centre[d]
            packed[d * width + p] = here
            total += here * here
        norms[p] = total


@njit(**FAST)
def scan_leaves(
    points, order, visitors, visits, leaf, distances, indices, size, centre, packed, norms, four,
    out, lows, lo, hi,
):  # fmt: skip
    """Meets all pairs inside the leaves from lo to hi of one tree.

    Args:
        points: (n + q, D).
        order: (n,) the points, leaf by leaf: they search and are found.
        visitors, visits: (q,) and (leaves + 1,), who only searches; see :func:`.trees.grow`.
        leaf: points of a leaf.
        distances, indices, size: the lists; squares, and points.
        centre, packed, norms, four, out, lows: room for one thread, (D,), (D' * W,), (W,), (4, D'),
            (4, W) and (32,), with W the leaf's size rounded up to 32s and D' that of D to 4s;
            ``packed`` and ``four`` are zero at first.
    """
    points_count, width, dim = np.uint64(len(order)), np.uint64(len(norms)), len(centre)
    for number in range(lo, hi):
        start = number * leaf
        inside = min(leaf, points_count - start)
        guests = visits[number]
        searching = inside + visits[number + ONE] - guests
        _pack(points, order, start, inside, width, centre, packed, norms)
        for row in range(NONE, searching, FOUR):
            for a in range(min(FOUR, searching - row)):
                i, total = row + a, ZERO
                me = order[start + i] if i < inside else visitors[guests + i - inside]
                for d in range(dim):
                    here = points[me, d] - centre[d]
                    total += here * here
                    four[a, d] = MINUS_TWO * here
                for p in range(width):
                    out[a, p] = norms[p] + total
            multiply(four, packed, NONE, width, out)
            for a in range(min(FOUR, searching - row)):
                i = row + a
                me = order[start + i] if i < inside else visitors[guests + i - inside]
                _choose(out, a, order, start, inside, width, me, distances, indices, size, lows)


@njit(**FAST)
def reverse(indices, fresh, size, backward, newer, count):
    """Lists of who lists a point, the nearest first and at most ``size`` of them."""
    for rank in range(size):
        for i in range(len(count)):
            here = i * size + rank
            j = indices[here]
            if j != NOBODY and count[j] < size:
                p = j * size + count[j]
                backward[p], newer[p] = i, fresh[here]
                count[j] += ONE


@njit(**FAST)
def changed(before, after, size, fresh):
    """Which entries of the lists were not there before."""
    for p in range(np.uint64(len(after))):
        base, known = p - p % size, False
        for q in range(base, base + size):
            known |= before[q] == after[p]
        fresh[p] = not known


@njit(**FAST)
def pull(
    points, targets, forward, fresh, backward, newer, count, size, distances, indices, seen, lo, hi
):  # fmt: skip
    """Meets the neighbours of the neighbours, in both directions, of the points from lo to hi.

    Args:
        points: (n, D).
        targets: points below this number may be found; all of them search.
        forward, fresh: frozen lists, and which entries have not been passed on yet.
        backward, newer, count: their reverse, see :func:`reverse`.
        distances, indices, size: the lists to improve, at first those of ``forward``.
        seen: (n,) room for one thread, NOBODY at first.

    Returns:
        How many pairs were measured.
    """
    dim, met = points.shape[1], 0
    for i in range(lo, hi):
        base = i * size
        last = base + size - ONE
        seen[i] = i
        for p in range(base, base + size):
            if forward[p] != NOBODY:
                seen[forward[p]] = i
        for q in range(size + count[i]):
            through = q >= size
            here = base + q - size if through else base + q
            e, new = (backward[here], newer[here]) if through else (forward[here], fresh[here])
            if e == NOBODY:
                continue
            # who e lists, and e itself where i did not know of it
            there = e * size
            for p in range(there, there + size + ONE):
                j = e
                if p < there + size:
                    j = forward[p]
                    if j == NOBODY or not (new or fresh[p]):
                        continue
                elif not (through and new and e < targets):
                    continue
                if seen[j] == i:
                    continue
                seen[j] = i
                met += 1
                total = ZERO
                for d in range(dim):
                    gap = points[i, d] - points[j, d]
                    total += gap * gap
                if total < distances[last]:
                    _enter(distances, indices, base, size, total, j)
    return met
