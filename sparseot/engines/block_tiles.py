"""Tiles of kept pairs of blocks, and what they share with those of all pairs (:mod:`.tiles`)."""

from __future__ import annotations

import torch
from torch import Tensor

from ..formulas import Radial
from ..pairs import BlockPairs
from ..precision import full_precision
from .base import LOG2E, Formula, Reductions, centred
from .openmp import NUMBERS, threads_for

__all__ = ["BlockTiles", "radial_values"]


class BlockTiles(Reductions):
    """Kept pairs of blocks, many small tiles at a time; short blocks are filled with nothing."""

    def __init__(self, x: Tensor, y: Tensor, pairs: BlockPairs, entries: int) -> None:
        self.pairs, self.device = pairs, x.device
        here, there = centred(x, y)
        rows, cols = (
            torch.from_numpy(cut.members).to(x.device) for cut in (pairs.rows, pairs.columns)
        )
        self.x, self.y, self.members = here[0, rows], there[0, cols], (rows, cols)
        self.tiles = tuple(torch.from_numpy(k).to(x.device) for k in (pairs.owners, pairs.cols))
        self.chunk = max(1, entries // (rows.shape[1] * cols.shape[1]))

    @full_precision
    def sum(
        self, kernel: Formula, v: Tensor, row: Tensor | None = None, col: Tensor | None = None
    ) -> Tensor:
        assert isinstance(kernel, Radial)
        rows, cols = self.members
        block = v[0, cols]
        block.view(-1, v.shape[-1])[len(v[0]) :] = 0
        out = v.new_zeros(*rows.shape, v.shape[-1])
        with threads_for(NUMBERS * self.pairs.kept):
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


def radial_values(
    kernel: Radial, squares: Tensor, row: Tensor | None = None, col: Tensor | None = None
) -> Tensor:
    """Values at squared distances, scaled by ``exp(row + col)`` where these are given."""
    value = kernel.polynomial(squares)
    if not isinstance(value, Tensor):  # a constant
        value = torch.full_like(squares, value)
    if kernel.rate or row is not None:
        root = squares if kernel.decay == 2 else squares.pow(kernel.decay / 2)
        exponent = root * (-LOG2E * kernel.rate)
        for scaling in (row, col):
            if scaling is not None:
                exponent += LOG2E * scaling
        value = value * exponent.exp2_()
    return value
