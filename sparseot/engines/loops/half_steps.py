"""What surrounds the sums of a half-step over kept pairs, compiled by Numba and cached on disk.

Small clouds have sums that take as long as ten operations of torch. No number here is promised to be
finite: the loops tell where one is not.
"""

from __future__ import annotations

import numpy as np

from .compiled import njit
from .pairs import OPTIONS

__all__ = ["biases", "frames", "marginal"]

STRICT = {**OPTIONS, "fastmath": False}
ADDING = {
    **OPTIONS,
    "fastmath": {"reassoc", "nsz", "contract"},
}  # infinity and NaN are themselves here, too


@njit(**ADDING)
def frames(points, centres, potential, size, curve, slopes, heights, below, lo, hi):
    """Slopes and largest rests of blocks lo to hi, and ``below`` where it has room: see ``TileLoops.frames``."""
    n, dim = points.shape
    mean, gap = np.empty(dim), np.empty(dim)
    normal = np.empty((dim, dim + 1))  # and the right hand side
    for c in range(lo, hi):
        for d in range(dim):
            mean[d] = 0.0
            for e in range(dim + 1):
                normal[d, e] = 0.0
        for p in range(c * size, (c + 1) * size):
            for d in range(dim):
                mean[d] += points[min(p, n - 1), d] / size
        for p in range(c * size, (c + 1) * size):
            at = min(p, n - 1)
            for d in range(dim):
                gap[d] = points[at, d] - mean[d]
                for e in range(d + 1):
                    normal[d, e] += gap[d] * gap[e]
                normal[d, dim] += gap[d] * potential[at]
        _solve(normal, slopes, c)
        highest = -np.inf
        for p in range(c * size, (c + 1) * size):
            along, square, at = 0.0, 0.0, min(p, n - 1)
            for d in range(dim):
                dx = points[at, d] - centres[c, d]
                along += slopes[c, d] * dx
                square += dx * dx
            highest = max(highest, potential[at] - along)
            if below.shape[1]:
                below[c, p - c * size] = -along - curve * square
        heights[c] = highest
        for i in range(below.shape[1]):
            below[c, i] -= highest


@njit(inline="always", **ADDING)
def _solve(normal, out, c):
    """The solution of a system, with a ridge, into a row: lower triangle and right hand side are overwritten."""
    dim, ridge = len(normal), 0.0
    for d in range(dim):
        ridge += normal[d, d]
    for d in range(dim):
        normal[d, d] += 1e-9 * ridge + 1e-300
    for d in range(dim):
        for e in range(d + 1, dim):
            factor = normal[e, d] / normal[d, d]
            for k in range(d + 1, e + 1):
                normal[e, k] -= factor * normal[k, d]
            normal[e, dim] -= factor * normal[d, dim]
    for d in range(dim - 1, -1, -1):
        total = normal[d, dim]
        for e in range(d + 1, dim):
            total -= normal[e, d] * out[c, e]
        out[c, d] = total / normal[d, d]


@njit(**STRICT)
def biases(potential, built, height, below, logs, rows, cols):
    """``below + height potential`` into ``rows``, and with ``logs`` into ``cols``, in their precision.

    The last potential fills up the blocks.

    Returns:
        By how much the potential has risen above ``built``; NaN where it is no number.
    """
    n, rise, check = len(potential), -np.inf, 0.0
    for i in range(n):
        gap = potential[i] - built[i]
        rise = max(rise, gap)
        check += gap - gap
        bias = below[i] + height * potential[i]
        rows[i] = bias
        cols[i] = bias + logs[i]
    for i in range(n, len(below)):
        bias = below[i] + height * potential[n - 1]
        rows[i] = bias
        cols[i] = bias + logs[i]
    return rise + check


@njit(**ADDING)
def marginal(total, weights, wanted, lowest, highest):
    """The sums of ``weights |total - wanted|`` and of ``weights total``, and whether all totals lie between both ends.

    ``wanted`` has one number for all, or one for each.
    """
    n, each, lack, mass, outside = len(total), len(wanted) > 1, 0.0, 0.0, 0
    one = wanted[0]
    for i in range(n):
        t = total[i]
        w = weights[i]
        lack += w * abs(t - (wanted[i] if each else one))
        mass += w * t
        outside += not (t > lowest and t < highest)
    return lack, mass, outside == 0
