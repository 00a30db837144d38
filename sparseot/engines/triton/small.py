"""GeomLoss's schedule for small clouds, in one kernel: one program runs all steps of two clouds.

So launches do not dominate. Rows are taken in turn, and potentials stand in memory that only this program
touches, so that a barrier of its threads is all it waits for. The arithmetic is that of the step by step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from ...formulas import GroundCost
from . import reductions
from .kernels import CHUNK, HIGHEST, LOG2E, LOWEST, _chunk, _scales, _tops

if TYPE_CHECKING:
    from .reductions import TritonReductions

__all__ = ["SMALL", "annealed", "schedule"]

SMALL = 1 << 18  # pairs of two clouds, beyond which one multiprocessor takes longer than launches


@triton.jit
def _columns(cols, values, weights, here, there, count, temperature, B: tl.constexpr):
    """The logarithms that ``here`` sums over, from the potential of its partner."""
    for start in range(0, count, B):
        j = start + tl.arange(0, B)
        inside = j < count
        value = tl.load(values + there * count + j, mask=inside, other=0)
        weight = tl.load(weights + here * count + j, mask=inside, other=0)
        tl.store(cols + here * count + j, weight + value / temperature, mask=inside)


@triton.jit
def _updated(
    new, values, cols, x, y, temperatures, damping, lengths, factor, weight, here, at, count, blocks,
    D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, DECAY: tl.constexpr,
    REAL: tl.constexpr,
):  # fmt: skip
    """The mean of old and damped new values of all rows of a cloud."""
    rate, unit = _scales(tl.load(temperatures + at), tl.load(lengths), factor, DECAY, REAL)
    damped = tl.load(damping + at)
    for block in range(blocks):
        row, I = block * BM + tl.arange(0, BM), here * blocks + block
        inside = row < count
        old = tl.load(values + here * count + row, mask=inside, other=0)
        shift = old / damped * LOG2E
        total = tl.zeros((BM,), tl.float64)
        tries = 0
        while tries < 2:
            total = tl.zeros((BM,), tl.float64)
            for start in range(0, blocks, CHUNK):
                some, _ = _chunk(shift, x, y, x, y, cols, x, count, rate, unit, I, here, start, blocks,
                                 blocks, 0, 1, D, BM, BN, BK, DECAY, 0, 0, REAL)  # fmt: skip
                total += some
            lost = (inside & ~((total > LOWEST) & (total < HIGHEST))).to(tl.int32)
            tries += 2 - tl.max(lost, 0)
            if tries == 1:
                shift = _tops(x, y, x, y, cols, count, rate, unit, I, here, 0, blocks, blocks,
                              D, BM, BN, BK, DECAY, 0, REAL)  # fmt: skip
        found = (shift.to(tl.float64) + tl.log2(tl.where(inside, total, 1))) / LOG2E
        found = damped * found.to(REAL)
        tl.store(new + here * count + row, old + weight * (found - old), mask=inside)


@triton.jit
def _kept(values, new, here, count, B: tl.constexpr):
    """New values are those of the next step."""
    for start in range(0, count, B):
        j = start + tl.arange(0, B)
        found = tl.load(new + here * count + j, mask=j < count, other=0)
        tl.store(values + here * count + j, found, mask=j < count)


@triton.jit
def schedule(
    values, new, cols, x, y, weights, firsts, partner, temperatures, damping, starts, lengths,
    factor, count, blocks, items, steps,
    D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, DECAY: tl.constexpr,
    REAL: tl.constexpr,
):  # fmt: skip
    """All steps of one pair of clouds, or of one cloud with itself; ``values`` are zero before.

    ``temperatures`` and ``damping`` are ``(steps, items)``. The first step is taken once more before all
    of them, in full; until an item's own start its values wait.
    """
    first = tl.load(firsts + tl.program_id(0)).to(tl.int64)
    second = tl.load(partner + first).to(tl.int64)
    sides = tl.where(second == first, 1, 2)
    start = tl.load(starts + first)
    for turn in range(steps + 1):
        step = tl.maximum(turn - 1, 0)
        weight = tl.where(turn == 0, 1.0, tl.where(start <= step, 0.5, 0.0)).to(REAL)
        for side in range(sides):
            here, there = tl.where(side == 0, first, second), tl.where(side == 0, second, first)
            temperature = tl.load(temperatures + step * items + here)
            _columns(cols, values, weights, here, there, count, temperature, BN)
        tl.debug_barrier()
        for side in range(sides):
            here = tl.where(side == 0, first, second)
            _updated(new, values, cols, x, y, temperatures, damping, lengths, factor, weight, here,
                     step * items + here, count, blocks, D, BM, BN, BK, DECAY, REAL)  # fmt: skip
        tl.debug_barrier()
        for side in range(sides):
            _kept(values, new, tl.where(side == 0, first, second), count, BN)
        tl.debug_barrier()


def annealed(
    sums: TritonReductions, cost: Any, eps: Tensor, damped: Tensor, starts: Tensor,
    log_weights: Tensor, firsts: Tensor, partner: Tensor,
) -> Tensor | None:  # fmt: skip
    """The potentials ``(B, N)`` before the last step, or None where other kernels are faster.

    Args:
        sums: of equally many points on both sides.
        cost: a power of the distance.
        eps: temperatures ``(T, B)``.
        damped: minus their damped values.
        starts: ``(B,)``, the step at which each item's schedule starts.
        log_weights: of the columns, ``(B, N)``.
        firsts: one item of each pair of items, ``(P,)``.
        partner: ``(B,)``, whose potential is the other one of an item's.
    """
    count = sums.x.shape[1]
    if not isinstance(cost, GroundCost) or sums.lists or count * sums.y.shape[1] > SMALL:
        return None
    if sums.halves and cost.power == 2:  # on matrix units
        return None
    packed = sums._packed(0, False)
    rows, cols = packed.layouts
    if rows.size != cols.size or not reductions._is_single(cost.factor):
        return None
    values = log_weights.new_zeros(log_weights.shape)
    new, logs = torch.empty_like(values), torch.empty_like(values)
    names = ("D", "BM", "BN", "BK", "REAL")
    reductions.launch(
        schedule, (len(firsts),), sums._warps(packed, cost), values, new, logs, *packed.arrays[:2],
        log_weights.contiguous(), firsts, partner, eps.contiguous(), damped.contiguous(), starts, packed.unit,
        cost.factor, count, rows.blocks, len(values), len(eps),
        DECAY=cost.power, **{name: packed.switches[name] for name in names},
    )  # fmt: skip
    return values
