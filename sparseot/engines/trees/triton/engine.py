"""The engine of CUDA devices for trees; Triton itself is loaded at the first reduction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ....formulas.trees.expressions import P
from ...triton.engine import unfit
from ..base import Ranges, Reduction, TreeEngine
from ..rows import one_sided, unpacked
from .packed import Packing
from .passes import Pass, passes, unprintable
from .shapes import Shape

__all__ = ["TritonTrees"]

BITS = {torch.float32: 32, torch.float64: 64}
WORTH = 4  # tiles of columns that are worth a program of their own


class TritonTrees(TreeEngine):
    """Formulas of real numbers in single or double precision, on CUDA tensors."""

    name = "triton"

    def refuses(self, reduction: Reduction, like: Tensor) -> str | None:
        """Refuses other devices and dtypes, and trees that no kernel should have."""
        why = unfit(like.device)
        if why:
            return f"{why}."
        if like.dtype not in BITS:
            return f"The points are of {like.dtype}."
        return unprintable(reduction)

    def sums(
        self, reduction: Reduction, tensors: Sequence[Tensor], ranges: Ranges | None
    ) -> list[Tensor]:
        """By passes for rows, and others for columns."""
        out: list[Any] = [None] * len(reduction.outputs)
        for one, chosen, turned in one_sided(reduction):
            met = ranges.T if turned and ranges is not None else ranges
            packing = Packing(one.slots, tensors, met)
            parts = []
            for each in _passes(one, tensors):
                found, rows = _run(each, packing)[::2]
                sums = found.sum(0).flatten(1, 2)[:, : each.outputs]
                parts.append(unpacked(sums, rows, *packing.size[:2], 0.0))
            dims = [e.dim for e in one.outputs]
            for k, part in zip(chosen, torch.cat(parts, -1).split(dims, -1), strict=True):
                out[k] = part.sum(1, keepdim=True) if reduction.sides[k] == P else part
        return out

    def softmax(
        self, reduction: Reduction, tensors: Sequence[Tensor], ranges: Ranges | None
    ) -> tuple[Tensor, Tensor]:
        """Relative to a running maximum of each entry of a tile."""
        packing = Packing(reduction.slots, tensors, ranges)
        size = packing.size[:2]
        logs, means = [], []
        for each in _passes(reduction, tensors):
            found, rows = _run(each, packing)[::2]
            tops, sums = found[..., :1, :], found[..., 1:, :]
            top = tops.amax(0)
            sums = (sums * (tops - top).exp()).sum(0)
            mass, sums = sums[..., :1, :], sums[..., 1:, :]
            finite = top < torch.finfo(top.dtype).max  # which stands for infinity in a kernel
            mean = (sums / mass).where(mass != 0, 0).where(finite, torch.nan)
            mean, top = mean.flatten(1, 2)[:, : each.outputs], top.where(finite, torch.inf)
            logs.append(unpacked((top + mass.log())[:, 0], rows, *size, -torch.inf))
            means.append(unpacked(mean, rows, *size, 0.0))
        return logs[0], torch.cat(means, -1)

    def least(
        self, reduction: Reduction, tensors: Sequence[Tensor], ranges: Ranges | None
    ) -> tuple[Tensor, Tensor]:
        """One value in each entry of a tile, or several in slots of each row."""
        packing = Packing(reduction.slots, tensors, ranges)
        size = packing.size[:2]
        lows, places = [], []
        for each in _passes(reduction, tensors):
            low, where, rows = _run(each, packing)
            low, where = low[:, :, 0], where[:, :, 0]
            if each.spec.kind == "several":
                low, where = low.movedim(0, 1).flatten(1, 2), where.movedim(0, 1).flatten(1, 2)
                low, where = (t[:, : each.outputs] for t in _in_order(low, where, 1))
            else:
                parts = _in_order(low, where, 0) if len(low) > 1 else (low, where)
                low, where = (t[0] for t in parts)
            lows.append(unpacked(low, rows, *size, torch.inf))
            places.append(unpacked(where, rows, *size, -1).long())
        if reduction.count > 1:
            return torch.stack(lows, -1), torch.stack(places, -1)
        return torch.cat(lows, -1)[:, :, None], torch.cat(places, -1)[:, :, None]


def _passes(reduction: Reduction, tensors: Sequence[Tensor]) -> list[Pass]:
    return passes(reduction, BITS[tensors[0].dtype])


def _run(one: Pass, packing: Packing) -> tuple[Tensor, Tensor, Tensor]:
    """What parts of the columns give, ``(parts, tiles, groups, width, rows)``, its columns, and the rows."""
    from ...triton.card import tuning

    kernel, shapes = one.kernel()
    shape, (items, n, m) = shapes[0], packing.size
    if packing.ranges is None and items * n * m >= tuning.ENOUGH:
        kind = "formula", kernel.fn.__module__  # named by its text
        shape = tuning.CHOICES.best(
            kind, shapes, lambda some: lambda: _launched(one, packing, some, tuning.TRIED // m), packing.device
        )  # fmt: skip
    return _launched(one, packing, shape)


def _launched(
    one: Pass, packing: Packing, shape: Shape, most: int | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """The same in tiles of a shape, or of about ``most`` rows alone."""
    from ...triton.card import launches

    kernel, given, m = one.kernel()[0], packing.of(shape.rows), packing.size[2]
    count = len(given.tiles)
    if most is not None:
        count = min(count, max(1, most // shape.rows))
    parts = 1
    if packing.ranges is None:  # few rows leave a device idle
        idle = launches.programs(packing.device) // max(1, count * one.groups)
        parts = max(1, min(idle, -(-m // shape.columns) // WORTH))
    out = given.xs.new_empty(parts, count, one.groups, one.spec.width, shape.rows)
    where = out
    if one.spec.kind in ("least", "several"):
        where = torch.empty_like(out, dtype=torch.int32)
    if count:
        launches.launch(
            kernel, (count, parts, one.groups), shape.warps,
            out, where, given.tiles.table, given.tiles.runs, given.xs, given.ys, given.ps,
            given.ys.shape[1], m, parts, BM=shape.rows, BN=shape.columns,
        )  # fmt: skip
    return out, where, given.tiles.rows


def _in_order(low: Tensor, where: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Values in their order, equal ones in that of their columns."""
    where, order = where.sort(dim)
    low, order = low.gather(dim, order).sort(dim=dim, stable=True)
    return low, where.gather(dim, order)
