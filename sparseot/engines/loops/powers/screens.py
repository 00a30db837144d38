"""Which pairs of blocks may matter where the cost is ``|x - y|^q / q``; compiled by Numba and cached on disk."""

from __future__ import annotations

import numpy as np
from numba import uint64

from ..compiled import njit
from ..pairs import OPTIONS
from ..screens import chosen

__all__ = ["screen_powers"]

NEAR = 1e-6  # relative difference of two squares below which a chord is a tangent
TINY = 1e-300


@njit(inline="always", **OPTIONS)
def _squared(J, I, xc, xr, xs, yc, yr, ys):
    """Of two boxes: the least and the largest squared distance, that of the centres, and |s - t|^2 / 4."""
    low, high, far, steep = 0.0, 0.0, 0.0, 0.0
    for d in range(uint64(xc.shape[0])):
        gap, reach = abs(xc[d, I] - yc[d, J]), xr[d, I] + yr[d, J]
        middle, least = (xs[d, I] - ys[d, J]) / 2, max(gap - reach, 0.0)
        low += least * least
        high += (gap + reach) * (gap + reach)
        far += gap * gap
        steep += middle * middle
    return low, high, far, steep


@njit(inline="always", **OPTIONS)
def _chord(low, high, q):
    """``a, b`` with ``s^(q/2) / q >= a + b s / 2`` between two squared distances, by concavity."""
    first, last = low ** (q / 2) / q, high ** (q / 2) / q
    if high - low > NEAR * high:
        b = 2 * (last - first) / (high - low)
    else:
        b = q * last / max(high, TINY)
    return first - b * low / 2, b


@njit(inline="always", **OPTIONS)
def _of_powers(I, first, last, xc, xr, xs, xf, yc, yr, ys, yf, bounds, q):
    """The largest exponents that box I and boxes first to last allow, into ``bounds``.

    There f <= F + s.dx and g <= G + t.dy. Three bounds are tried. The cost lies above a multiple of the
    squared distance, whose maximum is known coordinate by coordinate, see :func:`..screens._of_squares`. It
    lies above its tangents, being convex: of those, that at the way from box to box, and the one of slope
    (s - t) / 2, by the convex conjugate.
    """
    dim = uint64(xc.shape[0])
    for k in range(last - first):
        J = first + k
        low, high, far, steep = _squared(J, I, xc, xr, xs, yc, yr, ys)
        a, b = _chord(low, high, q)
        b = max(b, TINY)
        pull = far ** (q / 2 - 1) if far > 0 else 0.0
        steep = np.sqrt(steep)
        turn = min(
            1.0, high ** ((q - 1) / 2) / max(steep, TINY)
        )  # to what a distance here may have
        square, straight = -a, -pull * far / q
        along = (turn * steep) ** (q / (q - 1)) * (1 - 1 / q)
        for d in range(dim):
            D, r, c, s, t = xc[d, I] - yc[d, J], xr[d, I], yr[d, J], xs[d, I], ys[d, J]
            u, v = pull * D, turn * (s - t) / 2
            straight += r * abs(s - u) + c * abs(t + u)
            along += r * abs(s - v) + c * abs(t + v) - v * D
            up, down = min(max(D + r + t / b, -c), c), min(max(D - r + t / b, -c), c)
            right, left = min(max(c - D + s / b, -r), r), min(max(-c - D + s / b, -r), r)
            g0, g1, g2, g3 = D + r - up, D - r - down, D + right - c, D + left + c
            best = max(s * r + t * up - b * g0 * g0 / 2, t * down - s * r - b * g1 * g1 / 2)
            best = max(best, s * right + t * c - b * g2 * g2 / 2)
            square += max(best, s * left - t * c - b * g3 * g3 / 2)
        bounds[k] = xf[I] + yf[J] + min(square, min(straight, along))


@njit(**OPTIONS)
def screen_powers(rows, cols, parents, starts, near, ends, threshold, counts, omitted, lo, hi, q):
    """See :func:`..screens.screen_squares`; ``q`` is the power of the distance."""
    return chosen(
        _of_powers, rows, cols, parents, starts, near, ends, threshold, counts, omitted, lo, hi, q
    )
