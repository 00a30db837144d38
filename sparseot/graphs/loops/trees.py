"""Balanced random-projection trees: an order of the points in which neighbours stand together."""

from __future__ import annotations

import numpy as np

from ...engines.loops.compiled import njit
from . import FAST, FAST_HELPER

__all__ = ["grow"]


STEP = np.uint64(0x9E3779B97F4A7C15)
FIRST, SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
SHIFTS = np.uint64(30), np.uint64(27), np.uint64(31)


@njit(**FAST_HELPER)
def _mix(z):
    """A 64-bit mixer, after Steele, Lea and Flood (2014): random numbers without a state."""
    z = (z ^ (z >> SHIFTS[0])) * FIRST
    z = (z ^ (z >> SHIFTS[1])) * SECOND
    return z ^ (z >> SHIFTS[2])


@njit(**FAST_HELPER)
def _direction(x, order, lo, hi, seed, direction, trial):
    """The widest of three random pairs of points, as a difference; returns the foot of it."""
    best, foot, count = x.dtype.type(-1), order[lo], np.uint64(hi - lo)
    for _attempt in range(3):
        seed = _mix(seed + STEP)
        i = order[lo + np.int64(seed % count)]
        seed = _mix(seed + STEP)
        j = order[lo + np.int64(seed % count)]
        width = x.dtype.type(0)
        for d in range(x.shape[1]):
            trial[d] = x[j, d] - x[i, d]
            width += trial[d] * trial[d]
        if width > best:
            best, foot = width, i
            for d in range(x.shape[1]):
                direction[d] = trial[d]
    return foot


@njit(**FAST_HELPER)
def _select(value, order, lo, hi, middle):
    """Reorders a range such that no value before ``middle`` exceeds one from ``middle`` on."""
    left, right = lo, hi - 1
    while left < right:
        a, pivot, c = value[left], value[(left + right) // 2], value[right]
        if a > c:
            a, c = c, a
        if pivot < a:
            pivot = a
        elif pivot > c:
            pivot = c
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


@njit(**FAST_HELPER)
def _part(value, order, lo, hi, threshold):
    """Puts what is below the threshold first; returns where the rest starts."""
    end = lo
    for p in range(lo, hi):
        if value[p] < threshold:
            value[p], value[end] = value[end], value[p]
            order[p], order[end] = order[end], order[p]
            end += 1
    return end


@njit(**FAST_HELPER)
def _project(x, order, lo, hi, foot, direction, value):
    for p in range(lo, hi):
        i, total = order[p], x.dtype.type(0)
        for d in range(x.shape[1]):
            total += (x[i, d] - x[foot, d]) * direction[d]
        value[p] = total


@njit(**FAST)
def grow(x, order, guests, visits, leaf, seed, direction, trial, value, other, stack):
    """Grows a tree, an order of the points leaf by leaf.

    Each node is cut at a multiple of ``leaf`` in the middle, across a random direction, so that
    all leaves have ``leaf`` points but the last.

    Args:
        x: (n + q, D), the n points first, then guests: they follow the cuts and make none.
        order: (n,) the numbers of the points, reordered.
        guests: (q,) the numbers of the guests, reordered leaf by leaf.
        visits: (leaves + 1,) filled, where the guests of each leaf start; leaves >= 1.
        leaf, seed: size of a leaf, and of what is drawn.
        direction, trial, value, other, stack: room, (D,), (D,), (n,), (q,) and (128, 4).
    """
    visits[-1] = len(guests)
    stack[0, 0], stack[0, 1], stack[0, 2], stack[0, 3] = 0, len(order), 0, len(guests)
    height = 1
    while height:
        height -= 1
        start, end = stack[height, 0], stack[height, 1]
        first, last = stack[height, 2], stack[height, 3]
        leaves = (end - start + leaf - 1) // leaf
        if leaves < 2:
            visits[start // leaf] = first
            continue
        here = _mix(seed ^ np.uint64(start)) + np.uint64(end)
        foot = _direction(x, order, start, end, here, direction, trial)
        _project(x, order, start, end, foot, direction, value)
        middle = start + leaves // 2 * leaf
        _select(value, order, start, end, middle)
        _project(x, guests, first, last, foot, direction, other)
        cut = _part(other, guests, first, last, value[middle])
        stack[height, 0], stack[height, 1], stack[height, 2] = start, middle, first
        stack[height, 3], stack[height + 1, 0], stack[height + 1, 1] = cut, middle, end
        stack[height + 1, 2], stack[height + 1, 3] = cut, last
        height += 2
