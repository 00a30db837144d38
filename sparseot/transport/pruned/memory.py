"""What a solve over kept pairs takes of memory, told before it is taken; and what it lets go of, given back."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

from ...errors import bad_input

__all__ = ["check_memory", "give_back"]

POINT, COORDINATE, TILE = 100, 100, 64  # bytes, measured: blocks, frames, and lists of tiles
MANY = 1 << 17  # points, or tiles, whose vectors are worth a walk through the heap


def check_memory(
    memory: float | None, points: int, dim: int, ranks: int = 1, tiles: int = 0
) -> None:
    """Refuses a solve whose ``points`` of both clouds and kept ``tiles``, of this rank, take more than ``memory``."""
    wanted = points * (POINT + COORDINATE * dim) / ranks + TILE * tiles
    if memory is None or wanted <= memory:
        return
    what = f"for {points:,} points"
    what += f" and {tiles:,} pairs of blocks that may matter" if tiles else ""
    fix = (
        "Give more, take a larger tol or a smaller blur, or visit all pairs, of which nothing is "
        "stored: Sinkhorn(multilevel=False)."
    )
    got, least = f"{memory / 2**20:.3g} MiB", f"{wanted / 2**20:.3g} MiB at least {what}"
    raise bad_input("memory", got, least, fix)


def give_back(count: int) -> None:
    """Has the heap return what was let go of to the system, after work with vectors of that length.

    glibc keeps what lies below something in use, of a million points as much again as a solve needs.
    """
    if count >= MANY:
        _trimmer()(0)


@cache
def _trimmer() -> Callable[[int], int]:
    """``malloc_trim`` of glibc; where the heap is another one, nothing."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return lambda pad: 0
