"""What surrounds the sums of a half-step over kept pairs, compiled by Numba and cached on disk.

Small clouds have sums that take as long as ten operations of torch. No number here is promised to be
finite: the loops tell where one is not.
"""

from __future__ import annotations

import numpy as np

from .compiled import njit
from .pairs import OPTIONS

__all__ = ["biases", "marginal"]

STRICT = {**OPTIONS, "fastmath": False}
ADDING = {
    **OPTIONS,
    "fastmath": {"reassoc", "nsz", "contract"},
}  # infinity and NaN are themselves here, too


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
