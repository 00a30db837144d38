"""Lists of kept tiles, pairs of blocks of two clouds, seen from the rows and from the columns."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...engines.kept import TileLoops, TileRows
from .memory import give_back

__all__ = ["Tiles"]


@dataclass
class Tiles:
    """Kept tiles, row block after row block, and column block after column block.

    Ranks of a group hold their rows of both lists.
    """

    sides: tuple[TileRows, TileRows]
    omitted: Tensor  # bound on what each row block's sums miss
    loops: TileLoops  # that will visit them

    @staticmethod
    def of(rows: TileRows, omitted: Tensor, columns: int, loops: TileLoops) -> Tiles:
        """From the rows' tiles; ``columns`` is the number of column blocks, those of all ranks."""
        mine = loops.own(rows, columns)
        both = mine, loops.turned(mine, columns)
        give_back(len(both[0]))
        return Tiles(both, omitted, loops)

    @staticmethod
    def between(
        rows: tuple[int, int], cols: tuple[int, int], device: torch.device, loops: TileLoops
    ) -> Tiles:
        """All tiles of two clouds, told by the numbers of their blocks and of those that hold points.

        Rows are those that are here, columns all.
        """
        counts = torch.zeros(rows[0], dtype=torch.int64, device=device)
        counts[: rows[1]] = cols[1]
        blocks = torch.arange(cols[1], dtype=torch.int32, device=device).repeat(rows[1])
        omitted = torch.zeros(rows[0], dtype=torch.float64, device=device)
        return Tiles.of(TileRows.of(counts, blocks), omitted, cols[0], loops)

    def only(self, marks: tuple[Tensor, Tensor]) -> Tiles:
        """Those that are marked from the rows or from the columns, by truth values in the order of each."""
        give_back(len(marks[0]))  # what sums and lists before have left lies where new lists will
        keep = self.loops.either(self.sides, marks)
        give_back(len(marks[0]))
        rows, cols = (self.loops.only(*both) for both in zip(self.sides, keep, strict=True))
        del keep
        give_back(len(rows))
        return Tiles((rows, cols), self.omitted, self.loops)

    def __len__(self) -> int:
        return self.sides[0].total
