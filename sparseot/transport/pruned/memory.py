"""What a solve over kept pairs takes of memory, told before it is taken."""

from __future__ import annotations

from ...errors import bad_input

__all__ = ["check_memory"]

POINT, COORDINATE, TILE = 100, 100, 64  # bytes, measured: blocks, frames, and lists of tiles


def check_memory(memory: float | None, points: int, dim: int, tiles: int = 0) -> None:
    """Refuses a solve whose ``points`` of both clouds and kept ``tiles`` take more than ``memory``."""
    wanted = points * (POINT + COORDINATE * dim) + TILE * tiles
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
