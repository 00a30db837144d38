"""Which pairs of blocks may matter, by a bound of their exponents; compiled by Numba and cached on disk.

Costs differ in the bound alone. The arrays are those of :mod:`.kept_squares`.
"""

from __future__ import annotations

import numpy as np
from numba import uint64

from .compiled import njit
from .exponentials import exp2
from .pairs import OPTIONS

__all__ = ["chosen", "screen_distances", "screen_squares"]


@njit(inline="always", **OPTIONS)
def _of_squares(I, first, last, xc, xr, xs, xf, yc, yr, ys, yf, bounds, _):
    """The largest exponents that box I and boxes first to last allow, into ``bounds``.

    There f <= F + s.dx and g <= G + t.dy. Coordinate by coordinate the maximum of
    ``s dx + t dy - (D + dx - dy)^2 / 2`` over the rectangle lies on one of its four edges, since
    the function does not change its slope along dx = dy.
    """
    for k in range(last - first):
        bounds[k] = xf[I] + yf[first + k]
    for d in range(uint64(xc.shape[0])):
        x, r, s = xc[d, I], xr[d, I], xs[d, I]
        for k in range(last - first):
            D, q, t = x - yc[d, first + k], yr[d, first + k], ys[d, first + k]
            up, down = min(max(D + r + t, -q), q), min(max(D - r + t, -q), q)
            right, left = min(max(q - D + s, -r), r), min(max(-q - D + s, -r), r)
            g0, g1, g2, g3 = D + r - up, D - r - down, D + right - q, D + left + q
            best = max(s * r + t * up - 0.5 * g0 * g0, t * down - s * r - 0.5 * g1 * g1)
            best = max(best, s * right + t * q - 0.5 * g2 * g2)
            bounds[k] += max(best, s * left - t * q - 0.5 * g3 * g3)


@njit(inline="always", **OPTIONS)
def _of_distances(I, first, last, xc, xr, xs, xf, yc, yr, ys, yf, bounds, _):
    """The largest exponents that box I and boxes first to last allow, into ``bounds``.

    There f <= F + s.dx and g <= G + t.dy, and |z| >= u.z for each u of length one at most. Two
    are tried: the direction from box to box, and the middle of the slopes s and -t.
    """
    dim = uint64(xc.shape[0])
    for k in range(last - first):
        J, far, steep = first + k, 0.0, 0.0
        for d in range(dim):
            gap, middle = xc[d, I] - yc[d, J], (xs[d, I] - ys[d, J]) / 2
            far += gap * gap
            steep += middle * middle
        far, steep = np.sqrt(far), max(np.sqrt(steep), 1.0)
        level = 1.0 / max(far, 1e-300)
        straight, along = -far, 0.0
        for d in range(dim):
            gap, r, q, s, t = xc[d, I] - yc[d, J], xr[d, I], yr[d, J], xs[d, I], ys[d, J]
            u, v = gap * level, (s - t) / (2 * steep)
            straight += r * abs(s - u) + q * abs(t + u)
            along += r * abs(s - v) + q * abs(t + v) - v * gap
        bounds[k] = xf[I] + yf[J] + min(straight, along)


@njit(inline="always", **OPTIONS)
def _sift(first, last, weight, yw, ym, threshold, bounds, kept, total):
    """Appends what passes the threshold to ``kept``; returns its length and what was dropped."""
    lost = 0.0
    for k in range(last - first):
        mass = exp2(bounds[k] + ym[first + k])
        bounds[k] += max(weight, yw[first + k])
        lost += mass if bounds[k] < threshold else 0.0
    for k in range(last - first):
        if bounds[k] >= threshold:
            kept[total] = first + k
            total += 1
    return total, lost


@njit(inline="always", **OPTIONS)
def _with_room(kept, total, more):
    """An array that holds the first ``total`` numbers of ``kept`` and has room for some more."""
    if total + more <= len(kept):
        return kept
    longer = np.empty(2 * len(kept) + more, np.int32)
    for t in range(total):  # a slice would take longer to compile
        longer[t] = kept[t]
    return longer


@njit(inline="always", **OPTIONS)
def chosen(of, rows, cols, parents, starts, near, ends, threshold, counts, omitted, lo, hi, power):
    """See :func:`screen_squares`; ``of`` bounds the exponents, for that power of the distance."""
    xc, xr, xs, xf, xw, _ = rows
    yc, yr, ys, yf, yw, ym = cols
    longest = 0
    for Q in range(len(ends) - 1):
        longest = max(longest, ends[Q + 1] - ends[Q])
    kept, bounds = np.empty(4096, np.int32), np.empty(longest)
    total = 0
    for I in range(lo, hi):
        before, P = total, parents[I]
        for k in range(starts[P], starts[P + 1]):
            first, last = ends[near[k]], ends[near[k] + 1]
            kept = _with_room(kept, total, last - first)
            of(I, first, last, xc, xr, xs, xf, yc, yr, ys, yf, bounds, power)
            total, lost = _sift(first, last, xw[I], yw, ym, threshold, bounds, kept, total)
            omitted[I] += lost
        counts[I] = total - before
    return kept[:total]


@njit(**OPTIONS)
def screen_squares(rows, cols, parents, starts, near, ends, threshold, counts, omitted, lo, hi):
    """The tiles of row blocks lo to hi whose bound passes the threshold.

    A tile is kept where ``bound + max(w_I, w_J)`` reaches the threshold. What is dropped is
    bounded: ``omitted[I]`` grows by the sum of ``2^(bound + m_J)``, which no row sum of block I
    misses by more.

    Args:
        rows: centres (D, C), half sides, slopes, heights F (C,), weights w, masses m of the row
            blocks; ``cols`` those of the column blocks.
        parents: the group of each row block; it meets the groups of columns
            ``near[starts[P]:starts[P + 1]]``, which are the blocks ``ends[Q]`` to ``ends[Q + 1]``.
    """
    return chosen(
        _of_squares, rows, cols, parents, starts, near, ends, threshold, counts, omitted, lo, hi, 2
    )


@njit(**OPTIONS)
def screen_distances(rows, cols, parents, starts, near, ends, threshold, counts, omitted, lo, hi):
    """The same where the cost is the distance."""
    return chosen(
        _of_distances,
        rows,
        cols,
        parents,
        starts,
        near,
        ends,
        threshold,
        counts,
        omitted,
        lo,
        hi,
        1,
    )
