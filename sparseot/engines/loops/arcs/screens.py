"""Which pairs of blocks may matter where the cost is ``arc^p / p``; compiled by Numba and cached on disk."""

from __future__ import annotations

import numpy as np
from numba import uint64

from ..compiled import njit
from ..pairs import OPTIONS
from ..powers.screens import NEAR, TINY, _squared
from ..screens import chosen
from .kept_torch import HIGHEST, ROUNDING

__all__ = ["screen_arcs"]


@njit(inline="always", **OPTIONS)
def _line(p, low, high, far):
    """``a, b`` with ``arc^p / p >= a + b s / 2`` for all squared chords s between two, on the unit sphere.

    Half of the square of an angle is convex in s: a tangent serves. An angle is concave up to a right one, and has a
    chord; beyond it is convex. Around, the line with the slope at the right angle serves, from the lower end.
    """
    at = min(max(far, low), high, HIGHEST)
    angle, sine = 2 * np.arcsin(np.sqrt(at) / 2), np.sqrt(at * (4 - at)) / 2
    if p == 2:
        b = angle / sine if at > TINY else 1.0
        return angle * angle / 2 - b * at / 2, b
    if low >= 2 and high > 2:
        return angle - at / sine / 2, 1 / sine
    first, last = 2 * np.arcsin(np.sqrt(low) / 2), 2 * np.arcsin(np.sqrt(high) / 2)
    b = 1.0
    if high <= 2:
        b = 2 * (last - first) / (high - low) if high - low > NEAR * high else 1 / max(sine, TINY)
    return first - b * low / 2, b


@njit(inline="always", **OPTIONS)
def _turned(K, xc, xr, xs, J, yc, b, size):
    """What of its centre a box adds to its slope, and what its height grows by, for a line with b.

    All its points are on the sphere, so any multiple of ``|x|^2 - R^2`` may be added to f. The one is taken with which its
    slope is that of the square along the normal: there boxes are thick, and their points are not.
    """
    square, along, sides = 0.0, 0.0, 0.0
    for d in range(uint64(xc.shape[0])):
        square += xc[d, K] * xc[d, K]
        along += (b * (xc[d, K] - yc[d, J]) - xs[d, K]) * xc[d, K]
        sides += xr[d, K] * xr[d, K]
    more = along / max(square, size / 4)
    return more, (more * (square - size) + max(more, 0.0) * sides + abs(more) * ROUNDING * size) / 2


@njit(inline="always", **OPTIONS)
def _edges(D, r, c, s, t, b):
    """The largest ``s dx + t dy - b (D + dx - dy)^2 / 2`` of one coordinate, see :func:`..screens._of_squares`."""
    up, down = min(max(D + r + t / b, -c), c), min(max(D - r + t / b, -c), c)
    right, left = min(max(c - D + s / b, -r), r), min(max(-c - D + s / b, -r), r)
    g0, g1, g2, g3 = D + r - up, D - r - down, D + right - c, D + left + c
    best = max(s * r + t * up - b * g0 * g0 / 2, t * down - s * r - b * g1 * g1 / 2)
    best = max(best, s * right + t * c - b * g2 * g2 / 2)
    return max(best, s * left - t * c - b * g3 * g3 / 2)


@njit(inline="always", **OPTIONS)
def _of_arcs(I, first, last, xc, xr, xs, xf, yc, yr, ys, yf, bounds, rule):
    """The largest exponents that box I and boxes first to last allow, into ``bounds``.

    There f <= F + s.dx and g <= G + t.dy. The cost lies above a multiple of the squared distance, whose maximum is known
    coordinate by coordinate; of slopes as they are, and of those that are turned, the lower one counts.
    """
    p, radius = rule
    size = radius * radius
    lift = radius if p == 1 else size
    for k in range(last - first):
        J = first + k
        low, high, far, _ = _squared(J, I, xc, xr, xs, yc, yr, ys)
        a, b = _line(p, min(low / size, 4.0), min(high / size, 4.0), far / size)
        b *= lift / size
        mu, more = _turned(I, xc, xr, xs, J, yc, b, size)
        nu, others = _turned(J, yc, yr, ys, I, xc, b, size)
        plain, turned = 0.0, more + others
        for d in range(uint64(xc.shape[0])):
            D, r, c, s, t = xc[d, I] - yc[d, J], xr[d, I], yr[d, J], xs[d, I], ys[d, J]
            plain += _edges(D, r, c, s, t, b)
            turned += _edges(D, r, c, s + mu * xc[d, I], t + nu * yc[d, J], b)
        bounds[k] = xf[I] + yf[J] - lift * a + min(plain, turned)


@njit(**OPTIONS)
def screen_arcs(rows, cols, parents, starts, near, ends, threshold, counts, omitted, lo, hi, rule):
    """See :func:`..screens.screen_squares`; ``rule`` is the power of the arc and the radius."""
    return chosen(
        _of_arcs, rows, cols, parents, starts, near, ends, threshold, counts, omitted, lo, hi, rule
    )
