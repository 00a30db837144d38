"""Any formula, any dimension, CPU or CUDA: tiles of the matrix, in torch, in reused buffers.

Smooth radial formulas (powers of the squared distance) are one matrix product per tile on
centred coordinates; formulas of the distance itself take differences of coordinates, since the
expanded square loses small distances. Exponentials are taken in base 2: ``torch.exp`` falls to
a hundredth of its speed where its result underflows, ``torch.exp2`` does not.

On a CPU our own threads take strips of rows, each with a buffer of its own; torch's threads sleep.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

import torch
from torch import Tensor
from torch._C._functorch import is_legacy_batchedtensor

from ..formulas import GroundCost, Opaque, Radial, Symbolic
from ..pairs import BlockPairs
from ..points import CLOSED
from ..precision import full_precision
from .base import LOG2E, Engine, Formula, Reductions, ShiftedReductions, centred
from .block_tiles import BlockTiles, radial_values
from .openmp import NUMBERS, one_thread, thread_count, threads_for
from .threads import share, tiling

__all__ = ["Tiles"]

Strip = Callable[[slice, slice, list[slice]], None]
Place = tuple[slice, slice, slice]  # of a tile: batch items, rows and columns
LOSS = 3e-6  # relative error of an entry above which squares are taken from differences


class Tiles(Engine):
    """Streams over tiles of at most ``entries`` pairs (default 2^20 on a CPU, 2^26 on CUDA)."""

    name = "tiles"

    def __init__(self, entries: int | None = None) -> None:
        self.entries = entries

    def refuses(self, formula: Formula, x: Tensor, pairs: BlockPairs | None = None) -> str | None:
        """Refuses KeOps's language."""
        if isinstance(formula, Symbolic):
            return 'Only engine="keops" reads KeOps formulas; give the cost as a Python function.'
        return None

    def bind(self, x: Tensor, y: Tensor, pairs: BlockPairs | None = None) -> Reductions:
        """Centres the clouds."""
        entries = self.entries or (1 << 26 if x.is_cuda else 1 << 20)
        if pairs is not None:
            return BlockTiles(x, y, pairs, entries)
        return _TileReductions(x, y, entries)


