"""Lists of kept tiles, pairs of blocks of two clouds, seen from the rows and from the columns."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...engines.kept import TileLoops, TileRows

__all__ = ["Tiles"]


@dataclass
class Tiles:
    """Kept tiles, row block after row block, and column block after column block."""

    sides: tuple[TileRows, TileRows]
    places: Tensor  # of the tiles of columns among those of rows
    omitted: Tensor  # bound on what each row block's sums miss
    loops: TileLoops  # that will visit them

    @staticmethod
    def of(rows: TileRows, omitted: Tensor, columns: int, loops: TileLoops) -> Tiles:
        """From the rows' tiles; ``columns`` is the number of column blocks."""
        cols, places = loops.transpose(rows, columns)
        return Tiles((rows, cols), places, omitted, loops)

    @staticmethod
    def between(
        rows: tuple[int, int], cols: tuple[int, int], device: torch.device, loops: TileLoops
    ) -> Tiles:
        """All tiles of two clouds, told by the numbers of their blocks and of those that hold points."""
        counts = torch.zeros(rows[0], dtype=torch.int64, device=device)
        counts[: rows[1]] = cols[1]
        blocks = torch.arange(cols[1], dtype=torch.int32, device=device).repeat(rows[1])
        omitted = torch.zeros(rows[0], dtype=torch.float64, device=device)
        return Tiles.of(TileRows.of(counts, blocks), omitted, cols[0], loops)

    def only(self, keep: Tensor) -> Tiles:
        """Those tiles, told in the order of rows."""
        (rows, cols), places = self.sides, keep.nonzero()[:, 0]
        owners = rows.owners.index_select(0, places)
        counts = torch.bincount(owners, minlength=len(rows.starts) - 1)
        kept = TileRows.of(counts, rows.blocks.index_select(0, places))
        return Tiles.of(kept, self.omitted, len(cols.starts) - 1, self.loops)

    def __len__(self) -> int:
        return len(self.places)
