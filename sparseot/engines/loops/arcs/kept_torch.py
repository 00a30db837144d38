"""Kept pairs for powers of angles without a compiler, on any device, in double precision."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...kept import Biases, Blocks, Boxes
from ..kept_torch import TorchLoops
from ..powers.kept_torch import of_squares

__all__ = ["HIGHEST", "ROUNDING", "TINY", "TorchArcs"]

TINY = 1e-300
HIGHEST = 3.9  # squared chord at which a tangent is taken
ROUNDING = 1e-6  # of the squared radius, by which points may be off the sphere


class TorchArcs(TorchLoops):
    """Those of ``arc^p / p`` on a sphere of that radius, p = 1 or 2."""

    def __init__(self, p: int, radius: float) -> None:
        self.p, self.radius = p, radius

    def _exponents(
        self, rows: Blocks, cols: Blocks, biases: Biases, I: Tensor, J: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Beside exponents squared chords, and those to the points that are opposite, ``(2, k, B, B)``."""
        x, y = (
            (blocks.offsets[K].double() + blocks.centres[K][..., None]) / self.radius
            for blocks, K in ((rows, I), (cols, J))
        )
        s, o = (_squares(x, sign * y) for sign in (1, -1))
        here = biases[0][I].double() + (rows.slopes[I][:, None] @ rows.offsets[I].double())[:, 0]
        there = biases[1][J].double() + (cols.slopes[J][:, None] @ cols.offsets[J].double())[:, 0]
        there = there + (rows.heights[I] + cols.heights[J])[:, None]
        cost = self.radius**self.p * _cost(self.p, s, o)
        return (here[:, :, None] + there[:, None] - cost).to(biases[0]), torch.stack((s, o)).to(
            biases[0]
        )

    def _weights(self, far: Tensor, power: float, least: float) -> Tensor:
        """One of the factors that :class:`.formulas.arcs.ArcKernel` knows."""
        s, o = far
        if power == 1:
            return _cost(self.p, s, o)
        assert power == -1, "these loops know the cost, and its derivative"
        bar = (least / self.radius) ** 2
        sine = (s * o).sqrt() / 2
        if self.p == 1:
            return torch.where(torch.minimum(s, o) > bar, 1 / sine, 0.0)
        quotient = torch.where(s > bar, _angle(s, o) / sine, 1.0)
        return torch.where(o > bar, quotient, 0.0)

    def _bounds(self, rows: Boxes, cols: Boxes) -> Tensor:
        """The better of two, see :func:`.screens._of_arcs`."""
        gap, size = rows.centres - cols.centres, self.radius**2
        reach = rows.sides + cols.sides
        low = (gap.abs() - reach).clamp(min=0).square().sum(0) / size
        high, far = (gap.abs() + reach).square().sum(0) / size, gap.square().sum(0) / size
        a, b = _line(self.p, low.clamp(max=4.0), high.clamp(max=4.0), far)
        a, b = self.radius**self.p * a, self.radius ** (self.p - 2) * b
        plain = of_squares(gap, rows.sides, rows.slopes / b, cols.sides, cols.slopes / b) * b
        (s, more), (t, others) = (
            _turned(boxes, sign * gap, b, size) for boxes, sign in ((rows, 1), (cols, -1))
        )
        turned = of_squares(gap, rows.sides, s / b, cols.sides, t / b) * b + more + others
        return rows.heights + cols.heights - a + torch.minimum(plain, turned)


def _squares(x: Tensor, y: Tensor) -> Tensor:
    found = (x[:, 0, :, None] - y[:, 0, None]).square_()
    for d in range(1, x.shape[1]):
        found += (x[:, d, :, None] - y[:, d, None]).square_()
    return found


def _angle(s: Tensor, o: Tensor) -> Tensor:
    """Of two points at the squared chord s, that of one to the point opposite of the other being o."""
    part = 2 * (torch.minimum(s, o).sqrt() / 2).clamp(max=1.0).asin()
    return torch.where(s <= o, part, math.pi - part)


def _cost(p: int, s: Tensor, o: Tensor) -> Tensor:
    angle = _angle(s, o)
    return angle if p == 1 else angle.square() / 2


def _line(p: int, low: Tensor, high: Tensor, far: Tensor) -> tuple[Tensor, Tensor]:
    """``a, b`` with ``arc^p / p >= a + b s / 2`` for all squared chords between two, see :func:`.screens._line`."""
    at = torch.minimum(torch.maximum(far, low), high).clamp(max=HIGHEST)
    angle = 2 * (at.sqrt() / 2).asin()
    sine = (at * (4 - at)).sqrt() / 2
    if p == 2:
        b = torch.where(at > TINY, angle / sine.clamp(min=TINY), 1.0)
        return angle.square() / 2 - b * at / 2, b
    first, last = (2 * (s.sqrt() / 2).clamp(max=1.0).asin() for s in (low, high))
    even = high - low <= 1e-6 * high
    chord = 2 * (last - first) / (high - low).where(~even, 1.0)
    chord = chord.where(~even, 1 / sine.clamp(min=TINY))
    tangent = 1 / sine.clamp(min=TINY)
    b = torch.where(high <= 2, chord, torch.where(low >= 2, tangent, 1.0))
    a = torch.where((low >= 2) & (high > 2), angle - b * at / 2, first - b * low / 2)
    return a, b


def _turned(boxes: Boxes, gap: Tensor, b: Tensor, size: float) -> tuple[Tensor, Tensor]:
    """Slopes that differ by a multiple of the centre, and what heights grow by: points are on the sphere."""
    centre, square = boxes.centres, boxes.centres.square().sum(0)
    more = ((b * gap - boxes.slopes) * centre).sum(0) / square.clamp(min=size / 4)
    away = more.clamp(min=0) * boxes.sides.square().sum(0) + more.abs() * (ROUNDING * size)
    return boxes.slopes + more * centre, (more * (square - size) + away) / 2