class _TileReductions(ShiftedReductions):
    def __init__(self, x: Tensor, y: Tensor, entries: int) -> None:
        self.given = x, y  # opaque formulas see the points as they came
        self.x, self.y = centred(x, y)
        self.x2, self.y2 = self.x.square().sum(-1), self.y.square().sum(-1)
        self.radius = float(torch.maximum(self.x2.detach().max(), self.y2.detach().max()))
        self.yt = self.y.transpose(1, 2).contiguous()
        sizes = len(x), x.shape[1], y.shape[1]
        self.whole = math.prod(sizes) <= entries  # then squares and costs are kept
        # Python functions are called by one thread, which is theirs
        self.tilings = {many: tiling(*sizes, entries, many) for many in {1, self._threads()}}
        self.room = threading.local()
        self.kept: dict[tuple[int, ...], tuple[bool, Tensor]] = {}  # squares, by the strip
        self.costs: Tensor | None = None  # of an opaque cost

    @full_precision
    def sum(
        self, kernel: Formula, v: Tensor, row: Tensor | None = None, col: Tensor | None = None
    ) -> Tensor:
        out = v.new_zeros(*self.x.shape[:2], v.shape[-1])

        def strip(batch: slice, i: slice, columns: list[slice]) -> None:
            for j in columns:
                values = self._values(kernel, batch, i, j, row, col)
                out[batch, i].baddbmm_(values, v[batch, j])

        self._each(strip, kernel, v)
        return out

    @full_precision
    def sum_exp(self, cost: Formula, eps: Tensor, row: Tensor, col: Tensor) -> Tensor:
        out = self.x.new_zeros(self.x.shape[:2])
        row = row.expand_as(out)

        def strip(batch: slice, i: slice, columns: list[slice]) -> None:
            for j in columns:
                exponent = self._exponent(cost, eps, row, col, (batch, i, j))
                out[batch, i] += exponent.exp2_().sum(-1)

        self._each(strip, cost, col)
        return out

    @full_precision
    def both_ways(
        self, cost: Formula, eps: Tensor, row: Tensor, col: Tensor, right: Tensor, left: Tensor
    ) -> tuple[Tensor, Tensor, tuple[float, float]] | None:
        if not isinstance(cost, GroundCost) or cost.singular or self.whole:
            return None
        rows, cols = (  # added up over tiles in double precision
            torch.zeros(len(v), v.shape[-1], points.shape[1], dtype=torch.float64, device=v.device)
            for v, points in ((right, self.x), (left, self.y))
        )
        right, left = right.mT.contiguous(), left.mT.contiguous()  # wide matrices: faster products
        lock = threading.Lock()

        def strip(batch: slice, i: slice, columns: list[slice]) -> None:
            for j in columns:
                entries = self._exponent(cost, eps, row, col, (batch, i, j)).exp2_()
                rows[batch, :, i] += right[batch, :, j] @ entries.mT
                found = left[batch, :, i] @ entries
                with lock:
                    cols[batch, :, j] += found

        self._each(strip, cost, right)
        return rows.mT, cols.mT, self._wrong(cost.factor / eps, row, col)

    def _wrong(self, rate: Tensor, row: Tensor, col: Tensor) -> tuple[float, float]:
        """Bounds on the relative errors of an entry, and of a sum over a tile, by their roundings.

        An exponent is a dot product of D + 2 terms, whatever their order (Higham, 2002, equation 3.5).
        """
        unit = torch.finfo(self.x.dtype).eps / 2
        size = 4 * float(rate.max()) * self.radius
        size += sum(float(t.where(t > CLOSED, 0.0).abs().max()) for t in (row, col))
        exponent = (self.x.shape[-1] + 10) * unit * size
        longest = max(max(rows, cols) for _, rows, cols in self.tilings.values())
        return math.expm1(min(exponent, 50.0)) + 8 * unit, (longest + 10) * unit

    @full_precision
    def max_exponent(self, cost: Formula, eps: Tensor, col: Tensor) -> Tensor:
        out = self.x.new_full(self.x.shape[:2], -torch.inf)

        def strip(batch: slice, i: slice, columns: list[slice]) -> None:
            for j in columns:
                highest = self._exponent(cost, eps, None, col, (batch, i, j)).amax(-1) / LOG2E
                out[batch, i] = torch.maximum(out[batch, i], highest)

        self._each(strip, cost, col)
        return out

    @full_precision
    def least(self, cost: Formula, col: Tensor | None = None) -> tuple[Tensor, Tensor]:
        out, unit = self.x.new_full(self.x.shape[:2], -torch.inf), self.x.new_ones(len(self.x))
        where = torch.zeros_like(out, dtype=torch.int64)
        col = self.y2.new_zeros(self.y2.shape) if col is None else col

        def strip(batch: slice, i: slice, columns: list[slice]) -> None:
            for j in columns:
                top, place = self._exponent(cost, unit, None, col, (batch, i, j)).max(-1)
                where[batch, i] = where[batch, i].where(out[batch, i] >= top, place + j.start)
                out[batch, i] = torch.maximum(out[batch, i], top)

        self._each(strip, cost, col)
        return out / -LOG2E, where

    def _threads(self) -> int:
        return thread_count(of_torch=True) if self.x.device.type == "cpu" else 1

    def _each(self, strip: Strip, formula: Formula, v: Tensor) -> None:
        """Calls ``strip`` for all strips of rows, which our threads share where it pays."""
        mapped = is_legacy_batchedtensor(v)  # only this thread knows of what is mapped over it
        many = 1 if isinstance(formula, Opaque) or mapped else max(self.tilings)
        items, rows, cols = self.tilings[many]
        (count, height), width = self.x.shape[:2], self.y.shape[1]
        columns = [slice(j, j + cols) for j in range(0, width, cols)]
        strips = [
            (slice(b, b + items), slice(i, i + rows), columns)
            for b in range(0, count, items)
            for i in range(0, height, rows)
        ]
        if many == 1:
            with threads_for(NUMBERS * count * height * width):
                for some in strips:
                    strip(*some)
            return
        with one_thread():
            share(lambda k, _: strip(*strips[k]), range(len(strips) + 1))

    def _buffer(self, batch: slice, i: slice, j: slice) -> Tensor:
        """This thread's room for a tile."""
        shape = self.x2[batch, i].shape + self.y2[batch, j].shape[1:]
        buffer: Tensor | None = getattr(self.room, "buffer", None)
        if buffer is None or len(buffer) < shape.numel():
            buffer = self.room.buffer = self.x.new_empty(shape.numel())
        return buffer[: shape.numel()].view(shape)

    def _squares(self, direct: bool, batch: slice, i: slice, j: slice) -> Tensor:
        """Squared distances of a tile; kept where all of them are few."""
        place = batch.start, batch.stop, i.start, i.stop
        if self.whole and place in self.kept and self.kept[place][0] >= direct:
            return self.kept[place][1]
        if direct:
            mode = "donot_use_mm_for_euclid_dist"
            squares = torch.cdist(self.x[batch, i], self.y[batch, j], compute_mode=mode).square_()
        else:
            squares = torch.bmm(self.x[batch, i], self.yt[batch, :, j]).mul_(-2)
            squares += self.x2[batch, i, None]
            squares += self.y2[batch, None, j]
            squares.clamp_(min=0)
        if self.whole:
            self.kept[place] = direct, squares
        return squares

    def _linear(
        self,
        rate: Tensor,
        batch: slice,
        i: slice,
        j: slice,
        col: Tensor,
        row: Tensor | None = None,
    ) -> Tensor:
        """``log2(e) * (row_i + col_j - rate * |x_i - y_j|^2)`` by one matrix product; ``rate`` is (B,)."""
        rate = rate[batch, None] * LOG2E
        x, x2, y2 = self.x[batch, i], self.x2[batch, i], self.y2[batch, j]
        here = -rate * x2 if row is None else row[batch, i] * LOG2E - rate * x2
        left = torch.cat((2 * rate[..., None] * x, here[..., None], _ones(x2)), -1)
        bias = col[batch, j] * LOG2E - rate * y2
        right = torch.cat((self.yt[batch, :, j], _ones(y2).mT, bias[:, None]), 1)
        return torch.bmm(left, right, out=self._buffer(batch, i, j))

    def _exponent(
        self, cost: Formula, eps: Tensor, row: Tensor | None, col: Tensor, place: Place
    ) -> Tensor:
        """``log2(e) * (row_i + col_j - C_ij / eps)`` of a tile, in the buffer."""
        batch, i, j = place
        if isinstance(cost, Opaque):
            costs = self.costs
            if costs is None:
                costs = cost(self.given[0][batch, i], self.given[1][batch, j])
                costs = costs.contiguous()  # those of a transposed function are not
                self.costs = costs if self.whole else None
            scaled = costs / eps[batch, None, None]
            found = torch.sub(col[batch, None, j], scaled, out=self._buffer(*place)).mul_(LOG2E)
        else:
            assert isinstance(cost, GroundCost)
            rate = cost.factor / eps
            if not cost.singular and not self.whole:
                return self._linear(rate, batch, i, j, col, row)
            squares = self._squares(cost.singular, *place)
            root = squares if cost.power == 2 else squares.pow(cost.power / 2)
            factors = (-LOG2E * rate[batch])[:, None, None]
            found = torch.mul(root, factors, out=self._buffer(*place))
            found.add_(LOG2E * col[batch, None, j])
        return found if row is None else found.add_(row[batch, i, None] * LOG2E)

    def _values(
        self,
        kernel: Formula,
        batch: slice,
        i: slice,
        j: slice,
        row: Tensor | None,
        col: Tensor | None,
    ) -> Tensor:
        """Entries ``exp(row_i + col_j) k(x_i, y_j)`` of a tile."""
        scaled = row is not None or col is not None
        assert isinstance(kernel, Radial)
        # The expanded square loses what a small difference of large coordinates holds.
        lost = kernel.rate * self.radius * torch.finfo(self.x.dtype).eps > LOSS
        direct = kernel.singular or (lost and not scaled and kernel.decay == 2)
        zero = self.x.new_zeros(())
        row = zero.expand(self.x.shape[:2]) if row is None else row
        col = zero.expand(self.y.shape[:2]) if col is None else col
        if not direct and kernel.rate and not any(t.power for t in kernel.terms):
            rate = self.x.new_full((len(self.x),), kernel.rate)
            value = self._linear(rate, batch, i, j, col, row).exp2_()
            return value.mul_(sum(t.factor for t in kernel.terms))
        squares = self._squares(direct, batch, i, j)
        if not scaled:
            return radial_values(kernel, squares)
        return radial_values(kernel, squares, row[batch, i, None], col[batch, None, j])


def _ones(x: Tensor) -> Tensor:
    return torch.ones_like(x)[..., None]
