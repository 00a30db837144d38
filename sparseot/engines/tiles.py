"""Any formula, any dimension, CPU or CUDA: tiles of the matrix, in torch, in one reused buffer.

Smooth radial formulas (powers of the squared distance) are one matrix product per tile on
centred coordinates; formulas of the distance itself take differences of coordinates, since the
expanded square loses small distances. Exponentials are taken in base 2: ``torch.exp`` falls to
a hundredth of its speed where its result underflows, ``torch.exp2`` does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import wraps
from typing import ParamSpec

import numpy as np
import torch
from torch import Tensor

from ..formulas import Opaque, Radial, Symbolic
from ..pairs import BlockPairs, Partition
from ..precision import full_precision
from .base import LOG2E, Engine, Formula, Reductions, ShiftedReductions, centred

__all__ = ["Tiles"]

P = ParamSpec("P")
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
        if isinstance(formula, Opaque) and pairs is not None:
            return 'Block pairs of a Python function are for kernels.Pointwise and engine="keops".'
        return None

    def bind(self, x: Tensor, y: Tensor, pairs: BlockPairs | None = None) -> Reductions:
        """Centres the clouds."""
        entries = self.entries or (1 << 26 if x.is_cuda else 1 << 20)
        if pairs is not None:
            return _BlockTiles(x, y, pairs, entries)
        return _TileReductions(x, y, entries)


def _in_full_precision(method: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """Neither autocast nor TF32 may round distances, whose exponents run into the thousands."""

    @wraps(method)
    def full(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        if args[0].x.device.type == "cpu":  # type: ignore[attr-defined]
            return method(*args, **kwargs)
        matmul = torch.backends.cuda.matmul
        tf32 = matmul.allow_tf32
        try:
            matmul.allow_tf32 = False
            return method(*args, **kwargs)
        finally:
            matmul.allow_tf32 = tf32

    return full_precision(full)


class _TileReductions(ShiftedReductions):
    def __init__(self, x: Tensor, y: Tensor, entries: int) -> None:
        self.given = x, y  # opaque formulas see the points as they came
        self.x, self.y = centred(x, y)
        self.x2, self.y2 = self.x.square().sum(-1), self.y.square().sum(-1)
        self.radius = float(torch.maximum(self.x2.detach().max(), self.y2.detach().max()))
        self.yt = self.y.transpose(1, 2).contiguous()
        self.tiling = _tiling(len(x), x.shape[1], y.shape[1], entries)
        self.one_tile = self.tiling == (len(x), x.shape[1], y.shape[1])
        self.buffer = x.new_empty(math.prod(self.tiling))
        self.cache: tuple[bool, Tensor] | None = None
        self.costs: Tensor | None = None  # of an opaque cost, when all pairs are one tile

    @_in_full_precision
    def sum(
        self, kernel: Formula, v: Tensor, row: Tensor | None = None, col: Tensor | None = None
    ) -> Tensor:
        out = v.new_zeros(*self.x.shape[:2], v.shape[-1])
        for batch, i, j in self._tiles():
            values = self._values(kernel, batch, i, j, row, col)
            out[batch, i].baddbmm_(values, v[batch, j])
        return out

    @_in_full_precision
    def sum_exp(self, cost: Formula, eps: Tensor, row: Tensor, col: Tensor) -> Tensor:
        out = self.x.new_zeros(self.x.shape[:2])
        row = row.expand_as(out)
        for batch, i, j in self._tiles():
            exponent = self._exponent(cost, eps, batch, i, j, col)
            exponent.add_(row[batch, i, None] * LOG2E)
            out[batch, i] += exponent.exp2_().sum(-1)
        return out

    @_in_full_precision
    def max_exponent(self, cost: Formula, eps: Tensor, col: Tensor) -> Tensor:
        out = self.x.new_full(self.x.shape[:2], -torch.inf)
        for batch, i, j in self._tiles():
            highest = self._exponent(cost, eps, batch, i, j, col).amax(-1) / LOG2E
            out[batch, i] = torch.maximum(out[batch, i], highest)
        return out

    def _tiles(self) -> Iterator[tuple[slice, slice, slice]]:
        items, rows, cols = self.tiling
        for b in range(0, len(self.x), items):
            for i in range(0, self.x.shape[1], rows):
                for j in range(0, self.y.shape[1], cols):
                    yield slice(b, b + items), slice(i, i + rows), slice(j, j + cols)

    def _buffer(self, batch: slice, i: slice, j: slice) -> Tensor:
        shape = self.x2[batch, i].shape + self.y2[batch, j].shape[1:]
        return self.buffer[: shape.numel()].view(shape)

    def _squares(self, direct: bool, batch: slice, i: slice, j: slice) -> Tensor:
        """Squared distances of a tile; kept when the whole problem is one tile."""
        if self.cache is not None and self.cache[0] >= direct:
            return self.cache[1]
        if direct:
            mode = "donot_use_mm_for_euclid_dist"
            squares = torch.cdist(self.x[batch, i], self.y[batch, j], compute_mode=mode).square_()
        else:
            squares = torch.bmm(self.x[batch, i], self.yt[batch, :, j]).mul_(-2)
            squares += self.x2[batch, i, None]
            squares += self.y2[batch, None, j]
            squares.clamp_(min=0)
        if self.one_tile:
            self.cache = direct, squares
        return squares

    def _linear(self, rate: Tensor, batch: slice, i: slice, j: slice, col: Tensor) -> Tensor:
        """``log2(e) * (col_j - rate * |x_i - y_j|^2)`` by one matrix product; ``rate`` is (B,)."""
        rate = rate[batch, None] * LOG2E
        x, x2, y2 = self.x[batch, i], self.x2[batch, i], self.y2[batch, j]
        left = torch.cat((2 * rate[..., None] * x, -(rate * x2)[..., None], _ones(x2)), -1)
        bias = col[batch, j] * LOG2E - rate * y2
        right = torch.cat((self.yt[batch, :, j], _ones(y2).mT, bias[:, None]), 1)
        return torch.bmm(left, right, out=self._buffer(batch, i, j))

    def _exponent(
        self, cost: Formula, eps: Tensor, batch: slice, i: slice, j: slice, col: Tensor
    ) -> Tensor:
        """``log2(e) * (col_j - C_ij / eps)`` in the buffer."""
        if isinstance(cost, Opaque):
            costs = self.costs
            if costs is None:
                costs = cost(self.given[0][batch, i], self.given[1][batch, j])
                self.costs = costs if self.one_tile else None
            scaled = costs / eps[batch, None, None]
            return torch.sub(col[batch, None, j], scaled, out=self._buffer(batch, i, j)).mul_(LOG2E)
        assert isinstance(cost, Radial)
        (term,) = cost.terms
        rate = term.factor / eps
        if not cost.singular and not self.one_tile:
            return self._linear(rate, batch, i, j, col)
        squares = self._squares(cost.singular, batch, i, j)
        root = squares.sqrt() if term.power == 1 else squares
        scaled = torch.mul(
            root, (-LOG2E * rate[batch])[:, None, None], out=self._buffer(batch, i, j)
        )
        return scaled.add_(LOG2E * col[batch, None, j])

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
            exponent = self._linear(rate, batch, i, j, col)
            value = exponent.add_(row[batch, i, None] * LOG2E).exp2_()
            return value.mul_(sum(t.factor for t in kernel.terms))
        squares = self._squares(direct, batch, i, j)
        if not scaled:
            return radial_values(kernel, squares)
        return radial_values(kernel, squares, row[batch, i, None], col[batch, None, j])


class _BlockTiles(Reductions):
    """Kept pairs of blocks, many small tiles at a time; short blocks are filled with nothing."""

    def __init__(self, x: Tensor, y: Tensor, pairs: BlockPairs, entries: int) -> None:
        self.pairs, self.device = pairs, x.device
        here, there = centred(x, y)
        rows, cols = _members(pairs.rows, x.device), _members(pairs.columns, x.device)
        self.x, self.y, self.members = here[0, rows], there[0, cols], (rows, cols)
        owners = np.repeat(np.arange(len(pairs.rows)), np.diff(pairs.starts))
        self.tiles = tuple(torch.from_numpy(k).to(x.device) for k in (owners, pairs.cols))
        self.chunk = max(1, entries // (rows.shape[1] * cols.shape[1]))

    @_in_full_precision
    def sum(
        self, kernel: Formula, v: Tensor, row: Tensor | None = None, col: Tensor | None = None
    ) -> Tensor:
        assert isinstance(kernel, Radial)
        rows, cols = self.members
        block = v[0, cols]
        block.view(-1, v.shape[-1])[len(v[0]) :] = 0
        out = v.new_zeros(*rows.shape, v.shape[-1])
        for i, j in zip(*(tiles.split(self.chunk) for tiles in self.tiles), strict=True):
            logs = (
                (None if row is None else row[0, rows][i, :, None]),
                (None if col is None else col[0, cols][j, None]),
            )
            values = radial_values(kernel, self._squares(kernel.singular, i, j), *logs)
            out.index_add_(0, i, values @ block[j])
        flat, places = out.flatten(0, 1), rows.flatten()
        size = len(self.pairs.rows.order)
        return torch.empty_like(flat[:size]).index_copy_(0, places[:size], flat[:size])[None]

    def _squares(self, direct: bool, i: Tensor, j: Tensor) -> Tensor:
        """Squared distances of the tiles (i, j), about the first point of each row block."""
        x, y = self.x[i], self.y[j]
        x, y = x - x[:, :1], y - x[:, :1]
        if direct:
            mode = "donot_use_mm_for_euclid_dist"
            return torch.cdist(x, y, compute_mode=mode).square_()
        squares = torch.baddbmm(x.square().sum(-1, keepdim=True), x, y.mT, alpha=-2)
        return squares.add_(y.square().sum(-1)[:, None]).clamp_(min=0)


def _members(cut: Partition, device: torch.device) -> Tensor:
    """The points of each block, ``(C, size)``; the last block repeats its last point."""
    places = np.minimum(np.arange(len(cut) * cut.size), len(cut.order) - 1)
    return torch.from_numpy(cut.order[places]).view(len(cut), cut.size).to(device)


def radial_values(
    kernel: Radial, squares: Tensor, row: Tensor | None = None, col: Tensor | None = None
) -> Tensor:
    """Values at squared distances, scaled by ``exp(row + col)`` where these are given."""
    value = kernel.polynomial(squares)
    if not isinstance(value, Tensor):  # a constant
        value = torch.full_like(squares, value)
    if kernel.rate or row is not None:
        root = squares if kernel.decay == 2 else squares.sqrt()
        exponent = root * (-LOG2E * kernel.rate)
        for scaling in (row, col):
            if scaling is not None:
                exponent += LOG2E * scaling
        value = value * exponent.exp2_()
    return value


def _tiling(items: int, rows: int, cols: int, entries: int) -> tuple[int, int, int]:
    """Batch items, rows and columns of a tile: near square, of at most ``entries`` pairs."""
    side = max(1, math.isqrt(entries))
    height = min(rows, max(side, entries // cols))
    width = min(cols, max(1, entries // height))
    return min(items, max(1, entries // (height * width))), height, width


def _ones(x: Tensor) -> Tensor:
    return torch.ones_like(x)[..., None]
