r"""The softmins of one problem over kept pairs of blocks, with a bound on what was left out.

A tile of two blocks is kept where the box bound of its entries says that it may hold a share of a
row or of a column; after both sums were taken once, what turned out to hold none is dropped too.
The list holds as long as the potentials rise by less than the margin it was made with.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from ...engines.base import LOG2E, Engine
from ...engines.choose import tile_loops
from ...engines.kept import Biases, Blocks, TileRows
from ...formulas import GroundCost
from ..marginals import Marginals
from ..softmins import LARGEST, Number, Softmins, Step
from .clouds import GROUP, SIZE, BlockCloud
from .frames import Frame
from .memory import check_memory
from .rows import softmins_of, times_squares
from .scales import scale_of
from .tile_lists import Tiles

__all__ = ["PrunedSoftmins"]

SHARE = 0.1  # of the tolerance, that a dropped tile may hold of a row, times the number of tiles
MARGIN = 2.0  # temperatures by which potentials may rise before tiles are chosen anew
FEW = 128  # tiles, which take less time than choosing some of them
TRIM_AT = 2, 6  # half-sweeps after which tiles are trimmed: potentials are rough at first
LOWEST, HIGHEST = 1e-25, 1e30  # sums that lost nothing

Result = TypeVar("Result")


class _Known(NamedTuple):
    potential: Tensor
    row: Tensor  # its biases in the frames of the blocks, as the loops read them
    col: Tensor  # and with the weights
    rise: Number  # above the potential for which the tiles were chosen


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
        self.engine, self.loops = engine, tile_loops(engine, cost.power)
        self.clouds, self.memory = (source, target), memory
        self.a, self.b = source.weights, target.weights
        self.cost, self.penalty, self.eps, self.tol = cost, penalty, eps, tol
        self.scale, self.slack = scale_of(cost, eps), MARGIN * eps
        self.dtype = self._enough(dtype)
        self.built: tuple[Tensor, Tensor] | None = None
        self.known: list[_Known | None] = [None, None]
        self.marks: list[Tensor | None] = [None, None]  # of tiles that hold something
        self.pairs = 0  # visited so far
        self.builds, self.share = 0, 1.0  # of pairs, that were kept last

    def like(self, source: BlockCloud, target: BlockCloud) -> PrunedSoftmins:
        """The same between other clouds, in double precision."""
        rest = self.cost, self.penalty, self.eps, self.tol, torch.float64, self.engine
        return PrunedSoftmins(source, target, *rest)

    def checking(self) -> tuple[PrunedSoftmins, float]:
        """The same for a last check, and a bound on what rounding may hide of its error.

        In double precision, unless single precision sufficed so far and is known to lose little.
        """
        new = self.like(*self.clouds)
        new.memory = self.memory
        rounding = 0.0 if self.dtype == torch.float64 else self.scale.bound(*self.clouds)
        if self.dtype == torch.float64 or rounding > SHARE * self.tol:
            return new, 0.0
        new.dtype = torch.float32
        return new, rounding

    def step(self, side: int, here: Tensor, there: Tensor, look: bool = True) -> Step:
        if look := look or self.built is None:
            self._refresh(side, here, there)
        total = self._sums(side, here, there)
        given = total, (self.a, self.b)[side], self.penalty.wanted(side, here)
        lack, mass, sound = self.loops.marginal(*given, (LOWEST, HIGHEST))
        if look and not sound:
            return self.damped(side, here, *self._mended(side, here, there, total))
        softmin = torch.sub(here, total.log(), alpha=self.eps)
        if not look:
            sound = sound & (self._rise(side, here, there) <= self.slack)
        value = self.penalty.damped(side, softmin, self.eps)
        return Step(value, lack / self.masses[side], mass, None if look else sound)

    def _mended(self, side: int, here: Tensor, there: Tensor, total: Tensor) -> list[Tensor]:
        """The softmin and the ratio of the marginal, over all columns where kept tiles held nothing."""
        lost = (~((total > LOWEST) & (total < HIGHEST))).nonzero()[:, 0]
        values = here - self.eps * total.clamp(LOWEST, HIGHEST).log()
        points, other = self.clouds[side].points[lost], self.clouds[1 - side]
        found = self.loops.by_rows(lambda x: softmins_of(x, other, there, self.scale), points)
        values[lost], total[lost] = found, self.ratio(here[lost], found)
        return [values, total]

    # --- which tiles ---

    def build(self, f: Tensor, g: Tensor, margin: float = MARGIN) -> None:
        """Chooses the tiles for these potentials."""
        self.built = None
        frames, (X, Y) = self._frame(f, g), self.clouds
        few = X.filled * Y.filled <= FEW
        self.tiles = self.screened = self.all_tiles if few else self._screen(frames, margin)
        self.built, self.marks = (f, g), [None, None]
        self.age, self.final = max(TRIM_AT) if few else 0, margin <= 0
        self.builds += 1

    def _screen(self, frames: list[Frame], margin: float) -> Tiles:
        """The tiles that may matter."""
        threshold = math.log2(SHARE * self.tol) - margin * LOG2E
        (rows, groups), (cols, near) = (frame.boxes() for frame in frames)
        X, Y = self.clouds
        pairs, lost = self.loops.screen(groups, near, threshold)
        found, omitted = self.loops.screen(rows, cols, threshold, pairs)
        omitted += lost.repeat_interleave(GROUP)
        check_memory(self.memory, X.n + Y.n, X.dim, len(found))
        return Tiles.of(found, omitted, Y.blocks, self.loops)

    @cached_property
    def all_tiles(self) -> Tiles:
        """Those of all blocks that hold points."""
        X, Y = ((cloud.blocks, cloud.filled) for cloud in self.clouds)
        return Tiles.between(X, Y, self.a.device, self.loops)

    def seen_from(self, side: int, f: Tensor, g: Tensor) -> PrunedSoftmins:
        """The same problem from one side, whose pairs are chosen for the rows there.

        The potentials f of that side and g of the other are in the order of the points.
        """
        X, Y = self.clouds[side], self.clouds[1 - side]
        new = self.like(X, Y)
        new.build(f[X.order], g[Y.order], 0.0)
        return new

    def missed(self, f: Tensor, g: Tensor) -> Tensor:
        """Bounds ``(N,)`` on what the rows' sums miss, for potentials in the order of the points."""
        assert self.built is not None
        X, Y = self.clouds
        rise = (f[X.order] - self.built[0]).max() + (g[Y.order] - self.built[1]).max()
        factor = (rise / self.eps).clamp(0.0, LARGEST).exp()
        return (self.screened.omitted.repeat_interleave(SIZE)[: X.n] * factor)[X.inverse]

    def rest(self) -> None:
        """Lets go of tiles and frames while others work; they are made anew when sums are asked for again."""
        self.share = self.kept_fraction
        self.built, self.known, self.marks = None, [None, None], [None, None]
        for name in ("tiles", "screened", "frames", "parts", "all_tiles"):
            self.__dict__.pop(name, None)

    def recast(self, dtype: torch.dtype) -> None:
        """From now on the loops run in this dtype."""
        self.dtype, self.known = self._enough(dtype), [None, None]
        self.parts = [frame.blocks(self.dtype) for frame in self.frames]

    def _enough(self, dtype: torch.dtype) -> torch.dtype:
        """This dtype, or float64 where blocks are so wide that float32 would miss the tolerance."""
        if dtype == torch.float64:
            return dtype
        lost = self.scale.lost(*self.clouds)
        return dtype if lost <= SHARE * self.tol else torch.float64

    def diagonal(self) -> None:
        """Keeps each block with itself, to see where a cloud is dense."""
        zero = torch.zeros_like(self.a)
        self._frame(zero, zero)
        numbers = torch.arange(self.clouds[0].blocks + 1, device=zero.device)
        own = TileRows(numbers, numbers[:-1].int())
        nothing = zero.new_zeros(len(own))
        self.tiles = Tiles.of(own, nothing, len(own), self.loops)
        self.built, self.age, self.final = (zero, zero), 0, True

    def _frame(self, f: Tensor, g: Tensor) -> list[Frame]:
        self.known = [None, None]
        (X, Y), origin = self.clouds, self.clouds[0].centres[0]
        frames = [Frame.of(X, f, self.scale, origin)]
        frames.append(frames[0] if X is Y and f is g else Frame.of(Y, g, self.scale, origin))
        self.frames, self.parts = frames, [frame.blocks(self.dtype) for frame in frames]
        return frames

    def _refresh(self, side: int, here: Tensor, there: Tensor) -> None:
        """New tiles where the potentials have risen beyond the margin."""
        if self.built is None or not self._rise(side, here, there) <= self.slack:
            self.build(*((there, here) if side else (here, there)))

    def _rise(self, side: int, here: Tensor, there: Tensor) -> Number:
        """How far both have risen above the potentials for which the tiles were chosen."""
        return self._known(side, here).rise + self._known(1 - side, there).rise

    def _known(self, side: int, potential: Tensor) -> _Known:
        """What the loops read of a potential; each serves two half-steps."""
        sides = (0, 1) if self.frames[0] is self.frames[1] else (side,)
        for known in (self.known[k] for k in sides):
            if known is not None and known.potential is potential:
                return known
        assert self.built is not None
        frame, logs = (self.frames[side].below, self.built[side]), self.clouds[side].log_weights
        given = frame, potential, logs, self.scale.height, self.parts[side]
        known = self.known[side] = _Known(potential, *self.loops.biases(*given))
        return known

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
        rows, other = self._known(side, row).row, 1 - side
        if logs is self.clouds[other].log_weights:
            cols = self._known(other, col).col
        else:
            cols = (self.frames[other].bias(col) + logs).to(self.dtype)
        return self.parts[side], self.parts[other], (rows, cols)

    def _run(self, loop: Callable[..., Result], side: int, *args: Any, **options: Any) -> Result:
        """One pass over the tiles, seen from that side."""
        self.pairs += len(self.tiles) * SIZE**2
        return loop(self.tiles.sides[side], *args, **options)

    def _sums(self, side: int, here: Tensor, there: Tensor) -> Tensor:
        given = self._given(side, here, there, self.clouds[1 - side].log_weights)
        self.age += 1
        young = any(last - 2 < self.age <= last for last in TRIM_AT)
        out, peaks = self._run(self.loops.sums, side, *given, peaks=young)
        if young and peaks is not None:
            tiles, bar = self.tiles.sides[side], SHARE * self.tol * math.exp(-MARGIN)
            bars = (out.amin(1).clamp(LOWEST, 1.0) * bar).to(peaks)
            counts = tiles.starts.diff()
            self.marks[side] = peaks > bars.repeat_interleave(counts, output_size=len(tiles))
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
            x, y = self.clouds[side].points, self.clouds[1 - side].points
            return times_squares(lambda v: self.products(side, row, col, v), x, y, v)
        cloud, other = self.clouds[side], self.clouds[1 - side]
        values = other.fill(v).view(other.blocks, SIZE, -1).mT.to(self.dtype)
        given = self._given(side, row, col, other.filled_in)
        out = self._run(self.loops.products, side, *given, values, power)
        return out.mT.reshape(-1, v.shape[1])[: cloud.n] / self.scale.length**power

    @property
    def kept_fraction(self) -> float:
        """The share of the pairs that the tiles hold."""
        if self.built is None:
            return self.share
        return min(1.0, len(self.tiles) * SIZE**2 / (self.clouds[0].n * self.clouds[1].n))
