"""Which tiles a product may leave out: compiled loops over the tiles of pieces of rows.

The pieces of one block of rows meet the same column blocks; ``most`` and ``least`` bound the entries of
each tile, ``masses`` are sums of ``|v_j|`` over each column block, ``(R, C)``. What a row certainly has is its floor,
the sum of ``least |v_j|``. Tiles are left out, from the smallest on, while all of them together hold at most
a share ``budget`` of that; they are put into bins by the leading bits of what they may hold, not sorted.
A tile is kept where ``most`` times a mass reaches the ``level`` of the piece.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..loops.compiled import njit

__all__ = ["count", "cut", "fill"]

OPTIONS: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy"}
SHIFT = 22  # of the bits of a float32: its exponent, and the first digit of its mantissa
BINS = 1 << (31 - SHIFT)
NEARLY = 1.00001  # products are rounded
FEW = 2.0**-30  # of the budget: smaller shares are added up without bins


@njit(inline="always", **OPTIONS)
def _weights(masses, blocks, first, size, weights):
    """Masses of the column blocks of a piece side by side."""
    for r in range(masses.shape[0]):
        for t in range(size):
            weights[r, t] = masses[r, blocks[first + t]]


@njit(fastmath={"reassoc", "contract"}, **OPTIONS)
def _certain(least, weights):
    total = 0.0
    for t in range(len(least)):
        total += least[t] * weights[t]
    return total


@njit(**OPTIONS)
def cut(owners, starts, blocks, offsets, most, least, masses, budget, levels, lo, hi):
    """The levels of pieces lo to hi, ``(R, pieces)``."""
    longest, width = np.max(starts[1:] - starts[:-1]), len(masses)
    weights, shares = np.empty((width, longest)), np.empty(longest, np.float32)
    bits, sums, owner = shares.view(np.int32), np.empty(BINS), -1
    limit = np.array([FEW * budget, budget], np.float32)
    limit_bits = limit.view(np.int32)
    few, lowest, highest = limit[0], limit_bits[0] >> SHIFT, limit_bits[1] >> SHIFT
    for p in range(lo, hi):
        first, size = starts[owners[p]], starts[owners[p] + 1] - starts[owners[p]]
        if owners[p] != owner:
            owner = owners[p]
            _weights(masses, blocks, first, size, weights)
        tiles = slice(offsets[p], offsets[p + 1])
        shares[:size] = 0.0
        for r in range(width):
            floor = _certain(least[tiles], weights[r, :size])
            levels[r, p] = floor if np.isfinite(floor) else 0.0  # then all is kept
            _share(most[tiles], weights[r], levels[r, p], shares)
        sums[:] = 0.0
        left_out, k = 0.0, lowest
        for t in range(size):
            if shares[t] < few:
                left_out += shares[t]
            elif shares[t] < budget:
                sums[bits[t] >> SHIFT] += shares[t]
        while k < highest and left_out + sums[k] <= budget:
            left_out += sums[k]
            k += 1
        limit_bits[0] = k << SHIFT
        for r in range(width):
            levels[r, p] *= limit[0] / NEARLY


@njit(**OPTIONS)
def _share(most, weights, floor, shares):
    """The largest part of a row of the piece that each tile may hold, over all columns of v."""
    if floor > 0.0:
        scale = 1.0 / floor
        for t in range(len(most)):
            shares[t] = max(shares[t], np.float32(most[t] * weights[t] * scale))
    else:
        for t in range(len(most)):
            if weights[t] > 0.0:
                shares[t] = np.inf


@njit(**OPTIONS)
def count(owners, starts, blocks, offsets, most, masses, levels, half, kept, counts, own, lo, hi):
    """For pieces lo to hi: which tiles are kept, the number of runs, and whether a piece meets itself.

    Of halves, whose blocks stand in order, tiles behind the piece are kept where it needs them or their own piece does.
    """
    longest, width, owner = np.max(starts[1:] - starts[:-1]), len(masses), -1
    weights = np.empty((width, longest))
    for p in range(lo, hi):
        first, size = starts[owners[p]], starts[owners[p] + 1] - starts[owners[p]]
        if owners[p] != owner:
            owner = owners[p]
            _weights(masses, blocks, first, size, weights)
        here, met = kept[offsets[p] :], blocks[first : first + size]
        here[:size] = False
        begin = 0
        if half:
            begin = int(np.searchsorted(met, p))
            own[p] = begin < size and met[begin] == p
            begin += own[p]
        for r in range(width):
            level, mass = levels[r, p], masses[r, p] if half else 0.0
            for t in range(begin, size):
                above = most[offsets[p] + t]
                here[t] |= (weights[r, t] > 0.0) & (above * weights[r, t] >= level)
            if mass > 0.0:
                for t in range(begin, size):
                    here[t] |= most[offsets[p] + t] * mass >= levels[r, met[t]]
        before = -2
        for t in range(begin, size):
            if here[t]:
                counts[p] += met[t] != before + 1
                before = met[t]


@njit(**OPTIONS)
def fill(owners, starts, blocks, offsets, kept, ends, places, runs, lo, hi):
    """The runs of columns of pieces lo to hi: ``ends`` of the column blocks, ``places`` among the runs."""
    for p in range(lo, hi):
        first, size = starts[owners[p]], starts[owners[p] + 1] - starts[owners[p]]
        run, before = places[p] - 1, -2
        for t in range(size):
            if kept[offsets[p] + t]:
                block = blocks[first + t]
                if block != before + 1:
                    run += 1
                    runs[run, 0] = ends[block]
                runs[run, 1] = ends[block + 1]
                before = block
