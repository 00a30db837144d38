"""Products with symmetric matrices on symmetric pairs: which tiles on one side of the diagonal are visited.

A formula is symmetric if rows and columns hold the same numbers and the formula with both exchanged is the
same tree. A tile is visited where its rows or its columns need it, and its values serve both of them, so that half of
the exponentials are enough, and each row has all that it would have alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...formulas.trees.algebra import mul
from ...formulas.trees.expressions import Expr, I, J, make, ordered, rebuilt
from ...formulas.trees.slots import slot
from .base import Ranges, Reduction
from .rows import candidates, expanded

__all__ = [
    "SPARE",
    "Halves",
    "Units",
    "cut_evenly",
    "halves",
    "is_symmetric",
    "kept_both_ways",
    "mirrored",
]

Array = np.ndarray[Any, Any]
SPARE = 64  # places after the last one, which vectors may touch


def is_symmetric(formula: Expr, numbers: Mapping[Expr, Tensor]) -> bool:
    """Whether a formula is the same with rows and columns exchanged, up to signs that are squared."""
    mine, theirs = ([s for s in numbers if s.on == side] for side in (I, J))
    exchanged: dict[Expr, Expr] = {}
    for s in mine:
        twins = (t for t in theirs if t not in exchanged and torch.equal(numbers[s], numbers[t]))
        t = next(twins, None)
        if t is None:
            return False
        exchanged |= {s: t, t: s}
    if len(mine) != len(theirs):
        return False
    one, other = _canonical((formula, *rebuilt((formula,), exchanged)))
    return one is other


def _canonical(roots: Sequence[Expr]) -> list[Expr]:
    """The same formulas; differences that are squared have one sign."""
    done: dict[Expr, Expr] = {}
    for n in ordered(*roots):
        args = [done[a] for a in n.args]
        if n.op == "mul" and args[0] is args[1] and args[0].op == "sub":
            args = [make("sub", *sorted(args[0].args, key=id))] * 2
        done[n] = make(n.op, *args, attr=n.attr, dim=n.dim) if args else n
    return [done[root] for root in roots]


def kept_both_ways(ranges: Ranges, ends: Array) -> bool:
    """Whether each pair of cells, pieces between ``ends``, is kept as often as its mirror: once or not at all."""
    numbers = {end: k for k, end in enumerate(ends.tolist())}
    count, starts, met = len(ends), *candidates(ranges, numbers)
    first, last = (np.searchsorted(ends, ranges.rows[:, k]) for k in (0, 1))
    owners, rows = expanded(first, last)
    lengths = np.diff(starts)[owners]
    places, places_of = expanded(starts[owners], starts[owners] + lengths)
    keys = rows[places] * count + met[places_of]
    keys.sort()
    mirror = keys % count * count + keys // count
    mirror.sort()
    return bool((np.diff(keys) > 0).all()) and np.array_equal(keys, mirror)


def mirrored(reduction: Reduction, factor: Expr | None) -> Reduction:
    """The formula, and the one with the factor of rows in the place of that of columns: the last slot."""
    (e,) = reduction.outputs
    mine = slot(len(reduction.slots), factor.dim if factor else 1, I)
    other = mul(e, mine) if factor is None else rebuilt((e,), {factor: mine})[0]
    return Reduction("sum", (e, other), (*reduction.slots, mine), (I, J))


@dataclass(frozen=True)
class Halves:
    """Tiles of rows and what they meet; rows and columns have the same places.

    Attributes:
        rows: ``(tiles, lanes)`` places of rows; the last one of a piece is repeated.
        true: ``(tiles, lanes)``, whether a lane has a row of its own.
        pieces: ``(pieces, 6)``, the first run, the one after the last, the first tile, the one after the last, the first
            own place and the one after the last.
        runs: ``(runs, 2)``, places of columns behind the piece: the first one, and the one after the last.
        ends: ``(pieces + 1,)``, where pieces begin; runs begin and end there, too.
    """

    rows: Tensor
    true: Tensor
    pieces: Tensor
    runs: Tensor
    ends: Array


def halves(ends: Array, counts: Array, own: Array, runs: Array, lanes: int) -> Halves:
    """Of pieces between ``ends``, with so many runs each; ``own`` says which meet themselves."""
    lows, highs = ends[:-1], ends[1:]
    tiles = -(-(highs - lows) // lanes)
    after, last = np.cumsum(tiles), np.cumsum(counts)
    owners, number = expanded(np.zeros_like(tiles), tiles)
    rows = (lows[owners] + number * lanes)[:, None] + np.arange(lanes)
    true = rows < highs[owners][:, None]
    rows = np.minimum(rows, highs[owners][:, None] - 1)
    closes = np.where(own, highs, lows)
    pieces = np.stack((last - counts, last, after - tiles, after, lows, closes), 1)
    tensors = [_tensor(array) for array in (rows, true, pieces, runs)]
    return Halves(tensors[0], tensors[1], tensors[2], tensors[3], ends)


def _tensor(array: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


@dataclass(frozen=True)
class Units:
    """Pieces cut into units of equal work, each with sums of its own for the places that it reaches.

    Attributes:
        table: ``(units, 3)``, the first piece, the one after the last, and how many places there are.
        pieces: ``(pieces, 7)``, those of :class:`Halves`, and where sums of a piece begin, less its first place.
        runs: ``(runs, 3)``, the same of runs.
        places: of each unit, in the order of its sums.
        total: the numbers that all sums take.
    """

    table: Tensor
    pieces: Tensor
    runs: Tensor
    places: list[Tensor]
    total: int


def cut_evenly(found: Halves, count: int, width: int, most: int) -> Units:
    """At most so many units, of ``width`` sums for a place; fewer where sums would be more than ``most`` numbers."""
    pieces, runs = found.pieces.numpy(), found.runs.numpy()
    lengths = np.concatenate(([0], np.cumsum(runs[:, 1] - runs[:, 0])))
    met = lengths[pieces[:, 1]] - lengths[pieces[:, 0]] + pieces[:, 5] - pieces[:, 4]
    work = np.cumsum(met * (pieces[:, 3] - pieces[:, 2]))
    while True:
        cuts = np.searchsorted(work, work[-1] * np.arange(1, count) // count, side="right")
        units = _units(found, np.unique(np.concatenate(([0], cuts, [len(pieces)]))), width)
        if units.total <= most or count == 1:
            return units
        count //= 2


def _units(found: Halves, cuts: Array, width: int) -> Units:
    """The units between ``cuts``."""
    ends, pieces, runs = found.ends, found.pieces.numpy(), found.runs.numpy()
    blocks = np.zeros(ends[-1] + 1, np.int32)
    blocks[ends] = np.arange(len(ends))
    first, last = blocks[runs].T
    of_pieces, of_runs = np.empty(len(pieces), np.int64), np.empty(len(runs), np.int64)
    shifts, table, places, total = np.empty_like(ends), [], [], 0
    for lo, hi in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
        mine = slice(pieces[lo, 0], pieces[hi - 1, 1])
        opened, closed = (np.bincount(b[mine], minlength=len(ends)) for b in (first, last))
        reached = np.cumsum(opened - closed) > 0
        reached[lo:hi] = True
        met = np.flatnonzero(reached)
        _, spots = expanded(ends[met], ends[met + 1])
        after = np.cumsum(ends[met + 1] - ends[met])
        shifts[met] = total + after - ends[met + 1]
        of_pieces[lo:hi], of_runs[mine] = shifts[lo:hi], shifts[first[mine]]
        table.append((lo, hi, len(spots) + SPARE))
        places.append(torch.from_numpy(spots))
        total += (len(spots) + SPARE) * width
    shifted = [_tensor(np.column_stack(p)) for p in ((pieces, of_pieces), (runs, of_runs))]
    return Units(torch.tensor(table), shifted[0], shifted[1], places, total)
