"""Clouds of which each rank of a group has some points: all of them are nowhere, but where somebody asks for all.

A solve over kept pairs, the gradient of its value, its interval and maps do not, unless some points are so far away that the
box around the bulk is looked for. Second derivatives and the like read positions, which are then put together for
as long as they are read; all ranks ask alike.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ....clouds import LARGEST
from ....engines.ranks.group import Ranks
from ....engines.ranks.placing import Placing
from ....operators.autograd.spread import Spread
from ....points import Points
from .clouds import GROUP, SIZE, BlockCloud

__all__ = ["Apart", "apart"]


class Apart(Points):
    """One cloud ``(1, N, D)``, of which this rank has some points.

    Args:
        points: how positions are spread, and those here, with their graph.
        weights: likewise; None for equal ones, ``1/N``.
        dtype: in which both are told.
        own: copies of the positions and weights here; without them what was given is read, with its graph.
        ratio: what weights are multiplied by.
        moves: see :class:`Points`.
    """

    def __init__(
        self,
        points: Spread,
        weights: Spread | None,
        dtype: torch.dtype,
        own: tuple[Tensor, Tensor | None] | None = None,
        ratio: float = 1.0,
        moves: bool = False,
    ) -> None:
        given: dict[str, Any] = {"points": points, "weigh": weights, "dtype": dtype, "own": own}
        for name, value in (given | {"ratio": ratio, "moves": moves, "rounding": 0.0}).items():
            object.__setattr__(self, name, value)

    points: Spread
    weigh: Spread | None
    dtype: torch.dtype
    own: tuple[Tensor, Tensor | None] | None
    ratio: float

    # --- what is known without the others' points ---

    @property
    def ranks(self) -> Ranks:
        return self.points.ranks

    @property
    def like(self) -> Tensor:
        """One number in memory."""
        all_of_them = self.points.like
        return all_of_them.new_zeros((), dtype=self.dtype).expand(1, *all_of_them.shape)

    @property
    def held(self) -> Points:
        x, a = self._own
        return Points(x, x.detach().new_ones(()) if a is None else a)

    @property
    def here(self) -> tuple[Tensor, Tensor]:
        x, a = (t if t is None else t.detach() for t in self._own)
        assert x is not None
        a = self._equal.expand(len(x)) if a is None else a.to(self.dtype) * self.ratio
        return x.to(self.dtype), a

    @property
    def _own(self) -> tuple[Tensor, Tensor | None]:
        given = self.points.local, None if self.weigh is None else self.weigh.local
        return given if self.own is None else self.own

    @property
    def _equal(self) -> Tensor:
        """The weight of each point."""
        one = self.points.local.detach().new_full((), 1 / self.points.total)  # as it is rounded
        return one.to(self.dtype) * self.ratio

    def total(self, found: Tensor) -> Tensor:
        return self.ranks.rows(found[None], what="numbers").sum(0)

    @cached_property
    def ends(self) -> tuple[Tensor, Tensor]:
        x = self.here[0].double()
        most = x.new_full((1, x.shape[1]), math.inf)
        low, high = (torch.cat((t, most)).amin(0, keepdim=True) for t in (x, -x))
        low, high = (self.ranks.rows(t, what="numbers").amin(0, keepdim=True) for t in (low, high))
        return low, -high

    @property
    def mass(self) -> Tensor:
        a = self._own[1]
        if a is None:
            found = self._equal.double() * self.points.total
        else:
            found = self.points.sum(a.double().sum() * self.ratio)
        return found.to(self.dtype)[None]

    @property
    def sizes(self) -> list[int]:
        return [self.points.total]

    @property
    def items(self) -> list[Points]:
        return [self]

    @property
    def real(self) -> list[Points]:
        return [self]

    def equals(self, other: Points) -> bool:
        if self is other or not isinstance(other, Apart):
            return self is other
        if self.points.counts != other.points.counts:
            same = self.like.shape == other.like.shape and all(
                map(torch.equal, self.ends, other.ends)
            )
            return same and super().equals(other)
        same = all(torch.equal(s, t) for s, t in zip(self.here, other.here, strict=True))
        return all(self.ranks.told(int(same)))

    # --- the same cloud, otherwise ---

    def _but(self, **new: Any) -> Apart:
        names = "points", "dtype", "own", "ratio", "moves"
        return Apart(
            **{"weights": self.weigh} | {name: getattr(self, name) for name in names} | new
        )

    def copy(self, own: bool = False) -> Points:
        moves = torch.is_grad_enabled() and self.points.local.requires_grad
        x, a = (t if t is None else t.detach().clone() for t in self._own)
        return self._but(own=(x, a), moves=moves)

    def double(self) -> Points:
        return self._but(dtype=torch.float64)

    def of_mass(self, other: Points) -> Points:
        return self._but(ratio=self.ratio * float((other.mass / self.mass).detach()))

    # --- all points, in the order of the ranks ---

    @property
    def positions(self) -> Tensor:
        return self._whole(self.points, self._own[0])

    @property
    def weights(self) -> Tensor:
        a = self._own[1]
        if self.weigh is None or a is None:
            return self._equal.expand(1, self.points.total)
        return self._whole(self.weigh, a) * self.ratio

    def _whole(self, spread: Spread, mine: Tensor) -> Tensor:
        found = spread.all_rows() if self.own is None else self.ranks.rows(mine, what="points")
        return found.to(self.dtype)[None]

    # --- blocks ---

    def in_blocks(self) -> BlockCloud:
        """The points of the blocks of this rank, which others may have given."""
        a = self.here[1]
        placing = Placing(self._own[0].detach(), self.ranks, SIZE, GROUP)
        mine = placing.points.double()
        weights = self._equal.expand(len(mine)) if self.weigh is None else placing.bring(a)
        order = placing.numbers
        return BlockCloud.apart(mine, weights.double(), order, self.points.total, self.ranks)


def apart(spreads: dict[str, Spread]) -> tuple[Apart, Apart] | None:
    """Two clouds of which each rank gave its rows of x and y, and of a and b; None where something is wrong with them.

    Who puts them together then says what.
    """
    x, y, a, b = (spreads.get(name) for name in "xyab")
    assert x is not None and y is not None
    sound = all(_is_cloud(*pair) for pair in ((x, a), (y, b))) and _fit(x.local, y.local)
    if not all(x.ranks.told(int(sound))) or 0 in (x.total, y.total):
        return None
    source, target = (Apart(t, w, t.local.dtype, moves=True) for t, w in ((x, a), (y, b)))
    with torch.no_grad():
        sound = all(float(cloud.mass) > 0 for cloud in (source, target))
    return (source, target) if sound else None


def _is_cloud(points: Spread, weights: Spread | None) -> bool:
    """Whether the rows here are points and weights as solvers want them."""
    x = points.local.detach()
    if (
        x.dtype not in LARGEST
        or x.dim() != 2
        or not x.shape[1]
        or not bool((x.abs() <= LARGEST[x.dtype]).all())
    ):
        return False
    if weights is None:
        return True
    a = weights.local.detach()
    same = a.shape == x.shape[:1] and a.dtype == x.dtype and a.device == x.device
    return same and bool((a.isfinite() & (a >= 0)).all())


def _fit(x: Tensor, y: Tensor) -> bool:
    return (x.shape[1:], x.dtype, x.device) == (y.shape[1:], y.dtype, y.device)
