"""Two potentials in the frames of their blocks: what loops read of them, and of others near them."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from ...engines.kept import Anchor, Biases, Blocks, Boxes, TileLoops, TileRows
from ..softmins import Number
from .clouds import GROUP
from .frames import Frame, Placed

__all__ = ["Framed", "screened"]

ALONE = 1 << 15  # pairs of blocks, which take less time than those of their groups before them


class Known(NamedTuple):
    """What the loops read of one potential."""

    potential: Tensor
    row: Tensor  # its biases in the frames of the blocks
    col: Tensor  # and with the weights
    rise: Number  # above the potential of the frames


class Framed:
    """The potentials for which tiles are chosen.

    Args:
        placed: both clouds.
        potentials: of both, in the order of their blocks.
        loops: that visit the tiles,
        dtype: and their precision.
        before: those of the tiles before; a frame whose potential is the same one stays.
    """

    def __init__(
        self,
        placed: tuple[Placed, Placed],
        potentials: tuple[Tensor, Tensor],
        loops: TileLoops,
        dtype: torch.dtype,
        before: Framed | None = None,
    ) -> None:
        self.placed, self.potentials = placed, potentials
        self.loops, self.dtype = loops, dtype
        (X, Y), (f, g) = placed, potentials
        first = self._frame(0, before)
        self.frames = first, first if X is Y and f is g else self._frame(1, before)
        self.known: list[Known | None] = [None, None]

    def _frame(self, side: int, before: Framed | None) -> Frame:
        placed, h = self.placed[side], self.potentials[side]
        if before is not None and before.potentials[side] is h and before.placed[side] is placed:
            return before.frames[side]
        return Frame.of(placed, h)

    def cast(self, dtype: torch.dtype) -> Framed:
        """The same for loops in this dtype."""
        new = copy(self)
        new.dtype, new.known = dtype, [None, None]
        for name in ("blocks", "anchors"):
            new.__dict__.pop(name, None)
        return new

    @cached_property
    def blocks(self) -> tuple[Blocks, Blocks]:
        """Both frames as the loops read them."""
        first, second = self.frames
        found = first.blocks(self.dtype)
        return found, found if first is second else second.blocks(self.dtype)

    @cached_property
    def anchors(self) -> tuple[Anchor, Anchor]:
        """Both potentials, as loops compare others with them."""
        first, second = (
            Anchor(frame.below, h, placed.cloud.log_weights, placed.scale.height, self.dtype)
            for frame, h, placed in zip(self.frames, self.potentials, self.placed, strict=True)
        )
        return first, second

    def at(self, side: int, potential: Tensor) -> Known:
        """What the loops read of a potential; each serves two half-steps."""
        same = self.frames[0] is self.frames[1]
        for known in self.known if same else (self.known[side],):
            if known is not None and known.potential is potential:
                return known
        biases = self.loops.biases(self.anchors[side], potential)
        known = self.known[side] = Known(potential, *biases)
        return known

    def rise(self, side: int, here: Tensor, there: Tensor) -> Number:
        """How far both have risen above the potentials of the frames."""
        return self.at(side, here).rise + self.at(1 - side, there).rise

    def given(
        self, side: int, row: Tensor, col: Tensor, logs: Tensor
    ) -> tuple[Blocks, Blocks, Biases]:
        """What the loops read of rows and columns, for two potentials; ``logs`` weigh the columns."""
        rows, other = self.at(side, row).row, 1 - side
        if logs is self.placed[other].cloud.log_weights:
            cols = self.at(other, col).col
        else:
            cols = (self.frames[other].bias(col) + logs).to(self.dtype)
        return self.blocks[side], self.blocks[other], (rows, cols)


def screened(
    loops: TileLoops, rows: Frame, cols: Frame, threshold: float, weighed: bool = True
) -> tuple[TileRows, Tensor]:
    """The tiles of two frames that may matter, and a bound on what all others hold of a row.

    Not ``weighed``, a tile is kept by its exponents alone. Groups of blocks come first, unless blocks are so
    few that all of their pairs take less time.
    """

    def over(mine: Boxes, theirs: Boxes, near: TileRows | None = None) -> tuple[TileRows, Tensor]:
        if not weighed:
            mine, theirs = (replace(t, shares=torch.zeros_like(t.shares)) for t in (mine, theirs))
        return loops.screen(mine, theirs, threshold, near)

    if rows.placed.cloud.all_blocks * cols.placed.cloud.all_blocks <= ALONE:
        return over(rows.boxes, cols.boxes)
    pairs, lost = over(rows.wide, cols.wide)
    found, omitted = over(rows.boxes, cols.boxes, pairs)
    omitted.view(-1, GROUP).add_(lost[:, None])
    return found, omitted
