r"""A cloud in blocks of 32 points, and potentials in the frames of the blocks.

In a frame, the point is :math:`x_I + dx` and the potential :math:`F_I + s_I \cdot dx + \varphi`,
with the slope by least squares. Lengths are in units of :math:`\sqrt{\varepsilon / \log_2 e}`, so
that exponents are powers of two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from ...engines.base import KEPT_BLOCK, LOG2E
from ...engines.kept import KEPT_GROUP, Boxes
from ...pairs import partition
from ...points import CLOSED

__all__ = ["GROUP", "SIZE", "BlockCloud", "Frame"]

Array = np.ndarray[Any, Any]
SIZE = KEPT_BLOCK
GROUP = KEPT_GROUP
SINGLE = 1e-8  # error of an entry in float32, by the squared radius of its block: measured


class BlockCloud:
    """Points ``(n, D)`` and weights ``(n,)`` in the order of a kd-tree, in full blocks.

    The last block is filled up with copies of the last point without weight, and so is the last
    group of blocks. Vectors over the points are in the tree's order, without what was filled in.
    """

    def __init__(self, points: Array, weights: Array) -> None:
        cut = partition(points, SIZE)
        self.order, self.inverse = cut.order, cut.inverse
        self.points, self.weights = points[cut.order], weights[cut.order]
        self.n, self.dim = points.shape
        groups = -(-len(cut) // GROUP)
        self.blocks, self.groups = groups * GROUP, groups
        self.filled = len(cut)
        cube = self.fill(self.points).reshape(self.blocks, SIZE, self.dim)
        self.low, self.high = cube.min(1), cube.max(1)
        self.centres = (self.low + self.high) / 2
        self.offsets = np.ascontiguousarray((cube - self.centres[:, None]).transpose(0, 2, 1))
        self.fit = _slopes_of(self.offsets)
        wide = cube.reshape(groups, GROUP * SIZE, self.dim)
        self.group_low, self.group_high = wide.min(1), wide.max(1)
        self.group_centres = (self.group_low + self.group_high) / 2
        self.group_offsets = (wide - self.group_centres[:, None]).transpose(0, 2, 1)
        self.group_fit = _slopes_of(self.group_offsets)

    @cached_property
    def log_weights(self) -> Array:
        """Logarithms in base 2, block after block; -1e30 for zero and for what was filled in."""
        full = np.zeros(self.blocks * SIZE)
        full[: self.n] = self.weights
        logs = np.full(len(full), CLOSED)
        np.log2(full, where=full > 0, out=logs)
        return logs.reshape(self.blocks, SIZE)

    @cached_property
    def filled_in(self) -> Array:
        """Zero for each point, -1e30 for the copies that fill the last blocks."""
        return np.where(np.arange(self.blocks * SIZE) < self.n, 0.0, CLOSED).reshape(-1, SIZE)

    @cached_property
    def masses(self) -> Array:
        """The mass of each block."""
        full = np.zeros(self.blocks * SIZE)
        full[: self.n] = self.weights
        return full.reshape(self.blocks, SIZE).sum(1)

    def rounding(self, eps: float) -> float:
        """The share of the mass that goes wrong where entries are summed in float32."""
        squares = (self.offsets**2).sum(1).max(1) * (LOG2E / eps)
        wrong = np.expm1(np.minimum(SINGLE * squares, 50.0))
        return float(self.masses @ wrong) / float(self.masses.sum())

    def fill(self, values: Array) -> Array:
        """Values of the points, repeated at the end to fill the blocks."""
        missing = self.blocks * SIZE - self.n
        return np.concatenate((values, np.repeat(values[-1:], missing, 0)))


def _slopes_of(offsets: Array) -> Array:
    """``(C, D, B)`` weights that fit a slope to the values of a block, by least squares."""
    centred = offsets - offsets.mean(2, keepdims=True)
    normal = centred @ centred.transpose(0, 2, 1)
    size = np.trace(normal, axis1=1, axis2=2)[:, None, None]
    ridge = (1e-9 * size + 1e-300) * np.eye(offsets.shape[1])
    fit: Array = np.linalg.solve(normal + ridge, centred)
    return fit


@dataclass(frozen=True)
class Frame:
    """One cloud and the slopes of its potential, at one temperature: what loops and screens read."""

    cloud: BlockCloud
    eps: float
    origin: Array  # that both clouds share: far from zero, their centres would lose digits
    slopes: Array
    heights: Array
    group_slopes: Array
    group_heights: Array
    level: Array  # (C, B), what is taken off the potential of each point

    @staticmethod
    def of(cloud: BlockCloud, potential: Array, eps: float, origin: Array) -> Frame:
        """The frame of a potential ``(n,)``; centres are told from the origin."""
        unit = math.sqrt(LOG2E / eps)
        values = cloud.fill(potential) * (LOG2E / eps)
        own = values.reshape(cloud.blocks, SIZE)
        offsets = cloud.offsets * unit
        slopes = (cloud.fit @ own[..., None])[..., 0] / unit
        along = (slopes[:, None] @ offsets)[:, 0]
        heights = (own - along).max(1)
        wide = values.reshape(cloud.groups, -1)
        group_slopes = (cloud.group_fit @ wide[..., None])[..., 0] / unit
        group_along = (group_slopes[:, None] @ (cloud.group_offsets * unit))[:, 0]
        level = along + heights[:, None] + (offsets**2).sum(1) / 2
        group_heights = (wide - group_along).max(1)
        return Frame(cloud, eps, origin, slopes, heights, group_slopes, group_heights, level)

    @property
    def unit(self) -> float:
        """Lengths are multiplied by this."""
        return math.sqrt(LOG2E / self.eps)

    def loops(self, dtype: Any) -> tuple[Array, ...]:
        """Centres, slopes, heights and offsets as the loops read them, three coordinates at least."""
        extra = max(0, 3 - self.cloud.dim)
        centres = (self.cloud.centres - self.origin) * self.unit
        centres = np.pad(centres, ((0, 0), (0, extra)))
        slopes = np.pad(self.slopes, ((0, 0), (0, extra)))
        offsets = np.pad(self.cloud.offsets * self.unit, ((0, 0), (0, extra), (0, 0)))
        return centres, slopes, self.heights, offsets.astype(dtype)

    def bias(self, potential: Array) -> Array:
        """``phi - |dx|^2 / 2`` for a potential ``(n,)`` near that of the frame, ``(C, B)``."""
        values = self.cloud.fill(potential * (LOG2E / self.eps)).reshape(-1, SIZE)
        values -= self.level
        return values

    def boxes(self) -> tuple[Boxes, Boxes]:
        """What the screen reads of the blocks and of their groups."""
        cloud, unit = self.cloud, self.unit
        heights = self.heights.copy()
        heights[cloud.filled :] = CLOSED
        masses, groups = cloud.masses, cloud.masses.reshape(cloud.groups, GROUP)
        shares = _log2(masses * cloud.filled)  # sums of all blocks are one, whatever the mass
        blocks = (
            np.ascontiguousarray((cloud.centres - self.origin).T * unit),
            np.ascontiguousarray((cloud.high - cloud.low).T * (unit / 2)),
            np.ascontiguousarray(self.slopes.T),
            heights,
            shares,
            _log2(masses),
        )
        wide = (
            np.ascontiguousarray((cloud.group_centres - self.origin).T * unit),
            np.ascontiguousarray((cloud.group_high - cloud.group_low).T * (unit / 2)),
            np.ascontiguousarray(self.group_slopes.T),
            self.group_heights,
            shares.reshape(cloud.groups, GROUP).max(1),
            _log2(groups.sum(1)),
        )
        some, more = (map(torch.from_numpy, boxes) for boxes in (blocks, wide))
        return Boxes(*some), Boxes(*more)


def _log2(x: Array) -> Array:
    out = np.full(len(x), CLOSED)
    np.log2(x, where=x > 0, out=out)
    return out
