"""Balanced random-projection trees: an order of the points in which neighbours stand together."""

from __future__ import annotations

import numpy as np
from numba import njit, uint64

from ...engines.simd import OPTIONS

__all__ = ["grow"]


@njit(**OPTIONS)
def _mix(z):
    """A 64-bit mixer, after Steele, Lea and Flood (2014): random numbers without a state."""
    z = (z ^ (z >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> uint64(27))) * uint64(0x94D049BB133111EB)
    return z ^ (z >> uint64(31))


@njit(**OPTIONS)
def _direction(x, order, lo, hi, seed, direction, trial):
    """The widest of three random pairs of points, as a difference; returns the foot of it."""
    dim, best, foot = uint64(x.shape[1]), x.dtype.type(-1), uint64(0)
    for _attempt in range(3):
        seed = _mix(seed + uint64(0x9E3779B97F4A7C15))
        i = uint64(order[uint64(lo) + seed % uint64(hi - lo)])
        seed = _mix(seed + uint64(0x9E3779B97F4A7C15))
        j = uint64(order[uint64(lo) + seed % uint64(hi - lo)])
        width = x.dtype.type(0)
        for d in range(dim):
            trial[d] = x[j, d] - x[i, d]
            width += trial[d] * trial[d]
        if width > best:
            best, foot = width, i
            for d in range(dim):
                direction[d] = trial[d]
    return foot


@njit(**OPTIONS)
def _select(value, order, lo, hi, middle):
    """Reorders a range such that no value before ``middle`` exceeds one from ``middle`` on."""
    left, right = lo, hi - 1
    while left < right:
        a, b, c = value[left], value[(left + right) // 2], value[right]
        pivot = max(min(a, b), min(max(a, b), c))
        i, j = left, right
        while i <= j:
            while value[i] < pivot:
                i += 1
            while value[j] > pivot:
                j -= 1
            if i <= j:
                value[i], value[j] = value[j], value[i]
                order[i], order[j] = order[j], order[i]
                i += 1
                j -= 1
        if middle <= j:
            right = j
        elif middle >= i:
            left = i
        else:
            return


@njit(**OPTIONS)
def _part(value, order, lo, hi, threshold):
    """Puts what is below the threshold first; returns where the rest starts."""
    end = lo
    for p in range(lo, hi):
        if value[p] < threshold:
            value[p], value[end] = value[end], value[p]
            order[p], order[end] = order[end], order[p]
            end += 1
    return end


@njit(**OPTIONS)
def _project(x, order, lo, hi, foot, direction, value):
    for p in range(lo, hi):
        i, total = uint64(order[p]), direction.dtype.type(0)
        for d in range(uint64(x.shape[1])):
            total += (x[i, d] - foot[d]) * direction[d]
        value[p] = total


@njit(**OPTIONS)
def _push(stack, height, start, end, first, last):
    """Number by number: Numba takes seconds to compile the assignment of a row."""
    stack[height, 0], stack[height, 1], stack[height, 2], stack[height, 3] = start, end, first, last


@njit(**OPTIONS)
def grow(x, orders, visitors, visits, leaf, seed, lo, hi):
    """Grows the trees from lo to hi, each an order of the points leaf by leaf.

    Each node is cut at a multiple of ``leaf`` in the middle, across a random direction, so that
    all leaves have ``leaf`` points but the last.

    Args:
        x: (n + q, D), the n points first, then visitors: they follow the cuts and make none.
        orders: (T, n) filled, the points.
        visitors: (T, q) filled, the visitors leaf by leaf.
        visits: (T, leaves + 1) filled, where the visitors of each leaf start; leaves >= 1.
        leaf, seed: size of a leaf, and of what is drawn.
    """
    n, q = orders.shape[1], visitors.shape[1]
    direction, trial = np.empty(x.shape[1], x.dtype), np.empty(x.shape[1], x.dtype)
    value, other = np.empty(n, x.dtype), np.empty(q, x.dtype)
    stack = np.empty((128, 4), np.int64)
    for tree in range(lo, hi):
        order, guests = orders[tree], visitors[tree]
        for i in range(n):
            order[i] = i
        for i in range(q):
            guests[i] = n + i
        visits[tree, -1] = q
        _push(stack, 0, 0, n, 0, q)
        height = 1
        while height:
            height -= 1
            start, end = stack[height, 0], stack[height, 1]
            first, last = stack[height, 2], stack[height, 3]
            leaves = (end - start + leaf - 1) // leaf
            if leaves < 2:
                visits[tree, start // leaf] = first
                continue
            here = _mix(uint64(seed) ^ _mix(uint64(tree) * uint64(n + 1) + uint64(start)))
            foot = x[_direction(x, order, start, end, here + uint64(end), direction, trial)]
            _project(x, order, start, end, foot, direction, value)
            middle = start + leaves // 2 * leaf
            _select(value, order, start, end, middle)
            _project(x, guests, first, last, foot, direction, other)
            cut = _part(other, guests, first, last, value[middle])
            _push(stack, height, start, middle, first, cut)
            _push(stack, height + 1, middle, end, cut, last)
            height += 2
