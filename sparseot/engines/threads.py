"""A small pool of plain threads for compiled loops that release the interpreter's lock.

Numba's own threading layers abort when two threads enter them or hang after a fork.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

__all__ = ["even", "share", "share_ranges", "threads"]

_pool: ThreadPoolExecutor | None = None


def share(loop: Callable[..., Any], ends: Sequence[int], *args: Any) -> None:
    """Runs ``loop(*args, lo, hi)`` on each range between ``ends``; whoever is free takes the next one.

    ``loop`` releases the interpreter's lock. With two ends it simply runs. An error, or Ctrl-C in
    the caller's thread, ends the others after the range that each is at.
    """
    ranges = zip(ends[:-1], ends[1:], strict=True)

    def work() -> None:
        try:
            for lo, hi in ranges:
                loop(*args, lo, hi)
        finally:
            for _ in ranges:  # after an error nobody starts another range
                pass

    helpers = min(torch.get_num_threads(), len(ends) - 1) - 1
    futures = [threads().submit(work) for _ in range(helpers)]
    try:
        work()
    finally:
        failed = [future.exception() for future in futures if not future.cancel()]
    for error in filter(None, failed):
        raise error


def share_ranges(rows: int, run: Callable[[int, int], object], grain: int | None = None) -> None:
    """Calls ``run(lo, hi)`` on ranges of ``grain`` rows, by default one range a thread."""
    grain = max(1, grain or -(-rows // torch.get_num_threads()))
    share(run, [*range(0, rows, grain), rows])


def even(total: int, shares: int | None = None) -> list[int]:
    """The ends of equal shares of ``range(total)``; one for each of torch's threads by default."""
    shares = max(1, min(total, shares or torch.get_num_threads()))
    return [total * k // shares for k in range(shares + 1)]


def threads() -> ThreadPoolExecutor:
    """The pool, made at its first use and anew in a forked child."""
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="sparseot")
    return _pool


def _forget() -> None:
    """A forked child inherits the pool but none of its threads."""
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
