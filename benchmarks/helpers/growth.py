"""What a process grows by while it works, as the system counts it."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sparseot.transport.pruned.memory import MANY, give_back

EVERY = 0.005  # seconds


class Growth:
    """The most bytes so far beyond those ``before``."""

    most = before = 0


def resident() -> int:
    """Bytes of this process alone that are in memory."""
    with open("/proc/self/statm") as file:
        _, pages, shared, *_ = map(int, file.read().split())
    return (pages - shared) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def growth() -> Iterator[Growth]:
    """Sampled every 5 ms; what was let go of before is given back first."""
    gc.collect()
    give_back(MANY)
    found, done = Growth(), threading.Event()
    found.before = before = resident()

    def sample() -> None:
        while not done.wait(EVERY):
            found.most = max(found.most, resident() - before)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()
        found.most = max(found.most, resident() - before)
