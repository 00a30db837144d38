"""Sums over all pairs or over kept blocks of them: clouds are packed once, then kernels are launched."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from ...formulas import GroundCost, Radial
from ..base import LOG2E, Formula
from ..spectrum import is_gaussian
from . import kernels
from .card import launches
from .shapes import (
    FEW,
    MOST,
    columns_at_once,
)  # fmt: skip
from .tiled import Tiled

__all__ = ["TritonReductions"]

LOSS = 3e-6  # relative error of an entry above which squares are taken from differences
GROUPS = 3  # of coordinates: no more, and a sum with its slopes is not more than both apart
JOINED = 256  # rows of a program that joins parts
ENTRIES = 1 << 26  # pairs at a time, where torch takes them


class TritonReductions(Tiled):
    """The sums of one pair of clouds ``(B, N, D)`` and ``(B, M, D)``."""

    def sum(
        self, kernel: Formula, v: Tensor, row: Tensor | None = None, col: Tensor | None = None
    ) -> Tensor:
        assert isinstance(kernel, Radial)
        logs = row is not None or col is not None
        halves = self.halves if self._expands(kernel, logs) else 0
        width, wide = columns_at_once(v.shape[-1], v.dtype, halves > 0)
        kind = "sums", *_about(kernel), logs, width, wide, halves
        shape = self._shape(
            kind, self._usual(halves, wide),
            lambda one, rows, cols: one.sum(kernel, cols(v[..., :width]), rows(row), cols(col)), held=wide,
        )  # fmt: skip
        packed = self._packed(halves, shape)
        rows, cols = packed.layouts
        groups = -(-v.shape[-1] // width)
        parts = self._parts(packed, groups)
        powers, numbers = self._numbers(kernel, logs, packed.unit)
        right = pad(cols.fill(v), (0, groups * width - v.shape[-1])).mT.contiguous()
        out = v.new_empty(parts, self.items * rows.blocks, groups * width, rows.size)
        log_rows, log_cols = self._scalings(packed, row, col) if logs else (v, v)
        launches.launch(
            kernels.sums, (rows.blocks, self.items, parts * groups), shape.warps, out, *packed.arrays,
            log_rows, log_cols, right, numbers, *(self.lists or (out, out)), rows.blocks, cols.blocks, parts, groups,
            DECAY=kernel.decay if kernel.rate else 0, POWERS=powers, LOGS=logs, R=width, WIDE=wide,
            LISTED=bool(self.lists), **packed.switches,
        )  # fmt: skip
        return rows.take(out.sum(0).mT, self.items)[..., : v.shape[-1]]

    def sum_slopes(
        self, kernel: Formula, v: Tensor, row: Tensor | None = None, col: Tensor | None = None
    ) -> tuple[Tensor, Tensor] | None:
        assert isinstance(kernel, Radial)
        logs = row is not None or col is not None
        if v.shape[-1] > 1:
            return None
        if self._expands(kernel, logs):
            return self._products_slopes(kernel, v, row, col)
        slope = kernel.derivative()
        times = _times(slope, kernel)
        if times is None or not self._worth(kernel):
            return None
        many = kernel.singular or self.crowded
        shape = self._shape(
            ("moved_sums", *_about(kernel), logs), self._usual(0, not is_gaussian(kernel) or self.crowded, many),
            lambda one, rows, cols: one.sum_slopes(kernel, cols(v), rows(row), cols(col)),
        )  # fmt: skip
        packed, dim = self._packed(0, shape), self.x.shape[-1]
        rows, cols = packed.layouts
        width, groups = self._coordinates()
        parts = self._parts(packed, groups)
        powers, numbers = self._numbers(slope, logs, packed.unit)
        out = v.new_empty(parts, self.items * rows.blocks, rows.size, dim + 1)
        log_rows, log_cols = self._scalings(packed, row, col) if logs else (v, v)
        launches.launch(
            kernels.moved_sums, (rows.blocks, self.items, parts * groups), shape.warps,
            out, *packed.arrays, log_rows, log_cols, cols.fill(v[..., 0]), numbers,
            *(self.lists or (out, out)), rows.blocks, cols.blocks, parts, groups,
            DECAY=kernel.decay if kernel.rate else 0, POWERS=powers, TIMES=times[0], LOGS=logs,
            R=width, LISTED=bool(self.lists), **packed.switches,
        )  # fmt: skip
        moved = rows.take(out[0] if parts == 1 else out.sum(0), self.items)
        return times[1] * moved[..., dim:], 2 * moved[..., :dim]

    def _products_slopes(
        self, kernel: Radial, v: Tensor, row: Tensor | None, col: Tensor | None
    ) -> tuple[Tensor, Tensor] | None:
        """The same by products of coordinates, for a Gaussian: its derivative is a multiple of it."""
        if not is_gaussian(kernel):
            return None
        found = self.sum(kernel, torch.cat((v, v * self.y), -1), row, col)
        total, moment = found[..., :1], found[..., 1:]
        return total, -2 * kernel.rate * (total * self.x - moment)

    def least(self, cost: Formula, col: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """By torch: these are few passes beside those of a solve."""
        assert isinstance(cost, GroundCost)
        mode, found = "donot_use_mm_for_euclid_dist", []
        for x in self.x.split(max(1, ENTRIES // (self.items * self.y.shape[1])), 1):
            costs = cost.polynomial(torch.cdist(x, self.y, compute_mode=mode).square_())
            found.append((costs if col is None else costs - col[:, None]).min(-1))
        low, where = (torch.cat(parts, 1) for parts in zip(*found, strict=True))
        return low, where

    def logsumexp(
        self, cost: Formula, eps: Tensor, col: Tensor, guess: Tensor | None = None
    ) -> Tensor:
        if self.lists:
            return super().logsumexp(cost, eps, col, guess)
        return self._log_sums(cost, eps, col, guess, False)[0]

    def logsumexp_slopes(
        self, cost: Formula, eps: Tensor, col: Tensor, guess: Tensor | None = None
    ) -> tuple[Tensor, Tensor] | None:
        assert isinstance(cost, GroundCost)
        products = self.halves and cost.power == 2
        if self.lists or not (products or self._worth(cost)):
            return None
        return self._log_sums(cost, eps, col, guess, True)

    def annealed(self, *task: Any) -> Tensor | None:
        from .small import annealed

        return annealed(self, *task)

    def _log_sums(
        self, cost: Formula, eps: Tensor, col: Tensor, guess: Tensor | None, sloped: bool
    ) -> tuple[Tensor, Tensor]:
        """The logarithms, and what moves them; that has no numbers where it is not wanted."""
        assert isinstance(cost, GroundCost)
        halves = self.halves if cost.power == 2 else 0
        # where roots are taken too, or coordinates are many, tiles are smaller, lest registers not suffice
        usual = self._usual(
            halves, sloped and (halves > 0 or cost.singular or self.crowded), cost.singular or (sloped and self.crowded)
        )  # fmt: skip
        shape = self._shape(
            ("log_sums", cost.power, sloped, halves), usual,
            lambda one, rows, cols: one._log_sums(cost, rows(eps, True), cols(col), rows(guess), sloped),
            held=sloped and halves > 0, full=sloped and self.x.dtype == torch.float64,
        )  # fmt: skip
        packed = self._packed(halves, shape)
        rows, cols = packed.layouts
        factor, eps = (cost.factor, eps) if _is_single(cost.factor) else (1.0, eps / cost.factor)
        width, groups = self._coordinates(halves > 0) if sloped else (0, 1)
        parts, dim = self._parts(packed, groups), packed.switches["D"]
        out = slopes = right = col.new_empty(parts, self.items, rows.count)
        if sloped:
            slopes = col.new_empty(parts, self.items, rows.count, dim)
        if sloped and halves:
            more = groups * width - self.y.shape[-1]
            right = pad(cols.fill(self.y), (0, more)).mT.contiguous()
        launches.launch(
            kernels.log_sums, (rows.blocks, self.items, parts * groups),
            shape.warps,
            out, slopes, *packed.arrays, None if guess is None else guess.expand(out[0].shape).contiguous(),
            col.contiguous(), right, eps.contiguous(), packed.unit, factor, rows.count, cols.count,
            rows.blocks, cols.blocks, parts, groups, DECAY=cost.power, R=width, **packed.switches,
        )  # fmt: skip
        found = self._joined(out)
        if not sloped:
            return found, slopes
        moved = slopes[0] if parts == 1 else ((out - found).exp()[..., None] * slopes).sum(0)
        moved = moved[..., : self.x.shape[-1]]
        return found, cost.factor * cost.power * (self.x - moved if halves else moved)

    def _joined(self, logs: Tensor) -> Tensor:
        """The logarithms ``(B, N)`` of sums that some programs took in parts."""
        if len(logs) == 1:
            return logs[0]
        out = torch.empty_like(logs[0])
        launches.launch(
            kernels.joined, (-(-out.numel() // JOINED),), 4, out, logs, out.numel(), len(logs), B=JOINED, REAL=self.real,
        )  # fmt: skip
        return out

    def _coordinates(self, products: bool = False) -> tuple[int, int]:
        """The width of what a program takes of slopes, and how many programs there are for all.

        Where differences of coordinates are taken, there is one less beside the sum itself.
        """
        dim = self.x.shape[-1]
        if products:
            width = min(MOST, max(16, 1 << (dim - 1).bit_length()))
            return width, -(-dim // width)
        return (2, 1) if dim == 1 else (FEW, -(-dim // (FEW - 1)))

    def _worth(self, kernel: Radial) -> bool:
        """Whether slopes from differences, which take all entries anew for a few coordinates, beat sums.

        Where roots are taken, sums would be in double precision.
        """
        rooted = kernel.singular and self.x.dtype == torch.float32
        return rooted or self._coordinates()[1] <= GROUPS

    def _expands(self, kernel: Radial, logs: bool) -> bool:
        """Whether squares may be taken from products: small distances are lost, and all with a large rate."""
        if kernel.singular or not self.halves:
            return False
        return logs or kernel.rate * self.radius * torch.finfo(self.x.dtype).eps <= LOSS

    def _numbers(
        self, kernel: Radial, logs: bool, unit: Tensor
    ) -> tuple[tuple[float, ...] | None, Tensor]:
        """Powers, and rate, offset, common factor and factors for lengths in that unit.

        A multiple of an exponential has no powers.
        """
        powers = tuple(term.power for term in kernel.terms)
        factors = [term.factor * unit**term.power for term in kernel.terms]
        rate, offset = kernel.rate * LOG2E * unit**kernel.decay, kernel.offset / unit**2
        if (kernel.rate or logs) and not any(powers):
            return None, torch.stack([rate, offset, sum(factors, torch.zeros_like(unit))])
        return powers, torch.stack([rate, offset, torch.ones_like(unit), *factors])


def _times(slope: Radial, kernel: Radial) -> tuple[float, float] | None:
    """The power of the distance, and the factor, by which a kernel is a multiple of its derivative."""
    if len(slope.terms) != 1 or len(kernel.terms) != 1:
        return None
    (one,), (other,) = slope.terms, kernel.terms
    power, infinite = other.power - one.power, one.power < -1 and not slope.offset
    return None if power < 0 or infinite else (power, other.factor / one.factor)


def _is_single(number: float) -> bool:
    """Whether single precision holds a number, as kernels are handed it."""
    return float(np.float32(number)) == number


def _about(kernel: Radial) -> tuple[Any, ...]:
    """What of a kernel its program depends on."""
    return kernel.decay if kernel.rate else 0, [term.power for term in kernel.terms]
