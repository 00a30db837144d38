"""Potentials of a solve in a folder, from which another one goes on.

They are put together on every rank of a group, in the order of the points, so one process writes them and any
number of processes may read them. A file is written beside the old one and then takes its name: whoever
reads finds one or the other.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...errors import bad_input
from ...points import padded
from ..solution import Potentials

__all__ = ["Checkpoint", "read_checkpoint"]

EVERY = 60.0  # seconds between two of a solve


class Checkpoint:
    """What is kept of the potentials of one problem.

    Args:
        folder: where; it is made if there is none.
        number: of the problem among those of a divergence.
        blur: at which they are found, told in the file.
        sizes: of both clouds; potentials of those without padding are those of what it repeats.
        writes: whether it is this process that writes.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        number: int,
        blur: float,
        sizes: tuple[int, int],
        writes: bool,
    ) -> None:
        self.path, self.blur = _file(folder, number), blur
        self.sizes, self.writes = sizes, writes
        self.last = time.monotonic()
        if writes:
            self.path.parent.mkdir(parents=True, exist_ok=True)

    def offer(
        self,
        potentials: Callable[[], tuple[Tensor, Tensor]],
        most: Callable[[float], float] = float,
    ) -> None:
        """Writes what the function gives, f ``(N,)`` and g ``(M,)``, if the last time is long ago.

        ``most`` tells the largest number of all ranks: they call the function together, when the one that writes says so.
        """
        if most(float(self.writes and time.monotonic() - self.last >= EVERY)):
            self.write(*potentials())

    def write(self, f: Tensor, g: Tensor) -> None:
        """Writes them now."""
        if not self.writes:
            return
        new = self.path.with_suffix(".new")
        f, g = (padded([h], size)[0] for h, size in zip((f, g), self.sizes, strict=True))
        with open(new, "wb") as file:
            np.savez(file, f=f.numpy(force=True), g=g.numpy(force=True), blur=self.blur)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, self.path)
        self.last = time.monotonic()


def read_checkpoint(
    folder: str | os.PathLike[str], sizes: list[tuple[int, int]], like: Tensor
) -> list[Potentials | None]:
    """The potentials of problems of these sizes that a folder holds, None for those that were not begun.

    Raises:
        ValueError: if it holds none, or those of other clouds.
    """
    if not _file(folder, 0).is_file():
        fix = "Sinkhorn(checkpoint=folder) writes there, from its first minute at the last temperature on."
        raise bad_input(
            "init", repr(str(folder)), "a folder with potentials of an earlier solve", fix
        )
    found: list[Potentials | None] = []
    for number, wanted in enumerate(sizes):
        if not _file(folder, number).is_file():
            found.append(None)
            continue
        with np.load(_file(folder, number)) as file:
            f, g = (torch.from_numpy(file[name]).to(like.device)[None] for name in "fg")
        got = f.shape[1], g.shape[1]
        if got != wanted:
            here = f"potentials of {got[0]} and {got[1]} points in {str(folder)!r}"
            raise bad_input("init", here, "as many as there are, {} and {}".format(*wanted))
        found.append(Potentials(f, g, f, g))
    return found


def _file(folder: str | os.PathLike[str], number: int) -> Path:
    return Path(folder) / f"potentials-{number}.npz"
