r"""The softmins of one problem over kept pairs of blocks, with a bound on what was left out.

A tile of two blocks is kept where the box bound of its entries says that it may hold a share of a
row or of a column; after both sums were taken once, what turned out to hold none is dropped too.
The list holds as long as the potentials rise by less than the margin it was made with.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor

from ...engines.base import LOG2E, Engine
from ...engines.choose import tile_loops
from ...engines.kept import Biases, Blocks, TileRows
from ...formulas import GroundCost
from ..marginals import Marginals
from ..softmins import LARGEST, Number, Softmins, Step
from .blocks.clouds import SIZE, BlockCloud
from .frames import Framed, Placed, screened
from .memory import check_memory
from .rows import log_sums, times_squares
from .scales import scale_of
from .tile_lists import Tiles

__all__ = ["PrunedSoftmins"]

SHARE = 0.1  # of the tolerance, that a dropped tile may hold of a row, times the number of tiles
MARGIN = 2.0  # temperatures by which potentials may rise before tiles are chosen anew
FEW = 128  # tiles, which take less time than choosing some of them
TRIM_AT = 2, 6  # half-sweeps after which tiles are trimmed: potentials are rough at first
YOUNG = {at - k for at in TRIM_AT for k in range(2)}  # those that tell what each tile holds
LOWEST, HIGHEST = 1e-25, 1e30  # sums that lost nothing

Result = TypeVar("Result")


class PrunedSoftmins(Softmins):
    """Tiles chosen by a screen, chosen anew when the potentials have moved.

    Args:
        source: cloud in blocks; ``target`` likewise, or the same for a cloud and itself.
        cost: the ground cost.
        penalty: how marginals are held.
        eps: the temperature.
        tol: the tolerance of the marginals, of which the dropped tiles get a tenth.
        dtype: of the loops; float32 leaves an error of some 1e-6 of the mass, and is not taken
            where it would leave more than a tenth of the tolerance.
        engine: "numba" for compiled loops, "tiles" for torch; or one of them shared by ranks.
        memory: bytes that points and tiles may take, more is an error.
    """

    def __init__(
        self,
        source: BlockCloud,
        target: BlockCloud,
        cost: GroundCost,
        penalty: Marginals,
        eps: float,
        tol: float,
        dtype: torch.dtype = torch.float32,
        engine: str | Engine = "numba",
        memory: float | None = None,
    ) -> None:
        self.scale, self.slack = scale_of(cost, eps), MARGIN * eps
        self.engine, self.loops = engine, tile_loops(engine, self.scale.rule)
        self.clouds, self.memory = (source, target), memory
        self.a, self.b = source.weights, target.weights
        self.cost, self.penalty, self.eps, self.tol = cost, penalty, eps, tol
        self.dtype = self._enough(dtype)
        self.framed: Framed | None = None  # the potentials that tiles were chosen for
        self.marks: list[Tensor | None] = [None, None]  # of tiles that hold something
        self.builds, self.share = 0, 1.0  # of pairs, that were kept last

    def total(self, *parts: Number) -> tuple[Number, ...]:
        X = self.clouds[0]
        return parts if X.ranks is None else X.total(*map(float, parts))

    def most(self, part: Number) -> Number:
        X = self.clouds[0]
        return part if X.ranks is None else X.most(float(part))

    def like(self, source: BlockCloud, target: BlockCloud) -> PrunedSoftmins:
        """The same between other clouds, in double precision."""
        rest = self.cost, self.penalty, self.eps, self.tol, torch.float64, self.engine
        return PrunedSoftmins(source, target, *rest)

    def checking(self) -> tuple[PrunedSoftmins, float]:
        """The same for a last check, and a bound on what rounding may hide of its error.

        In double precision, unless single precision sufficed so far and is known to lose little.
        """
        new = self.like(*self.clouds)
        new.memory, new.placed = self.memory, self.placed
        rounding = 0.0 if self.dtype == torch.float64 else self.scale.bound(*self.clouds)
        if self.dtype == torch.float64 or rounding > SHARE * self.tol:
            return new, 0.0
        new.dtype = torch.float32
        return new, rounding

    def step(self, side: int, here: Tensor, there: Tensor, look: bool = True) -> Step:
        if look := look or self.framed is None:
            self._refresh(side, here, there)
        total = self._sums(side, here, there)
        given = total, (self.a, self.b)[side], self.penalty.wanted(side, here)
        lack, mass, sound = self.loops.marginal(*given, (LOWEST, HIGHEST))
        if look and not sound:
            return self.damped(side, here, *self._mended(side, here, there, total))
        softmin = torch.sub(here, total.log(), alpha=self.eps)
        if not look:
            assert self.framed is not None
            sound = sound & (self.framed.rise(side, here, there) <= self.slack)
        value = self.penalty.damped(side, softmin, self.eps)
        return Step(value, lack / self.masses[side], mass, None if look else sound)

    def _mended(self, side: int, here: Tensor, there: Tensor, total: Tensor) -> list[Tensor]:
        """The softmin and the ratio of the marginal, over all columns where kept tiles held nothing."""
        lost = (~((total > LOWEST) & (total < HIGHEST))).nonzero()[:, 0]
        values = here - self.eps * total.clamp(LOWEST, HIGHEST).log()
        points, other = self.clouds[side].points[lost], self.clouds[1 - side]
        logs = self.loops.by_rows(lambda x: log_sums(x, other, there, self.scale), points)
        found = logs / -self.scale.height
        values[lost], total[lost] = found, self.ratio(here[lost], found)
        return [values, total]

    # --- which tiles ---

    def build(self, f: Tensor, g: Tensor, margin: float = MARGIN) -> None:
        """Chooses the tiles for these potentials."""
        framed = Framed(self.placed, (f, g), self.loops, self.dtype, self.framed)
        self._forget()
        X, Y = self.clouds
        few = X.all_filled * Y.all_filled <= FEW
        self.tiles = self.screened = self.all_tiles if few else self._screen(framed, margin)
        self.framed, self.builds = framed, self.builds + 1
        self.age, self.final = max(TRIM_AT) if few else 0, margin <= 0

    def _screen(self, framed: Framed, margin: float) -> Tiles:
        """The tiles that may matter."""
        threshold = math.log2(SHARE * self.tol) - margin * LOG2E
        found, omitted = screened(self.loops, *framed.frames, threshold)
        X, Y = self.clouds
        ranks = 1 if X.ranks is None else X.ranks.size
        check_memory(self.memory, X.count + Y.count, X.dim, ranks, len(found))
        return Tiles.of(found, omitted, Y.all_blocks, self.loops)

    @cached_property
    def all_tiles(self) -> Tiles:
        """Those of all blocks that hold points."""
        X, Y = self.clouds
        sizes = (X.blocks, X.filled), (Y.all_blocks, Y.all_filled)
        return Tiles.between(*sizes, self.a.device, self.loops)

    def seen_from(self, side: int, f: Tensor, g: Tensor) -> PrunedSoftmins:
        """The same problem from one side, whose pairs are chosen for the rows there.

        The potentials f of that side and g of the other are in the order of the points.
        """
        X, Y = self.clouds[side], self.clouds[1 - side]
        new = self.like(X, Y)
        new.build(X.own(f), Y.own(g), 0.0)
        return new

    def missed(self, f: Tensor, g: Tensor) -> Tensor:
        """Bounds ``(N,)`` on what the rows' sums miss, for potentials in the order of the points."""
        X, Y = self.clouds
        return X.whole(self.own_missed(X.own(f), Y.own(g)))

    def own_missed(self, f: Tensor, g: Tensor) -> Tensor:
        """Those of the points of the blocks here, in their order."""
        assert self.framed is not None
        X, pairs = self.clouds[0], zip(self.clouds, (f, g), self.framed.potentials, strict=True)
        rise = sum(cloud.highest(h - then) for cloud, h, then in pairs)
        factor = math.exp(min(max(rise / self.eps, 0.0), LARGEST))
        return self.screened.omitted.repeat_interleave(SIZE)[: X.n] * factor

    @property
    def omitted(self) -> float:
        """A bound on the mass that all tiles miss, those of all ranks, at the potentials for which they were chosen."""
        return float(self.total(float(self.clouds[0].masses @ self.tiles.omitted))[0])

    def rest(self) -> None:
        """Lets go of tiles and frames while others work; they are made anew when sums are asked for again."""
        self._forget()
        self.__dict__.pop("all_tiles", None)

    def _forget(self) -> None:
        """Lets go of what is about to be made anew, or is not needed for a while."""
        self.share = self.kept_fraction
        self.framed, self.marks = None, [None, None]
        for name in ("tiles", "screened"):
            self.__dict__.pop(name, None)

    def forget(self) -> None:
        """Lets go of what was last read of potentials, where the next ones are others."""
        if self.framed is not None:
            self.framed.known = [None, None]

    def recast(self, dtype: torch.dtype) -> None:
        """From now on the loops run in this dtype."""
        self.dtype = self._enough(dtype)
        if self.framed is not None:
            self.framed = self.framed.cast(self.dtype)

    def _enough(self, dtype: torch.dtype) -> torch.dtype:
        """This dtype, or float64 where blocks are so wide that float32 would miss the tolerance."""
        if dtype == torch.float64:
            return dtype
        lost = self.scale.lost(*self.clouds)
        return dtype if lost <= SHARE * self.tol else torch.float64

    def diagonal(self) -> None:
        """Keeps each block with itself, to see where a cloud is dense."""
        zero = torch.zeros_like(self.a)
        self.framed = Framed(self.placed, (zero, zero), self.loops, self.dtype)
        cloud = self.clouds[0]
        numbers = torch.arange(cloud.blocks + 1, device=zero.device)
        own = TileRows(numbers, numbers[:-1].int() + cloud.before)
        self.tiles = Tiles.of(own, zero.new_zeros(len(own)), cloud.all_blocks, self.loops)
        self.age, self.final = 0, True

    @cached_property
    def placed(self) -> tuple[Placed, Placed]:
        """Both clouds at this temperature."""
        X, Y = self.clouds
        source = Placed(X, self.scale, self.scale.origin(X))
        return source, source if X is Y else Placed(Y, self.scale, source.origin)

    def _refresh(self, side: int, here: Tensor, there: Tensor) -> None:
        """New tiles where the potentials have risen beyond the margin."""
        if self.framed is None or not self.framed.rise(side, here, there) <= self.slack:
            self.build(*((there, here) if side else (here, there)))

    def trim(self) -> None:
        """Drops the tiles whose measured share of every row and column is negligible."""
        if self.clouds[0] is self.clouds[1]:
            self.marks[1] = self.marks[0]
        rows, cols = self.marks
        if rows is None or cols is None:
            return
        self.tiles, self.marks = self.tiles.only((rows, cols)), [None, None]
        if not self.final:  # nobody asks for what passed the screen
            self.screened = self.tiles

    # --- sums over them ---

    def _given(
        self, side: int, row: Tensor, col: Tensor, logs: Tensor
    ) -> tuple[Blocks, Blocks, Biases]:
        """What the loops read of rows and columns, for two potentials; ``logs`` weigh the columns."""
        assert self.framed is not None
        return self.framed.given(side, row, col, logs)

    def _run(self, loop: Callable[..., Result], side: int, *args: Any, **options: Any) -> Result:
        """One pass over the tiles, seen from that side."""
        return loop(self.tiles.sides[side], *args, **options)

    def _sums(self, side: int, here: Tensor, there: Tensor) -> Tensor:
        given = self._given(side, here, there, self.clouds[1 - side].log_weights)
        self.age += 1
        young = self.age in YOUNG
        out, peaks = self._run(self.loops.sums, side, *given, peaks=young)
        if young and peaks is not None:
            bar = SHARE * self.tol * math.exp(-MARGIN)
            self.marks[side] = self.loops.above(
                self.tiles.sides[side], peaks, out, (LOWEST, 1.0), bar
            )
            if self.age in TRIM_AT and not self.final:
                self.trim()
        return out.view(-1)[: self.clouds[side].n]

    def products(self, side: int, row: Tensor, col: Tensor, v: Tensor, power: float = 0) -> Tensor:
        """``sum_j exp((row_i + col_j - C_ij) / eps) |x_i - y_j|^power v_j`` for ``(m, R)`` values, ``(n, R)``.

        The scalings must be near those potentials for which the tiles were chosen. Where the cost
        is a square, the one power is 2.
        """
        if power and self.cost.power == 2:
            assert power == 2
            clouds = self.clouds[side], self.clouds[1 - side]
            return times_squares(lambda v: self.products(side, row, col, v), *clouds, v)
        cloud, other = self.clouds[side], self.clouds[1 - side]
        values = v.new_empty(other.blocks, v.shape[1], SIZE, dtype=self.dtype)
        values.copy_(other.fill(v).view(other.blocks, SIZE, v.shape[1]).mT)
        given = self._given(side, row, col, other.filled_in)
        out = self._run(self.loops.products, side, *given, values, power)
        del values  # which are long
        found = out.mT.reshape(-1, v.shape[1])[: cloud.n]
        return found.div_(self.scale.unit(power)) if power else found

    @property
    def kept_fraction(self) -> float:
        """The share of the pairs that the tiles hold."""
        if self.framed is None:
            return self.share
        return min(1.0, len(self.tiles) * SIZE**2 / (self.clouds[0].count * self.clouds[1].count))
