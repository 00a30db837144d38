"""All pairs within a distance: what a search is told, what it returns, and which one is taken."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib import import_module
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from ...errors import bad_input, warn_user
from ...points import check_integer, refuse_tensor
from ..search.clouds import Clouds, as_clouds

__all__ = [
    "METHODS",
    "Found",
    "Options",
    "check_method",
    "check_radius",
    "find",
    "largest_square",
    "rows_of",
    "warn_of_cut",
]

METHODS = ("auto", "cells", "tiles")
MOST = 2**31  # edges; their numbers alone are 32 GiB


@dataclass(frozen=True)
class Options:
    """What a search is told: pairs with a square up to ``limit``, at most ``most`` a query.

    ``rows`` and ``squares`` are what is wanted beside columns: to touch memory for the first time
    takes longer than to find what is written there.
    """

    limit: float
    radius: float
    loop: bool
    most: int | None
    rows: bool
    squares: bool

    def kept(self, counts: Tensor) -> Tensor:
        """How many of ``counts`` (m,) pairs are written down."""
        return counts if self.most is None else counts.clamp(max=self.most)

    def check_total(self, edges: int) -> None:
        """Refuses more edges than anyone stores."""
        if edges > MOST:
            got, fix = f"{self.radius:g}, which gives {edges:,} edges", "Take a smaller radius, or"
            raise bad_input("r", got, f"at most {MOST:,}", f"{fix} max_num_neighbors=.")


@dataclass(frozen=True)
class Found:
    """Pairs by row and column.

    ``edges`` are points and queries, (2, E), or points alone, (1, E); ``ends`` (m + 1,) where the
    pairs of each query start; ``squares`` (E,) of distances in double precision, or (0,).
    ``evaluations`` counts the pairs that were visited, ``left_out`` those that found no room.
    """

    edges: Tensor
    ends: Tensor
    squares: Tensor
    evaluations: int
    left_out: int
    method: str = ""

    @property
    def columns(self) -> Tensor:
        """The points, (E,)."""
        return self.edges[0]

    @property
    def rows(self) -> Tensor:
        """The queries, (E,)."""
        return self.edges[1] if len(self.edges) == 2 else rows_of(self.ends)


def rows_of(ends: Tensor) -> Tensor:
    """The row of each entry of a CSR matrix."""
    return torch.arange(len(ends) - 1, device=ends.device).repeat_interleave(ends.diff())


def check_radius(r: Any) -> float:
    """A finite number that is not negative."""
    refuse_tensor("r", r)
    if isinstance(r, bool) or not isinstance(r, Real):
        raise bad_input(
            "r", repr(r), "a number", "It is a length in the units of the points.", TypeError
        )
    if not (math.isfinite(r) and float(r) >= 0):
        raise bad_input("r", f"{r:g}", "a finite number >= 0")
    return float(r)


def check_method(method: Any) -> str:
    """The name of a search."""
    if not isinstance(method, str) or method not in METHODS:
        raise bad_input("method", repr(method), ", ".join(f'"{name}"' for name in METHODS))
    return method


def largest_square(r: float) -> float:
    """The largest number whose root, rounded, is no more than r."""
    limit = r * r
    while math.sqrt(limit) > r:
        limit = math.nextafter(limit, 0)
    while math.sqrt(above := math.nextafter(limit, math.inf)) <= r:
        limit = above
    return limit


def find(
    x: Tensor,
    y: Tensor | None,
    r: float,
    loop: bool,
    most: int | None,
    mask: Any,
    batch: Any,
    method: str,
    rows: bool = True,
    squares: bool = True,
) -> Found:
    """Checks everything, and searches; rows are numbered on from sample to sample.

    Numbers are those of the caller's rows, of points ``(N, D)`` as of ``(B, N, D)``.
    """
    r, method = check_radius(r), check_method(method)
    most = None if most is None else check_integer("max_num_neighbors", most)
    clouds = as_clouds(x, y, mask, batch, "euclidean")
    if method == "auto":
        method = "cells" if x.device.type == "cpu" else "tiles"
    elif method == "cells" and x.device.type != "cpu":
        raise bad_input("method", '"cells"', "points on a CPU", 'Use method="tiles".')
    options = Options(largest_square(r), r, bool(loop), most, rows, squares)
    search = getattr(import_module(f"{__package__}.{method}"), method)
    with torch.no_grad():
        found = _place(clouds, search(clouds, options), x.shape[:-1].numel())
    return Found(*found, method)


def _place(clouds: Clouds, found: Found, rows: int) -> tuple[Tensor, Tensor, Tensor, int, int]:
    """The pairs of real points in the numbers of all."""
    edges, ends = found.edges, found.ends
    padded = len(clouds.x.where) < rows
    if padded:
        counts = ends.new_zeros(rows).index_copy(0, clouds.x.where, ends.diff())
        ends = torch.cat((ends[:1], counts.cumsum(0)))
        edges[1:] = clouds.x.where[edges[1:]]
    if padded or not clouds.same:
        edges[0] = clouds.y.where[edges[0]]
    return edges, ends, found.squares, found.evaluations, found.left_out


def warn_of_cut(found: Found, most: int | None) -> None:
    """Says that there was no room for all neighbours, at each call."""
    if found.left_out:
        total = found.edges.shape[1] + found.left_out
        warn_user(
            f"max_num_neighbors={most} left out {found.left_out:,} of {total:,} edges: each point "
            "kept its nearest. None keeps them all.",
            UserWarning,
        )
