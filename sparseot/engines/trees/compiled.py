"""Trees on a CPU: each formula becomes a program, which runs over tiles of rows, shared by threads."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...formulas.trees.algebra import ONE
from ...formulas.trees.expressions import J, P, ordered
from ..openmp import thread_count
from ..threads import even, share
from .base import Ranges, Reduction, TreeEngine, extent
from .llvm.both import TwoSided
from .llvm.build import Machine, Program, compiled, this_machine
from .llvm.least import Least
from .llvm.mirrored import Mirrored
from .llvm.programs import Layout, RowProgram, is_small
from .llvm.softmax import Softmax
from .llvm.sums import LargeSum, SmallSum
from .rows import one_sided, packed, tiles_of, unpacked
from .scalars import MOST, Unprintable, bodies
from .symmetric import SPARE, cut_evenly, mirrored

if TYPE_CHECKING:
    from .screens import Weighed

__all__ = ["Compiled"]

INLINE = 1 << 16  # pairs below which waking threads costs more than it gains
COLUMN_SUMS = 16  # most outputs for columns that are summed beside those for rows
NUMBERS = 1 << 28  # of column sums, 1 GiB in single precision: beyond it two passes are made
MIRRORED = 1 << 25  # of sums of symmetric matrices, 256 MiB, shared by all threads,
VECTORS = 4  # or as many times the result
ROWS = 1 << 10  # from which a tile may be long: the last one is seldom full
OUTPUTS = 1 << 12  # of a program: what their sums lose lies on the stack
INT32 = 2**31  # columns of all items, whose places are 32-bit integers
BITS = {torch.float32: 32, torch.float64: 64}


class Compiled(TreeEngine):
    """Formulas of real numbers in single or double precision, on a CPU.

    Args:
        machine: what programs are made for; None for the processor at hand.
    """

    name = "compiled"

    def __init__(self, machine: Machine | None = None) -> None:
        self.machine = machine or this_machine()

    def refuses(self, reduction: Reduction, like: Tensor) -> str | None:
        """Refuses other devices and dtypes, and trees that no kernel should have."""
        if like.device.type != "cpu":
            return f"The points are on {like.device}."
        if like.dtype not in BITS:
            return f"The points are of {like.dtype}."
        return _unprintable(reduction)

    def sums(
        self, reduction: Reduction, tensors: Sequence[Tensor], ranges: Ranges | None
    ) -> list[Tensor]:
        """By one pass, or by one for rows and another for columns."""
        if ranges is None and _fit_together(reduction) and _affordable(reduction, tensors):
            return self._both(reduction, tensors)
        out: list[Any] = [None] * len(reduction.outputs)
        for one, chosen, turned in one_sided(reduction):
            met = ranges.T if turned and ranges is not None else ranges
            found = self._rows(one, tensors, met)[0].split([e.dim for e in one.outputs], -1)
            for k, part in zip(chosen, found, strict=True):
                out[k] = part.sum(1, keepdim=True) if reduction.sides[k] == P else part
        return out

    def softmax(
        self, reduction: Reduction, tensors: Sequence[Tensor], ranges: Ranges | None
    ) -> tuple[Tensor, Tensor]:
        """By one pass, relative to a running maximum."""
        exponent, *weights = reduction.outputs
        with_one = Reduction("softmax", (exponent, ONE, *weights), reduction.slots)
        found, _ = self._rows(with_one, tensors, ranges, -torch.inf)
        top, mass, sums = found[..., :1], found[..., 1:2], found[..., 2:]
        mass = mass.where(~(mass < 0), 0)  # rows that met no column; NaN stays
        return top + mass.log(), (sums / mass).where(mass != 0, 0)  # NaN stays

    def least(
        self, reduction: Reduction, tensors: Sequence[Tensor], ranges: Ranges | None
    ) -> tuple[Tensor, Tensor]:
        """By one pass."""
        items, _, m = extent(reduction.slots, tensors)
        if items > 1 and items * m >= INT32:
            each = (
                self.least(reduction, [t[k : k + 1] for t in tensors], ranges) for k in range(items)
            )
            return tuple(map(torch.cat, zip(*each, strict=True)))  # type: ignore[return-value]
        low, where = self._rows(reduction, tensors, ranges, torch.inf)
        first = torch.arange(items)[:, None, None] * m
        columns = where.long()
        columns = torch.where(columns < 0, -1, columns - first)
        shape = reduction.count, reduction.outputs[0].dim
        return low.unflatten(-1, shape), columns.unflatten(-1, shape)

    def _rows(
        self,
        reduction: Reduction,
        tensors: Sequence[Tensor],
        ranges: Ranges | None,
        unmet: float = 0.0,
    ) -> tuple[Tensor, Tensor]:
        """The outputs of a program for rows, ``(B, N, width)``, and its columns; ``unmet`` in other rows."""
        items, n, m = extent(reduction.slots, tensors)
        bits = BITS[tensors[0].dtype]
        weighed = _weighed(reduction, tensors, ranges)
        if weighed is not None and weighed.screen.symmetric and _is_light(reduction):
            return self._mirrored(reduction, tensors, weighed), torch.empty(0)
        vectors = _vectors(reduction, self.machine, ranges is None and n >= ROWS)
        program, layout = _row_program(reduction, bits, self.machine, vectors)
        lanes = layout.lanes
        if weighed is not None:
            tiles, tensors = weighed.tiles(lanes), weighed.moved(reduction.slots, tensors)
        else:
            tiles = tiles_of(items, n, m, lanes, ranges)
        size, whole = (items, n, m), ranges is None
        xs, ys, ps = packed(reduction.slots, tensors, tiles.rows, size, layout.spare, whole)
        out = xs.new_empty(len(tiles), reduction.width, lanes)
        least = reduction.kind == "least"
        where = torch.empty((len(tiles), reduction.width, lanes) if least else 0, dtype=torch.int32)
        pairs = items * n * m if ranges is None else items * ranges.pairs
        shares = 1 if pairs * reduction.width < INLINE else 4 * thread_count()
        groups = tiles.groups(min(layout.height, max(1, -(-len(tiles) // shares))))
        arrays = (groups, tiles.table, tiles.runs, xs, ys, ps, out, where)
        ends = even(len(groups) - 1, shares)
        share(program.call, ends, *(t.data_ptr() for t in arrays))
        found = unpacked(out, tiles.rows, items, n, unmet, whole)
        return found, unpacked(where, tiles.rows, items, n, -1, whole) if least else where

    def _mirrored(
        self, reduction: Reduction, tensors: Sequence[Tensor], weighed: Weighed
    ) -> Tensor:
        """Sums for rows of a symmetric formula, ``(1, N, width)``; each unit has sums of its own."""
        bits, order = BITS[tensors[0].dtype], weighed.screen.columns
        both = mirrored(reduction, weighed.factor)
        program, lanes = _mirrored_program(both, bits, self.machine)
        tiles = weighed.halves(lanes)
        moved = [*weighed.moved(reduction.slots, tensors), weighed.vector]
        xs, ys, ps = packed(both.slots, moved, order[tiles.rows], (1, len(order), len(order)))
        masks = tiles.true.to(xs.dtype)
        xs[:, -moved[-1].shape[-1] :] *= masks[:, None]
        width = reduction.width
        most = max(MIRRORED, VECTORS * len(order) * width)
        units = cut_evenly(tiles, 2 * _shares(1), width, most)
        sums = torch.zeros(units.total, dtype=torch.float64)
        arrays = (units.table, units.pieces, units.runs, xs, ys, ps, masks, sums)
        share(program.call, list(range(len(units.places) + 1)), *(t.data_ptr() for t in arrays))
        found = sums.new_zeros(width, len(order))
        parts = sums.split([(len(places) + SPARE) * width for places in units.places])
        for places, part in zip(units.places, parts, strict=True):
            found.index_add_(1, places, part.view(width, -1)[:, : len(places)])
        out = xs.new_empty(1, len(order), width)
        out[0, order] = found.T.to(xs.dtype)
        return out

    def _both(self, reduction: Reduction, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Sums for rows and for columns in one pass."""
        items, n, m = extent(reduction.slots, tensors)
        bits = BITS[tensors[0].dtype]
        program, lanes = _two_sided(reduction, bits, self.machine)
        tiles = tiles_of(items, n, m, lanes, None)
        each = len(tiles) // items
        cuts = torch.tensor(even(each, 1 if items * n * m < INLINE else _shares(items)))
        shares = len(cuts) - 1
        item = torch.arange(items).repeat_interleave(shares)
        units = torch.stack((item, cuts[:-1].repeat(items), cuts[1:].repeat(items)), 1)
        units[:, 1:] += item[:, None] * each
        xs, ys, ps = packed(reduction.slots, tensors, tiles.rows, (items, n, m), whole=True)
        dims = {
            of_columns: [
                e.dim
                for e, side in zip(reduction.outputs, reduction.sides, strict=True)
                if (side == J) is of_columns
            ]
            for of_columns in (False, True)
        }
        out = xs.new_zeros(len(tiles), sum(dims[False]), lanes)
        columns = xs.new_zeros(len(units), m, sum(dims[True]))
        masks = tiles.true.to(xs.dtype)
        arrays = (units.contiguous(), xs, ys, ps, masks, out, columns)
        args = (*(t.data_ptr() for t in arrays), m)
        share(
            program.call, list(range(len(units) + 1)) if shares > 1 or items > 1 else [0, 1], *args
        )
        rows = iter(unpacked(out, tiles.rows, items, n, 0, True).split(dims[False], -1))
        cols = iter(columns.view(items, shares, m, -1).sum(1).split(dims[True], -1))
        found = [next(cols if side == J else rows) for side in reduction.sides]
        return [
            part.sum(1, keepdim=True) if side == P else part
            for part, side in zip(found, reduction.sides, strict=True)
        ]


