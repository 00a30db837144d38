"""Which tiles a product may leave out: compiled loops over the tiles of pieces of rows.

The pieces of one block of rows meet the same column blocks; ``most`` and ``least`` bound the entries of
each tile, ``masses`` are sums of ``|v_j|`` over each column block. What a row certainly has is its ``floor``,
the sum of ``least |v_j|``. Tiles are left out, from the smallest on, while all of them together hold at most
a share ``budget`` of that; they are put into bins by the leading bits of what they may hold, not sorted.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..loops.compiled import njit

__all__ = ["count", "cut", "fill"]

OPTIONS: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy"}
SHIFT = 22  # of the bits of a float32: its exponent, and the first digit of its mantissa
BINS = 1 << (31 - SHIFT)
NEARLY = 1.00001  # the mirror's bounds may have been rounded otherwise


@njit(inline="always", **OPTIONS)
def _shares(p, owners, starts, blocks, offsets, most, masses, floor, shares):
    """The largest part of a row of the piece that each tile may hold, over all columns of v."""
    first = starts[owners[p]]
    size = starts[owners[p] + 1] - first
    for t in range(size):
        worst = 0.0
        for r in range(masses.shape[1]):
            mass = masses[blocks[first + t], r]
            if mass > 0.0:
                worst = max(worst, mass / floor[p, r])
        shares[t] = worst * most[offsets[p] + t]
    return size


@njit(**OPTIONS)
def cut(owners, starts, blocks, offsets, most, least, masses, budget, floor, bins, lo, hi):
    """For pieces lo to hi: what rows certainly have, and the first bin that is kept."""
    longest = np.max(starts[1:] - starts[:-1])
    shares = np.empty(longest, np.float32)
    bits = shares.view(np.int32)
    sums = np.empty(BINS, np.float64)
    for p in range(lo, hi):
        first = starts[owners[p]]
        size = starts[owners[p] + 1] - first
        for t in range(size):
            for r in range(masses.shape[1]):
                floor[p, r] += least[offsets[p] + t] * masses[blocks[first + t], r]
        for r in range(masses.shape[1]):
            if not np.isfinite(floor[p, r]):  # then all is kept
                floor[p, r] = 0.0
        _shares(p, owners, starts, blocks, offsets, most, masses, floor, shares)
        sums[:] = 0.0
        for t in range(size):
            sums[bits[t] >> SHIFT] += shares[t]
        left_out, k = 0.0, 0
        while k < BINS - 2 and left_out + sums[k] <= budget:
            left_out += sums[k]
            k += 1
        bins[p] = k


@njit(inline="always", **OPTIONS)
def _kept(p, owners, starts, blocks, offsets, most, masses, floor, bins, half, shares, kept):
    """Which tiles of a piece are visited; of halves, those behind it that it or the other piece needs."""
    size = _shares(p, owners, starts, blocks, offsets, most, masses, floor, shares)
    bits = shares.view(np.int32)
    first = starts[owners[p]]
    for t in range(size):
        kept[t] = bits[t] >> SHIFT >= bins[p]
        q = blocks[first + t]
        if half and q <= p:
            kept[t] = False
        elif half and not kept[t]:
            worst = 0.0
            for r in range(masses.shape[1]):
                mass = masses[p, r]
                if mass > 0.0:
                    worst = max(worst, mass / floor[q, r])
            shares[t] = worst * most[offsets[p] + t] * NEARLY
            kept[t] = bits[t] >> SHIFT >= bins[q]
    return size


@njit(**OPTIONS)
def count(
    owners, starts, blocks, offsets, most, masses, floor, bins, half, counts, own, lo, hi
):
    """The number of runs of columns that pieces lo to hi meet, and whether they may meet their own rows."""
    longest = np.max(starts[1:] - starts[:-1])
    shares, kept = np.empty(longest, np.float32), np.empty(longest, np.bool_)
    for p in range(lo, hi):
        size = _kept(
            p, owners, starts, blocks, offsets, most, masses, floor, bins, half, shares, kept
        )
        first, before = starts[owners[p]], -2
        for t in range(size):
            own[p] |= blocks[first + t] == p
            if kept[t]:
                counts[p] += blocks[first + t] != before + 1
                before = blocks[first + t]


@njit(**OPTIONS)
def fill(
    owners, starts, blocks, offsets, most, masses, floor, bins, half, ends, places, runs, lo, hi
):
    """The runs of columns of pieces lo to hi: ``ends`` of the column blocks, ``places`` among the runs."""
    longest = np.max(starts[1:] - starts[:-1])
    shares, kept = np.empty(longest, np.float32), np.empty(longest, np.bool_)
    for p in range(lo, hi):
        size = _kept(
            p, owners, starts, blocks, offsets, most, masses, floor, bins, half, shares, kept
        )
        first = starts[owners[p]]
        run, before = places[p] - 1, -2
        for t in range(size):
            if kept[t]:
                block = blocks[first + t]
                if block != before + 1:
                    run += 1
                    runs[run, 0] = ends[block]
                runs[run, 1] = ends[block + 1]
                before = block
