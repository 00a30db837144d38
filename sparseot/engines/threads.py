"""A small pool of plain threads for loops that release the interpreter's lock: compiled ones, and torch.

Numba's own threading layers abort when two threads enter them or hang after a fork; torch's spin while
they wait (:mod:`.openmp`). These sleep.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

from .openmp import alone, thread_count

__all__ = ["RANGES", "even", "share", "share_ranges", "shares_of", "threads", "tiling"]

WORTH = 1 << 22  # multiplications,
PAIRS = 1 << 18  # or pairs, that are worth a thread: some tenths of a millisecond
RANGES = 4  # a thread: one that is held up leaves the rest to the others
_pool: ThreadPoolExecutor | None = None


def share(loop: Callable[..., Any], ends: Sequence[int], *args: Any) -> None:
    """Runs ``loop(*args, lo, hi)`` on each range between ``ends``; whoever is free takes the next one.

    ``loop`` releases the interpreter's lock. With two ends it simply runs; with more, torch builds no
    graph. An error, or Ctrl-C in the caller's thread, ends the others after the range that each is at.
    """
    if len(ends) == 2:
        loop(*args, *ends)
        return
    ranges, inference = zip(ends[:-1], ends[1:], strict=True), torch.is_inference_mode_enabled()

    def work() -> None:
        try:
            with torch.inference_mode(inference), torch.no_grad():  # threads inherit neither
                for lo, hi in ranges:
                    loop(*args, lo, hi)
        finally:
            for _ in ranges:  # after an error nobody starts another range
                pass

    helpers = min(thread_count(), len(ends) - 1) - 1
    futures = [threads().submit(work) for _ in range(helpers)]
    try:
        work()
    finally:
        failed = [future.exception() for future in futures if not future.cancel()]
    for error in filter(None, failed):
        raise error


def share_ranges(
    rows: int,
    run: Callable[[int, int], object],
    grain: int | None = None,
    work: float = math.inf,
) -> None:
    """Calls ``run(lo, hi)`` on ranges of ``grain`` rows, by default one range a thread.

    Less ``work`` than 2^22 multiplications is one range, on this thread: to wake another takes some
    tenths of a millisecond, or as long as it pleases those who hold its processor.
    """
    grain = rows if work < WORTH else grain or -(-rows // thread_count())
    grain = max(1, grain)
    share(run, [*range(0, rows, grain), rows])


def shares_of(work: int, worth: int) -> int:
    """The number of ranges for threads of our own; ``worth`` is the work that is worth a thread."""
    threads = thread_count()
    return 1 if threads == 1 else max(1, min(RANGES * threads, work // worth))


def even(total: int, shares: int | None = None) -> list[int]:
    """The ends of equal shares of ``range(total)``; one for each of torch's threads by default."""
    shares = max(1, min(total, shares or thread_count()))
    return [total * k // shares for k in range(shares + 1)]


def tiling(items: int, rows: int, cols: int, entries: int, threads: int) -> tuple[int, int, int]:
    """Batch items, rows and columns of a tile: near square, of at most ``entries`` pairs.

    For several threads there are strips of equal size for all of them, if that pays.
    """
    side = max(1, math.isqrt(entries))
    height = min(rows, max(side, entries // cols))
    width = min(cols, max(1, entries // height))
    together = min(items, max(1, entries // (height * width)))
    wanted = min(threads, items * rows * cols // PAIRS)
    if wanted > 1:
        together = _even(items, together, wanted)
        height = _even(rows, height, -(-wanted // -(-items // together)))
        width = _even(cols, min(cols, max(1, entries // (together * height))), 1)
    return together, height, width


def _even(total: int, most: int, threads: int) -> int:
    """The size of equal parts of at most ``most``, as many as give each thread as much to do."""
    parts = -(-total // most)
    return -(-total // (-(-parts // threads) * threads))


def threads() -> ThreadPoolExecutor:
    """The pool, made at its first use and anew in a forked child."""
    global _pool
    if _pool is None:
        most = os.cpu_count() or 1
        _pool = ThreadPoolExecutor(most, thread_name_prefix="sparseot", initializer=alone)
    return _pool


def _forget() -> None:
    """A forked child inherits the pool but none of its threads."""
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
