r"""Sums of Gaussian exponentials along one axis of a grid, by matrix products that lose no digit.

Wanted are, for each line of n equally spaced values c, and for means of values m,

.. math:: L_i = \log_2 \sum_j 2^{c_j - \kappa (i - j)^2}, \qquad
    \bar m_i = 2^{-L_i} \sum_j 2^{c_j - \kappa (i - j)^2} m_j.

Products with the matrix of :math:`2^{-\kappa (i - j)^2}` are fast, but its entries underflow where blur
is small. So a line is cut into tiles of W values, so short that the matrix K of one of them has no
entry below :math:`e^{-300}`. Between tiles d apart, with places :math:`\delta` about their centres,

.. math:: (d W + \delta_i - \delta_j)^2 = d^2 W^2 + 2 d W \delta_i - 2 d W \delta_j
    + (\delta_i - \delta_j)^2,

what depends on j alone goes into the exponents, whose maximum s over the tile is taken off, and what
depends on i alone into those of the result: every pair of tiles is a product with the one K. A sum
so scaled is at least :math:`e^{-300}`, as its largest term is one times an entry of K, and no number
below :math:`e^{-709}` is lost: the bound depends on the width of tiles alone, never on c. A line that is short
beside the blur is one tile, and takes one product.

The same scalings for one kernel: Schmitzer, 2019, "Stabilized sparse scaling algorithms for entropy
regularized transport problems", section 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ...points import CLOSED
from ..base import LOG2E
from ..openmp import NUMBERS
from ..threads import share_ranges

__all__ = ["averages"]

DEPTH = 300 * LOG2E  # binary digits that the entries of a tile span, at most
ROOM = {"cpu": 1 << 16}  # numbers of a strip of lines, which stays in the cache
MANY = 1 << 24  # elsewhere
PASSES = 3  # over all numbers, for each two tiles of a line


def averages(
    logs: Tensor, values: Tensor | None, rates: Sequence[float]
) -> tuple[Tensor, Tensor | None]:
    """The sums, and the means of some values, over all pixels, axis by axis; in float64.

    Args:
        logs: ``(B, *grid)`` binary exponents c; those of -1e30 stand for minus infinity.
        values: ``(R, B, *grid)``, or None.
        rates: the exponent of neighbours, for each axis of the grid.

    Returns:
        Binary logarithms of the sums, and means, of the same shapes.
    """
    for axis, rate in enumerate(rates, 1):
        if logs.shape[axis] == 1:
            continue
        lines = logs.movedim(axis, 0)
        flat = lines.reshape(len(lines), -1)
        some = None if values is None else values.movedim(axis + 1, 1)
        flat, means = _along(
            flat, None if some is None else some.reshape(*some.shape[:2], -1), rate
        )
        logs = flat.view(lines.shape).movedim(0, axis)
        if some is not None and means is not None:
            values = means.view(some.shape).movedim(1, axis + 1)
    return logs, values


def _along(logs: Tensor, values: Tensor | None, rate: float) -> tuple[Tensor, Tensor | None]:
    """Those along the first axis of ``(n, lines)``; strips of lines are shared by our threads."""
    n, lines = logs.shape
    tiles, out = _Tiles(n, rate, logs), torch.empty_like(logs)
    means = None if values is None else torch.empty_like(values)
    columns = 1 if values is None else 1 + len(values)
    grain = max(1, ROOM.get(logs.device.type, MANY) // (n * columns))

    def strip(lo: int, hi: int) -> None:
        some = None if values is None else values[..., lo:hi]
        out[:, lo:hi], found = tiles.sums(logs[:, lo:hi], some)
        if means is not None and found is not None:
            means[..., lo:hi] = found

    if logs.device.type == "cpu":
        work = logs.numel() * columns * (tiles.width + PASSES * NUMBERS) * tiles.count
        share_ranges(lines, strip, grain, work)
    else:
        for lo in range(0, lines, grain):
            strip(lo, min(lo + grain, lines))
    return out, means


class _Tiles:
    """The tiles of a line of n values, and the matrix that all pairs of them share."""

    def __init__(self, n: int, rate: float, like: Tensor) -> None:
        widest = 1 + math.isqrt(math.floor(min(DEPTH / rate, n * n))) if rate > 0 else n
        self.rate, self.count = rate, math.ceil(n / widest)
        self.width = math.ceil(n / self.count)
        places = torch.arange(self.width, dtype=like.dtype) - (self.width - 1) / 2
        self.places = places.to(like.device)[:, None]
        self.kernel = (-rate * (self.places - self.places.T).square()).exp2()

    def sums(self, logs: Tensor, values: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Of ``(n, lines)`` exponents, and ``(R, n, lines)`` values."""
        n, lines = logs.shape
        c, m = self._cut(logs, CLOSED), None if values is None else self._cut(values, 0.0)
        apart = range(1 - self.count, self.count)  # tiles of the result, from those of c
        heights = [self._tilted(c, d).amax(1, keepdim=True) for d in apart]
        top = torch.full_like(c, -math.inf)
        for d, height in zip(apart, heights, strict=True):
            there = top[self._to(d)]
            torch.maximum(there, height + self._fall(d), out=there)
        total = torch.zeros_like(c)
        parts = None if m is None else torch.zeros_like(m)
        for d, height in zip(apart, heights, strict=True):
            terms = self._tilted(c, d).sub_(height).exp2_()
            scale = (height + self._fall(d)).sub_(top[self._to(d)]).exp2_()
            total[self._to(d)].addcmul_(scale, self.kernel @ terms)
            if m is not None and parts is not None:
                parts[:, self._to(d)].addcmul_(scale, self.kernel @ (terms * m[:, self._from(d)]))
        means = None if parts is None else parts.div_(total).flatten(1, 2)[:, :n]
        return total.log2_().add_(top).view(-1, lines)[:n], means

    def _cut(self, t: Tensor, rest: float) -> Tensor:
        """Tiles ``(..., count, width, lines)`` of ``(..., n, lines)``."""
        missing = self.count * self.width - t.shape[-2]
        if missing:
            t = torch.nn.functional.pad(t, (0, 0, 0, missing), value=rest)
        return t.unflatten(-2, (self.count, self.width))

    def _from(self, d: int) -> slice:
        """The tiles that have one d further on,"""
        return slice(max(0, -d), self.count - max(0, d))

    def _to(self, d: int) -> slice:
        """and those."""
        return slice(max(0, d), self.count - max(0, -d))

    def _tilted(self, c: Tensor, d: int) -> Tensor:
        """Exponents, with what j adds to those of a pair of tiles."""
        return c[self._from(d)] + 2 * self.rate * d * self.width * self.places

    def _fall(self, d: int) -> Tensor:
        """What i, and the distance of both tiles, take off."""
        return -self.rate * d * self.width * (d * self.width + 2 * self.places)