@lru_cache(1024)
def _is_light(reduction: Reduction) -> bool:
    """Whether sums for rows and for columns stay in registers and near caches."""
    return reduction.width <= COLUMN_SUMS // 2 and is_small(reduction.outputs)


@lru_cache(1024)
def _fit_together(reduction: Reduction) -> bool:
    """Whether there are sums for columns beside others, and all stay in registers and near caches."""
    dims = [e.dim for e, s in zip(reduction.outputs, reduction.sides, strict=True) if s == J]
    both = 0 < len(dims) < len(reduction.outputs)
    return both and sum(dims) <= COLUMN_SUMS and is_small(reduction.outputs)


def _shares(items: int) -> int:
    """Into how many shares the tiles of an item are cut: two for each thread."""
    return -(-2 * thread_count() // items)


def _affordable(reduction: Reduction, tensors: Sequence[Tensor]) -> bool:
    """Whether each share may have column sums of its own."""
    items, _, m = extent(reduction.slots, tensors)
    return items * _shares(items) * m * COLUMN_SUMS <= NUMBERS


def _weighed(
    reduction: Reduction, tensors: Sequence[Tensor], ranges: Ranges | None
) -> Weighed | None:
    """What says which tiles of ranges matter."""
    if ranges is None:
        return None
    from .screens import screened

    return screened(reduction, tensors, ranges)


PROGRAMS: dict[str, type[RowProgram]] = {"softmax": Softmax, "least": Least}


@lru_cache(1024)
def _vectors(reduction: Reduction, machine: Machine, many: bool) -> int:
    """How many vectors of the machine a tile is long: four fill registers where products take the time."""
    small, kind = is_small(reduction.outputs), reduction.kind
    if reduction.count > 1 or (kind == "sum" and small and reduction.width > 8):
        return 1  # out of registers otherwise
    return 4 if many and not small and kind != "least" and machine.registers > 16 else 2


@lru_cache(1024)
def _row_program(
    reduction: Reduction, bits: int, machine: Machine, vectors: int
) -> tuple[Program, Layout]:
    small = reduction.kind == "sum" and is_small(reduction.outputs)
    kind = PROGRAMS.get(reduction.kind, SmallSum if small else LargeSum)
    written = kind(reduction, bits, machine, vectors)
    return compiled(written.text(), machine, 8, 2), written.layout


@lru_cache(1024)
def _mirrored_program(reduction: Reduction, bits: int, machine: Machine) -> tuple[Program, int]:
    lanes = machine.bits // bits
    return compiled(Mirrored(reduction, bits, lanes).text(), machine, 8, 2), lanes


@lru_cache(1024)
def _two_sided(reduction: Reduction, bits: int, machine: Machine) -> tuple[Program, int]:
    lanes = machine.bits // bits
    return compiled(TwoSided(reduction, bits, lanes).text(), machine, 7, 3), lanes


@lru_cache(1024)
def _unprintable(reduction: Reduction) -> str | None:
    """Why a formula should not be a program, or None."""
    nodes = ordered(*reduction.outputs)
    if len(nodes) > MOST or reduction.width > OUTPUTS:
        return f"The formula has {len(nodes):,} operations and {reduction.width:,} outputs."
    try:
        bodies(reduction.outputs, {})
    except Unprintable as why:
        return f"The formula cannot be a compiled loop: {why}."
    return None
