"""All points within a distance, by a grid whose cells are no smaller than that distance.

Points stand in the order of the keys of their cells. A point sees its own cell and those around
it, which are at most nine runs of the order; as keys ascend, the ends of these runs only move on. Distances
are differences of coordinates in double precision, summed as :func:`.tiles.square` sums them.
"""

from __future__ import annotations

import numpy as np

from ...engines.loops.compiled import njit
from . import HELPER, LOOP
from .tiles import square

__all__ = ["count", "fill"]

SHORT = np.uint64(64)  # rows that are sorted by comparing all with all, without a branch
NONE, ONE = np.uint64(0), np.uint64(1)


@njit(**HELPER)
def _first(keys, value):
    """The first position whose key is no less than ``value``."""
    lo, hi = 0, len(keys)
    while lo < hi:
        middle = (lo + hi) // 2
        if keys[middle] < value:
            lo = middle + 1
        else:
            hi = middle
    return lo


@njit(**HELPER)
def _move(keys, key, steps, runs, fresh):
    """Moves the runs to the cells around ``key``, which has grown unless they are fresh."""
    n = len(keys)
    for a in range(len(steps)):
        low = key + steps[a] - 1
        start = np.int64(_first(keys, low) if fresh else runs[a, 0])
        while start < n and keys[start] < low:
            start += 1
        stop = start if fresh else max(start, np.int64(runs[a, 1]))
        while stop < n and keys[stop] <= low + 2:
            stop += 1
        runs[a, 0], runs[a, 1] = start, stop


@njit(**HELPER)
def _sift(a, b, root, end):
    """Lets an entry sink into the heap below it; entries compare by a, then by b."""
    while 2 * root + 1 < end:
        child = 2 * root + 1
        if child + 1 < end and (
            a[child] < a[child + 1] or (a[child] == a[child + 1] and b[child] < b[child + 1])
        ):
            child += 1
        if a[child] < a[root] or (a[child] == a[root] and b[child] <= b[root]):
            return
        a[root], a[child] = a[child], a[root]
        b[root], b[child] = b[child], b[root]
        root = child


@njit(**HELPER)
def _sort(a, b, n):
    """Sorts the first n entries of both by (a, b)."""
    for root in range(n // 2 - 1, -1, -1):
        _sift(a, b, root, n)
    for end in range(n - 1, 0, -1):
        a[0], a[end] = a[end], a[0]
        b[0], b[end] = b[end], b[0]
        _sift(a, b, 0, end)


@njit(**HELPER)
def _rank(a, n, value):
    """How many of the first n entries are less."""
    less = NONE
    for p in range(n):
        less += np.uint64(a[p] < value)
    return less


@njit(**HELPER)
def _write(found, values, n, me, columns, rows, squares, at):
    """Writes down a row, by columns."""
    if n > SHORT:
        _sort(found, values, np.int64(n))
    for e in range(n):
        place = at + (_rank(found, n, found[e]) if n <= SHORT else e)
        columns[place] = found[e]
        if len(squares):
            squares[place] = values[e]
    if len(rows):
        for e in range(n):
            rows[at + e] = me


@njit(**LOOP)
def count(x, x_keys, y0, y1, y2, y_keys, x_all, y_all, steps, limit, near, counts, lo, hi):
    """How many points are within the distance of the queries from lo to hi.

    Args:
        x: (m, 3) coordinates of queries on the axes of the grid, in the order of their keys.
        x_keys: (m,) ascending.
        y0, y1, y2, y_keys: (n,) the same of the points.
        x_all, y_all: (m, D) and (n, D) all coordinates, or (m, 0) where the axes are all.
        steps: (s,) what to add to a key for the middle of each run.
        limit: the largest square that counts.
        near: a little more, for the sum over the axes alone.
        counts: (m,) results.

    Returns:
        The number of pairs that were visited.
    """
    runs, visited, whole = np.empty((len(steps), 2), np.uint64), np.uint64(0), x_all.shape[1] == 0
    for i in range(lo, hi):
        if i == lo or x_keys[i] != x_keys[i - ONE]:
            _move(y_keys, x_keys[i], steps, runs, i == lo)
        a, b, c, total = x[i, 0], x[i, 1], x[i, 2], 0
        for run in range(len(steps)):
            start, stop = runs[run, 0], runs[run, 1]
            visited += stop - start
            if whole:
                for p in range(start, stop):
                    u, v, w = a - y0[p], b - y1[p], c - y2[p]
                    total += u * u + v * v + w * w <= limit
                continue
            for p in range(start, stop):
                u, v, w = a - y0[p], b - y1[p], c - y2[p]
                if u * u + v * v + w * w <= near:
                    total += square(x_all, i, y_all, p) <= limit
        counts[i] = total
    return visited


@njit(**LOOP)
def fill(
    x, x_keys, y0, y1, y2, y_keys, x_all, y_all, steps, limit, near,
    x_ids, y_ids, alone, ends, columns, rows, squares, found, values, lo, hi,
):  # fmt: skip
    """Writes down the pairs that :func:`count` counted, by row and column.

    Args:
        x_ids, y_ids: (m,) and (n,) numbers of queries and of points.
        alone: whether a query must not find the point of its own number.
        ends: (m + 1,) where the pairs of each query start; of more than there is room for, the
            nearest are kept, ties by number.
        columns, rows, squares: (E,) results: numbers of the points, of the queries, and squared
            distances; the last two are (0,) where nobody asks for them.
        found, values: room for one query: one more than the largest count.
    """
    runs, whole = np.empty((len(steps), 2), np.uint64), x_all.shape[1] == 0
    for i in range(lo, hi):
        if i == lo or x_keys[i] != x_keys[i - ONE]:
            _move(y_keys, x_keys[i], steps, runs, i == lo)
        a, b, c, me, n = x[i, 0], x[i, 1], x[i, 2], x_ids[i], np.uint64(0)
        own = me if alone else -1
        for run in range(len(steps)):
            start, stop = runs[run, 0], runs[run, 1]
            if whole:  # without a branch, which would be as often mistaken as right
                for p in range(start, stop):
                    u, v, w = a - y0[p], b - y1[p], c - y2[p]
                    j, value = y_ids[p], u * u + v * v + w * w
                    found[n], values[n] = j, value
                    n += np.uint64((value <= limit) & (j != own))
                continue
            for p in range(start, stop):
                u, v, w = a - y0[p], b - y1[p], c - y2[p]
                if u * u + v * v + w * w <= near and y_ids[p] != own:
                    found[n], values[n] = y_ids[p], square(x_all, i, y_all, p)
                    n += np.uint64(values[n] <= limit)
        at, size = np.uint64(ends[me]), np.uint64(ends[me + 1] - ends[me])
        if n > size:
            _sort(values, found, np.int64(n))
        _write(found, values, size, me, columns, rows, squares, at)
