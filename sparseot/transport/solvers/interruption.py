"""Ctrl-C while a solve runs: noted at once, obeyed between two sweeps, so that a result is left."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Interruption", "Stopped", "deferred"]


class Stopped(Exception):
    """The sweeps are to end with the potentials as they are."""


class Interruption:
    """Whether the solve was asked to end."""

    def __init__(self) -> None:
        self.asked = False

    def note(self, number: int, frame: Any) -> None:
        """A handler of signals: the first is noted, one that follows is not waited with."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


@contextmanager
def deferred() -> Iterator[Interruption]:
    """Within, the first Ctrl-C is noted instead of raised.

    Only where it would raise KeyboardInterrupt, in the main thread; a program's own handler stays.
    """
    found = Interruption()
    usual = signal.default_int_handler
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not usual:
        yield found
        return
    signal.signal(signal.SIGINT, found.note)
    try:
        yield found
    finally:
        signal.signal(signal.SIGINT, usual)
