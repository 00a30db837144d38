"""GeomLoss's schedule for small clouds, in one kernel: one program runs all steps of two clouds.

So launches do not dominate. Rows are taken in turn, and potentials stand in memory that only this program
touches, so that a barrier of its threads is all it waits for. The arithmetic is that of the step by step.
Padding, copies of the last point of weight zero, is visited by none: what it holds are copies, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from ...formulas import GroundCost
from . import reductions
from .card import launches
from .kernels import CHUNK, HIGHEST, LOG2E, LOWEST, _chunk, _scales, _tops

if TYPE_CHECKING:
    from .reductions import TritonReductions

__all__ = ["MOST", "annealed", "fits", "schedule"]

MOST = 2048  # points of a cloud, above which pairs take longer than launches in any batch
STEP = 1 << 19  # pairs that one multiprocessor visits while a step is launched
LOSS = 1.125  # of the time of all pairs, that programs of different lengths may take
REGISTERS = 255  # of a thread: all that there are, since no second program is waited for


@triton.jit
def _real(points, weights, item, count, dim, B: tl.constexpr):
    """How many points a cloud has without its padding."""
    found = 1
    for start in range(0, count, B):
        j = start + tl.arange(0, B)
        inside, before = j < count, tl.maximum(j - 1, 0)
        real = tl.load(weights + item * count + j, mask=inside, other=-1e38) > -1e29
        for d in range(dim):
            one = tl.load(points + (item * count + j) * dim + d, mask=inside, other=0)
            other = tl.load(points + (item * count + before) * dim + d, mask=inside, other=0)
            real = real | (inside & (one != other))
        found = tl.maximum(found, tl.max(tl.where(real, j + 1, 1), 0))
    return found


@triton.jit
def _columns(cols, values, weights, here, there, count, real, temperature, B: tl.constexpr):
    """The logarithms that ``here`` sums over, from the potential of its partner."""
    for start in range(0, real, B):
        j = start + tl.arange(0, B)
        inside = j < count
        value = tl.load(values + there * count + j, mask=inside, other=0)
        weight = tl.load(weights + here * count + j, mask=inside, other=0)
        tl.store(cols + here * count + j, weight + value / temperature, mask=inside)


@triton.jit
def _updated(
    new, values, cols, x, y, xq, yq, temperatures, damping, lengths, factor, weight, here, at, count,
    rows, real, blocks, columns,
    D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, DECAY: tl.constexpr,
    HALVES: tl.constexpr, REAL: tl.constexpr,
):  # fmt: skip
    """The mean of old and damped new values of all ``rows`` of a cloud, over the ``real`` columns of another."""
    rate, unit = _scales(tl.load(temperatures + at), tl.load(lengths), factor, DECAY, REAL)
    damped, last = tl.load(damping + at), tl.cdiv(real, BN)
    for block in range(tl.cdiv(rows, BM)):
        row, I = block * BM + tl.arange(0, BM), here * blocks + block
        inside = row < rows
        old = tl.load(values + here * count + row, mask=inside, other=0)
        shift = old / damped * LOG2E
        total = tl.zeros((BM,), tl.float64)
        tries = 0
        while tries < 2:
            total = tl.zeros((BM,), tl.float64)
            for start in range(0, last, CHUNK):
                some, _ = _chunk(shift, x, y, xq, yq, cols, x, count, rate, unit, I, here, start, last,
                                 columns, 0, 1, D, BM, BN, BK, DECAY, 0, HALVES, REAL)  # fmt: skip
                total += some
            lost = (inside & ~((total > LOWEST) & (total < HIGHEST))).to(tl.int32)
            tries += 2 - tl.max(lost, 0)
            if tries == 1:
                shift = _tops(x, y, xq, yq, cols, count, rate, unit, I, here, 0, last, columns,
                              D, BM, BN, BK, DECAY, HALVES, REAL)  # fmt: skip
        found = (shift.to(tl.float64) + tl.log2(tl.where(inside, total, 1))) / LOG2E
        found = damped * found.to(REAL)
        tl.store(new + here * count + row, old + weight * (found - old), mask=inside)


@triton.jit
def _kept(values, new, here, count, rows, B: tl.constexpr):
    """New values are those of the next step."""
    for start in range(0, rows, B):
        j = start + tl.arange(0, B)
        found = tl.load(new + here * count + j, mask=j < rows, other=0)
        tl.store(values + here * count + j, found, mask=j < rows)


@triton.jit
def _copied(values, here, count, rows, B: tl.constexpr):
    """Padding has the value of the last point, of which it is copies."""
    last = tl.load(values + here * count + rows - 1)
    for start in range(0, count, B):
        j = start + tl.arange(0, B)
        there = last + tl.zeros((B,), last.dtype)
        tl.store(values + here * count + j, there, mask=(j >= rows) & (j < count))


@triton.jit
def schedule(
    values, new, cols, x, y, xq, yq, points, weights, firsts, partner, temperatures, damping, starts,
    lengths, factor, count, dim, blocks, columns, items, steps,
    D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, DECAY: tl.constexpr,
    HALVES: tl.constexpr, REAL: tl.constexpr,
):  # fmt: skip
    """All steps of one pair of clouds, or of one cloud with itself; ``values`` are zero before.

    ``temperatures`` and ``damping`` are ``(steps, items)``. The first step is taken once more before all
    of them, in full; until an item's own start its values wait. ``points`` are the columns as they came.
    """
    first = tl.load(firsts + tl.program_id(0)).to(tl.int64)
    second = tl.load(partner + first).to(tl.int64)
    sides = tl.where(second == first, 1, 2)
    wide = _real(points, weights, first, count, dim, BN)
    high = _real(points, weights, second, count, dim, BN)
    start = tl.load(starts + first)
    for turn in range(steps + 1):
        step = tl.maximum(turn - 1, 0)
        weight = tl.where(turn == 0, 1.0, tl.where(start <= step, 0.5, 0.0)).to(REAL)
        for side in range(sides):
            here, there = tl.where(side == 0, first, second), tl.where(side == 0, second, first)
            real = tl.where(side == 0, wide, high)
            temperature = tl.load(temperatures + step * items + here)
            _columns(cols, values, weights, here, there, count, real, temperature, BN)
        tl.debug_barrier()
        for side in range(sides):
            here = tl.where(side == 0, first, second)
            real, rows = tl.where(side == 0, wide, high), tl.where(side == 0, high, wide)
            _updated(new, values, cols, x, y, xq, yq, temperatures, damping, lengths, factor, weight,
                     here, step * items + here, count, rows, real, blocks, columns,
                     D, BM, BN, BK, DECAY, HALVES, REAL)  # fmt: skip
        tl.debug_barrier()
        for side in range(sides):
            here, rows = tl.where(side == 0, first, second), tl.where(side == 0, high, wide)
            _kept(values, new, here, count, rows, BN)
        tl.debug_barrier()
    for side in range(sides):
        here, rows = tl.where(side == 0, first, second), tl.where(side == 0, high, wide)
        _copied(values, here, count, rows, BN)


def fits(count: int, items: int, programs: int, device: torch.device) -> bool:
    """Whether one kernel takes all steps of a batch in no more time than kernels of one step.

    A program has one multiprocessor. Programs of two items are taken before those of one, so the last
    one ends when all are done or, where there are few, when the longest is.

    Args:
        count: points of the largest cloud.
        items: softmins of a step.
        programs: pairs of them, and clouds with themselves.
        device: of the points.
    """
    if count > MOST:
        return False
    at_once = max(1, launches.programs(device) // 2)
    twos = items - programs
    longest = max(2 * -(-twos // at_once), -(-items // at_once))
    return longest * count**2 <= max(STEP, LOSS * items * count**2 / at_once)


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
    items, count, dim = sums.y.shape
    if not isinstance(cost, GroundCost) or sums.lists or sums.x.shape[1] != count:
        return None
    single = reductions._is_single(cost.factor)
    if not (single and fits(count, items, len(firsts), log_weights.device)):
        return None
    halves = sums.halves if cost.power == 2 else 0
    shape = sums._usual(
        halves, halves > 0, cost.singular
    )  # smaller tiles, lest registers not suffice
    packed = sums._packed(halves, shape)
    rows, cols = packed.layouts
    values = log_weights.new_zeros(log_weights.shape)
    new, logs = torch.empty_like(values), torch.empty_like(values)
    launches.launch(
        schedule, (len(firsts),), shape.warps, values, new, logs, *packed.arrays,
        sums.y, log_weights.contiguous(), firsts, partner, eps.contiguous(), damped.contiguous(), starts,
        packed.unit, cost.factor, count, dim, rows.blocks, cols.blocks, items, len(eps),
        most=REGISTERS, DECAY=cost.power, **packed.switches,
    )  # fmt: skip
    return values
