"""What the kernels of all formulas are made of, beside the formula."""

from __future__ import annotations

import triton
import triton.language as tl

from .functions import exponential

__all__ = ["nearer", "risen", "share"]


@triton.jit
def share(runs, run, part, parts, BN: tl.constexpr):
    """The first column, and how many, that one of so many parts takes of a run."""
    lo, hi = tl.load(runs + 2 * run), tl.load(runs + 2 * run + 1)
    count = (hi - lo).to(tl.int32)
    tiles = (count + BN - 1) // BN
    first = part * tiles // parts * BN
    last = tl.minimum((part + 1) * tiles // parts * BN, count)
    return lo + first, last - first


@triton.jit
def risen(exponent, top, BITS: tl.constexpr):
    """What sums are multiplied by, what a new term is, and the largest exponent so far.

    One of both is one, and the other the exponential of the gap.
    """
    gap = exponent - top
    small, rises = exponential(-tl.abs(gap), BITS), gap > 0
    return tl.where(rises, small, 1.0), tl.where(rises, 1.0, small), tl.where(rises, exponent, top)


@triton.jit
def nearer(best, found, worst, value, first, BN: tl.constexpr, K: tl.constexpr):
    """The K smallest values of each row and their columns, of those before and of a new tile.

    Most tiles hold nothing that is smaller. Of others the least entry of each row takes the place of
    its worst slot, of equal ones that of the last column, until none is left that would.
    """
    j, k = tl.arange(0, BN), tl.arange(0, K)
    value = tl.where(value < worst[:, None], value, float("inf"))
    while tl.min(value) < float("inf"):
        least, place = tl.min(value, 1), tl.argmin(value, 1)
        last = tl.argmax(tl.where(best == worst[:, None], found, -2), 1)
        swap = (k[None, :] == last[:, None]) & (least < worst)[:, None]
        best = tl.where(swap, least[:, None], best)
        found = tl.where(swap, (first + place)[:, None], found)
        worst = tl.max(best, 1)
        value = tl.where(j[None, :] == place[:, None], float("inf"), value)
        value = tl.where(value < worst[:, None], value, float("inf"))
    return best, found, worst
