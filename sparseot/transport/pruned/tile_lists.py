"""Lists of kept tiles, pairs of blocks of two clouds, seen from the rows and from the columns."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from ...engines.openmp import thread_count
from ...engines.threads import share
from ..softmins import Array

__all__ = ["RANGES", "Tiles", "screened"]

RANGES = 4  # of row blocks, a thread: one that is held up leaves the rest to the others
BOXES = 1 << 15  # pairs of boxes that are worth a thread: some tenths of a millisecond


@dataclass
class Tiles:
    """Kept tiles, row block after row block, and column block after column block."""

    starts: tuple[Array, Array]
    blocks: tuple[Array, Array]
    places: Array  # of the tiles of columns among those of rows
    omitted: Array  # bound on what each row block's sums miss
    loops: ModuleType  # that will visit them

    @staticmethod
    def of(counts: Array, cols: Array, omitted: Array, columns: int, loops: ModuleType) -> Tiles:
        """From the rows' tiles; ``columns`` is the number of column blocks."""
        starts = np.concatenate(([0], np.cumsum(counts)))
        begins = np.concatenate(([0], np.cumsum(np.bincount(cols, minlength=columns))))
        rows, places = np.empty_like(cols), np.empty(len(cols), np.int64)
        loops.transpose(starts, cols, begins[:-1].copy(), rows, places)
        return Tiles((starts, begins), (cols, rows), places, omitted, loops)

    def only(self, keep: Array) -> Tiles:
        """Those tiles, told in the order of rows."""
        owners = np.repeat(np.arange(len(self.starts[0]) - 1), np.diff(self.starts[0]))
        counts = np.bincount(owners[keep], minlength=len(self.starts[0]) - 1)
        columns = len(self.starts[1]) - 1
        return Tiles.of(counts, self.blocks[0][keep], self.omitted, columns, self.loops)

    def __len__(self) -> int:
        return len(self.blocks[0])


def screened(
    screen: Any,
    rows: Any,
    cols: Any,
    parents: Array,
    starts: Array,
    near: Array,
    ends: Array,
    threshold: float,
) -> tuple[Array, Array, Array]:
    """The tiles that pass, shared among threads: their numbers, their columns, what is dropped."""
    count = len(rows[3])
    counts, omitted = np.zeros(count, np.int64), np.zeros(count)
    boxes = int(np.diff(starts)[parents].sum()) * int(np.diff(ends).max())
    shares = max(1, min(count, RANGES * thread_count(), boxes // BOXES))
    edges = [count * k // shares for k in range(shares + 1)]
    args: tuple[Any, ...] = rows, cols, parents, starts, near, ends, threshold, counts, omitted
    found: list[Any] = [None] * shares

    def part(k: int, _: int) -> None:
        found[k] = screen(*args, edges[k], edges[k + 1])

    share(part, range(shares + 1))
    return counts, np.concatenate(found), omitted
