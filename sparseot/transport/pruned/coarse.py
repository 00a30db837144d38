"""Coarse clouds: the centroids of the points that share a cell, and potentials carried to finer ones."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...pairs import Array, voxels
from .clouds import BlockCloud

__all__ = ["Carried", "Cells"]

WORTH = 0.5  # cells, as a share of the points, above which the points themselves are taken


class Cells:
    """A cloud, or the centroids of its cells: ``labels`` say in which cell each point lies.

    Cells are found on the host, once; what is found of them stays on the device of the points.
    """

    def __init__(self, points: Tensor, weights: Tensor, side: float) -> None:
        self.heads = self.labels = torch.arange(len(points), device=points.device)
        self.points, self.weights = points, weights
        numbers = voxels(points.numpy(force=True), side) if side > 0 else None
        if numbers is not None:
            heads, labels = _distinct(numbers)
            if len(heads) <= WORTH * len(points):
                self._merge(*(torch.from_numpy(t).to(points.device) for t in (heads, labels)))

    def weighing(self, weights: Tensor) -> Cells:
        """The same points with other weights, cut only once; not for cells, whose centroids move."""
        assert self.whole
        new = Cells(self.points, weights, 0.0)
        new.blocks = self.blocks.weighing(weights)
        return new

    def _merge(self, heads: Tensor, labels: Tensor) -> None:
        count, points, weights = len(heads), self.points, self.weights
        mass = torch.bincount(labels, weights, count)
        share = weights.where(mass[labels] > 0, 1.0)
        total = torch.bincount(labels, share, count)
        means = [torch.bincount(labels, share * c, count) / total for c in points.T]
        self.points, self.weights = torch.stack(means, 1), mass
        self.heads, self.labels = heads, labels

    @cached_property
    def blocks(self) -> BlockCloud:
        """The cells in blocks."""
        return BlockCloud(self.points, self.weights)

    def count(self, width: float) -> int:
        """How many cells of that width hold points; all points where they cannot be numbered."""
        numbers = voxels(self.points.numpy(force=True), width)
        return len(self.points) if numbers is None else len(_distinct(numbers)[0])

    @property
    def whole(self) -> bool:
        """Whether these are the points themselves."""
        return self.labels is self.heads


def _distinct(numbers: Array) -> tuple[Array, Array]:
    """The first place of each number, and which of these stands for each place."""
    most = int(numbers.max()) + 1
    if most > 8 * len(numbers):
        _, heads, labels = np.unique(numbers, return_index=True, return_inverse=True)
        return heads, labels
    first = np.full(most, -1)
    first[numbers[::-1]] = np.arange(len(numbers))[::-1]
    taken = first >= 0
    return first[taken], (np.cumsum(taken) - 1)[numbers]


class Carried(NamedTuple):
    """Potentials at the points of cells, in their order."""

    cells: tuple[Cells, Cells]
    values: list[Tensor]
