r"""Parts of the matrix behind a plan, beside the directions and the distances of their points.

Derivatives of a distance are sums of unit vectors :math:`u = (x_i - y_j) / |x_i - y_j|` and of
:math:`(I - u u^\top) / |x_i - y_j|`. Where points nearly meet they are small beside the moments that
they could be put together from, so each is taken from differences of coordinates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor
from torch._C._functorch import is_legacy_batchedtensor

from ....engines.base import LOG2E
from ....engines.kept import TileRows
from ....engines.openmp import NUMBERS
from ....engines.threads import share, share_ranges
from ....formulas import GroundCost, Opaque
from ....points import CLOSED
from ...pruned.blocks.clouds import SIZE, BlockCloud

__all__ = ["LEAST", "Optimum", "Patch", "Work", "over_all", "over_tiles"]

ROOM = {"cpu": 1 << 15}  # coordinates of a patch, which stays in the cache
MANY = 1 << 24  # elsewhere
LEAST = 1e-150  # a distance whose square is no number
PASSES = 8  # over the coordinates, that a work takes


@dataclass(frozen=True)
class Patch:
    """k pairs of n rows and m columns.

    Attributes:
        entries: ``(k, n, m)``, those of the matrix.
        unit: ``(D, k, n, m)``, unit vectors from columns to rows; zero where points meet.
        far: ``(k, n, m)``, distances, ``LEAST`` or more.
    """

    entries: Tensor
    unit: Tensor
    far: Tensor


# Of a patch and of values of its columns ``(k, m, ...)``: what its rows get, ``(k, n, *size)``.
Work = Callable[[Patch, Tensor], Tensor]


@dataclass(frozen=True)
class Optimum:
    """Two clouds ``(N, D)``, ``(M, D)``, their weights, and potentials, in float64."""

    points: tuple[Tensor, Tensor]
    weights: tuple[Tensor, Tensor]
    potentials: tuple[Tensor, Tensor]
    cost: GroundCost | Opaque
    eps: float

    @property
    def T(self) -> Optimum:
        """The same, seen from the target."""
        points, weights, potentials = self.points, self.weights, self.potentials
        return Optimum(points[::-1], weights[::-1], potentials[::-1], self.cost.T, self.eps)

    @cached_property
    def empty(self) -> tuple[Tensor, Tensor] | None:
        """The points without weight, if both clouds have some: exponents between those know no bound."""
        found = self.weights[0] == 0, self.weights[1] == 0
        return found if all(bool(none.any()) for none in found) else None


def over_all(
    at: Optimum, work: Work, size: tuple[int, ...], v: Tensor, matrix: Tensor | None = None
) -> Tensor:
    """The sums over all pairs, ``(N, *size)``; entries are those of a matrix, if it is stored."""
    (x, y), (f, g), empty = at.points, at.potentials, at.empty
    out, here = v.new_zeros(len(x), *size), x.device.type == "cpu"
    height = max(1, ROOM.get(x.device.type, MANY) // y.numel())

    def part(first: int, last: int) -> None:
        for k in range(first, last, height):
            rows = slice(k, min(k + height, last))
            none = None if empty is None else empty[0][rows, None] & empty[1]
            known = None if matrix is None else matrix[None, rows]
            some = _patch(at, x[None, rows], y[None], f[None, rows], g[None], none, known)
            out[rows] = work(some, v[None])[0]

    if here and not is_legacy_batchedtensor(v):  # only this thread knows of what is mapped over it
        share_ranges(len(x), part, work=PASSES * NUMBERS * v.numel() * len(x))
    else:
        part(0, len(x))
    return out


def over_tiles(
    at: Optimum,
    work: Work,
    size: tuple[int, ...],
    v: Tensor,
    sides: tuple[BlockCloud, BlockCloud, TileRows],
) -> Tensor:
    """The sums over kept tiles, ``(N, *size)``."""
    rows, cols, tiles = sides
    x, f, a = (rows.blocked(t[0]) for t in (at.points, at.potentials, at.weights))
    y, g, b = (cols.blocked(t[1]) for t in (at.points, at.potentials, at.weights))
    g, v = g + cols.filled_in, cols.blocked(v)
    out, here = v.new_zeros(len(x), SIZE, *size), x.device.type == "cpu"
    many = max(1, ROOM.get(x.device.type, MANY) // (SIZE * x[0].numel()))

    def part(first: int, last: int) -> None:
        for k in range(first, last, many):
            place = slice(k, min(k + many, last))
            I, J = tiles.owners[place].long(), tiles.blocks[place].long()
            none = None if at.empty is None else (a[I] == 0)[:, :, None] & (b[J] == 0)[:, None]
            out.index_add_(0, I, work(_patch(at, x[I], y[J], f[I], g[J], none), v[J]))

    share(part, tiles.spans if here else [0, len(tiles)])
    return out.flatten(0, 1)[: rows.n][rows.inverse]


def _patch(
    at: Optimum,
    x: Tensor,
    y: Tensor,
    f: Tensor,
    g: Tensor,
    none: Tensor | None,
    entries: Tensor | None = None,
) -> Patch:
    """Of points ``(k, n, D)``, ``(k, m, D)`` and their potentials; ``none`` where there is no entry."""
    way = x.movedim(-1, 0)[..., None] - y.movedim(-1, 0).contiguous()[:, :, None]
    far = way[0].square()
    for part in way[1:]:  # a sum over the first axis takes longer
        far.addcmul_(part, part)
    far.sqrt_()
    if entries is None:
        assert isinstance(at.cost, GroundCost)
        exponents = (f[:, :, None] + g[:, None] - at.cost.of_lengths(far)) * (LOG2E / at.eps)
        if none is not None:
            exponents.masked_fill_(none, CLOSED)
        entries = exponents.exp2_()
    if isinstance(at.cost, GroundCost) and at.cost.smooth:  # any direction serves where points meet
        way[0].masked_fill_(far < LEAST, LEAST)
    far.clamp_(min=LEAST)
    return Patch(entries, way.div_(far), far)
