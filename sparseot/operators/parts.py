"""One kernel of a matrix: what it is summed with, and its entries."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any

from torch import Tensor

from ..engines.base import Engine, centred
from ..engines.choose import choose_engine
from ..errors import bad_input
from ..formulas import Kernel, Opaque, Radial, Single, finite
from ..pairs import BlockPairs, Blocks
from ..points import refuse_tensor
from .autograd.kernel_sums import kernel_sum

__all__ = ["Part", "at_unit_length", "block_pairs", "make_part", "swapped", "tolerance"]


@dataclass(frozen=True)
class Part:
    """One kernel of a sum, on points in the units that it wants, and its engine."""

    kernel: Radial | Opaque
    x: Tensor
    y: Tensor
    factor: Tensor | float
    engine: Engine
    why: str

    def product(self, v: Tensor, pairs: BlockPairs | None) -> Tensor:
        """The product with ``(B, M, R)``."""
        out = kernel_sum(self.kernel, self.x, self.y, v, engine=self.engine, pairs=pairs)
        return self.factor * out

    def block(self, rows: Any, cols: Any) -> Tensor:
        """Values between chosen rows and columns, ``(B, n, m)``."""
        values = self.kernel.matrix(self.x[:, rows], self.y[:, cols])
        if isinstance(self.kernel, Opaque):
            clouds = None if self.y is self.x else self.kernel.clouds
            finite(values, rows, None if isinstance(cols, slice) else cols, clouds=clouds)
        return self.factor * values

    def at_zero(self) -> float:
        """The value between a point and itself."""
        return float(self.factor * self.kernel.matrix(self.x[:1, :1], self.x[:1, :1]))

    def diagonal(self, size: int) -> Tensor:
        """Values between corresponding points, ``(B, size)``."""
        x, y = self.x[:, :size].flatten(0, 1), self.y[:, :size].flatten(0, 1)
        values = self.kernel.matrix(x[:, None], y[:, None]).view(len(self.x), size)
        if isinstance(self.kernel, Opaque):
            for place in (~values.isfinite()).nonzero()[:1, 1:]:
                self.block(place, place)  # refuses it
        return self.factor * values

    def how(self) -> str:
        """The engine, and why it was taken."""
        tol = f", tol {self.engine.tol:g}" if self.engine.approximate else ""
        return f"engine {self.engine.name}: {self.why}{tol}"


def make_part(
    kernel: Single, x: Tensor, y: Tensor, pairs: BlockPairs | None, asked: str | Engine, tol: float
) -> Part:
    """The part of this kernel; points are taken in units of a length that is learnt."""
    assert isinstance(kernel, Radial | Opaque)
    kernel, x, y, factor = at_unit_length(kernel, x, y)
    engine, why = choose_engine(asked, kernel, x, y, pairs, tol)
    if engine.approximate and not tol:
        fix = 'Give a tolerance, or leave engine="auto".'
        raise bad_input("tol", "0", f"a positive number for the engine {engine.name}", fix)
    return Part(kernel, x, y, factor, engine, why)


def at_unit_length(
    kernel: Radial | Opaque, x: Tensor, y: Tensor
) -> tuple[Radial | Opaque, Tensor, Tensor, Tensor | float]:
    """The kernel, points in units of its length if this is learnt, and the factor that values then take."""
    if not isinstance(kernel, Radial) or kernel.length is None:
        return kernel, x, y, 1.0
    length, (x, y) = kernel.length.to(x), centred(x, y)
    kernel, scale = kernel.at_unit_length()
    return kernel, x / length, y / length, scale.to(x)


def swapped(kernel: Any) -> Kernel:
    """The kernel of (y, x): a function of two points need not be symmetric."""
    return (kernel if isinstance(kernel, Kernel) else Opaque(kernel)).T


def tolerance(tol: float) -> float:
    """The error that an approximate engine may make, as a number."""
    refuse_tensor("tol", tol)
    if isinstance(tol, bool) or not isinstance(tol, Real) or not 0 <= tol < 1:
        raise bad_input("tol", repr(tol), "a number from 0 (exact sums) to below 1")
    return float(tol)


def block_pairs(
    pairs: Blocks | BlockPairs | None, x: Tensor, y: Tensor, batched: bool
) -> BlockPairs | None:
    """The block pairs of ``(1, N, D)`` and ``(1, M, D)`` points, chosen here if only a radius is given."""
    if pairs is None:
        return None
    shape = x.shape[1], y.shape[1]
    if not isinstance(pairs, Blocks | BlockPairs):
        fix = "Blocks(radius) takes the radius in the units of the points."
        raise bad_input("pairs", repr(pairs), "Blocks(radius) or None", fix, TypeError)
    if batched:
        fix = "Make one matrix for each cloud, or leave pairs=None."
        raise bad_input("pairs", f"a batch of clouds, {(len(x), *shape)}", "one cloud", fix)
    if isinstance(pairs, Blocks):
        rows, columns = (z[0].detach().cpu().numpy() for z in (x, y))
        return pairs.between(rows, rows if y is x else columns)
    sizes = len(pairs.rows.order), len(pairs.columns.order)
    if sizes != shape:
        raise bad_input("pairs", f"block pairs of {sizes} points", f"of {shape} points")
    return pairs
