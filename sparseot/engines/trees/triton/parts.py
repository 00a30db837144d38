"""What the kernels of all formulas are made of, beside the formula."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .functions import exponential

__all__ = ["inner", "multiples", "nearer", "risen", "share", "shifted", "unknown"]

MOST32, MOST64 = (tl.constexpr(torch.finfo(t).max) for t in (torch.float32, torch.float64))


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
def unknown(count, height):
    """A count of coordinates that compilers do not know: they would write all out, and hold as many numbers of each row."""
    return tl.minimum(count, height + count).to(tl.int32)


@triton.jit
def _bounded(top, BITS: tl.constexpr):
    """The largest number in the place of infinity: relative to it an infinite exponent is one or infinite, and no NaN."""
    return tl.minimum(top, MOST32 if BITS == 32 else MOST64)


@triton.jit
def risen(exponent, top, BITS: tl.constexpr):
    """What sums are multiplied by, what a new term is, and the largest exponent so far.

    One of both is one, and the other the exponential of the gap.
    """
    gap = exponent - top
    small, rises = exponential(-tl.abs(gap), BITS), gap > 0
    higher = _bounded(tl.where(rises, exponent, top), BITS)
    return tl.where(rises, small, 1.0), tl.where(rises, 1.0, small), higher


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


@triton.jit
def shifted(exponent, top, BITS: tl.constexpr):
    """Exponentials relative to the largest exponent of each row, what sums before are multiplied by, and that."""
    higher = _bounded(tl.maximum(top, tl.max(exponent, 1)), BITS)
    return exponential(exponent - higher[:, None], BITS), exponential(top - higher, BITS), higher


@triton.jit
def inner(xs, ys, height, D: tl.constexpr, K: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr):
    """Scalar products of D coordinates, K at a time."""
    i, j, d = tl.arange(0, BM)[:, None], tl.arange(0, BN)[None, :], tl.arange(0, K)
    total = tl.zeros((BM, BN), tl.float32)
    for k in range(0, D, K):
        if D % K == 0:
            here = tl.load(xs + (k + d)[None, :] * BM + i)
            there = tl.load(ys + (k + d)[:, None] * height + j)
        else:
            here = tl.load(xs + (k + d)[None, :] * BM + i, mask=(k + d < D)[None, :], other=0)
            there = tl.load(ys + (k + d)[:, None] * height + j, mask=(k + d < D)[:, None], other=0)
        total = tl.dot(here, there, total, input_precision="tf32x3")
    return total


@triton.jit
def multiples(
    w, ys, height, first, at, count, total, D: tl.constexpr, E: tl.constexpr, BN: tl.constexpr,
):  # fmt: skip
    """A total, and the sums of some multiples of ``count`` columns; E of their D coordinates, from ``at`` on."""
    j, e = tl.arange(0, BN)[:, None], tl.arange(0, E)[None, :]
    inside = (j < count) & (at + e < D)
    columns = tl.load(ys + (first + at + e) * height + j, mask=inside, other=0)
    return tl.dot(w, columns, total, input_precision="tf32x3")
