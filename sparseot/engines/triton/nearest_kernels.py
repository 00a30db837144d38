"""The nearest points of each row, kept in registers while the columns go by."""

from __future__ import annotations

import triton
import triton.language as tl

from .entries import minus_squares

__all__ = ["nearest"]


@triton.jit
def nearest(
    out, where, x, y, columns,
    D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, R: tl.constexpr,
    REAL: tl.constexpr,
):  # fmt: skip
    """The R smallest squared distances of each row and their columns, in no order.

    Most tiles hold nothing that is nearer. Of others the least entry of each row takes the place
    of its worst slot, until none is left that would.
    """
    I = tl.program_id(0).to(tl.int64)
    i, j, r = tl.arange(0, BM), tl.arange(0, BN), tl.arange(0, R)
    best = tl.full((BM, R), float("inf"), REAL)
    found = tl.full((BM, R), -1, tl.int32)
    worst = tl.full((BM,), float("inf"), REAL)
    for t in range(columns):
        J = I * 0 + t  # in 64 bits
        s = -minus_squares(tl.zeros((BM, BN), REAL), x, y, I, J, 1.0, D, BM, BN, BK, False)
        while tl.max((s < worst[:, None]).to(tl.int32)) > 0:
            least, place, last = tl.min(s, 1), tl.argmin(s, 1), tl.argmax(best, 1)
            swap = (r[None, :] == last[:, None]) & (least < worst)[:, None]
            best = tl.where(swap, least[:, None], best)
            found = tl.where(swap, (t * BN + place)[:, None], found)
            worst = tl.max(best, 1)
            s = tl.where(j[None, :] == place[:, None], float("inf"), s)
    at = (I * BM + i)[:, None] * R + r[None, :]
    tl.store(out + at, best)
    tl.store(where + at, found)
