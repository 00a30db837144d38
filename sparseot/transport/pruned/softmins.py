r"""The softmins of one problem over kept pairs of blocks, with a bound on what was left out.

A tile of two blocks is kept where the box bound of its entries says that it may hold a share of a
row or of a column; after both sums were taken once, what turned out to hold none is dropped too.
The list holds as long as the potentials rise by less than the margin it was made with.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch

from ...engines.base import LOG2E
from ...engines.choose import tile_loops
from ...engines.kept import Blocks, TileRows
from ...points import CLOSED
from ..marginals import Marginals
from ..softmins import Array, Softmins
from .clouds import GROUP, SIZE, BlockCloud, Frame
from .memory import check_memory
from .tile_lists import Tiles

__all__ = ["PrunedSoftmins"]

SHARE = 0.1  # of the tolerance, that a dropped tile may hold of a row, times the number of tiles
MARGIN = 2.0  # temperatures by which potentials may rise before tiles are chosen anew
TRIM_AT = 2, 6  # half-sweeps after which tiles are trimmed: potentials are rough at first
LOWEST, HIGHEST = 1e-25, 1e30  # sums that lost nothing


class _Known(NamedTuple):
    potential: Array
    bias: Array  # in the frames of the blocks
    rise: float  # above the potential for which the tiles were chosen


class PrunedSoftmins(Softmins):
    """Tiles chosen by a screen, chosen anew when the potentials have moved.

    Args:
        source: cloud in blocks; ``target`` likewise, or the same for a cloud and itself.
        penalty: how marginals are held.
        eps: the temperature.
        tol: the tolerance of the marginals, of which the dropped tiles get a tenth.
        dtype: of the loops; float32 leaves an error of some 1e-6 of the mass, and is not taken
            where it would leave more than a tenth of the tolerance.
        engine: "numba" for compiled loops, "tiles" for torch.
        memory: bytes that points and tiles may take, more is an error.
    """

    def __init__(
        self,
        source: BlockCloud,
        target: BlockCloud,
        penalty: Marginals,
        eps: float,
        tol: float,
        dtype: Any = np.float32,
        engine: str = "numba",
        memory: float | None = None,
    ) -> None:
        self.engine, self.loops = engine, tile_loops(engine)
        self.clouds, self.memory = (source, target), memory
        self.a, self.b = source.weights, target.weights
        self.penalty, self.eps, self.tol = penalty, eps, tol
        self.dtype = self._enough(dtype)
        self.built: tuple[Array, Array] | None = None
        self.known: list[_Known | None] = [None, None]
        self.peaks: list[Array | None] = [None, None]
        self.pairs = 0  # visited so far
        self.builds = 0

    def like(self, source: BlockCloud, target: BlockCloud) -> PrunedSoftmins:
        """The same between other clouds, in double precision."""
        rest = self.penalty, self.eps, self.tol, np.float64, self.engine
        return PrunedSoftmins(source, target, *rest)

    def step(self, side: int, here: Array, there: Array) -> tuple[Array, float, float]:
        return self.damped(side, here, *self.exact(side, here, there))

    def exact(self, side: int, here: Array, there: Array) -> tuple[Array, Array]:
        """The softmin, and by what factor the marginal of the plan of (here, there) is too large."""
        self._refresh(side, here, there)
        total = self._sums(side, here, there)
        if total.min() > LOWEST and total.max() < HIGHEST:
            return here - self.eps * np.log(total), total
        lost = np.flatnonzero(~((total > LOWEST) & (total < HIGHEST)))
        values = here - self.eps * np.log(total.clip(LOWEST, HIGHEST))
        values[lost] = self._all_pairs(side, lost, there)
        total[lost] = np.exp(np.minimum((here[lost] - values[lost]) / self.eps, 600.0))
        return values, total

    # --- which tiles ---

    def build(self, f: Array, g: Array, margin: float = MARGIN) -> None:
        """Chooses the tiles for these potentials."""
        self.built = None
        frames = self._frame(f, g)
        threshold = math.log2(SHARE * self.tol) - margin * LOG2E
        (rows, groups), (cols, near) = (frame.boxes() for frame in frames)
        X, Y = self.clouds
        pairs, lost = self.loops.screen(groups, near, threshold)
        found, omitted = self.loops.screen(rows, cols, threshold, pairs)
        omitted += lost.repeat_interleave(GROUP)
        check_memory(self.memory, X.n + Y.n, X.dim, len(found))
        self.tiles = self.screened = Tiles.of(found, omitted, Y.blocks, self.loops)
        self.built = f.copy(), g.copy()
        self.peaks = [None, None]
        self.age, self.final = 0, margin <= 0
        self.builds += 1

    def seen_from(self, side: int, f: Array, g: Array) -> PrunedSoftmins:
        """The same problem from one side, whose pairs are chosen for the rows there.

        The potentials f of that side and g of the other are in the order of the points.
        """
        X, Y = self.clouds[side], self.clouds[1 - side]
        new = self.like(X, Y)
        new.build(f[X.order], g[Y.order], 0.0)
        return new

    def missed(self, f: Array, g: Array) -> Array:
        """Bounds ``(N,)`` on what the rows' sums miss, for potentials in the order of the points."""
        assert self.built is not None
        X, Y = self.clouds
        rise = (f[X.order] - self.built[0]).max() + (g[Y.order] - self.built[1]).max()
        factor = math.exp(min(max(rise / self.eps, 0.0), 600.0))
        bounds: Array = np.repeat(self.screened.omitted.numpy(), SIZE)[: X.n] * factor
        return bounds[X.inverse]

    def recast(self, dtype: Any) -> None:
        """From now on the loops run in this dtype."""
        self.dtype = self._enough(dtype)
        self.parts = [frame.loops(self.dtype) for frame in self.frames]

    def _enough(self, dtype: Any) -> Any:
        """This dtype, or float64 where blocks are so wide that float32 would miss the tolerance."""
        lost = sum(cloud.rounding(self.eps) for cloud in self.clouds)
        return dtype if lost <= SHARE * self.tol else np.float64

    def diagonal(self) -> None:
        """Keeps each block with itself, to see where a cloud is dense."""
        zero = np.zeros(self.clouds[0].n)
        self._frame(zero, zero)
        blocks = self.clouds[0].blocks
        own = TileRows(torch.arange(blocks + 1), torch.arange(blocks, dtype=torch.int32))
        nothing = torch.zeros(blocks, dtype=torch.float64)
        self.tiles = Tiles.of(own, nothing, blocks, self.loops)
        self.built, self.age, self.final = (zero, zero), 0, True

    def _frame(self, f: Array, g: Array) -> list[Frame]:
        self.known = [None, None]
        (X, Y), origin = self.clouds, self.clouds[0].centres[0]
        frames = [Frame.of(X, f, self.eps, origin)]
        frames.append(frames[0] if X is Y and f is g else Frame.of(Y, g, self.eps, origin))
        self.frames, self.parts = frames, [frame.loops(self.dtype) for frame in frames]
        return frames

    def _refresh(self, side: int, here: Array, there: Array) -> None:
        """New tiles where the potentials have risen beyond the margin."""
        f, g = (there, here) if side else (here, there)
        if self.built is not None:
            rise = self._known(0, f).rise + self._known(1, g).rise
            if rise <= MARGIN * self.eps:
                return
        self.build(f, g)

    def _known(self, side: int, potential: Array) -> _Known:
        """What the loops read of a potential; each serves two half-steps."""
        sides = (0, 1) if self.frames[0] is self.frames[1] else (side,)
        for known in (self.known[k] for k in sides):
            if known is not None and known.potential is potential:
                return known
        assert self.built is not None
        rise = float((potential - self.built[side]).max())
        known = self.known[side] = _Known(potential, self.frames[side].bias(potential), rise)
        return known

    def trim(self) -> None:
        """Drops the tiles whose measured share of every row and column is negligible."""
        if self.clouds[0] is self.clouds[1]:
            self.peaks[1] = self.peaks[0]
        rows, cols = self.peaks
        if rows is None or cols is None:
            return
        bar = SHARE * self.tol * math.exp(-MARGIN)
        keep = rows > bar
        keep[self.tiles.places.numpy()[cols > bar]] = True
        self.tiles = self.tiles.only(torch.from_numpy(keep))
        self.peaks = [None, None]

    # --- sums over them ---

    def _blocks(self, side: int, row: Array, col: Array, logs: Array | float) -> list[Blocks]:
        """What the loops read of rows and columns, for two potentials; ``logs`` weigh the columns."""
        rows = self._known(side, row).bias
        cols = (self._known(1 - side, col).bias + logs).clip(CLOSED)
        biases = rows.astype(self.dtype), cols.astype(self.dtype)
        parts = self.parts[side], self.parts[1 - side]
        found = (map(torch.from_numpy, (*p, b)) for p, b in zip(parts, biases, strict=True))
        return [Blocks(*arrays) for arrays in found]

    def _run(self, loop: Any, side: int, *args: Any) -> Any:
        """One pass over the tiles, seen from that side."""
        self.pairs += len(self.tiles) * SIZE**2
        return loop(self.tiles.sides[side], *args)

    def _sums(self, side: int, here: Array, there: Array) -> Array:
        blocks = self._blocks(side, here, there, self.clouds[1 - side].log_weights)
        out, peaks = (t.numpy() for t in self._run(self.loops.sums, side, *blocks))
        self.age += 1
        if self.age <= max(TRIM_AT):
            least = out.min(1).clip(LOWEST, 1.0)
            self.peaks[side] = peaks / least[self.tiles.sides[side].owners.numpy()]
            if self.age in TRIM_AT and not self.final:
                self.trim()
        return out.reshape(-1)[: self.clouds[side].n]

    def products(self, side: int, row: Array, col: Array, v: Array) -> Array:
        """``sum_j exp((row_i + col_j - C_ij) / eps) v_j`` for ``(m, R)`` values, ``(n, R)``.

        The scalings must be near those potentials for which the tiles were chosen.
        """
        cloud, other = self.clouds[side], self.clouds[1 - side]
        values = other.fill(v).reshape(other.blocks, SIZE, -1).transpose(0, 2, 1)
        block = torch.from_numpy(np.ascontiguousarray(values, self.dtype))
        blocks = self._blocks(side, row, col, other.filled_in)
        out: Array = self._run(self.loops.products, side, *blocks, block).numpy()
        return out.transpose(0, 2, 1).reshape(-1, v.shape[1])[: cloud.n]

    def _all_pairs(self, side: int, rows: Array, there: Array) -> Array:
        """Softmins of single rows over all columns, where the kept tiles held nothing."""
        x, other = self.clouds[side].points[rows], self.clouds[1 - side]
        logs = there / self.eps + other.log_weights.reshape(-1)[: other.n] / LOG2E
        out = np.empty(len(rows))
        step = max(1, (1 << 22) // other.n)
        for k in range(0, len(rows), step):
            part = slice(k, k + step)
            squares = sum((x[part, d, None] - other.points[:, d]) ** 2 for d in range(x.shape[1]))
            exponents = logs - squares / (2 * self.eps)
            top = exponents.max(1)
            sums = np.exp2((exponents - top[:, None]) * LOG2E).sum(1)
            out[part] = -self.eps * (top + np.log(sums))
        return out

    @property
    def kept_fraction(self) -> float:
        """The share of the pairs that the tiles hold."""
        return min(1.0, len(self.tiles) * SIZE**2 / (self.clouds[0].n * self.clouds[1].n))
