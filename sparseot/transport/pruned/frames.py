r"""Potentials in the frames of the blocks of clouds: what loops and screens read of them, and of others near them.

In a frame, the point is :math:`x_I + dx` and the potential :math:`F_I + s_I \cdot dx + \varphi`,
with the slope by least squares.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from ...engines.kept import Anchor, Biases, Blocks, Boxes, TileLoops, TileRows
from ...points import CLOSED
from ..softmins import Number
from .blocks.clouds import GROUP, SIZE, BlockCloud
from .blocks.fits import Fit
from .scales import Scale

__all__ = ["Frame", "Framed", "Placed", "screened"]

ALONE = 1 << 15  # pairs of blocks, which take less time than those of their groups before them


@dataclass(frozen=True)
class Placed:
    """One cloud in the units of a temperature: what its frames have in common, whatever the potential."""

    cloud: BlockCloud
    scale: Scale
    origin: Tensor  # that both clouds share: far from zero, their centres would lose digits

    @cached_property
    def centres(self) -> Tensor:
        """Of the blocks, with three coordinates at least."""
        centres = (self.cloud.centres - self.origin) * self.scale.length
        return pad(centres, (0, max(0, 3 - self.cloud.dim)))

    @cached_property
    def boxes(self) -> tuple[Tensor, Tensor]:
        """Centres and half sides of the blocks, coordinate after coordinate,"""
        return self._boxes(SIZE)

    @cached_property
    def wide(self) -> tuple[Tensor, Tensor]:
        """and of their groups."""
        return self._boxes(GROUP * SIZE)

    def _boxes(self, size: int) -> tuple[Tensor, Tensor]:
        unit, (centres, sides) = self.scale.length, self.cloud.boxes(size)
        return (centres - self.origin[:, None]) * unit, sides * (unit / 2)


@dataclass(frozen=True)
class Frame:
    """One cloud and the slopes of its potential, at one temperature: what loops and screens read."""

    placed: Placed
    slopes: Tensor
    heights: Tensor
    values: Tensor  # (C, B), the potential of each point
    below: Tensor  # (C, B), minus what is taken off it

    @staticmethod
    def of(placed: Placed, potential: Tensor) -> Frame:
        """The frame of a potential ``(n,)``."""
        cloud, scale = placed.cloud, placed.scale
        values = (cloud.fill(potential) * scale.height).view(cloud.blocks, SIZE)
        parts = [_tangent(values[some], fit, scale.curve) for some, fit in cloud.fits(SIZE)]
        slopes, heights, below = map(_joined, zip(*parts, strict=True))
        return Frame(placed, slopes / scale.length, heights, values, below)

    def blocks(self, dtype: torch.dtype) -> Blocks:
        """What the loops read, with three coordinates at least."""
        cloud, unit = self.placed.cloud, self.placed.scale.length
        slopes = pad(self.slopes, (0, max(0, 3 - cloud.dim)))
        return Blocks(self.placed.centres, slopes, self.heights, cloud.scaled(unit, dtype))

    def bias(self, potential: Tensor) -> Tensor:
        """What the loops add for a potential ``(n,)`` near that of the frame, ``(C, B)``."""
        values = self.placed.cloud.fill(potential).view(-1, SIZE)
        return torch.add(self.below, values, alpha=self.placed.scale.height)

    @cached_property
    def boxes(self) -> Boxes:
        """What the screen reads of the blocks."""
        cloud, heights = self.placed.cloud, self.heights
        if cloud.filled < cloud.blocks:
            heights = heights.clone()
            heights[cloud.filled :] = CLOSED
        weighed = cloud.shares[0], cloud.log_masses[0]
        return Boxes(*self.placed.boxes, self.slopes.T.contiguous(), heights, *weighed)

    @cached_property
    def wide(self) -> Boxes:
        """And of their groups."""
        cloud, size = self.placed.cloud, GROUP * SIZE
        values = self.values.view(cloud.groups, size)
        parts = [_tangent(values[some], fit) for some, fit in cloud.fits(size)]
        slopes, heights = map(_joined, zip(*parts, strict=True))
        slopes = (slopes / self.placed.scale.length).T.contiguous()
        return Boxes(*self.placed.wide, slopes, heights, cloud.shares[1], cloud.log_masses[1])


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


def _tangent(values: Tensor, fit: Fit, curve: float | None = None) -> tuple[Tensor, ...]:
    """Slopes and heights of values in some blocks; with a ``curve`` also what is below."""
    slopes, rest = fit.sloped(values)
    heights = rest.amax(1)
    if curve is None:
        return slopes, heights
    below = rest - values
    below -= heights[:, None]
    if curve:
        below -= curve * fit.squares
    return slopes, heights, below


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """What was found of one range of blocks after the other, as one."""
    return parts[0] if len(parts) == 1 else torch.cat(tuple(parts))
