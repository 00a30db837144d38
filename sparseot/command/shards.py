"""Arrays that lie in several files, row after row: each rank reads its rows, and writes what it found for them."""

from __future__ import annotations

import glob
import json
import math
import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import bad_input

__all__ = ["Shards", "part_of", "write_json", "write_rows"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Shards:
    """The rows of some ``.npy`` files, one after the other; nothing is read before it is asked for.

    Attributes:
        name: what they are, for errors.
        files: in the order of their rows.
        ends: where the rows of each end, with a zero in front.
    """

    name: str
    files: list[Path]
    ends: list[int]

    @staticmethod
    def of(name: str, where: str) -> Shards:
        """A file, the files of a folder, or those of a pattern such as ``x-*.npy``, in alphabetical order.

        Raises:
            ValueError: if there are none, or they are no arrays of rows of the same kind.
        """
        path = Path(where)
        found = sorted(path.glob("*.npy")) if path.is_dir() else [path]
        if not path.exists():
            found = [Path(file) for file in sorted(glob.glob(where))]
        if not found:
            fix = "Is the path right, and seen from this machine?"
            raise bad_input(
                name, f"{where!r}, where no file is", "a .npy file, a folder or a pattern", fix
            )
        heads = [_opened(name, file) for file in found]
        for file, head in zip(found, heads, strict=True):
            if (
                head.dtype != heads[0].dtype
                or head.shape[1:] != heads[0].shape[1:]
                or not head.ndim
            ):
                got = f"{head.dtype} of shape {head.shape} in {file}"
                wanted = f"rows as in {found[0]}, {heads[0].dtype} of shape {heads[0].shape}"
                raise bad_input(name, got, wanted)
        ends = [0, *np.cumsum([len(head) for head in heads]).tolist()]
        return Shards(name, found, ends)

    def __len__(self) -> int:
        return self.ends[-1]

    def read(self, rows: range) -> Array:
        """A copy of some rows; of other files than theirs not a byte is read."""
        parts: list[Array] = []
        for file, (first, last) in zip(self.files, pairwise(self.ends), strict=True):
            low, high = max(rows.start, first), min(rows.stop, last)
            if low < high or not parts:
                parts.append(
                    np.array(_opened(self.name, file)[max(low - first, 0) : max(high - first, 0)])
                )
        return np.concatenate(parts)


def part_of(count: int, rank: int, size: int) -> range:
    """The share of a rank in so many rows."""
    return range(count * rank // size, count * (rank + 1) // size)


def write_rows(folder: Path, name: str, values: Array, rank: int, size: int) -> str:
    """Writes the rows of a rank; the name of the file."""
    file = f"{name}-{rank:05d}-of-{size:05d}.npy"
    np.save(folder / file, values)
    return file


def write_json(path: Path, told: dict[str, Any]) -> None:
    """All of it or nothing: beside the old file, whose name it takes then. Numbers that are not finite are null."""
    new, finite = path.with_suffix(".new"), {name: _finite(value) for name, value in told.items()}
    new.write_text(json.dumps(finite, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(new, path)


def _finite(value: Any) -> Any:
    """The value; None for a number that JSON has no word for."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _opened(name: str, file: Path) -> Array:
    try:  # not numpy.load, which reads archives too and leaves broken ones open
        return np.lib.format.open_memmap(file, mode="r")
    except (OSError, ValueError) as error:
        got = f"{str(file)!r}, which NumPy does not read ({error})"
        raise bad_input(name, got, "a .npy file", "Save each array with numpy.save.") from None
