"""What is seen of a solve while it runs, and how it is ended: a bar, a function, Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from ...engines.openmp import callers_threads

__all__ = ["WORDS", "Bar", "Stopped", "deferred"]

WORDS = "{:.3g}, error {:.1e} (tol {:g})"  # after the name of the temperature


class Stopped(Exception):
    """The sweeps are to end with the potentials as they are."""


class _User:
    """Who may ask a solve to end; ``waits`` for its result, or takes an interruption as it comes."""

    def __init__(self, waits: bool = True) -> None:
        self.waits = waits
        self.asked = self.heard = False

    def note(self, number: int, frame: Any) -> None:
        """A handler of signals: the first is noted, one that follows is not waited with."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


_user: ContextVar[_User | None] = ContextVar("user", default=None)


@contextmanager
def deferred(signals: bool = True) -> Iterator[None]:
    """Within, all solves have one user; the first Ctrl-C is noted instead of raised.

    Only where it would raise KeyboardInterrupt, in the main thread; a program's own handler stays.
    One that came too late to end any sweep is raised at the end. Without ``signals`` Ctrl-C is
    Python's.
    """
    user, usual = _User(waits=signals), signal.default_int_handler
    token = _user.set(user)
    main = threading.current_thread() is threading.main_thread()
    signals = signals and main and signal.getsignal(signal.SIGINT) is usual
    try:
        if signals:
            signal.signal(signal.SIGINT, user.note)
        yield
    finally:
        if signals:
            signal.signal(signal.SIGINT, usual)
        _user.reset(token)
    if signals and user.asked and not user.heard:
        raise KeyboardInterrupt


class Bar:
    """A progress bar, made at the first sweep, or other unit; silent unless it was asked for.

    A function is called in its place after each sweep, with the blur, the error and ``tol``, three numbers that
    ``words`` shows, and with the caller's number of threads. Where it raises KeyboardInterrupt, or the user did, the
    sweeps are told to end.
    """

    def __init__(
        self,
        shown: bool | Callable[[float, float, float], None],
        unit: str = " sweeps",
        words: str = f"blur {WORDS}",
    ) -> None:
        self.shown, self.user = shown, _user.get() or _User()
        self.unit, self.words = unit, words
        self.bar: Any = None

    def update(self, blur: float, error: float, tol: float) -> None:
        """One more sweep; raises Stopped where it is to be the last."""
        try:
            self._show(blur, error, tol)
        except KeyboardInterrupt:
            if not self.user.waits:
                raise
            self.user.asked = True
        if self.user.asked:
            self.user.heard = True
            raise Stopped

    def _show(self, blur: float, error: float, tol: float) -> None:
        if callable(self.shown):
            with callers_threads():
                self.shown(blur, error, tol)
        elif self.shown:
            if self.bar is None:
                from tqdm.auto import tqdm  # here, for a light import of the library

                self.bar = tqdm(unit=self.unit)
            self.bar.set_description(self.words.format(blur, error, tol))
            self.bar.update()

    @property
    def ended(self) -> bool:
        """Whether what is going on is to end, though nothing was to be shown."""
        self.user.heard |= self.user.asked
        return self.user.asked

    def close(self) -> None:
        """Leaves the last line where it is."""
        if self.bar is not None:
            self.bar.close()
