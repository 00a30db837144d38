"""One thread that answers the latest question: a sketch at once, then the answer itself."""

import sys
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["Stopped", "Worker"]

THREADS = sys.platform != "emscripten"
REST = 0.03 if THREADS else 0.0  # seconds between sketch and answer; a drag asks more often


class Stopped(KeyboardInterrupt):
    """Raised in an answer that nobody waits for any more.

    It is a KeyboardInterrupt, so that a solver ends as it does at Ctrl-C.
    """


class Worker:
    """Answer questions away from the kernel's own thread, so that other cells can run.

    A question that comes while another is being answered replaces the one that waits. Sketches
    are never cut short (else a drag would show nothing); an answer is, by the next question or by
    :meth:`stop`. The thread lives while there is something to answer.

    Args:
        answer: called as ``answer(question, coarse, check)``, first with ``coarse=True``. It calls
            ``check()`` now and then, which raises :class:`Stopped` when it should end.
        idle: called when nothing is left to answer.
    """

    def __init__(
        self, answer: Callable[[Any, bool, Callable[[], None]], None], idle: Callable[[], None]
    ) -> None:
        self._answer, self._idle = answer, idle
        self._lock = threading.Condition()
        self._waiting: list[Any] = []  # the latest question, or nothing
        self._running = False
        self._stopped = False

    def ask(self, question: Any) -> None:
        """Answer this one as soon as possible, and none that still waits."""
        with self._lock:
            self._waiting = [question]
            self._stopped = False
            self._lock.notify_all()
            if self._running:
                return
            self._running = True
        if THREADS:
            threading.Thread(target=self._run, name="sparseot-viewer", daemon=True).start()
        else:
            self._run()

    def stop(self) -> None:
        """End the answer that is being worked on; the sketch stays."""
        with self._lock:
            self._waiting, self._stopped = [], True
            self._lock.notify_all()

    def join(self, timeout: float = 60.0) -> bool:
        """Wait until nothing is left to answer; False if that took too long."""
        with self._lock:
            return self._lock.wait_for(lambda: not self._running, timeout)

    def _rest(self) -> None:
        """A moment for the next question of a drag, which finds the worker idle."""
        with self._lock:
            self._lock.wait_for(lambda: bool(self._waiting or self._stopped), REST)

    def _check(self) -> None:
        if self._waiting or self._stopped:
            raise Stopped

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    try:
                        self._idle()
                    finally:
                        self._running = False
                        self._lock.notify_all()
                    return
                question = self._waiting.pop()
            try:
                self._answer(question, True, lambda: None)
                self._rest()
                self._check()
                self._answer(question, False, self._check)
            except Stopped:
                continue
            except BaseException:
                with self._lock:  # the next question starts a new thread
                    self._running = False
                    self._lock.notify_all()
                raise
